use session_runtime::{Session, protected};

#[protected(GET "/x", require = ["admin"])]
async fn handler(_: Session) {}

fn main() {}
