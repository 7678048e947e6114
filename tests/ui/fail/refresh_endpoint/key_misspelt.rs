use session_runtime::{Session, refresh_endpoint};

#[refresh_endpoint(POST "/refresh", on_thef = alarm)]
async fn refresh(_: Session) {}

fn main() {}
