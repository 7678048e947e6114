use session_runtime::{Session, protected};

#[protected(GET "/100%")]
async fn handler(_: Session) {}

fn main() {}
