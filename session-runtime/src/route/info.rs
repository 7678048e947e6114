//! One route of a table, as the compiler's checks and the manifest see it.

use std::{any::TypeId, fmt, time::Duration};

use super::{
    Endpoint, GuardOptions, Method, RouteSpec, Unlisted,
    hash::{Hash, Hashes},
    kind::{Kind, RouteKind},
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
    pub(super) path: &'static str,
    pub(super) prefix_hash: Hash,
    pub(super) hashes: Hashes,
    pub(super) handler_hash: u64,
    pub(super) kind: RouteKind,
    handler: &'static str,
    file: &'static str,
    pub(super) line: u32,
    column: u32,
    endpoint: TypeId,
    /// The entry of the table by which the route is there.
    pub(super) position: usize,
    /// Whether that entry is another table, which has checks of its own.
    pub(super) is_included: bool,
    pub(super) is_annotated: bool,
    /// Whether the attribute names a path.
    pub(super) has_path: bool,
    /// Whether that path is good; if not, the attribute says so.
    pub(super) is_routed: bool,
    requirements: &'static [&'static str],
    guard: &'static GuardOptions,
    on_refused: Option<&'static str>,
    on_theft: Option<&'static str>,
    reason: Option<&'static str>,
}

impl RouteInfo {
    /// The method; `None` for a service, which gets every method.
    pub const fn method(&self) -> Option<Method> {
        self.method
    }

    /// The path as the router has it, captures in braces, the prefixes of its groups and of the tables that include it
    /// before it. That of a service ends in `/{*rest}`; it gets its prefix alone too.
    pub fn path(&self) -> String {
        format!("{}{}", self.prefix, self.path)
    }

    /// What the route is for.
    pub const fn kind(&self) -> RouteKind {
        self.kind
    }

    /// The handler, with the modules that lead to it; a service as the table names it.
    pub const fn handler(&self) -> &'static str {
        self.handler
    }

    /// The file and the line of the handler's attribute, or of the table that lists the service.
    pub const fn location(&self) -> (&'static str, u32) {
        (self.file, self.line)
    }

    /// Whether the route is a service that the table mounts with `public_service` or `protected_service`.
    pub const fn is_service(&self) -> bool {
        self.method.is_none()
    }

    /// What the route requires, each requirement as written: `Role.includes("admin")`, or the path of a function.
    pub const fn requirements(&self) -> &'static [&'static str] {
        self.requirements
    }

    /// Whether that is all it requires, and what the application does has no say: `require_only`.
    pub const fn requires_only(&self) -> bool {
        !self.guard.inherits
    }

    /// How long ago the user may have authenticated.
    pub const fn max_auth_age(&self) -> Option<Duration> {
        self.guard.max_auth_age
    }

    /// Whether the store is asked if the session is live: `check = store`.
    pub const fn checks_store(&self) -> bool {
        self.guard.check_store
    }

    /// Whether requests are served that another site may have made: `csrf = dangerously_off`.
    pub const fn is_dangerously_without_csrf(&self) -> bool {
        self.guard.dangerously_without_csrf
    }

    /// The only transport whose tokens are seen; `None` where it may be either.
    pub const fn transport(&self) -> Option<Transport> {
        self.guard.transport
    }

    /// The function that answers what the guard refuses, as written.
    pub const fn on_refused(&self) -> Option<&'static str> {
        self.on_refused
    }

    /// The function that is told of a stolen refresh token, as written.
    pub const fn on_theft(&self) -> Option<&'static str> {
        self.on_theft
    }

    /// Why a service is open to everyone.
    pub const fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// The route of `E`, which a table lists under `prefix` as `written`, in the place `position`.
    pub(super) const fn of<E: Endpoint>(
        prefix: &'static str,
        prefix_hash: Hash,
        written: &'static str,
        position: usize,
    ) -> Self {
        let (spec, has_path) = match E::ROUTE {
            Some(spec) => (spec, true),
            None => (RouteSpec { handler: written, ..RouteSpec::REFUSED }, false),
        };
        let info = Self {
            method: Some(spec.method),
            prefix: "",
            path: spec.path,
            prefix_hash: Hash::EMPTY,
            // Handlers that one macro makes stand in one place, but hardly under one path.
            handler_hash: spec.hashes.text.value ^ ((spec.line as u64) << 32 | spec.column as u64),
            hashes: spec.hashes,
            kind: <E::Kind as Kind>::KIND,
            handler: spec.handler,
            file: spec.file,
            line: spec.line,
            column: spec.column,
            endpoint: TypeId::of::<E>(),
            position,
            is_included: false,
            is_annotated: E::IS_ANNOTATED,
            has_path,
            is_routed: !spec.path.is_empty(),
            requirements: E::REQUIREMENTS,
            guard: &E::GUARD,
            on_refused: E::ON_REFUSED,
            on_theft: E::ON_THEFT,
            reason: E::REASON,
        };
        info.below(prefix, prefix_hash, prefix)
    }

    /// One of the paths at which the service `E` is found below its prefix.
    pub(super) const fn of_service<E: Endpoint>(path: &'static str, hashes: Hashes) -> Self {
        let info = Self::of::<E>("", Hash::EMPTY, "", 0);
        Self { method: None, path, hashes, is_routed: true, ..info }
    }

    /// A route that holds the place of one.
    pub(super) const fn placeholder() -> Self {
        Self::of::<Unlisted>("", Hash::EMPTY, "", 0)
    }

    /// This route under `prefix`, before which stands `outer`, of the hash `outer_hash`.
    pub(super) const fn below(self, outer: &'static str, outer_hash: Hash, prefix: &'static str) -> Self {
        let prefix_hash = self.prefix_hash.after(outer_hash);
        // The root of a group is the prefix itself, as in `Router::nest`.
        let is_group_root = !self.is_service()
            && !outer.is_empty()
            && self.prefix.is_empty()
            && matches!(self.path.as_bytes(), b"/");
        match is_group_root {
            true => Self { prefix, prefix_hash, path: "", hashes: Hashes::EMPTY, ..self },
            false => Self { prefix, prefix_hash, ..self },
        }
    }

    /// This route as one of those that an entry of a table stands for.
    pub(super) const fn of_entry(self, position: usize, is_included: bool) -> Self {
        Self { position, is_included, ..self }
    }

    /// A route of no handler, to try the checks on.
    pub(super) fn bare(
        method: Option<Method>,
        prefix: &'static str,
        path: &'static str,
        kind: RouteKind,
        position: usize,
    ) -> Self {
        Self {
            method,
            prefix,
            path,
            prefix_hash: Hashes::of(prefix).text,
            hashes: Hashes::of(path),
            handler_hash: position as u64,
            kind,
            line: position as u32,
            position,
            is_annotated: true,
            has_path: true,
            is_routed: true,
            ..Self::placeholder()
        }
    }

    /// The type that stands for the handler.
    pub(crate) const fn endpoint(&self) -> TypeId {
        self.endpoint
    }

    /// Whether this is how a table shows the route: a service has more paths than it is listed with.
    pub(super) const fn is_listed(&self) -> bool {
        !self.is_service() || self.is_service_rest()
    }

    /// Whether this is a service's catch-all.
    pub(super) const fn is_service_rest(&self) -> bool {
        self.is_service() && !self.hashes.wilds.is_empty()
    }

    pub(super) const fn relation(&self, other: &Self) -> Relation {
        relation(Tokens::new(self.prefix, self.path), Tokens::new(other.prefix, other.path))
    }

    pub(super) const fn text_hash(&self) -> u64 {
        self.hashes.text.after(self.prefix_hash).value
    }

    /// Whether the paths are equal to the letter.
    pub(super) const fn has_text_of(&self, other: &Self) -> bool {
        equal(self.prefix, self.path, other.prefix, other.path)
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
        self.line == other.line
            && self.column == other.column
            && equal(self.handler, self.file, other.handler, other.file)
    }

    pub(super) const fn attribute(&self) -> &'static str {
        match self.kind {
            RouteKind::Protected | RouteKind::Optional => "protected",
            RouteKind::Login => "login_endpoint",
            RouteKind::Refresh => "refresh_endpoint",
            RouteKind::Logout => "logout_endpoint",
            RouteKind::Public => "public",
        }
    }

    pub(super) const fn write_path(&self, message: Message) -> Message {
        message.text(self.prefix).text(self.path)
    }

    pub(super) const fn write_route(&self, message: Message) -> Message {
        match self.method {
            Some(method) => self.write_path(message.text(method.as_str()).text(" ")),
            None => self.write_path(message),
        }
    }

    pub(super) const fn write_handler(&self, message: Message) -> Message {
        let message = self.write_name(message.text("`")).text("` (").text(self.file);
        message.text(":").number(self.line).text(")")
    }

    pub(super) const fn write_name(&self, message: Message) -> Message {
        message.text(self.handler)
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
        let Self { prefix, path, kind, handler, file, line, .. } = self;
        write!(f, "{} {prefix}{path} {kind} {handler} ({file}:{line})", self.method_name())
    }
}

impl fmt::Debug for RouteInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
