use session_runtime::{Session, protected};

#[protected(GET "/posts/{}")]
async fn handler(_: Session) {}

fn main() {}
