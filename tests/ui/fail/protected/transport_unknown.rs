use session_runtime::{Session, protected};

#[protected(GET "/x", transport = cookies)]
async fn handler(_: Session) {}

fn main() {}
