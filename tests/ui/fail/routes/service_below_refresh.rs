#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

fn assets(_: &Sessions) -> axum::Router {
    axum::Router::new()
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh() {}

static ROUTES: Routes<Sessions> = routes![refresh, "/refresh/assets" => public_service(assets, reason = "static files")];

fn main() {}
