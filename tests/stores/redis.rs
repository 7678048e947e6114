//! The Redis store.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use session_runtime::{
    store::{RedisStore, RedisStoreBuilder},
    testing::conformance::Conformance,
};
use tests::servers::{Redis, RedisCluster};

/// A prefix that no other test has.
fn fresh_prefix() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

async fn open(builder: RedisStoreBuilder) -> RedisStore {
    builder.open().await.expect("the server answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_every_promise() {
    let Some(redis) = Redis::shared() else { return };
    let place = || async { fresh_prefix() };
    let url = redis.url();
    Conformance::shared(place, move |prefix| open(RedisStore::builder(&url).key_prefix(prefix)))
        .histories(2000)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cluster_keeps_every_promise() {
    let Some(cluster) = RedisCluster::shared() else { return };
    let place = || async { fresh_prefix() };
    let urls: Arc<[String]> = cluster.urls().into();
    let open = move |prefix| {
        let builder = RedisStore::cluster(urls.iter().map(String::as_str)).key_prefix(prefix);
        open(builder)
    };
    Conformance::shared(place, open).histories(1000).run().await;
}
