use session_runtime::{Session, protected};

use axum::extract::Path;

#[protected(GET "/posts/{id}/{page}")]
async fn handler(_: Session, Path(_id): Path<u64>) {}

fn main() {}
