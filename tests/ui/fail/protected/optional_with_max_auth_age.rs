use session_runtime::{Session, protected};

#[protected(GET "/x", optional, max_auth_age = "15m")]
async fn handler(_: Option<Session>) {}

fn main() {}
