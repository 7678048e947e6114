//! What tests share: tables of another crate to include, servers, clients, and a search for what must not show.

pub mod hidden;
pub mod load;
pub mod servers;

use axum::{
    Extension, Router,
    extract::{FromRef, OriginalUri, State},
    http::Uri,
    routing::any,
};
use session_runtime::{
    Claim, Login, RouteGroup, Routes, Session, Sessions, login_endpoint, protected, public, refresh_endpoint,
    requirement, route_group, routes,
};

/// What the tables of this crate need.
#[derive(Clone, FromRef)]
pub struct Library {
    /// Sessions, as every table that protects something.
    pub sessions: Sessions,
    /// What this crate alone knows of.
    pub greeting: &'static str,
}

/// What the user may do.
#[derive(Clone, Copy, Debug)]
pub struct Role;

impl Claim for Role {
    const KEY: &'static str = "role";
    type Value = Vec<String>;
}

/// A complete table: logging in and staying so.
pub static AUTH: Routes<Sessions> = routes![login, refresh];

/// A part that can't stand alone.
pub static ADMIN: RouteGroup<Library> = route_group![
    index,
    "/users" => [user],
    "/old" => protected_service(echo, require = [is_open, Role.includes("admin")]),
];

#[login_endpoint(POST "/login")]
async fn login(mut login: Login, user: String) {
    login.create(&user).claim(Role, vec![user]);
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

#[public(GET "/")]
async fn index(State(greeting): State<&'static str>) -> &'static str {
    greeting
}

#[protected(GET "/{id}")]
async fn user(session: Session) -> String {
    session.user_id().to_owned()
}

/// Asked with the state of its table, wherever that is included.
#[requirement]
fn is_open(_: &Session, State(greeting): State<&'static str>, uri: Uri) -> bool {
    greeting.starts_with("hello") && !uri.path().ends_with("/closed")
}

/// A router that knows nothing of this system but the session in the extensions. It shows whose session came, and for
/// what path it was asked, and ends the session at `/leave`.
pub fn echo(_: &Library) -> Router {
    let show = |session: Extension<Session>, OriginalUri(whole): OriginalUri, uri: Uri| async move {
        format!("{} {uri} of {whole}", session.user_id())
    };
    let leave = |session: Extension<Session>| async move { session.revoke().await };
    Router::new().route("/leave", any(leave)).fallback(show)
}
