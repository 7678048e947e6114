//! Every store, put to the conformance kit.

use std::sync::Arc;

use session_runtime::{
    Clock, MemoryStore,
    store::{Durability, SqliteStore},
    testing::conformance::Conformance,
};
use tempfile::TempDir;

/// A folder of its own for a database file, and the clock that every process of the test goes by.
#[derive(Clone)]
struct Folder {
    folder: Arc<TempDir>,
    clock: Clock,
    durability: Durability,
}

impl Folder {
    async fn new(clock: Clock, durability: Durability) -> Self {
        Self { folder: Arc::new(TempDir::new().expect("a temporary folder")), clock, durability }
    }

    async fn open(self) -> SqliteStore {
        let path = self.folder.path().join("sessions.db");
        let builder = SqliteStore::builder(path).clock(self.clock).durability(self.durability);
        builder.open().await.expect("a database file")
    }
}

#[tokio::test]
async fn the_memory_store_keeps_every_promise() {
    let place = || async { MemoryStore::with_clock(Clock::set_to_now()) };
    Conformance::shared(place, |store| async { store }).run().await;
}

#[tokio::test]
async fn the_memory_store_keeps_every_promise_by_a_clock_that_runs() {
    Conformance::new(|| async { MemoryStore::new() }).histories(2000).run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_every_promise() {
    let folder = || Folder::new(Clock::set_to_now(), Durability::Normal);
    Conformance::shared(folder, Folder::open).run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_every_promise_by_a_clock_that_runs() {
    let folder = || Folder::new(Clock::system(), Durability::Full);
    Conformance::shared(folder, Folder::open).histories(1000).run().await;
}
