#![deny(warnings)]

use session_runtime::{Claim, Routes, Session, Sessions, protected, refresh_endpoint, routes};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: Sessions,
    db: Db,
}

#[derive(Clone)]
struct Db;

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

#[derive(Clone, Copy)]
struct Role;

impl Claim for Role {
    const KEY: &'static str = "role";
    type Value = Vec<String>;
}

struct Plan;

impl Claim for Plan {
    const KEY: &'static str = "plan";
    type Value = String;
}

#[protected(GET "/", require = [Role.includes("admin"), Role.excludes("guest"), Plan.is("pro")])]
async fn home_feed(_: Session) {}

static ROUTES: Routes<App> = routes![refresh, home_feed];

fn main() {
    let _: fn(App) -> axum::Router = |app| ROUTES.router(app);
}
