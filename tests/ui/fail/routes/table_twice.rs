#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

mod admin {
    use super::*;

    #[public(GET "/users")]
    async fn users() {}

    pub static ROUTES: RouteGroup<()> = route_group![users];
}

static ROUTES: Routes<()> = routes![..admin::ROUTES, "/again" => [..admin::ROUTES]];

fn main() {}
