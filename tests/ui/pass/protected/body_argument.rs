#![deny(warnings)]

use session_runtime::{Routes, Session, Sessions, protected, refresh_endpoint, routes};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: Sessions,
    db: Db,
}

#[derive(Clone)]
struct Db;

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

#[protected(POST "/")]
async fn home_feed(_: Session, axum::Json(text): axum::Json<String>) -> String {
    text
}

static ROUTES: Routes<App> = routes![refresh, home_feed];

fn main() {
    let _: fn(App) -> axum::Router = |app| ROUTES.router(app);
}
