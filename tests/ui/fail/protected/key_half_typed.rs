use session_runtime::{Session, protected};

#[protected(GET "/x", req)]
async fn handler(_: Session) {}

fn main() {}
