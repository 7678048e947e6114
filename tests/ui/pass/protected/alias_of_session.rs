#![deny(warnings)]

use session_runtime::{
    Login as LoggingIn, Routes, Session as SignedIn, SessionError, Sessions, login_endpoint, logout_endpoint, protected,
    refresh_endpoint, routes,
};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: Sessions,
    db: Db,
}

#[derive(Clone)]
struct Db;

type Who = SignedIn;

type Perhaps = Option<SignedIn>;

type OrWhyNot = Result<Who, SessionError>;

#[login_endpoint(POST "/login")]
async fn login(_: LoggingIn) {}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: SignedIn) {}

#[logout_endpoint(POST "/logout")]
async fn logout(_: OrWhyNot) {}

#[protected(GET "/")]
async fn home_feed(_: Who) {}

#[protected(GET "/greeting", optional)]
async fn greeting(_: Perhaps) {}

#[protected(GET "/either")]
async fn either(_: OrWhyNot) {}

static ROUTES: Routes<App> = routes![login, refresh, logout, home_feed, greeting, either];

fn main() {
    let _: fn(App) -> axum::Router = |app| ROUTES.router(app);
}
