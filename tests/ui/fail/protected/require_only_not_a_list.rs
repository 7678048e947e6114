use session_runtime::{Session, protected};

#[protected(GET "/x", require_only = none)]
async fn handler(_: Session) {}

fn main() {}
