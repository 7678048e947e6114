// The application of the examples in the module's documentation, which include this file; the kit's own tests use it too.

use axum::{
    Json,
    extract::{FromRef, Path},
};
use serde_json::Value;
use session_runtime::{
    Claim, Clock, Login, MemoryStore, Routes, Session, Sessions, login_endpoint, logout_endpoint, protected,
    refresh_endpoint, routes, testing::TestSite,
};

#[derive(Clone, FromRef)]
pub(crate) struct App {
    pub(crate) sessions: Sessions,
}

#[derive(Clone, Copy)]
pub(crate) struct Role;

impl Claim for Role {
    const KEY: &'static str = "role";
    type Value = Vec<String>;
}

#[login_endpoint(POST "/login")]
async fn login(mut login: Login, Json(form): Json<Value>) {
    login.create(form["user"].as_str().unwrap_or_default());
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

#[logout_endpoint(POST "/logout")]
async fn logout(_: Session) {}

#[protected(GET "/getHomeFeed")]
async fn home_feed(session: Session) -> String {
    format!("hello {}", session.user_id())
}

#[protected(DELETE "/posts/{id}", require = [Role.includes("admin")])]
async fn delete_post(_: Session, Path(_id): Path<u64>) {}

pub(crate) static ROUTES: Routes<App> = routes![login, refresh, logout, home_feed, delete_post];

/// The application, on a clock of its own.
pub(crate) async fn site() -> TestSite {
    let clock = Clock::set_to_now();
    let store = MemoryStore::with_clock(clock.clone());
    let sessions = Sessions::builder(store).routes(&ROUTES).build().await.unwrap();
    TestSite::new(ROUTES.router(App { sessions: sessions.clone() }), &sessions, &clock)
}
