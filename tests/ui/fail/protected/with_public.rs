use session_runtime::{Session, protected};

#[protected(GET "/x")]
#[session_runtime::public(GET "/x")]
async fn handler(_: Session) {}

fn main() {}
