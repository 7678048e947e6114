use session_runtime::{Session, protected};

#[protected(GET "/x", max_auth_age = "15")]
async fn handler(_: Session) {}

fn main() {}
