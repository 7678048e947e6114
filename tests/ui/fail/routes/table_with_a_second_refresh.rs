#![allow(unused_imports)]

use session_runtime::{RouteGroup, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes};

mod auth {
    use super::*;

    #[refresh_endpoint(POST "/session/refresh")]
    async fn refresh() {}

    pub static ROUTES: Routes<Sessions> = routes![refresh];
}

#[refresh_endpoint(POST "/refresh")]
async fn other() {}

static ROUTES: Routes<Sessions> = routes![other, ..auth::ROUTES];

fn main() {}
