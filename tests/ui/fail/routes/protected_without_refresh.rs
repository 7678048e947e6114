use session_runtime::{Routes, Session, protected, routes};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: session_runtime::Sessions,
}

#[protected(GET "/x")]
async fn one(_: Session) {}

static ROUTES: Routes<App> = routes![one];

fn main() {}
