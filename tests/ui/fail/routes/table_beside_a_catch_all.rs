#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

mod admin {
    use super::*;

    #[public(GET "/users/{id}")]
    async fn user() {}

    pub static ROUTES: RouteGroup<()> = route_group!["/v1" => [user]];
}

mod pages {
    use super::*;

    #[public(GET "/v1/users/{*rest}")]
    async fn all() {}

    pub static ROUTES: RouteGroup<()> = route_group![all];
}

static ROUTES: Routes<()> = routes!["/admin" => [..admin::ROUTES, ..pages::ROUTES]];

fn main() {}
