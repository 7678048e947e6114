use session_runtime::{Session, protected};

#[protected(GET "/x")]
async extern "C" fn handler(_: Session) {}

fn main() {}
