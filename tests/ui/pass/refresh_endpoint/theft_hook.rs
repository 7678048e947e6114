#![deny(warnings)]

use session_runtime::{Routes, Session, Sessions, Theft, refresh_endpoint, routes};

mod alarm {
    pub(crate) async fn sound(_: super::Theft) {}
}

#[refresh_endpoint(on_theft = alarm::sound)]
async fn refresh(_: Session) {}

static ROUTES: Routes<Sessions> = routes![refresh];

fn main() {
    let _: fn(Sessions) -> axum::Router = |sessions| ROUTES.router(sessions);
    assert_eq!(ROUTES.refresh_path().as_deref(), Some("/auth/session/refresh"));
}
