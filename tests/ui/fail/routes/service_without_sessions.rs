#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

fn assets(_: &()) -> axum::Router {
    axum::Router::new()
}

#[public(GET "/health")]
async fn health() {}

static ROUTES: RouteGroup<()> = route_group![health, "/assets" => protected_service(assets)];

fn main() {}
