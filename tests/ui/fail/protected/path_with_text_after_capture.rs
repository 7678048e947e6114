use session_runtime::{Session, protected};

#[protected(GET "/posts/{id}.json")]
async fn handler(_: Session) {}

fn main() {}
