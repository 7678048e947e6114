use session_runtime::{Session, refresh_endpoint};

#[refresh_endpoint(POST "/refresh/{tenant}")]
async fn refresh(_: Session) {}

fn main() {}
