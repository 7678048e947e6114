use session_runtime::{Session, protected};

#[protected(GET "/posts//all")]
async fn handler(_: Session) {}

fn main() {}
