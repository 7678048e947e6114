use session_runtime::{Session, protected};

#[protected(GET "/my posts")]
async fn handler(_: Session) {}

fn main() {}
