#![deny(warnings)]

use axum::extract::State;
use session_runtime::{Routes, public, routes};

#[public(GET "/health")]
async fn health(State(name): State<&'static str>) -> String {
    name.to_owned()
}

#[public(GET "/twice")]
async fn twice(_: State<&'static str>, _: State<&'static str>) {}

static ROUTES: Routes<&'static str> = routes![health, twice];

fn main() {
    let _: axum::Router = ROUTES.router("name");
    assert_eq!(ROUTES.refresh_path(), None);
}
