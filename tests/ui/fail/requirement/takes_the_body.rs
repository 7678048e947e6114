use axum::Json;
use session_runtime::{Routes, Session, Sessions, protected, refresh_endpoint, requirement, routes};

#[requirement]
fn anyone(_: &Session, Json(_): Json<String>) -> bool {
    true
}

#[protected(POST "/x", require = [anyone])]
async fn handler(_: Session) {}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

static ROUTES: Routes<Sessions> = routes![refresh, handler];

fn main() {}
