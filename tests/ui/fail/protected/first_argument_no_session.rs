use session_runtime::{Session, protected};

use axum::extract::State;

#[protected(GET "/x")]
async fn handler(_: State<u8>, _: Session) {}

fn main() {}
