use session_runtime::{Session, protected};

#[protected(GET "/x", optional)]
async fn handler(_: Session) {}

fn main() {}
