use session_runtime::{Session, protected};

#[protected(GET "/x", on_refused = "/login")]
async fn handler(_: Session) {}

fn main() {}
