//! The application that stands on each store.

use std::time::Duration;

use session_runtime::{
    Login, Routes, Session, SessionHandle, Sessions, login_endpoint, logout_endpoint, protected,
    refresh_endpoint, routes, testing::TestSite,
};
use tokio::time::{sleep, timeout};

pub(crate) const KEYS: &str = "pZ0hYw7Q1mXrC4t9uVbK2sEo8LdN5fGjRiAyTz3HxMk=";

pub(crate) static ROUTES: Routes<Sessions> = routes![login, refresh, logout, me];

#[login_endpoint(POST "/login")]
async fn login(mut login: Login, user: String) {
    login.create(&user);
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

#[logout_endpoint(POST "/logout")]
async fn logout(_: Session) {}

#[protected(GET "/me")]
async fn me(session: Session) -> String {
    session.user_id().to_owned()
}

/// Whatever ends a session in one process, the other refuses it soon.
pub(crate) async fn assert_ends_are_heard(here: &TestSite, there: &TestSite) {
    for user in ["alice", "bob", "carol"] {
        let client = here.login_as(user).await;
        let elsewhere = client.at(there);
        elsewhere.get("/me").await.assert_ok();
        match user {
            "alice" => here.sessions().revoke(client.handle()).await.map(usize::from),
            "bob" => here.sessions().revoke_all(user).await,
            _ => here.sessions().revoke_others(user, SessionHandle::from_bytes([0; 16])).await,
        }
        .expect("the store answers");
        let refused = async {
            while elsewhere.get("/me").await.status().is_success() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(5), refused).await.expect("the other process hears of it");
    }
}
