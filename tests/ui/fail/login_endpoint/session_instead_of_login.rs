use session_runtime::{Session, login_endpoint};

#[login_endpoint(POST "/login")]
async fn login(_: Session) {}

fn main() {}
