//! From a table to axum's router: the one place that mounts.
#![expect(
    clippy::disallowed_methods,
    reason = "what reaches this place stands in a table and has been checked"
)]

use std::{convert::Infallible, slice};

use axum::{
    Router,
    extract::{FromRef, Request},
    handler::Handler,
    response::IntoResponse,
    routing::{MethodFilter, on},
};
use tower_service::Service;

use super::{Endpoint, Table, info::RouteInfo, kind::Accepts, part::SERVICE_PATHS};
use crate::guard::RequireAll;

/// Adds one entry of a table to a router.
#[doc(hidden)]
pub type Mount<S> = for<'a> fn(Mounting<'a, S>) -> Mounting<'a, S>;

/// A router, and the routes that it is about to be given.
#[doc(hidden)]
#[derive(Debug)]
pub struct Mounting<'a, S> {
    router: Router<S>,
    infos: slice::Iter<'static, RouteInfo>,
    state: &'a S,
}

/// A router with the routes of `table`.
pub(super) fn router<S: Clone + Send + Sync + 'static>(table: &Table<S>, state: S) -> Router {
    let mounting = Mounting { router: Router::new(), infos: table.infos.iter(), state: &state };
    mounting.all(table).router.with_state(state)
}

impl<'a, S: Clone + Send + Sync + 'static> Mounting<'a, S> {
    /// With `handler`, which is the handler of `E`.
    ///
    /// A method, so that `S` is the state of this router before anything is inferred from what `E` accepts.
    pub fn mount<E, H, T>(mut self, handler: H) -> Self
    where
        E: Endpoint<Kind: Accepts<S>, Functions: RequireAll<S>>,
        H: Handler<T, S>,
        T: 'static,
    {
        if let Some(info) = self.infos.next()
            && let Some(method) = info.method()
        {
            self.router = self.router.route(&info.path(), on(MethodFilter::from(method), handler));
        }
        self
    }

    /// With every route of `table`, whose state `T` is made of this router's.
    pub fn include<T>(self, table: &Table<T>) -> Self
    where
        T: PartOf<S> + Clone + Send + Sync + 'static,
    {
        let state = T::part_of(self.state);
        let included = Mounting { router: Router::new(), infos: self.infos, state: &state }.all(table);
        let Mounting { router, infos, .. } = included;
        Self { router: self.router.merge(router.with_state(state)), infos, state: self.state }
    }

    /// With the service that `make` makes of the state.
    pub fn service<F, V>(self, make: F) -> Self
    where
        F: FnOnce(&S) -> V,
        V: Mountable,
    {
        self.service_behind(make, |router| router)
    }

    /// With the service that `make` makes of the state, behind what `guard` puts before it.
    pub(crate) fn service_behind<F, V>(mut self, make: F, guard: impl FnOnce(Router<S>) -> Router<S>) -> Self
    where
        F: FnOnce(&S) -> V,
        V: Mountable,
    {
        let mut infos = self.infos.by_ref().take(SERVICE_PATHS.len());
        if let Some(at_prefix) = infos.next() {
            let service = Router::new().nest_service(&at_prefix.path(), make(self.state));
            self.router = self.router.merge(guard(service));
        }
        infos.for_each(drop);
        self
    }

    pub(crate) fn state(&self) -> &'a S {
        self.state
    }

    fn all(self, table: &Table<S>) -> Self {
        table.mounts.iter().fold(self, |mounting, mount| mount(mounting))
    }
}

/// A state that can be made of the state `S` of the table that includes it: [`FromRef`] of axum.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the state `{S}` can't give the state `{Self}` of an included table",
    label = "a table over the state `{Self}`",
    note = "help: implement `FromRef<{S}>` for `{Self}`; `#[derive(FromRef)]` does it for each field of `{S}`"
)]
pub trait PartOf<S> {
    /// This state, of the other.
    fn part_of(state: &S) -> Self;
}

#[diagnostic::do_not_recommend]
impl<S, T: FromRef<S>> PartOf<S> for T {
    fn part_of(state: &S) -> Self {
        T::from_ref(state)
    }
}

/// What `public_service` and `protected_service` can mount: whatever axum's router takes for a service, a
/// [`Router`] too.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be mounted as a service",
    label = "makes no service",
    note = "help: return a `Router`, or a `Service<Request, Error = Infallible> + Clone + Send + Sync + 'static`"
)]
pub trait Mountable:
    Service<Request, Response: IntoResponse, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

#[diagnostic::do_not_recommend]
impl<V> Mountable for V where
    V: Service<Request, Response: IntoResponse, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}
