//! An application on the store, in several processes.

use std::time::Duration;

use session_runtime::{
    Clock, Login, Routes, Session, SessionHandle, Sessions, login_endpoint, protected, refresh_endpoint,
    routes, testing::TestSite,
};
use tokio::time::{sleep, timeout};

use super::Place;

const KEYS: &str = "pZ0hYw7Q1mXrC4t9uVbK2sEo8LdN5fGjRiAyTz3HxMk=";

static ROUTES: Routes<Sessions> = routes![login, refresh, me];

#[login_endpoint(POST "/login")]
async fn login(mut login: Login, user: String) {
    login.create(&user);
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

#[protected(GET "/me")]
async fn me(session: Session) -> String {
    session.user_id().to_owned()
}

/// A process that serves the application. Its clock is the database's, so it has no tolerance for what a test can't wait for.
async fn serve(place: &Place) -> TestSite {
    let store = place.clone().open().await;
    let builder = Sessions::builder(store).keys(KEYS).routes(&ROUTES).grace(Duration::ZERO);
    let sessions = builder.build().await.expect("the settings work");
    TestSite::new(ROUTES.router(sessions.clone()), &sessions, &Clock::system())
}

// Of several threads, because a site then lets some milliseconds pass before and after each request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_theft_is_found_by_another_process() {
    let Some(place) = Place::new() else { return };
    let (here, there) = (serve(&place).await, serve(&place).await);
    let client = here.login_as("alice").await;
    let thief = client.steal_refresh();
    for site in [&here, &there, &here] {
        let client = client.at(site);
        client.refresh().await.assert_ok();
        assert_eq!(client.get("/me").await.assert_ok().text(), "alice");
    }
    thief.at(&there).refresh().await.assert_refused("token_theft");
    client.at(&here).refresh().await.assert_refused("unauthorised");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_ends_the_other_refuses_soon() {
    let Some(place) = Place::new() else { return };
    let (here, there) = (serve(&place).await, serve(&place).await);
    for user in ["alice", "bob", "carol"] {
        let client = here.login_as(user).await;
        let elsewhere = client.at(&there);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_together_make_the_tables_once() {
    let Some(place) = Place::new() else { return };
    let opened = (0..8).map(|_| tokio::spawn(place.clone().open()));
    for store in futures_util::future::join_all(opened).await {
        store.expect("it opens");
    }
}
