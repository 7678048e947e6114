use session_runtime::{Session, protected};

#[protected(GET "/x")]
#[protected(GET "/y")]
async fn handler(_: Session) {}

fn main() {}
