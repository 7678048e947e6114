use session_runtime::{Login, protected};

#[protected(GET "/x")]
async fn handler(_: Login) {}

fn main() {}
