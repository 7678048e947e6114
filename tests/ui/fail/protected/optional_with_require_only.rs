use session_runtime::{Session, protected};

#[protected(GET "/x", optional, require_only = [])]
async fn handler(_: Option<Session>) {}

fn main() {}
