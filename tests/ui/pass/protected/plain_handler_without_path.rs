#![deny(warnings)]

use axum::{Router, routing::get};
use session_runtime::{Session, Sessions, protected};

#[protected]
async fn home_feed(_: Session) {}

fn main() {
    let _: Router<Sessions> = Router::new().route("/x", get(home_feed));
}
