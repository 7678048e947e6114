use session_runtime::{Routes, Session, protected, refresh_endpoint, routes};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: session_runtime::Sessions,
}

#[protected(GET "x")]
async fn one(_: Session) {}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

static ROUTES: Routes<App> = routes![refresh, one];

fn main() {}
