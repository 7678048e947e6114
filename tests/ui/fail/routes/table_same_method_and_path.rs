#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

mod admin {
    use super::*;

    #[public(GET "/users/{id}")]
    async fn user() {}

    pub static ROUTES: RouteGroup<()> = route_group![user];
}

#[public(GET "/admin/users/{id}")]
async fn other() {}

static ROUTES: Routes<()> = routes![other, "/admin" => [..admin::ROUTES]];

fn main() {}
