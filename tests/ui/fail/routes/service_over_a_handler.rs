#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

fn assets(_: &Sessions) -> axum::Router {
    axum::Router::new()
}

#[public(GET "/assets")]
async fn index() {}

static ROUTES: Routes<Sessions> = routes![index, "/assets" => public_service(assets, reason = "static files")];

fn main() {}
