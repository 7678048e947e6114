use session_runtime::{Routes, Session, public, refresh_endpoint, routes};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: session_runtime::Sessions,
}

#[public(GET "/x")]
async fn one() {}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

static ROUTES: Routes<App> = routes![refresh, "/x", one];

fn main() {}
