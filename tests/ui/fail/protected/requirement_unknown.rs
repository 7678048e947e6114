use session_runtime::{Session, protected};

#[protected(GET "/x", require = [owns_post])]
async fn handler(_: Session) {}

fn main() {}
