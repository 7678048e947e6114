use session_runtime::{Session, protected};

#[protected(GET "/x", require = [owns::<u8>])]
async fn handler(_: Session) {}

fn main() {}
