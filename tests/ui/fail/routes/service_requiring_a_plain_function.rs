#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

fn assets(_: &Sessions) -> axum::Router {
    axum::Router::new()
}

fn is_open(_: &Session) -> bool {
    true
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

static ROUTES: Routes<Sessions> = routes![refresh, "/assets" => protected_service(assets, require = [is_open])];

fn main() {}
