use session_runtime::{Session, protected};

use axum::extract::Path;

#[protected(GET "/posts")]
async fn handler(_: Session, Path(_id): Path<u64>) {}

fn main() {}
