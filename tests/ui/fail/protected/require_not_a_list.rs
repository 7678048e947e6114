use session_runtime::{Session, protected};

#[protected(GET "/x", require = true)]
async fn handler(_: Session) {}

fn main() {}
