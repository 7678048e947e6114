//! The table of routes, and what an attribute tells about its handler.

mod checks;
mod hash;
mod info;
pub mod kind;
mod manifest;
mod message;
mod method;
mod mount;
mod part;
mod tokens;

use std::{any::TypeId, fmt, future::Future, panic::Location, pin::Pin, time::Duration};

use axum::{Router, response::Response};

use self::kind::{Kind, RouteKind};
use crate::{RefusedRequest, Requirement, Theft, Transport};

pub use self::{
    checks::{Completeness, Finding, Verdict, capacity, check, conflict, verdicts},
    hash::{Hash, Hashes, Wild},
    info::RouteInfo,
    manifest::Manifest,
    method::Method,
    mount::{HandlerFuture, Listed, ListedHandler, Mount, Mountable, Mounting, PartOf},
    part::{Included, Part, flatten, joined_len, joined_prefixes, route_count},
};

/// An application's routes, as listed by [`routes!`](crate::routes).
///
/// `S` is the state of the router that the table makes.
pub struct Routes<S: 'static>(Table<S>);

impl<S: 'static> Routes<S> {
    /// The routes, in the order of the table, those of included tables among them.
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
    pub fn iter(&self) -> impl Iterator<Item = &'static RouteInfo> + Clone + use<S> {
        self.0.iter()
    }

    /// What each route asks of its callers, to be read, or kept in a file beside the code.
    pub fn manifest(&self) -> Manifest {
        Manifest::of(self.iter())
    }

    /// The path of the refresh endpoint, prefix included; `None` if there is none.
    pub fn refresh_path(&self) -> Option<String> {
        self.iter().find(|info| info.kind() == RouteKind::Refresh).map(RouteInfo::path)
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// A router with every route of the table, and its state.
    ///
    /// Layers can be added to it, and it can be merged like any other. What else is to be served is best listed in the
    /// table too, where it is checked and shows in the [manifest](Self::manifest); see [`routes!`](crate::routes#services).
    pub fn router(&self, state: S) -> Router {
        mount::router(&self.0, state)
    }
}

impl<S: 'static> fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A part of a table, as listed by [`route_group!`](crate::route_group), for [`routes!`](crate::routes) to include.
///
/// It may lack a refresh endpoint, and so it can't be mounted alone. `S` is the state that its handlers need; a table over
/// another state can include it if `S` is [`FromRef`](axum::extract::FromRef) of that state.
pub struct RouteGroup<S: 'static>(Table<S>);

impl<S: 'static> RouteGroup<S> {
    /// The routes, in the order of the group, those of included tables among them. Their paths are without the prefix of the
    /// table that includes the group.
    pub fn iter(&self) -> impl Iterator<Item = &'static RouteInfo> + Clone + use<S> {
        self.0.iter()
    }

    /// What each route asks of its callers; see [`Routes::manifest`].
    pub fn manifest(&self) -> Manifest {
        Manifest::of(self.iter())
    }
}

impl<S: 'static> fmt::Debug for RouteGroup<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a table holds: its routes, and how each of its entries is mounted.
#[doc(hidden)]
pub struct Table<S: 'static> {
    infos: &'static [RouteInfo],
    mounts: &'static [Mount<S>],
}

impl<S: 'static> Table<S> {
    fn iter(&self) -> impl Iterator<Item = &'static RouteInfo> + Clone + use<S> {
        self.infos.iter().filter(|info| info.is_listed())
    }
}

impl<S: 'static> fmt::Debug for Table<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What an attribute tells about its handler.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler with an attribute of `session_runtime`",
    label = "not a handler with an attribute"
)]
pub trait Endpoint: 'static {
    /// What stands before the handler.
    type Protection: Protection;

    /// What the attribute tells the table.
    const SPEC: &'static RouteSpec;
}

/// What stands before a handler, as its guard needs it.
///
/// A handler whose attribute says no more than its kind has that [kind](kind) for its protection, so that the guards of all
/// such handlers are one type, which is compiled once. Any other has a protection of its own.
#[doc(hidden)]
pub trait Protection: 'static {
    /// What the attribute is.
    type Kind: Kind;

    /// The functions among the requirements: `()`, or the first and the others.
    type Functions: 'static;

    /// What the guard looks at beyond the session.
    const OPTIONS: GuardOptions = GuardOptions::DEFAULT;

    /// What the session's claims must be.
    fn requirements() -> &'static [Requirement] {
        &[]
    }

    /// What the table shows of it.
    const SHOWN: &'static Shown =
        &Shown { kind: <Self::Kind as Kind>::KIND, options: Self::OPTIONS, id: TypeId::of::<Self>() };

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
    type Protection = kind::Public;
    const SPEC: &'static RouteSpec = &RouteSpec { is_annotated: false, ..RouteSpec::unrouted("") };
}

/// A route as its attribute states it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct RouteSpec {
    method: Method,
    path: PathSpec,
    /// The handler, with the modules that lead to it; a service as written.
    handler: &'static str,
    /// Where the attribute stands.
    place: &'static Location<'static>,
    /// Whether the attribute names a path, good or not.
    has_path: bool,
    /// False for a function that only a table took for a handler.
    is_annotated: bool,
    remarks: &'static Remarks,
}

impl RouteSpec {
    /// The route of a handler whose attribute stands where this is called.
    #[track_caller]
    pub const fn here(method: Method, path: &'static str, hashes: Hashes, handler: &'static str) -> Self {
        let path = PathSpec { text: path, hashes, is_routed: true };
        let (place, remarks) = (Location::caller(), Remarks::NONE);
        Self { method, path, handler, place, has_path: true, is_annotated: true, remarks }
    }

    /// A handler whose attribute names no path, or a service, whose path is in the table.
    #[track_caller]
    pub const fn unrouted(handler: &'static str) -> Self {
        let path = *PathSpec::NONE;
        Self { path, has_path: false, ..Self::here(Method::GET, "", path.hashes, handler) }
    }

    /// A route whose attribute has errors; no check adds to them.
    #[track_caller]
    pub const fn refused() -> Self {
        Self { has_path: true, ..Self::unrouted("") }
    }

    /// With remarks.
    #[must_use]
    pub const fn with(self, remarks: &'static Remarks) -> Self {
        Self { remarks, ..self }
    }
}

/// What an attribute says beside the route, as written, for a table to show.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Remarks {
    /// The requirements.
    pub requirements: &'static [&'static str],
    /// The function that answers what the guard refuses.
    pub on_refused: Option<&'static str>,
    /// The function that is told of a stolen refresh token.
    pub on_theft: Option<&'static str>,
    /// Why a service is open to everyone.
    pub reason: Option<&'static str>,
}

impl Remarks {
    /// Nothing is said.
    pub const NONE: &'static Self =
        &Self { requirements: &[], on_refused: None, on_theft: None, reason: None };
}

/// A path below a prefix.
#[derive(Clone, Copy, Debug)]
struct PathSpec {
    /// As axum's router takes it.
    text: &'static str,
    hashes: Hashes,
    /// False where an attribute names no path, or one that was refused.
    is_routed: bool,
}

impl PathSpec {
    const NONE: &'static Self = &Self { text: "", hashes: Hashes::EMPTY, is_routed: false };

    /// The prefix itself.
    const ROOT: &'static Self = &Self { is_routed: true, ..*Self::NONE };
}

/// What a table shows of a protection.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    kind: RouteKind,
    options: GuardOptions,
    id: TypeId,
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

/// The table that `routes!` makes.
#[doc(hidden)]
pub const fn routes<S: 'static>(infos: &'static [RouteInfo], mounts: &'static [Mount<S>]) -> Routes<S> {
    Routes(Table { infos, mounts })
}

/// The table that `route_group!` makes.
#[doc(hidden)]
pub const fn route_group<S: 'static>(
    infos: &'static [RouteInfo],
    mounts: &'static [Mount<S>],
) -> RouteGroup<S> {
    RouteGroup(Table { infos, mounts })
}
