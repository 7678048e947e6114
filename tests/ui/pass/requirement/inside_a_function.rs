#![deny(warnings)]

use session_runtime::{Routes, Session, Sessions, protected, refresh_endpoint, requirement, routes};

fn main() {
    #[requirement]
    fn is_alice(session: &Session) -> bool {
        session.user_id() == "alice"
    }

    #[protected(GET "/", require = [is_alice])]
    async fn handler(_: Session) {}

    #[refresh_endpoint(POST "/refresh")]
    async fn refresh() {}

    static ROUTES: Routes<Sessions> = routes![refresh, handler];
    let _: fn(Sessions) -> axum::Router = |sessions| ROUTES.router(sessions);
}
