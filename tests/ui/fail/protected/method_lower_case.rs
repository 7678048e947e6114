use session_runtime::{Session, protected};

#[protected(get "/x")]
async fn handler(_: Session) {}

fn main() {}
