//! The table of routes, and what an attribute tells about its handler.

mod checks;
mod hash;
pub mod kind;
mod message;
mod method;
mod tokens;

use std::{any::TypeId, fmt, future::Future, pin::Pin, time::Duration};

use axum::{
    Router,
    handler::Handler,
    response::Response,
    routing::{MethodFilter, on},
};

use self::{
    kind::{Accepts, Kind, RouteKind},
    message::Message,
    tokens::{Relation, Tokens, relation},
};
use crate::{RefusedRequest, Requirement, Theft, Transport, guard::RequireAll};

pub use self::{
    checks::{Verdict, capacity, conflict, verdicts},
    hash::{Hash, Hashes, Wild},
    method::Method,
};

/// An application's routes, as listed by [`routes!`](crate::routes).
///
/// `S` is the state of the router that the table makes.
pub struct Routes<S: 'static> {
    infos: &'static [RouteInfo],
    mounts: &'static [Mount<S>],
}

impl<S: 'static> Routes<S> {
    /// The routes, in the order of the table.
    ///
    /// ```
    /// # use session_runtime::{Routes, public, routes};
    /// # #[public(GET "/health")]
    /// # async fn health() {}
    /// static ROUTES: Routes<()> = routes![health];
    ///
    /// for route in ROUTES.iter() {
    ///     println!("{route}");
    /// }
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'static RouteInfo> + use<S> {
        self.infos.iter()
    }

    /// The path of the refresh endpoint, prefix included; `None` if there is none.
    pub fn refresh_path(&self) -> Option<String> {
        self.iter().find(|info| info.kind == RouteKind::Refresh).map(RouteInfo::path)
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// A router with every route of the table, and its state.
    ///
    /// Routes that are not in the table can be added to it, and layers; it can be merged and nested like any other.
    pub fn router(&self, state: S) -> Router {
        let mount = |router, (info, mount): (&RouteInfo, &Mount<S>)| {
            mount(Mounting { router, method: info.method, path: info.path() })
        };
        self.infos.iter().zip(self.mounts).fold(Router::new(), mount).with_state(state)
    }
}

impl<S: 'static> fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.infos).finish()
    }
}

/// One route of a table.
///
/// Shown as `GET /getHomeFeed protected app::home_feed (src/main.rs:12)`.
pub struct RouteInfo {
    method: Method,
    prefix: &'static str,
    path: &'static str,
    prefix_hash: Hash,
    hashes: Hashes,
    handler_hash: u64,
    kind: RouteKind,
    handler: &'static str,
    file: &'static str,
    line: u32,
    column: u32,
    endpoint: TypeId,
    position: usize,
    is_annotated: bool,
    /// Whether the attribute names a path.
    has_path: bool,
    /// Whether that path is good; if not, the attribute says so.
    is_routed: bool,
}

impl RouteInfo {
    /// The method.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The path as the router has it, captures in braces, the prefixes of its groups included.
    pub fn path(&self) -> String {
        format!("{}{}", self.prefix, self.path)
    }

    /// What the route is for.
    pub const fn kind(&self) -> RouteKind {
        self.kind
    }

    /// The handler, with the modules that lead to it.
    pub const fn handler(&self) -> &'static str {
        self.handler
    }

    /// The file and the line of the handler's attribute.
    pub const fn location(&self) -> (&'static str, u32) {
        (self.file, self.line)
    }

    /// The route of `E`, which a table lists under `prefix` as `written`, in the place `position`.
    #[doc(hidden)]
    pub const fn of<E: Endpoint>(
        prefix: &'static str,
        prefix_hash: Hash,
        written: &'static str,
        position: usize,
    ) -> Self {
        let (spec, has_path) = match E::ROUTE {
            Some(spec) => (spec, true),
            None => (RouteSpec { handler: written, ..RouteSpec::REFUSED }, false),
        };
        // The root of a group is the prefix itself, as in `Router::nest`.
        let is_group_root = !prefix.is_empty() && matches!(spec.path.as_bytes(), b"/");
        Self {
            method: spec.method,
            prefix,
            path: if is_group_root { "" } else { spec.path },
            prefix_hash,
            // Handlers that one macro makes stand in one place, but hardly under one path.
            handler_hash: spec.hashes.text.value ^ ((spec.line as u64) << 32 | spec.column as u64),
            hashes: if is_group_root { Hashes::EMPTY } else { spec.hashes },
            kind: <E::Kind as Kind>::KIND,
            handler: spec.handler,
            file: spec.file,
            line: spec.line,
            column: spec.column,
            endpoint: TypeId::of::<E>(),
            position,
            is_annotated: E::IS_ANNOTATED,
            has_path,
            is_routed: !spec.path.is_empty(),
        }
    }

    /// A route of no handler, to try the checks on.
    fn bare(
        method: Method,
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
            is_annotated: true,
            has_path: true,
            is_routed: true,
            ..Self::of::<Unlisted>("", Hash::EMPTY, "", position)
        }
    }

    /// The type that stands for the handler.
    pub(crate) const fn endpoint(&self) -> TypeId {
        self.endpoint
    }

    const fn relation(&self, other: &Self) -> Relation {
        relation(Tokens::new(self.prefix, self.path), Tokens::new(other.prefix, other.path))
    }

    const fn text_hash(&self) -> u64 {
        self.hashes.text.after(self.prefix_hash).value
    }

    /// Whether the paths are equal to the letter.
    const fn has_text_of(&self, other: &Self) -> bool {
        equal(self.prefix, self.path, other.prefix, other.path)
    }

    const fn is_same_handler(&self, other: &Self) -> bool {
        self.line == other.line
            && self.column == other.column
            && equal(self.handler, self.file, other.handler, other.file)
    }

    const fn attribute(&self) -> &'static str {
        match self.kind {
            RouteKind::Protected | RouteKind::Optional => "protected",
            RouteKind::Login => "login_endpoint",
            RouteKind::Refresh => "refresh_endpoint",
            RouteKind::Logout => "logout_endpoint",
            RouteKind::Public => "public",
        }
    }

    const fn write_path(&self, message: Message) -> Message {
        message.text(self.prefix).text(self.path)
    }

    const fn write_route(&self, message: Message) -> Message {
        self.write_path(message.text(self.method.as_str()).text(" "))
    }

    const fn write_handler(&self, message: Message) -> Message {
        let message = message.text("`").text(self.handler).text("` (").text(self.file);
        message.text(":").number(self.line).text(")")
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
        let Self { method, prefix, path, kind, handler, file, line, .. } = self;
        write!(f, "{method} {prefix}{path} {kind} {handler} ({file}:{line})")
    }
}

impl fmt::Debug for RouteInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an attribute tells about its handler.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler with an attribute of `session_runtime`",
    label = "not a handler with an attribute"
)]
pub trait Endpoint: 'static {
    /// What the attribute is.
    type Kind: Kind;

    /// The functions among the requirements: `()`, or the first and the others.
    type Functions: 'static;

    /// Where the handler is mounted; `None` without a path.
    const ROUTE: Option<RouteSpec>;

    /// What the guard looks at beyond the session.
    const GUARD: GuardOptions = GuardOptions::DEFAULT;

    /// False for a function that only a table took for a handler.
    const IS_ANNOTATED: bool = true;

    /// What the session's claims must be.
    fn requirements() -> &'static [Requirement] {
        &[]
    }

    /// Who answers what the guard refuses.
    fn on_refused() -> Option<RefusalHook> {
        None
    }

    /// Who is told of a stolen refresh token.
    fn on_theft() -> Option<TheftHook> {
        None
    }
}

/// An async function that sees a refusal and may answer it.
#[doc(hidden)]
pub type RefusalHook = fn(RefusedRequest) -> Pin<Box<dyn Future<Output = Option<Response>> + Send>>;

/// An async function that sees a theft and may answer it.
#[doc(hidden)]
pub type TheftHook = fn(Theft) -> Pin<Box<dyn Future<Output = Option<Response>> + Send>>;

/// Stands for a listed function without an attribute, until the check of the table refuses it.
#[doc(hidden)]
#[derive(Debug)]
pub enum Unlisted {}

impl Endpoint for Unlisted {
    type Kind = kind::Public;
    type Functions = ();
    const ROUTE: Option<RouteSpec> = None;
    const IS_ANNOTATED: bool = false;
}

/// A route as its attribute states it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct RouteSpec {
    /// The method.
    pub method: Method,
    /// A path that axum's router accepts; empty if the attribute's was refused.
    pub path: &'static str,
    /// The hashes of the path.
    pub hashes: Hashes,
    /// The handler, with the modules that lead to it.
    pub handler: &'static str,
    /// Where the attribute stands.
    pub file: &'static str,
    /// Its line.
    pub line: u32,
    /// Its column.
    pub column: u32,
}

impl RouteSpec {
    /// A route whose attribute has errors; no check adds to them.
    pub const REFUSED: Self = Self {
        method: Method::GET,
        path: "",
        hashes: Hashes::EMPTY,
        handler: "",
        file: "",
        line: 0,
        column: 0,
    };
}

/// What the guard of a handler looks at beyond the session.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct GuardOptions {
    /// The longest time since the user proved who they are.
    pub max_auth_age: Option<Duration>,
    /// Whether to ask the store if the session still exists.
    pub check_store: bool,
    /// Whether the requirements of the application hold here too.
    pub inherits: bool,
    /// Whether requests that another site may have caused are served.
    pub dangerously_without_csrf: bool,
    /// The only way of tokens that is looked at, if there is one.
    pub transport: Option<Transport>,
}

impl GuardOptions {
    /// What holds where the attribute says nothing.
    pub const DEFAULT: Self = Self {
        max_auth_age: None,
        check_store: false,
        inherits: true,
        dangerously_without_csrf: false,
        transport: None,
    };
}

/// Adds one handler to a router.
#[doc(hidden)]
pub type Mount<S> = fn(Mounting<S>) -> Router<S>;

/// A router, and the path at which it is about to be given a handler.
#[doc(hidden)]
#[derive(Debug)]
pub struct Mounting<S> {
    router: Router<S>,
    method: Method,
    path: String,
}

impl<S: Clone + Send + Sync + 'static> Mounting<S> {
    /// The router with `handler`, which is the handler of `E`.
    ///
    /// A method, so that `S` is the state of this router before anything is inferred from what `E` accepts.
    pub fn mount<E, H, T>(self, handler: H) -> Router<S>
    where
        E: Endpoint<Kind: Accepts<S>, Functions: RequireAll<S>>,
        H: Handler<T, S>,
        T: 'static,
    {
        self.router.route(&self.path, on(MethodFilter::from(self.method), handler))
    }
}

/// The table that `routes!` makes.
#[doc(hidden)]
pub const fn routes<S: 'static>(infos: &'static [RouteInfo], mounts: &'static [Mount<S>]) -> Routes<S> {
    Routes { infos, mounts }
}
