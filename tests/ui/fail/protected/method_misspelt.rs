use session_runtime::{Session, protected};

#[protected(PSOT "/x")]
async fn handler(_: Session) {}

fn main() {}
