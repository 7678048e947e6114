use session_runtime::{Session, logout_endpoint};

#[logout_endpoint(POST "/logout/{all}")]
async fn logout(_: Session) {}

fn main() {}
