use session_runtime::{Session, refresh_endpoint};

#[refresh_endpoint(GET "/refresh")]
async fn refresh(_: Session) {}

fn main() {}
