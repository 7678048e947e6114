use session_runtime::{Session, protected};

#[protected(GET "/x", optional = true)]
async fn handler(_: Option<Session>) {}

fn main() {}
