#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

#[refresh_endpoint(POST "/a")]
async fn refresh() {}

#[refresh_endpoint(POST "/b")]
async fn again() {}

static ROUTES: RouteGroup<Sessions> = route_group![refresh, again];

fn main() {}
