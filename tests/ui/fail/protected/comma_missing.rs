use session_runtime::{Session, protected};

#[protected(GET "/x" check = store)]
async fn handler(_: Session) {}

fn main() {}
