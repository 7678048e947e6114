use session_runtime::{Session, protected};

#[protected(GET "/x", max_auth_age = "0m")]
async fn handler(_: Session) {}

fn main() {}
