use session_runtime::{Session, protected};

#[protected(GET "/x")]
async unsafe fn handler(_: Session) {}

fn main() {}
