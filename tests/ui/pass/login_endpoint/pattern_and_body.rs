#![deny(warnings)]

use axum::{Json, http::StatusCode};
use session_runtime::{Login, Routes, Session, Sessions, login_endpoint, logout_endpoint, refresh_endpoint, routes};

#[login_endpoint(POST "/login")]
async fn login(mut login: Login, Json(user): Json<String>) -> Result<Json<String>, StatusCode> {
    login.create(&user);
    Ok(Json(user))
}

#[refresh_endpoint]
async fn refresh(_: Session) {}

#[logout_endpoint]
async fn logout() {}

static ROUTES: Routes<Sessions> = routes![login, refresh, logout];

fn main() {
    let _: fn(Sessions) -> axum::Router = |sessions| ROUTES.router(sessions);
    let paths: Vec<_> = ROUTES.iter().map(|route| route.path()).collect();
    assert_eq!(paths, ["/login", "/auth/session/refresh", "/auth/signout"]);
}
