//! The server goes away and comes back.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use session_runtime::{
    SessionHandle,
    store::{Batch, Cursor, EndReason, PostgresStore, Revocation, SessionStore as _},
};
use tests::servers::{Postgres, Proxy, Way};
use tokio::time::timeout;

use super::{Place, login, present, superuser};

/// How soon a store works again when its server does.
const SOON: Duration = Duration::from_secs(10);

fn ended(batch: &Batch) -> Vec<SessionHandle> {
    let handle = |revocation: &Revocation| match revocation {
        Revocation::Session { handle, .. } => Some(*handle),
        _ => None,
    };
    batch.revocations.iter().filter_map(handle).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_loses_nothing_that_was_answered() {
    let Some(mut server) = Postgres::start() else { return };
    let open = || async {
        PostgresStore::builder(server.url()).timeout(Duration::from_secs(5)).open().await.unwrap()
    };
    let (store, other) = (open().await, open().await);
    let (row, gone) = (login(&store, 1).await, login(&store, 2).await);
    let rotated = store.rotate(present(&row, row.chain.link())).await.unwrap().row.unwrap();
    store.revoke(gone.handle, EndReason::Revoked).await.unwrap();
    let cursor = other.revocations(Cursor(0), Duration::ZERO).await.unwrap().next;

    server.server_mut().kill();
    assert!(store.read(row.handle).await.is_err());
    let replay = store.rotate(present(&row, row.chain.link())).await;
    assert!(replay.is_err(), "a store that is away says nothing of a session: {replay:?}");
    assert!(other.revocations(cursor, Duration::ZERO).await.is_err());
    server.server_mut().restart();

    let back = async {
        loop {
            if let Ok(kept) = store.read(row.handle).await {
                return kept;
            }
        }
    };
    assert_eq!(timeout(SOON, back).await.expect("it is back"), Some(rotated));
    assert!(store.read(gone.handle).await.unwrap().is_some_and(|row| row.ended.is_some()));
    store.revoke(row.handle, EndReason::Logout).await.unwrap();
    let told = other.revocations(cursor, SOON).await.unwrap();
    assert_eq!(ended(&told), [row.handle]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_given_up_in_time() {
    const PATIENCE: Duration = Duration::from_millis(300);
    let Some(server) = Postgres::start() else { return };
    let store = PostgresStore::builder(server.url()).timeout(Duration::from_secs(5)).open().await.unwrap();
    let row = login(&store, 1).await;
    let impatient =
        PostgresStore::builder(server.url()).timeout(PATIENCE).max_connections(2).open().await.unwrap();
    impatient.read(row.handle).await.unwrap();

    let sql = superuser(&server.url()).await;
    sql.batch_execute("BEGIN; LOCK TABLE session_sessions").await.unwrap();
    let asked = Instant::now();
    for _ in 0..4 {
        let error = impatient.read(row.handle).await.unwrap_err().to_string();
        assert!(error.contains("in time"), "{error}");
    }
    assert!(asked.elapsed() < 4 * PATIENCE + SOON);
    sql.batch_execute("ROLLBACK").await.unwrap();
    let back = async { while impatient.read(row.handle).await.is_err() {} };
    timeout(SOON, back).await.expect("it is back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_was_given_up_does_not_go_on_waiting_for_a_lock() {
    let Some(server) = Postgres::start() else { return };
    let impatient =
        PostgresStore::builder(server.url()).timeout(Duration::from_millis(300)).max_connections(2);
    let store = impatient.poll().open().await.unwrap();
    let row = login(&store, 1).await;
    let sql = superuser(&server.url()).await;
    sql.batch_execute("BEGIN; LOCK TABLE session_sessions").await.unwrap();
    for _ in 0..6 {
        assert!(store.read(row.handle).await.is_err());
    }
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let given_up = Instant::now();
    while server.ask(waiting) != "0" {
        assert!(given_up.elapsed() < SOON, "somebody still waits for the lock");
    }
    sql.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_not_left_with_connections_that_were_given_up() {
    const CONNECTIONS: usize = 8;
    const PATIENCE: Duration = Duration::from_millis(300);
    let Some(place) = Place::new() else { return };
    place.clone().open().await;
    let proxy = Proxy::before(place.server.server().port());
    let url = place.server.url_at(proxy.port());
    let impatient = PostgresStore::builder(url).schema(&place.schema).timeout(PATIENCE).poll();
    let impatient = impatient.max_connections(CONNECTIONS).open().await.unwrap();
    let handle = SessionHandle::from_bytes([1; 16]);

    proxy.set(Way::Hold);
    let (hung, taken) = (Instant::now(), proxy.taken());
    for _ in 0..5 {
        let reads = join_all((0..2 * CONNECTIONS).map(|_| impatient.read(handle))).await;
        assert!(reads.iter().all(Result::is_err));
    }
    // At first nobody knows; after that it is one after the other.
    let most = 2 * CONNECTIONS + hung.elapsed().div_duration_f64(PATIENCE / 2) as usize;
    let taken = proxy.taken() - taken;
    assert!(taken <= most, "{taken} connections, and not {most}");

    proxy.set(Way::Pass);
    let back = async { while impatient.read(handle).await.is_err() {} };
    timeout(SOON, back).await.expect("it is back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_longer_for_a_connection_than_anybody_waits_is_used() {
    const PATIENCE: Duration = Duration::from_millis(400);
    // There are three answers until a connection is made, and one to a question.
    const DELAY: Duration = Duration::from_millis(150);
    let Some(place) = Place::new() else { return };
    place.clone().open().await;
    let proxy = Proxy::before(place.server.server().port());
    let url = place.server.url_at(proxy.port());
    let store = PostgresStore::builder(url).schema(&place.schema).timeout(PATIENCE).poll();
    let store = store.prepared_statements(false).open().await.unwrap();

    proxy.set(Way::Delay(DELAY));
    proxy.cut();
    let handle = SessionHandle::from_bytes([1; 16]);
    let back = async { while store.read(handle).await.is_err() {} };
    timeout(SOON, back).await.expect("what was made for others is used");
}

/// A pooler may hide that another server answers now. What that lacks is taken away here; nothing else is known of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_lacks_what_was_read_of_it_is_read_anew() {
    let Some(place) = Place::new() else { return };
    let store = place.clone().open().await;
    let end = async |number| {
        let row = login(&store, number).await;
        store.revoke(row.handle, EndReason::Revoked).await.unwrap();
        row.handle
    };
    let kept = end(1).await;
    let before = store.revocations(Cursor(0), Duration::ZERO).await.unwrap().next;
    end(2).await;
    let read = store.revocations(before, Duration::ZERO).await.unwrap().next;

    place.tamper(&format!("DELETE FROM {{}}.session_revocations WHERE seq > {}", before.0)).await;
    place.tamper(&format!("UPDATE {{}}.session_feed SET last = {}", before.0)).await;
    let (mut since, mut number) = (vec![kept], 3);
    while store.revocations(Cursor(0), Duration::ZERO).await.unwrap().next <= read {
        since.push(end(number).await);
        number += 1;
    }
    let next = store.revocations(read, Duration::ZERO).await.unwrap().next;
    assert!(next < read, "{next:?} after {read:?}: it has to be read from the beginning");
    assert_eq!(ended(&store.revocations(next, Duration::ZERO).await.unwrap()), since);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_very_many_sessions_can_log_out_everywhere() {
    const SESSIONS: usize = 20_000;
    let Some(place) = Place::new() else { return };
    // It is done within the time that any operation has.
    let store = PostgresStore::builder(place.url()).schema(&place.schema).open().await.unwrap();
    let row = login(&store, 1).await;
    let copies = format!(
        "INSERT INTO {{}}.session_sessions OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(one, jsonb_build_object(\
           'id', one.id + number, 'handle', '\\x' || md5(number::text)))).* \
         FROM {{}}.session_sessions AS one, generate_series(1, {}) AS number",
        SESSIONS - 1
    );
    place.tamper(&copies).await;
    let handles = store.revoke_all(row.user, None, EndReason::Revoked).await.unwrap();
    assert_eq!(handles.len(), SESSIONS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_was_cut_off_misses_nothing() {
    let Some(place) = Place::new() else { return };
    let (here, there) = (place.clone().open().await, place.clone().open().await);
    let sql = superuser(&place.url()).await;
    let mut cursor = Cursor(0);
    for number in 1..=10 {
        let row = login(&here, number).await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'";
        let (batch, _) = tokio::join!(there.revocations(cursor, SOON), async {
            sql.batch_execute(cut).await.unwrap();
            here.revoke(row.handle, EndReason::Revoked).await.unwrap()
        });
        let batch = batch.unwrap();
        assert_eq!(ended(&batch), [row.handle]);
        cursor = batch.next;
    }
}
