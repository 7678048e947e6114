#![deny(warnings)]

use axum::{Router, http::StatusCode};
use session_runtime::{
    Login, Routes, Session, SessionError, Sessions, login_endpoint, logout_endpoint, protected, refresh_endpoint, routes,
};
use tower_sessions::{MemoryStore, SessionManagerLayer};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: Sessions,
}

#[login_endpoint(POST "/login")]
async fn login(mut login: Login, old: tower_sessions::Session, user: String) -> Result<(), StatusCode> {
    old.insert("user", &user).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    login.create(user);
    Ok(())
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session, _: tower_sessions::Session) {}

#[logout_endpoint(POST "/logout")]
async fn logout(_: Session, old: tower_sessions::Session) -> Result<(), StatusCode> {
    old.flush().await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

#[protected(GET "/cart")]
async fn cart(session: Session, visit: tower_sessions::Session) -> String {
    let items = visit.get::<Vec<String>>("cart").await.ok().flatten().unwrap_or_default();
    format!("{} has {items:?}", session.user_id())
}

#[protected(GET "/either")]
async fn either(session: Result<Session, SessionError>, visit: tower_sessions::Session) -> String {
    format!("{} {:?}", session.is_ok(), visit.id())
}

#[protected(GET "/visit", optional)]
async fn visit(_: Option<Session>, _: tower_sessions::Session) {}

static ROUTES: Routes<App> = routes![login, refresh, logout, cart, either, visit];

fn main() {
    let layer = SessionManagerLayer::new(MemoryStore::default());
    let _ = |app: App| -> Router { ROUTES.router(app).layer(layer) };
}
