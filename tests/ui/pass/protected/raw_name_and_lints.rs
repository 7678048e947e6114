#![deny(warnings)]

use session_runtime::{Routes, Session, Sessions, protected, refresh_endpoint, routes};

#[derive(Clone, axum::extract::FromRef)]
struct App {
    sessions: Sessions,
    db: Db,
}

#[derive(Clone)]
struct Db;

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

#[protected(GET "/type")]
#[allow(unused_variables, clippy::too_many_arguments)]
#[expect(unused_mut)]
async fn r#type(mut session: Session) {}

use self::r#type as home_feed;

static ROUTES: Routes<App> = routes![refresh, home_feed];

fn main() {
    let _: fn(App) -> axum::Router = |app| ROUTES.router(app);
}
