use session_runtime::{Routes, Session, public, refresh_endpoint, routes};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: session_runtime::Sessions,
}

#[public(GET "/x")]
async fn one() {}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

static ADMIN: Routes<App> = routes![one];
static ROUTES: Routes<App> = routes![refresh, ..ADMIN];

fn main() {}
