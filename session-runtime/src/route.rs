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

use std::{fmt, future::Future, pin::Pin, time::Duration};

use axum::{Router, response::Response};

use self::kind::{Kind, RouteKind};
use crate::{RefusedRequest, Requirement, Theft, Transport};

pub use self::{
    checks::{Completeness, Finding, Verdict, capacity, conflict, verdicts},
    hash::{Hash, Hashes, Wild},
    info::RouteInfo,
    manifest::Manifest,
    method::Method,
    mount::{Mount, Mountable, Mounting, PartOf},
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
    /// What the attribute is.
    type Kind: Kind;

    /// The functions among the requirements: `()`, or the first and the others.
    type Functions: 'static;

    /// Where the handler is mounted; `None` without a path.
    const ROUTE: Option<RouteSpec>;

    /// What the guard looks at beyond the session.
    const GUARD: GuardOptions = GuardOptions::DEFAULT;

    /// The requirements as written.
    const REQUIREMENTS: &'static [&'static str] = &[];

    /// The function that answers what the guard refuses, as written.
    const ON_REFUSED: Option<&'static str> = None;

    /// The function that is told of a stolen refresh token, as written.
    const ON_THEFT: Option<&'static str> = None;

    /// Why a service is open to everyone.
    const REASON: Option<&'static str> = None;

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
