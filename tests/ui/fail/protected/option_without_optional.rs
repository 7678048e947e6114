use session_runtime::{Session, protected};

#[protected(GET "/x")]
async fn handler(_: Option<Session>) {}

fn main() {}
