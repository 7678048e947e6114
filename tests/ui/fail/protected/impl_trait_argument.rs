use session_runtime::{Session, protected};

#[protected(GET "/x")]
async fn handler(_: Session, _: impl Sized) {}

fn main() {}
