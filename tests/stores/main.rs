//! Every store, put to the conformance kit, and beneath an application.

mod application;
mod crash;
mod damage;
mod logs;
mod neighbours;
mod postgres;
mod presentations;
mod redis;
mod servers;
mod sqlite;

// The store that the contract shows as an example.
mod example {
    include!("../../session-runtime/src/store/custom.rs");

    pub(crate) fn fresh() -> impl SessionStore {
        PlainStore { clock: Clock::set_to_now(), ..PlainStore::default() }
    }
}

use session_runtime::{Clock, MemoryStore, testing::conformance::Conformance};

#[tokio::test]
async fn the_example_of_the_contract_keeps_every_promise() {
    Conformance::new(|| async { example::fresh() }).histories(2000).run().await;
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
