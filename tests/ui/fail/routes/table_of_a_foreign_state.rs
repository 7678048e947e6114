#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

#[derive(Clone)]
struct Admin;

#[public(GET "/users")]
async fn users() {}

static ADMIN: RouteGroup<Admin> = route_group![users];

static ROUTES: Routes<()> = routes![..ADMIN];

fn main() {}
