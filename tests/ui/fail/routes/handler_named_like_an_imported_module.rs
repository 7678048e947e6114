use session_runtime::*;

#[public(GET "/token")]
async fn token() {}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

static ROUTES: Routes<Sessions> = routes![refresh, token];

fn main() {
    let _ = &ROUTES;
}
