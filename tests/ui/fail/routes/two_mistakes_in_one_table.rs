use session_runtime::{Routes, Session, protected, public, refresh_endpoint, routes};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: session_runtime::Sessions,
}

#[protected(GET "/x")]
async fn one(_: Session) {}

#[protected(GET "/x")]
async fn two(_: Session) {}

#[public(GET "/refresh/x")]
async fn below() {}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

static ROUTES: Routes<App> = routes![refresh, one, two, below];

fn main() {}
