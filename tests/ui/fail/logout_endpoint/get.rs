use session_runtime::{Session, logout_endpoint};

#[logout_endpoint(GET "/logout")]
async fn logout(_: Session) {}

fn main() {}
