#![deny(warnings)]

use session_runtime::{Routes, Session, Sessions, protected, refresh_endpoint, routes};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: Sessions,
    db: Db,
}

#[derive(Clone)]
struct Db;

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

mod other {
    pub struct Session;

    impl<S: Sync> axum::extract::FromRequestParts<S> for Session {
        type Rejection = std::convert::Infallible;

        async fn from_request_parts(_: &mut axum::http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
            Ok(Self)
        }
    }
}

#[protected(GET "/")]
async fn home_feed(_: Session, _: other::Session) {}

static ROUTES: Routes<App> = routes![refresh, home_feed];

fn main() {
    let _: fn(App) -> axum::Router = |app| ROUTES.router(app);
}
