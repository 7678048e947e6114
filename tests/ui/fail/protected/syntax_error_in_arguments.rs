use session_runtime::{Session, protected};

#[protected(GET "/x")]
async fn handler(session Session) {}

fn main() {}
