#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

fn assets(_: &()) -> String {
    String::new()
}

static ROUTES: Routes<()> = routes!["/assets" => public_service(assets, reason = "static files")];

fn main() {}
