#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

fn assets(_: &Sessions) -> axum::Router {
    axum::Router::new()
}

static ROUTES: Routes<Sessions> = routes!["/assets" => protected_service(assets, optional)];

fn main() {}
