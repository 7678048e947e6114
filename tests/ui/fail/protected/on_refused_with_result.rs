use axum::response::Redirect;
use session_runtime::{RefusedRequest, Session, SessionError, protected};

#[protected(GET "/x", on_refused = to_login_page)]
async fn handler(_: Result<Session, SessionError>) {}

async fn to_login_page(_: RefusedRequest) -> Redirect {
    Redirect::to("/login")
}

fn main() {}
