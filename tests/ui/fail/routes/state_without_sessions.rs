use session_runtime::{Routes, Session, refresh_endpoint, routes};

#[derive(Clone)]
struct Db;

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

static ROUTES: Routes<Db> = routes![refresh];

fn main() {}
