use session_runtime::{Session, protected};

#[protected(check = store, GET "/x")]
async fn handler(_: Session) {}

fn main() {}
