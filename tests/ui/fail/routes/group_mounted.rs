#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

#[public(GET "/users")]
async fn users() {}

static ADMIN: RouteGroup<()> = route_group![users];

fn mounted() -> axum::Router {
    ADMIN.router(())
}

fn main() {}
