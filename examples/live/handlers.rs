//! The handlers of a session's life, and the table of all.

use axum::{
    Json,
    extract::{FromRef, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};
use session_runtime::{
    Login, Routes, Session, SessionError, Sessions, login_endpoint, logout_endpoint, protected,
    refresh_endpoint, routes,
};

use crate::{
    connections::Connections,
    events::events,
    page::{index, script, style},
    socket::ws,
};

pub(crate) static ROUTES: Routes<App> =
    routes![index, script, style, login, refresh, logout, logout_everywhere, me, ws, events];

/// What the handlers share.
#[derive(Clone, FromRef)]
pub(crate) struct App {
    sessions: Sessions,
    connections: Connections,
}

impl App {
    pub(crate) fn new(sessions: Sessions, connections: Connections) -> Self {
        Self { sessions, connections }
    }
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

#[login_endpoint(POST "/login")]
async fn login(mut login: Login, Json(form): Json<Credentials>) -> Result<(), StatusCode> {
    if !["alice", "bob"].contains(&&*form.user) || form.password != "demo" {
        return Err(StatusCode::FORBIDDEN);
    }
    login.create(&form.user);
    Ok(())
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

#[logout_endpoint(POST "/logout")]
async fn logout(_: Session) {}

/// On every device.
#[protected(POST "/logout-everywhere")]
async fn logout_everywhere(session: Session, State(sessions): State<Sessions>) -> Result<(), SessionError> {
    sessions.revoke_all(session.user_id()).await?;
    Ok(())
}

/// Whose session it is, and when its access token expires. A page asks before it opens a socket: a script can't see why a handshake
/// was refused, and so can't tell that it should refresh.
#[protected(GET "/me")]
async fn me(session: Session) -> Json<Value> {
    Json(json!({ "user": session.user_id(), "accessExpires": session.access_expires_at() }))
}
