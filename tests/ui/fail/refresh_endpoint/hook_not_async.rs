use session_runtime::{Session, Theft, refresh_endpoint};

#[refresh_endpoint(POST "/refresh", on_theft = alarm)]
async fn refresh(_: Session) {}

fn alarm(_: Theft) {}

fn main() {}
