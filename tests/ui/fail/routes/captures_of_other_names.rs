use session_runtime::{Routes, Session, protected, refresh_endpoint, routes};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: session_runtime::Sessions,
}

#[protected(GET "/x/{id}")]
async fn one(_: Session) {}

#[protected(POST "/x/{name}")]
async fn two(_: Session) {}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

static ROUTES: Routes<App> = routes![refresh, one, two];

fn main() {}
