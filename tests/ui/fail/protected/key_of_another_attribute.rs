use session_runtime::{Session, protected};

#[protected(GET "/x", on_theft = alarm)]
async fn handler(_: Session) {}

fn main() {}
