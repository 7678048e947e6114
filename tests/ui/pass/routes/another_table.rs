#![deny(warnings)]

use axum::extract::FromRef;
use session_runtime::{
    RouteGroup, RouteKind, Routes, Session, Sessions, protected, public, refresh_endpoint, route_group, routes,
};

#[derive(Clone, FromRef)]
struct App {
    sessions: Sessions,
    admin: admin::Admin,
}

mod admin {
    use super::*;

    #[derive(Clone)]
    pub struct Admin {
        sessions: Sessions,
    }

    impl FromRef<Admin> for Sessions {
        fn from_ref(admin: &Admin) -> Self {
            admin.sessions.clone()
        }
    }

    #[protected(GET "/")]
    async fn index(_: Session) {}

    #[protected(GET "/users/{id}")]
    async fn user(_: Session) {}

    mod posts {
        use super::*;

        #[protected(DELETE "/{id}")]
        async fn delete(_: Session) {}

        pub static ROUTES: RouteGroup<Sessions> = route_group!["/posts" => [delete]];
    }

    pub static ROUTES: RouteGroup<Admin> = route_group![index, user, "/v1" => [..posts::ROUTES]];
}

/// A complete table can be included too, and brings its refresh endpoint.
mod auth {
    use super::*;

    #[refresh_endpoint(POST "/refresh")]
    async fn refresh(_: Session) {}

    pub static ROUTES: Routes<Sessions> = routes![refresh];
}

#[public(GET "/health")]
async fn health() {}

const MORE: RouteGroup<()> = route_group![health];

static ROUTES: Routes<App> = routes![
    "/auth" => [..auth::ROUTES],
    "/api" => [
        "/admin" => [..admin::ROUTES],
        #[cfg(any())]
        ..no::such::TABLE,
    ],
    ..self::PUBLIC,
];

static PUBLIC: RouteGroup<App> = route_group!["/public" => [..UNIT]];

impl FromRef<App> for () {
    fn from_ref(_: &App) {}
}

static UNIT: RouteGroup<()> = route_group![..MORE];

fn main() {
    let _: fn(App) -> axum::Router = |app| ROUTES.router(app);
    let paths: Vec<_> = ROUTES.iter().map(|route| route.path()).collect();
    let expected = [
        "/auth/refresh",
        "/api/admin",
        "/api/admin/users/{id}",
        "/api/admin/v1/posts/{id}",
        "/public/health",
    ];
    assert_eq!(paths, expected);
    assert_eq!(ROUTES.refresh_path().as_deref(), Some("/auth/refresh"));
    assert_eq!(ROUTES.iter().filter(|route| route.kind() == RouteKind::Protected).count(), 3);
}
