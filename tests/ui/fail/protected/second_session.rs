use session_runtime::{Session, protected};

#[protected(GET "/x")]
async fn handler(_: Session, _: Session) {}

fn main() {}
