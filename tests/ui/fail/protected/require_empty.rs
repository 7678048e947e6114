use session_runtime::{Session, protected};

#[protected(GET "/x", require = [])]
async fn handler(_: Session) {}

fn main() {}
