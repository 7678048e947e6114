//! The kit, put to the memory store and to stores that are wrong in a known way.

use super::Conformance;
use crate::{Clock, MemoryStore};

#[tokio::test]
async fn the_memory_store_keeps_every_promise() {
    Conformance::new(|| async { MemoryStore::with_clock(Clock::set_to_now()) }).run().await;
}
