//! A service that was not written for this system, behind the guard all the same.

use axum::{
    extract::{FromRef, FromRequestParts as _, Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use super::{Guard, respond};
use crate::{
    route::{
        Endpoint, Mountable, Mounting,
        kind::{Accepts, Required},
    },
    session::Session,
    sessions::Sessions,
};

/// Mounts what `make` makes behind the guard of `E`, as a handler with `#[protected]` would be.
#[doc(hidden)]
pub fn mount_guarded<'a, E, S, F, V>(mounting: Mounting<'a, S>, make: F) -> Mounting<'a, S>
where
    E: Endpoint<Kind = Required>,
    Required: Accepts<S>,
    S: Clone + Send + Sync + 'static,
    Sessions: FromRef<S>,
    F: FnOnce(&S) -> V,
    V: Mountable,
{
    let guard = from_fn_with_state(Sessions::from_ref(mounting.state()), pass::<E>);
    mounting.service_behind(make, |router| router.route_layer(guard))
}

async fn pass<E>(State(sessions): State<Sessions>, request: Request, next: Next) -> Response
where
    E: Endpoint<Kind = Required>,
{
    let (mut parts, body) = request.into_parts();
    match Guard::<E, Session>::from_request_parts(&mut parts, &sessions).await {
        Ok(guard) => {
            let (session, finish) = guard.open();
            parts.extensions.insert(session);
            respond(finish, Box::pin(next.run(Request::from_parts(parts, body)))).await
        }
        Err(refusal) => refusal,
    }
}
