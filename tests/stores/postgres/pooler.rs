//! Through a pooler that gives each transaction another server connection.

use std::{sync::Arc, time::Duration};

use session_runtime::{
    Clock, Sessions, store::PostgresStore, testing::TestSite, testing::conformance::Conformance,
};
use tests::servers::{PgBouncer, Postgres};

use super::Place;
use crate::application::{KEYS, ROUTES, assert_ends_are_heard};

/// A pooler, and what is behind it.
fn pooled() -> Option<(Arc<PgBouncer>, Arc<Postgres>)> {
    let server = Postgres::shared()?;
    Some((Arc::new(PgBouncer::before(&server)?), server))
}

async fn open(place: Place, pooler: Arc<PgBouncer>) -> PostgresStore {
    let builder = PostgresStore::builder(pooler.url()).schema(&place.schema);
    let builder = builder.prepared_statements(false).poll().max_connections(12);
    builder.timeout(Duration::from_secs(60)).open().await.expect("the pooler is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_every_promise_through_pgbouncer() {
    let Some((pooler, server)) = pooled() else { return };
    let place = move || std::future::ready(Place::on(&server));
    let open = move |place| open(place, Arc::clone(&pooler));
    Conformance::shared(place, open).histories(50).parallel(50).run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_works_through_pgbouncer_and_polls_its_feed() {
    let Some((pooler, server)) = pooled() else { return };
    let place = Place::on(&server);
    let serve = async || {
        let store = open(place.clone(), Arc::clone(&pooler)).await;
        let sessions = Sessions::builder(store).keys(KEYS).routes(&ROUTES).build().await;
        let sessions = sessions.expect("the settings work");
        TestSite::new(ROUTES.router(sessions.clone()), &sessions, &Clock::system())
    };
    let (here, there) = (serve().await, serve().await);
    assert_ends_are_heard(&here, &there).await;
}
