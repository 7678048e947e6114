//! From a table to axum's router: the one place that mounts.
#![expect(
    clippy::disallowed_methods,
    reason = "what reaches this place stands in a table and has been checked"
)]

use std::{convert::Infallible, future::Future, marker::PhantomData, pin::Pin, slice};

use axum::{
    Router,
    extract::{FromRef, Request},
    handler::Handler,
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use tower_service::Service;

use super::{Protection, Table, info::RouteInfo, kind::Accepts, part::SERVICE_PATHS};
use crate::guard::RequireAll;

/// How an entry of a table is mounted.
#[doc(hidden)]
pub enum Mount<S: 'static> {
    /// A handler.
    Handler(&'static dyn Listed<S>),
    /// What adds all the routes of a service or of another table.
    Several(for<'a> fn(Mounting<'a, S>) -> Mounting<'a, S>),
}

/// The handler of an entry.
///
/// axum compiles some forty functions for each type of handler that a router is given. Behind this trait all handlers of a
/// table are one type, and what is compiled for each is its call.
#[doc(hidden)]
pub trait Listed<S>: Send + Sync {
    /// [`Handler::call`].
    fn call(&self, request: Request, state: S) -> HandlerFuture;
}

/// `H`, a handler behind the protection `P`, and for axum a `Handler<T, S>`.
#[doc(hidden)]
#[derive(Debug)]
pub struct ListedHandler<P, H, T>(pub H, pub PhantomData<fn() -> (P, T)>);

/// The future of every handler that is a function.
#[doc(hidden)]
pub type HandlerFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

impl<P, H, T, S> Listed<S> for ListedHandler<P, H, T>
where
    P: Protection<Kind: Accepts<S, State = S>, Functions: RequireAll<S>>,
    // This is `S`. By this way rustc meets a state that does not fit before it doubts the handler, and tells it first.
    H: Handler<T, <P::Kind as Accepts<S>>::State, Future = HandlerFuture> + Sync,
{
    fn call(&self, request: Request, state: S) -> HandlerFuture {
        self.0.clone().call(request, state)
    }
}

/// A handler of a table, as axum is given it.
struct Mounted<S: 'static>(&'static dyn Listed<S>);

impl<S> Clone for Mounted<S> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<S: Send + Sync + 'static> Handler<Self, S> for Mounted<S> {
    type Future = HandlerFuture;

    fn call(self, request: Request, state: S) -> HandlerFuture {
        self.0.call(request, state)
    }
}

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
        table.mounts.iter().fold(self, |mounting, mount| match mount {
            Mount::Handler(handler) => mounting.handler(*handler),
            Mount::Several(mount) => mount(mounting),
        })
    }

    fn handler(mut self, handler: &'static dyn Listed<S>) -> Self {
        if let Some(info) = self.infos.next()
            && let Some(method) = info.method()
        {
            let handler = on(MethodFilter::from(method), Mounted(handler));
            self.router = self.router.route(&info.path(), handler);
        }
        self
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
