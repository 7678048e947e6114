//! Transactions that get in each other's way.

use session_runtime::{
    SessionHandle,
    store::{Creation, EndReason, NewRow, Salt, SessionStore as _},
};
use tokio_postgres::Client;

use super::{Place, login, present, superuser};

/// Waits until somebody waits for a lock of the server process `pid`.
async fn until_blocked_by(pid: i32, watcher: &Client) {
    let is_waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))";
    while !watcher.query_one(is_waiting, &[&pid]).await.unwrap().get::<_, bool>(0) {}
}

async fn pid_of(sql: &Client) -> i32 {
    sql.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_rotation_that_waited_for_another_one_is_no_second_one_of_the_same_token() {
    let Some(place) = Place::new() else { return };
    let store = place.clone().open().await;
    let row = login(&store, 1).await;
    let (sql, watcher) = (superuser(&place.url()).await, superuser(&place.url()).await);
    let pid = pid_of(&sql).await;
    let rotate = format!(
        "BEGIN; UPDATE {}.session_sessions SET generation = 2, parent = 1 WHERE handle = '\\x{}'",
        place.schema, row.handle
    );
    sql.batch_execute(&rotate).await.unwrap();
    let (rotation, ()) = tokio::join!(store.rotate(present(&row, row.chain.link())), async {
        until_blocked_by(pid, &watcher).await;
        sql.batch_execute("COMMIT").await.unwrap();
    });
    let rotation = rotation.unwrap();
    assert_eq!(rotation.decision.rule(), 10, "the token's successor got lost, and it is given another");
    assert_eq!(rotation.row.map(|row| row.chain.generation), Some(3));
}

#[tokio::test]
async fn an_operation_that_another_transaction_got_in_the_way_of_is_tried_again() {
    let Some(place) = Place::new() else { return };
    let store = place.clone().open().await;
    let old = login(&store, 1).await;
    let new = SessionHandle::from_bytes([2; 16]);
    let mut login = NewRow::new(new, "alice", Salt([2; 32]));
    login.replaces = Some(old.handle);
    assert!(matches!(store.create(login).await.unwrap(), Creation::Created(_)));
    // Somebody locks the older row first, and the younger one while the store, which has that, waits for the older: one of the two
    // has to give way, and it is the store that does.
    let (sql, watcher) = (superuser(&place.url()).await, superuser(&place.url()).await);
    let lock = |row: SessionHandle| {
        format!("SELECT FROM {}.session_sessions WHERE handle = '\\x{row}' FOR UPDATE;", place.schema)
    };
    sql.batch_execute(&format!("SET deadlock_timeout = '60s'; BEGIN; {}", lock(old.handle))).await.unwrap();
    let pid = pid_of(&sql).await;
    let (ended, ()) = tokio::join!(store.revoke(new, EndReason::Logout), async {
        until_blocked_by(pid, &watcher).await;
        sql.batch_execute(&format!("{} COMMIT", lock(new))).await.unwrap();
    });
    assert!(ended.unwrap());
    let replaced = store.read(old.handle).await.unwrap().and_then(|row| row.ended).map(|ended| ended.reason);
    assert_eq!(replaced, Some(EndReason::Replaced));
}
