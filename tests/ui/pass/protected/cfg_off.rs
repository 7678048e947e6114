#![deny(warnings)]
#![allow(unused_imports)]

use session_runtime::{Routes, Session, protected, public, routes};

#[protected(GET "/a")]
#[cfg(any())]
async fn absent(_: Session, _: Missing) {}

#[cfg(any())]
#[protected(GET "/b")]
async fn absent_too(_: Session, _: Missing) {}

#[public(GET "/c")]
#[cfg_attr(all(), doc = "Always there.", allow(unused_variables))]
#[cfg_attr(any(), no_such_attribute)]
async fn health() {
    let unused = 1;
}

static ROUTES: Routes<()> = routes![#[cfg(any())] absent, health, #[cfg(any())] "/old" => [absent_too]];

fn main() {
    let _: axum::Router = ROUTES.router(());
    assert_eq!(ROUTES.iter().map(|route| route.path()).collect::<Vec<_>>(), ["/c"]);
}
