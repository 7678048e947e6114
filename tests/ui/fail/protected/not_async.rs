use session_runtime::{Session, protected};

#[protected(GET "/x")]
fn handler(_: Session) {}

fn main() {}
