use session_runtime::{Session, protected};

#[protected(GET "/posts#top")]
async fn handler(_: Session) {}

fn main() {}
