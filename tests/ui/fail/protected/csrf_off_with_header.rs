use session_runtime::{Session, protected};

#[protected(GET "/x", csrf = dangerously_off, transport = header)]
async fn handler(_: Session) {}

fn main() {}
