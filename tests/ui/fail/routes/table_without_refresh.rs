#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

mod admin {
    use super::*;

    #[protected(GET "/users")]
    async fn users() {}

    pub static ROUTES: RouteGroup<Sessions> = route_group![users];
}

static ROUTES: Routes<Sessions> = routes![..admin::ROUTES];

fn main() {}
