#![deny(warnings)]

use session_runtime::{Routes, Session, Sessions, protected, refresh_endpoint, requirement, routes};

#[cfg(all())]
#[protected(GET "/above", require = [anyone])]
async fn above(_: Session) {}

#[protected(GET "/below")]
#[cfg(all())]
#[cfg_attr(all(), doc = "Documented where it is there.")]
async fn below(_: Session) {}

// Of two handlers of one name, the one that is there is listed.
#[cfg(any())]
#[protected(GET "/never")]
async fn either(_: Session, _: Missing) {}

#[cfg(not(any()))]
#[protected(GET "/always")]
async fn either(_: Session) {}

#[cfg(all())]
#[requirement]
fn anyone(_: &Session) -> bool {
    true
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

static ROUTES: Routes<Sessions> = routes![refresh, above, #[cfg(all())] below, either];

fn main() {
    let _: fn(Sessions) -> axum::Router = |sessions| ROUTES.router(sessions);
    let paths: Vec<_> = ROUTES.iter().map(|route| route.path()).collect();
    assert_eq!(paths, ["/refresh", "/above", "/below", "/always"]);
}
