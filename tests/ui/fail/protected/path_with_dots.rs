use session_runtime::{Session, protected};

#[protected(GET "/posts/../users")]
async fn handler(_: Session) {}

fn main() {}
