use session_runtime::{Session, protected};

#[protected(GET "/x")]
async fn handler(_: Session) -> Unsuitable {
    Unsuitable
}

struct Unsuitable;

fn main() {}
