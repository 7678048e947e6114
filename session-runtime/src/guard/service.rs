//! A service that was not written for this system, behind the guard all the same.

use axum::{
    extract::{FromRef, Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use super::{Guard, RequireAll, respond};
use crate::{
    route::{Mountable, Mounting, Protection, kind::Required},
    session::Session,
    sessions::Sessions,
};

impl<S: Clone + Send + Sync + 'static> Mounting<'_, S> {
    /// With the service that `make` makes of the state, behind the guard of `P`, as a handler with `#[protected]` would be.
    pub fn guarded_service<P, F, V>(self, make: F) -> Self
    where
        S: HoldsSessions,
        P: Protection<Kind = Required, Functions: RequireAll<S>>,
        F: FnOnce(&S) -> V,
        V: Mountable,
    {
        let guard = from_fn_with_state(self.state().clone(), pass::<P, S>);
        self.service_behind(make, |router| router.route_layer(guard))
    }
}

/// A state from which a service's guard has its sessions.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the router's state `{Self}` holds no `Sessions`",
    label = "this service needs a session",
    note = "add `sessions: Sessions` to `{Self}` and derive `FromRef` for it"
)]
pub trait HoldsSessions {
    /// The sessions.
    fn sessions(&self) -> Sessions;
}

#[diagnostic::do_not_recommend]
impl<S> HoldsSessions for S
where
    Sessions: FromRef<S>,
{
    fn sessions(&self) -> Sessions {
        Sessions::from_ref(self)
    }
}

async fn pass<P, S>(State(state): State<S>, request: Request, next: Next) -> Response
where
    P: Protection<Kind = Required, Functions: RequireAll<S>>,
    S: HoldsSessions + Sync,
{
    let (mut parts, body) = request.into_parts();
    match Guard::<P, Session>::pass(state.sessions(), &mut parts, &state).await {
        Ok(guard) => {
            parts.extensions.insert(guard.argument);
            respond(guard.finish, next.run(Request::from_parts(parts, body))).await
        }
        Err(refusal) => refusal,
    }
}
