use session_runtime::{Session, protected};

use axum::extract::Path;

#[protected(GET "/posts/{id}")]
async fn handler(_: Session, Path(_): Path<(u64, u64)>) {}

fn main() {}
