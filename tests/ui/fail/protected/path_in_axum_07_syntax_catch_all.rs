use session_runtime::{Session, protected};

#[protected(GET "/files/*path")]
async fn handler(_: Session) {}

fn main() {}
