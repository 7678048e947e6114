use session_runtime::{Routes, protected, routes};
use tests::{ADMIN, AUTH, Library};

#[protected(DELETE "/api/users/{name}")]
async fn delete_user() {}

#[derive(Clone, axum::extract::FromRef)]
struct App {
    library: Library,
    sessions: session_runtime::Sessions,
}

static ROUTES: Routes<App> = routes![..AUTH, delete_user, "/api" => [..ADMIN]];

fn main() {}
