use session_runtime::{Session, protected};

#[protected(GET "/x", optional, require = [true])]
async fn handler(_: Option<Session>) {}

fn main() {}
