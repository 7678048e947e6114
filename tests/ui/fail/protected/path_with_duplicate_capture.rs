use session_runtime::{Session, protected};

#[protected(GET "/posts/{id}/comments/{id}")]
async fn handler(_: Session) {}

fn main() {}
