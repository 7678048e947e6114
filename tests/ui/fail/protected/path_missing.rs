use session_runtime::{Session, protected};

#[protected(GET)]
async fn handler(_: Session) {}

fn main() {}
