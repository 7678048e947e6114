#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

fn assets(_: &Sessions) -> axum::Router {
    axum::Router::new()
}

#[refresh_endpoint(POST "/auth/refresh")]
async fn refresh() {}

static ROUTES: Routes<Sessions> = routes![refresh, "/auth" => public_service(assets, reason = "static files")];

fn main() {}
