#![deny(warnings)]

use axum::extract::{Path, State};
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

#[protected(GET "/{id}/{page}", max_auth_age = "15m", check = store)]
async fn home_feed(mut _session: Session, State(Db): State<Db>, Path((mut id, _)): Path<(u64, u64)>) -> String {
    id += 1;
    id.to_string()
}

static ROUTES: Routes<App> = routes![refresh, home_feed];

fn main() {
    let _: fn(App) -> axum::Router = |app| ROUTES.router(app);
}
