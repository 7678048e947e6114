use session_runtime::{Session, protected};

#[protected(GET "/x", check = cache)]
async fn handler(_: Session) {}

fn main() {}
