use session_runtime::{Login, Routes, login_endpoint, routes};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: session_runtime::Sessions,
}

#[login_endpoint(POST "/login")]
async fn login(_: Login) {}

static ROUTES: Routes<App> = routes![login];

fn main() {}
