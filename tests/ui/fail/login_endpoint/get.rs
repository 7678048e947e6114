use session_runtime::{Login, login_endpoint};

#[login_endpoint(GET "/login")]
async fn login(_: Login) {}

fn main() {}
