use session_runtime::{Session, protected};

#[protected(FETCH "/x")]
async fn handler(_: Session) {}

fn main() {}
