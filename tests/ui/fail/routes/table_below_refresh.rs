#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

mod admin {
    use super::*;

    #[public(GET "/users")]
    async fn users() {}

    pub static ROUTES: RouteGroup<Sessions> = route_group![users];
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh() {}

static ROUTES: Routes<Sessions> = routes![refresh, "/refresh" => [..admin::ROUTES]];

fn main() {}
