#![deny(warnings)]

use session_runtime::{Routes, Session, Sessions, protected, public, refresh_endpoint, routes};

mod admin {
    use super::{Session, protected};

    #[protected(DELETE "/posts/{id}")]
    pub(crate) async fn delete_post(_: Session) {}
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

#[public(GET "/")]
async fn root() {}

#[public(GET "/health")]
async fn health() {}

static ROUTES: Routes<Sessions> = routes![
    "/api" => [refresh, root, "/v1" => [self::admin::delete_post]],
    crate::health,
];

fn main() {
    let _: fn(Sessions) -> axum::Router = |sessions| ROUTES.router(sessions);
    let paths: Vec<_> = ROUTES.iter().map(|route| route.path()).collect();
    assert_eq!(paths, ["/api/refresh", "/api", "/api/v1/posts/{id}", "/health"]);
    assert_eq!(ROUTES.refresh_path().as_deref(), Some("/api/refresh"));
    let shown = ROUTES.iter().next().map(ToString::to_string).unwrap_or_default();
    assert!(shown.starts_with("POST /api/refresh refresh "), "{shown}");
    assert!(shown.contains("::refresh ("), "{shown}");
}
