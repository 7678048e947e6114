use session_runtime::{Session, protected};

#[protected(GET "/x", csrf = off)]
async fn handler(_: Session) {}

fn main() {}
