use session_runtime::{Session, protected};

#[protected(GET "/x", POST "/x")]
async fn handler(_: Session) {}

fn main() {}
