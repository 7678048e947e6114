use session_runtime::{Session, protected};

#[protected(GET "/x")]
async fn handler<T>(_: Session) {}

fn main() {}
