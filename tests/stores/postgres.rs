//! The PostgreSQL store.

use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use session_runtime::{
    store::{PostgresStore, PostgresStoreBuilder},
    testing::conformance::Conformance,
};
use tests::servers::Postgres;

/// A schema of its own on the server that the tests share.
#[derive(Clone)]
struct Place {
    server: Arc<Postgres>,
    schema: String,
}

impl Place {
    fn new(server: &Arc<Postgres>) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let schema = format!("place_{}", MADE.fetch_add(1, Ordering::Relaxed));
        Self { server: Arc::clone(server), schema }
    }

    fn url(&self) -> String {
        format!("{}?sslmode=disable", self.server.url())
    }

    fn builder(&self) -> PostgresStoreBuilder {
        // On a machine that is busy with other tests, a thousand operations at once take their time.
        let builder = PostgresStore::builder(self.url()).schema(&self.schema);
        builder.max_connections(6).timeout(Duration::from_secs(60))
    }

    async fn open(self) -> PostgresStore {
        self.builder().open().await.expect("the server is there")
    }

    /// As behind a pooler that gives each transaction another connection.
    async fn open_pooled(self) -> PostgresStore {
        self.builder().prepared_statements(false).poll().open().await.expect("the server is there")
    }
}

#[test]
fn a_private_server_comes_back_where_it_was() {
    let Some(mut postgres) = Postgres::start() else { return };
    let port = postgres.server().port();
    postgres.server_mut().kill();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    postgres.server_mut().restart();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_every_promise() {
    let Some(server) = Postgres::shared() else { return };
    let place = move || std::future::ready(Place::new(&server));
    Conformance::shared(place, Place::open).histories(1000).run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_every_promise_behind_a_pooler() {
    let Some(server) = Postgres::shared() else { return };
    let place = move || std::future::ready(Place::new(&server));
    Conformance::shared(place, Place::open_pooled).histories(200).parallel(200).run().await;
}
