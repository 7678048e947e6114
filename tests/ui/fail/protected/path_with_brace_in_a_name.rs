use session_runtime::{Session, protected};

#[protected(GET "/posts/{{{id}}}")]
async fn handler(_: Session) {}

fn main() {}
