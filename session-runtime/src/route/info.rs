//! One route of a table, as the compiler's checks and the manifest see it.

use std::{any::TypeId, fmt, time::Duration};

use super::{
    Endpoint, Method, PathSpec, Protection, RouteSpec, Shown, Unlisted,
    hash::{Hash, Hashes},
    kind::{self, RouteKind},
    message::Message,
    tokens::{Relation, Tokens, relation},
};
use crate::transport::Transport;

/// One route of a table.
///
/// Shown as `GET /getHomeFeed protected app::home_feed (src/main.rs:12)`.
#[derive(Clone, Copy)]
pub struct RouteInfo {
    /// `None` for a service, which gets every method.
    pub(super) method: Option<Method>,
    pub(super) prefix: &'static str,
    pub(super) prefix_hash: Hash,
    pub(super) path: &'static PathSpec,
    pub(super) spec: &'static RouteSpec,
    pub(super) shown: &'static Shown,
    /// The name by which the table lists it; empty for a service.
    written: &'static str,
    /// The entry of the table by which the route is there.
    pub(super) position: usize,
    /// Whether that entry is another table, which has checks of its own.
    pub(super) is_included: bool,
}

impl RouteInfo {
    /// The method; `None` for a service, which gets every method.
    pub const fn method(&self) -> Option<Method> {
        self.method
    }

    /// The path as the router has it, captures in braces, the prefixes of its groups and of the tables that include it
    /// before it. That of a service ends in `/{*rest}`; it gets its prefix alone too.
    pub fn path(&self) -> String {
        format!("{}{}", self.prefix, self.path.text)
    }

    /// What the route is for.
    pub const fn kind(&self) -> RouteKind {
        self.shown.kind
    }

    /// The handler, with the modules that lead to it; a service as the table names it.
    pub const fn handler(&self) -> &'static str {
        if self.spec.is_annotated { self.spec.handler } else { self.written }
    }

    /// The file and the line of the handler's attribute, or of the table that lists the service.
    pub const fn location(&self) -> (&'static str, u32) {
        (self.spec.place.file(), self.spec.place.line())
    }

    /// Whether the route is a service that the table mounts with `public_service` or `protected_service`.
    pub const fn is_service(&self) -> bool {
        self.method.is_none()
    }

    /// What the route requires, each requirement as written: `Role.includes("admin")`, or the path of a function.
    pub const fn requirements(&self) -> &'static [&'static str] {
        self.spec.remarks.requirements
    }

    /// Whether that is all it requires, and what the application does has no say: `require_only`.
    pub const fn requires_only(&self) -> bool {
        !self.shown.options.inherits
    }

    /// How long ago the user may have authenticated.
    pub const fn max_auth_age(&self) -> Option<Duration> {
        self.shown.options.max_auth_age
    }

    /// Whether the store is asked if the session is live: `check = store`.
    pub const fn checks_store(&self) -> bool {
        self.shown.options.check_store
    }

    /// Whether requests are served that another site may have made: `csrf = dangerously_off`.
    pub const fn is_dangerously_without_csrf(&self) -> bool {
        self.shown.options.dangerously_without_csrf
    }

    /// The only transport whose tokens are seen; `None` where it may be either.
    pub const fn transport(&self) -> Option<Transport> {
        self.shown.options.transport
    }

    /// The function that answers what the guard refuses, as written.
    pub const fn on_refused(&self) -> Option<&'static str> {
        self.spec.remarks.on_refused
    }

    /// The function that is told of a stolen refresh token, as written.
    pub const fn on_theft(&self) -> Option<&'static str> {
        self.spec.remarks.on_theft
    }

    /// Why a service is open to everyone.
    pub const fn reason(&self) -> Option<&'static str> {
        self.spec.remarks.reason
    }

    /// The route of `E`, the entry `position` of a table, which lists it as `written`.
    #[doc(hidden)]
    pub const fn listed<E: Endpoint>(written: &'static str, position: usize) -> Self {
        let (spec, shown) = (E::SPEC, <E::Protection as Protection>::SHOWN);
        Self {
            method: Some(spec.method),
            prefix: "",
            prefix_hash: Hash::EMPTY,
            path: &spec.path,
            spec,
            shown,
            written,
            position,
            is_included: false,
        }
    }

    /// One of the paths at which the service `E` is found below its prefix.
    pub(super) const fn of_service<E: Endpoint>(path: &'static PathSpec) -> Self {
        Self { method: None, path, ..Self::listed::<E>("", 0) }
    }

    /// A route that holds the place of one.
    pub(super) const fn placeholder() -> Self {
        Self::listed::<Unlisted>("", 0)
    }

    /// This route under `prefix`, of the hash `prefix_hash`.
    #[doc(hidden)]
    #[must_use]
    pub const fn under(self, prefix: &'static str, prefix_hash: Hash) -> Self {
        self.below(prefix, prefix_hash, prefix)
    }

    /// This route under `prefix`, before which stands `outer`, of the hash `outer_hash`.
    pub(super) const fn below(self, outer: &'static str, outer_hash: Hash, prefix: &'static str) -> Self {
        let prefix_hash = self.prefix_hash.after(outer_hash);
        // The root of a group is the prefix itself, as in `Router::nest`.
        let is_group_root = !self.is_service()
            && !outer.is_empty()
            && self.prefix.is_empty()
            && matches!(self.path.text.as_bytes(), b"/");
        let path = if is_group_root { PathSpec::ROOT } else { self.path };
        Self { prefix, prefix_hash, path, ..self }
    }

    /// This route as one of those that an entry of a table stands for.
    pub(super) const fn of_entry(self, position: usize, is_included: bool) -> Self {
        Self { position, is_included, ..self }
    }

    /// A route of no handler, to try the checks on. Leaks memory.
    pub(super) fn bare(
        method: Option<Method>,
        prefix: &'static str,
        path: &'static str,
        kind: RouteKind,
        position: usize,
    ) -> Self {
        // No two of them are one handler.
        let handler = format!("handler_{position}").leak();
        let spec = Box::leak(Box::new(RouteSpec::here(Method::GET, path, Hashes::of(path), handler)));
        let shown = Box::leak(Box::new(Shown { kind, ..*kind::Public::SHOWN }));
        let prefix_hash = Hashes::of(prefix).text;
        Self { method, prefix, prefix_hash, path: &spec.path, spec, shown, position, ..Self::placeholder() }
    }

    /// The type that stands for the handler.
    pub(crate) const fn endpoint(&self) -> TypeId {
        self.shown.id
    }

    /// Whether this is how a table shows the route: a service has more paths than it is listed with.
    pub(super) const fn is_listed(&self) -> bool {
        !self.is_service() || self.is_service_rest()
    }

    /// Whether this is a service's catch-all.
    pub(super) const fn is_service_rest(&self) -> bool {
        self.is_service() && !self.path.hashes.wilds.is_empty()
    }

    pub(super) const fn relation(&self, other: &Self) -> Relation {
        relation(self.tokens(), other.tokens())
    }

    pub(super) const fn tokens(&self) -> Tokens<'static> {
        Tokens::new(self.prefix, self.path.text)
    }

    pub(super) const fn text_hash(&self) -> u64 {
        self.path.hashes.text.after(self.prefix_hash).value
    }

    pub(super) const fn tokens_hash(&self) -> u64 {
        if self.prefix.is_empty() {
            return self.path.hashes.tokens.value;
        }
        self.path.hashes.tokens.after(self.prefix_hash).value
    }

    /// A byte of the whole path.
    pub(super) const fn byte(&self, at: usize) -> u8 {
        byte(self.prefix, self.path.text, at)
    }

    /// Whether the paths are equal to the letter.
    pub(super) const fn has_text_of(&self, other: &Self) -> bool {
        equal(self.prefix, self.path.text, other.prefix, other.path.text)
    }

    /// Whether some request is of both routes' method.
    pub(super) const fn shares_method_with(&self, other: &Self) -> bool {
        self.methods() & other.methods() != 0
    }

    /// The methods as bits.
    pub(super) const fn methods(&self) -> u16 {
        match self.method {
            Some(method) => method.bit(),
            None => u16::MAX,
        }
    }

    pub(super) const fn is_same_handler(&self, other: &Self) -> bool {
        let (place, place_of_other) = (self.spec.place, other.spec.place);
        place.line() == place_of_other.line()
            && place.column() == place_of_other.column()
            && equal(self.handler(), place.file(), other.handler(), place_of_other.file())
    }

    pub(super) const fn attribute(&self) -> &'static str {
        match self.kind() {
            RouteKind::Protected | RouteKind::Optional => "protected",
            RouteKind::Login => "login_endpoint",
            RouteKind::Refresh => "refresh_endpoint",
            RouteKind::Logout => "logout_endpoint",
            RouteKind::Public => "public",
        }
    }

    pub(super) const fn write_path(&self, message: Message) -> Message {
        message.text(self.prefix).text(self.path.text)
    }

    pub(super) const fn write_route(&self, message: Message) -> Message {
        match self.method {
            Some(method) => self.write_path(message.text(method.as_str()).text(" ")),
            None => self.write_path(message),
        }
    }

    pub(super) const fn write_handler(&self, message: Message) -> Message {
        let (file, line) = self.location();
        let message = self.write_name(message.text("`")).text("` (").text(file);
        message.text(":").number(line).text(")")
    }

    pub(super) const fn write_name(&self, message: Message) -> Message {
        message.text(self.handler())
    }

    /// The method, or `ANY`.
    pub(super) const fn method_name(&self) -> &'static str {
        match self.method {
            Some(method) => method.as_str(),
            None => "ANY",
        }
    }
}

/// Whether `a` and `b` together are the text of `c` and `d` together.
const fn equal(a: &str, b: &str, c: &str, d: &str) -> bool {
    let len = a.len() + b.len();
    if len != c.len() + d.len() {
        return false;
    }
    let mut at = 0;
    while at < len {
        if byte(a, b, at) != byte(c, d, at) {
            return false;
        }
        at += 1;
    }
    true
}

const fn byte(first: &str, second: &str, at: usize) -> u8 {
    if at < first.len() { first.as_bytes()[at] } else { second.as_bytes()[at - first.len()] }
}

impl fmt::Display for RouteInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, kind, handler, (file, line)) = (self.path(), self.kind(), self.handler(), self.location());
        write!(f, "{} {path} {kind} {handler} ({file}:{line})", self.method_name())
    }
}

impl fmt::Debug for RouteInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
