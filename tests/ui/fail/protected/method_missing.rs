use session_runtime::{Session, protected};

#[protected("/x")]
async fn handler(_: Session) {}

fn main() {}
