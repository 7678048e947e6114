use session_runtime::{Session, protected};

#[protected(GET "/x", requires = [true])]
async fn handler(_: Session) {}

fn main() {}
