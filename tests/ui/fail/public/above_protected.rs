use session_runtime::{Session, public};

#[public(GET "/x")]
#[session_runtime::protected(GET "/x")]
async fn handler(_: Session) {}

fn main() {}
