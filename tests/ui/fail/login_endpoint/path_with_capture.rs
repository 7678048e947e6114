use session_runtime::{Login, login_endpoint};

#[login_endpoint(POST "/login/{tenant}")]
async fn login(_: Login) {}

fn main() {}
