use session_runtime::{Session, protected};

#[protected(GET "/posts?page={page}")]
async fn handler(_: Session) {}

fn main() {}
