//! A place that somebody else uses too, or that can't be written to or reached: a clear error, and nothing of theirs is touched.

use session_runtime::{
    NewSession, SessionError, Sessions, SessionsBuilder,
    store::{PostgresStore, RedisStore, SqliteStore},
};
use tempfile::TempDir;
use tests::servers::{Postgres, Redis, RedisCluster, free_port};

use crate::application::{KEYS, ROUTES};

fn settings(builder: SessionsBuilder) -> SessionsBuilder {
    builder.keys(KEYS).routes(&ROUTES)
}

async fn serve(builder: SessionsBuilder) -> Sessions {
    settings(builder).build().await.expect("the settings work")
}

#[track_caller]
fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, SessionError>, cause: &str) {
    match answer {
        Err(SessionError::StoreUnavailable(error)) => assert!(error.to_string().contains(cause), "{error}"),
        other => panic!("{other:?} in place of {cause}"),
    }
}

/// Tables of another application, by the names that ours would have, and what the store says of them.
const FOREIGN_TABLES: [(&str, &str); 2] = [
    ("CREATE TABLE session_sessions (sid text, sess text)", "session_sessions"),
    ("CREATE TABLE session_schema (name text)", "version"),
];

/// In one line, whatever the statement was.
#[track_caller]
fn assert_remedy(refusal: &str) {
    assert!(refusal.contains("choose another `table_prefix`") && !refusal.contains('\n'), "{refusal}");
}

#[tokio::test]
async fn tables_of_another_application_in_a_file_are_refused_and_left_alone() {
    for (theirs, named) in FOREIGN_TABLES {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("app.db");
        let connection = rusqlite::Connection::open(&path).expect("a new file");
        connection.execute_batch(theirs).expect("a statement of SQLite");
        let shape = || -> Vec<String> {
            let mut tables =
                connection.prepare("SELECT sql FROM sqlite_schema ORDER BY name").expect("a query");
            tables.query_map([], |row| row.get(0)).expect("rows").map(|sql| sql.expect("text")).collect()
        };
        let before = shape();
        let refusal = SqliteStore::open(&path).await.expect_err("these are not ours").to_string();
        assert!(refusal.contains(named) && refusal.contains("app.db"), "{refusal}");
        assert_remedy(&refusal);
        assert_eq!(shape(), before);
        SqliteStore::builder(&path).table_prefix("auth_").open().await.expect("other names are free");
    }
}

#[tokio::test]
async fn tables_of_another_application_in_a_database_are_refused_and_left_alone() {
    let Some(server) = Postgres::shared() else { return };
    let url = server.url();
    let (client, connection) =
        tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("it is there");
    tokio::spawn(connection);
    for (number, (theirs, named)) in FOREIGN_TABLES.into_iter().enumerate() {
        let schema = format!("neighbour_{number}");
        let made = format!("CREATE SCHEMA {schema}; SET search_path = {schema}; {theirs}");
        client.batch_execute(&made).await.expect("the superuser may");
        let builder = PostgresStore::builder(&url).schema(&schema);
        let refusal = builder.clone().open().await.expect_err("these are not ours").to_string();
        assert!(refusal.contains(named), "{refusal}");
        assert_remedy(&refusal);
        let count = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";
        let tables: i64 = client.query_one(count, &[]).await.expect("a query").get(0);
        assert_eq!(tables, 1, "nothing is left of the attempt");
        builder.table_prefix("auth_").open().await.expect("other names are free");
    }
}

#[tokio::test]
async fn keys_of_another_application_are_an_error_and_left_alone() {
    let Some(redis) = Redis::shared() else { return };
    let open = async |prefix: &str| RedisStore::builder(&redis.url()).key_prefix(prefix).open().await;
    let sessions = serve(Sessions::builder(open("neighbour").await.expect("it is there"))).await;
    redis.ask(&["set", "{neighbour}:user:alice", "theirs"]);
    assert_unavailable(sessions.create(&NewSession::new("alice")).await, "WRONGTYPE");
    assert_unavailable(sessions.list("alice").await, "WRONGTYPE");
    assert_unavailable(sessions.revoke_all("alice").await, "WRONGTYPE");
    assert_eq!(redis.ask(&["get", "{neighbour}:user:alice"]), "theirs");
    sessions.create(&NewSession::new("bob")).await.expect("that is a key of ours");

    redis.ask(&["set", "{shared}:feed", "theirs"]);
    let refusal = match open("shared").await {
        Err(error) => error.to_string(),
        Ok(store) => settings(Sessions::builder(store)).build().await.expect_err("no feed").to_string(),
    };
    assert!(refusal.contains("WRONGTYPE"), "{refusal}");
    assert_eq!(redis.ask(&["get", "{shared}:feed"]), "theirs");
}

#[tokio::test]
async fn a_file_that_can_not_be_written_is_an_error_and_loses_nothing() {
    /// What must be able to write the file: a version that no SQLite has, so that every one takes it for read-only. Permissions
    /// would not keep root from writing.
    const WRITE_VERSION: usize = 18;
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("sessions.db");
    let sessions = serve(Sessions::builder(SqliteStore::open(&path).await.expect("a new file"))).await;
    let tokens = sessions.create(&NewSession::new("alice")).await.expect("it can be written");
    drop(sessions);
    let connection = rusqlite::Connection::open(&path).expect("the file");
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("nobody reads");
    drop(connection);
    let set_version = |version: u8| {
        let mut bytes = std::fs::read(&path).expect("the file");
        bytes[WRITE_VERSION] = version;
        std::fs::write(&path, bytes).expect("the file");
    };
    set_version(9);
    let refusal = SqliteStore::open(&path).await.expect_err("it must be written").to_string();
    assert!(refusal.contains("sessions.db") && refusal.contains("read-only"), "{refusal}");
    set_version(2);
    let sessions = serve(Sessions::builder(SqliteStore::open(&path).await.expect("it is whole"))).await;
    sessions.refresh(tokens.refresh().expect("it was made").expose()).await.expect("nothing was lost");
}

#[tokio::test]
async fn what_is_wrong_with_a_cluster_is_said_without_its_password() {
    let Some(cluster) = RedisCluster::shared() else { return };
    let nowhere = format!("redis://:s3cret-of-nobody@127.0.0.1:{}", free_port());
    let wrong = cluster.urls()[0].replace(Redis::PASSWORD, "s3cret-of-nobody");
    let Some(one) = Redis::shared() else { return };
    for (url, cause) in [(nowhere, "refused"), (wrong, "authentication failed"), (one.url(), "cluster")] {
        let error = RedisStore::cluster([&*url]).open().await.expect_err(cause);
        let text = format!("{error} {error:?}");
        assert!(text.to_lowercase().contains(cause), "{cause}: {text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
