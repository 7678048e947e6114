//! An application on the store, in several processes.

use std::time::Duration;

use session_runtime::{Clock, Sessions, testing::TestSite};

use super::Place;
use crate::application::{KEYS, ROUTES, assert_ends_are_heard};

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
    assert_ends_are_heard(&here, &there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_together_make_the_tables_once() {
    let Some(place) = Place::new() else { return };
    let opened = (0..8).map(|_| tokio::spawn(place.clone().open()));
    for store in futures_util::future::join_all(opened).await {
        store.expect("it opens");
    }
}
