use session_runtime::{Session, protected};

#[protected(GET "/files/{*path}/raw")]
async fn handler(_: Session) {}

fn main() {}
