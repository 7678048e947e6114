//! The PostgreSQL store.

mod application;
mod conflicts;
mod costs;
mod outages;
mod pooler;
mod refusals;
mod set_clock;

use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use session_runtime::{
    SessionHandle,
    rotation::{Grace, Link},
    store::{Creation, Exchange, NewRow, PostgresStore, PostgresStoreBuilder, Row, Salt, SessionStore as _},
    testing::conformance::Conformance,
    token::Proof,
};
use tests::servers::Postgres;
use tokio_postgres::{Client, NoTls};

/// A schema of its own on a server.
#[derive(Clone)]
struct Place {
    server: Arc<Postgres>,
    schema: String,
}

impl Place {
    /// On the server that the tests share, or nothing where there is none.
    fn new() -> Option<Self> {
        Some(Self::on(&Postgres::shared()?))
    }

    fn on(server: &Arc<Postgres>) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let schema = format!("place_{}", MADE.fetch_add(1, Ordering::Relaxed));
        Self { server: Arc::clone(server), schema }
    }

    fn url(&self) -> String {
        self.server.url()
    }

    fn builder(&self) -> PostgresStoreBuilder {
        // On a machine that is busy with other tests, a thousand operations at once take their time.
        let builder = PostgresStore::builder(self.url()).schema(&self.schema);
        builder.max_connections(6).timeout(Duration::from_secs(60))
    }

    async fn open(self) -> PostgresStore {
        self.builder().open().await.expect("the server is there")
    }

    /// Changes what the store has made behind its back. `{}` stands for the schema.
    async fn tamper(&self, statement: &str) {
        let statement = statement.replace("{}", &self.schema);
        superuser(&self.url()).await.batch_execute(&statement).await.expect("the superuser may do it");
    }
}

async fn superuser(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server is there");
    tokio::spawn(connection);
    client
}

/// A session that the store makes without ado.
async fn login(store: &PostgresStore, number: u8) -> Row {
    let new = NewRow::new(SessionHandle::from_bytes([number; 16]), "alice", Salt([number; 32]));
    match store.create(new).await.expect("the store answers") {
        Creation::Created(row) => row,
        other => panic!("{other:?}"),
    }
}

/// A presentation of a session's token, which is due if any time has passed since it was made.
fn present(row: &Row, link: Link) -> Exchange {
    present_within(row, link, Grace::STRICT)
}

fn present_within(row: &Row, link: Link, grace: Grace) -> Exchange {
    let proof = Proof::sealed([5; 32], &row.salt.0);
    Exchange::new(row.handle, link.into(), grace, [row.fingerprint], proof)
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
    let place = move || std::future::ready(Place::on(&server));
    Conformance::shared(place, Place::open).histories(200).run().await;
}
