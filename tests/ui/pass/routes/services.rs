#![deny(warnings)]

use axum::{Router, extract::FromRef};
use session_runtime::{
    Claim, RouteKind, Routes, Session, Sessions, Transport, public, refresh_endpoint, requirement, routes,
};

#[derive(Clone, FromRef)]
struct App {
    sessions: Sessions,
}

#[derive(Clone, Copy)]
struct Role;

impl Claim for Role {
    const KEY: &'static str = "role";
    type Value = Vec<String>;
}

mod elsewhere {
    pub(super) fn assets(_: &super::App) -> axum::Router {
        axum::Router::new()
    }

    #[session_runtime::requirement]
    pub(super) async fn with_the_state(
        _: &session_runtime::Session,
        _: axum::extract::State<super::App>,
    ) -> bool {
        true
    }
}

#[requirement]
fn plain(_: &Session) -> bool {
    true
}

fn legacy(_: &App) -> Router {
    Router::new()
}

#[public(GET "/assets/logo.svg")]
async fn logo() {}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

static ROUTES: Routes<App> = routes![
    refresh,
    logo,
    "/assets" => public_service(elsewhere::assets, reason = "static files"),
    "/api" => [
        "/legacy" => protected_service(legacy),
        #[cfg(all())]
        "/old" => protected_service(legacy, require = [Role.includes("admin")], max_auth_age = "1h", check = store),
        "/asking" => protected_service(
            legacy,
            require_only = [plain, Role.includes("admin"), elsewhere::with_the_state],
            transport = cookie,
        ),
        #[cfg(any())]
        "/never" => protected_service(legacy, require = [no_such_requirement]),
        #[cfg(any())]
        "/older" => protected_service(no_such_function),
    ],
];

fn main() {
    let _: fn(App) -> Router = |app| ROUTES.router(app);
    let services: Vec<_> = ROUTES.iter().filter(|route| route.is_service()).collect();
    let paths: Vec<_> = services.iter().map(|route| route.path()).collect();
    assert_eq!(paths, ["/assets/{*rest}", "/api/legacy/{*rest}", "/api/old/{*rest}", "/api/asking/{*rest}"]);
    assert_eq!(services[0].kind(), RouteKind::Public);
    assert_eq!(services[0].reason(), Some("static files"));
    assert_eq!(services[0].handler(), "elsewhere::assets");
    assert_eq!(services[1].kind(), RouteKind::Protected);
    assert_eq!(services[2].requirements(), ["Role.includes(\"admin\")"]);
    assert!(services[2].checks_store());
    assert_eq!(
        services[3].requirements(),
        ["plain", "Role.includes(\"admin\")", "elsewhere::with_the_state"]
    );
    assert!(services[3].requires_only() && !services[2].requires_only());
    assert_eq!(services[3].transport(), Some(Transport::Cookie));
}
