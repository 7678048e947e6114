//! The store by a clock that the kit sets, so that every "until" is checked to its last millisecond.

use std::{sync::Arc, time::Duration};

use session_runtime::{
    Clock, SessionHandle, StoreError, Timestamp,
    store::{
        Batch, Change, Changed, Creation, Cursor, EndReason, Exchange, NewRow, PostgresStore, Purge,
        Rotation, Row, SessionStore,
    },
    testing::conformance::Conformance,
};
use tests::servers::Postgres;
use tokio::sync::Mutex;
use tokio_postgres::Client;

use super::{Place, superuser};

/// A server's schema in which `clock_timestamp` is a function of the test's.
#[derive(Clone)]
struct TimedPlace {
    place: Place,
    clock: Clock,
}

impl TimedPlace {
    async fn on(server: Arc<Postgres>) -> Self {
        let place = Place::on(&server);
        place
            .tamper(
                "CREATE SCHEMA {}; CREATE TABLE {}.clock (at bigint NOT NULL); INSERT INTO {}.clock VALUES (0); \
                 CREATE FUNCTION {}.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE \
                 AS 'SELECT to_timestamp(at / 1000.0) FROM {}.clock'",
            )
            .await;
        Self { place, clock: Clock::set_to_now() }
    }

    async fn open(self) -> TimedStore {
        let path =
            format!("{}&options=-c%20search_path%3D{},pg_catalog", self.place.url(), self.place.schema);
        let builder = PostgresStore::builder(path).max_connections(6).timeout(Duration::from_secs(60));
        let store = builder.schema(&self.place.schema).open().await.expect("the server is there");
        let sql = superuser(&self.place.url()).await;
        let set = format!("UPDATE {}.clock SET at = $1", self.place.schema);
        TimedStore { store, clock: self.clock, sql, set, shown: Mutex::new(Timestamp::default()) }
    }
}

/// A store whose server is shown the time of a set clock.
struct TimedStore {
    store: PostgresStore,
    clock: Clock,
    sql: Client,
    set: String,
    shown: Mutex<Timestamp>,
}

impl TimedStore {
    /// The store, with the server's clock set.
    async fn now(&self) -> &PostgresStore {
        let mut shown = self.shown.lock().await;
        if *shown != self.clock.now() {
            *shown = self.clock.now();
            let millis = i64::try_from(shown.as_millis()).expect("a time of this age");
            self.sql.execute(&self.set, &[&millis]).await.expect("the clock can be set");
        }
        &self.store
    }
}

impl SessionStore for TimedStore {
    fn clock(&self) -> Option<Clock> {
        Some(self.clock.clone())
    }

    async fn create(&self, new: NewRow) -> Result<Creation, StoreError> {
        self.now().await.create(new).await
    }

    async fn rotate(&self, exchange: Exchange) -> Result<Rotation, StoreError> {
        self.now().await.rotate(exchange).await
    }

    async fn confirm(&self, used: Vec<(SessionHandle, u32)>) -> Result<(), StoreError> {
        self.now().await.confirm(used).await
    }

    async fn read(&self, handle: SessionHandle) -> Result<Option<Row>, StoreError> {
        self.now().await.read(handle).await
    }

    async fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> Result<Changed, StoreError> {
        self.now().await.update(handle, version, change).await
    }

    async fn revoke(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, StoreError> {
        self.now().await.revoke(handle, reason).await
    }

    async fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> Result<Vec<SessionHandle>, StoreError> {
        self.now().await.revoke_all(user, except, reason).await
    }

    async fn list(&self, user: Arc<str>) -> Result<Vec<Row>, StoreError> {
        self.now().await.list(user).await
    }

    async fn purge_expired(&self, retention: Duration, limit: usize) -> Result<Purge, StoreError> {
        self.now().await.purge_expired(retention, limit).await
    }

    async fn revocations(&self, after: Cursor, wait: Duration) -> Result<Batch, StoreError> {
        self.now().await.revocations(after, wait).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_every_promise_to_the_millisecond() {
    let Some(server) = Postgres::shared() else { return };
    let place = move || TimedPlace::on(Arc::clone(&server));
    Conformance::shared(place, TimedPlace::open).histories(1000).parallel(100).run().await;
}
