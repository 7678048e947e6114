//! The SQLite store.

use std::{sync::Arc, time::Duration};

use session_runtime::{
    Clock, Sessions,
    store::{Durability, SqliteStore},
    testing::{TestSite, conformance::Conformance},
};
use tempfile::TempDir;

use crate::application::{KEYS, ROUTES, assert_ends_are_heard};

/// A folder of its own for a database file, and the clock that every process of the test goes by.
#[derive(Clone)]
struct Folder {
    folder: Arc<TempDir>,
    clock: Clock,
    durability: Durability,
}

impl Folder {
    fn new(clock: Clock, durability: Durability) -> Self {
        Self { folder: Arc::new(TempDir::new().expect("a temporary folder")), clock, durability }
    }

    async fn open(self) -> SqliteStore {
        let path = self.folder.path().join("sessions.db");
        let builder = SqliteStore::builder(path).clock(self.clock).durability(self.durability);
        builder.open().await.expect("a database file")
    }

    /// A process that serves the application on this folder.
    async fn serve(&self) -> TestSite {
        let store = self.clone().open().await;
        let builder = Sessions::builder(store).keys(KEYS).routes(&ROUTES);
        let sessions = builder.build().await.expect("the settings work");
        TestSite::new(ROUTES.router(sessions.clone()), &sessions, &self.clock)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_every_promise() {
    let folder = || async { Folder::new(Clock::set_to_now(), Durability::Normal) };
    Conformance::shared(folder, Folder::open).run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_every_promise_by_a_clock_that_runs() {
    let folder = || async { Folder::new(Clock::system(), Durability::Full) };
    Conformance::shared(folder, Folder::open).histories(1000).run().await;
}

const AN_HOUR: Duration = Duration::from_secs(3600);

fn folder() -> Folder {
    Folder::new(Clock::set_to_now(), Durability::Normal)
}

#[tokio::test]
async fn a_client_notices_nothing_of_a_restart() {
    let folder = folder();
    let before = folder.serve().await;
    let client = before.login_as("alice").await;
    before.advance(AN_HOUR);
    client.refresh().lose_response().await;
    drop(before);
    let after = folder.serve().await;
    let client = client.at(&after);
    client.refresh().await.assert_ok();
    assert_eq!(client.get("/me").await.assert_ok().text(), "alice");
}

#[tokio::test]
async fn a_theft_is_found_after_a_restart() {
    let folder = folder();
    let before = folder.serve().await;
    let client = before.login_as("alice").await;
    let thief = client.steal_refresh();
    for _ in 0..2 {
        before.advance(AN_HOUR);
        client.refresh().await.assert_ok();
    }
    drop(before);
    let after = folder.serve().await;
    thief.at(&after).refresh().await.assert_refused("token_theft");
    client.at(&after).refresh().await.assert_refused("unauthorised");
}

#[tokio::test]
async fn what_one_process_ends_the_other_refuses_soon() {
    let folder = folder();
    let (here, there) = (folder.serve().await, folder.serve().await);
    assert_ends_are_heard(&here, &there).await;
}
