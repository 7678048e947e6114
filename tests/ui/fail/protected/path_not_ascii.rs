use session_runtime::{Session, protected};

#[protected(GET "/café")]
async fn handler(_: Session) {}

fn main() {}
