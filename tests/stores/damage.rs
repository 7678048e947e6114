//! What stands in the place of a session and is none: an error with its cause in the log, and never "no session".

use std::time::Duration;

use session_runtime::{
    SessionError, SessionHandle, SessionStore, Sessions,
    store::{PostgresStore, RedisStore, SqliteStore},
    testing::{TestClient, TestSite},
};
use tempfile::TempDir;
use tests::{
    hidden::{Log, Secrets},
    servers::{Postgres, Redis, RedisCluster},
};
use tokio::time::sleep;

use crate::application::{KEYS, ROUTES};

/// Where sessions are kept, reached behind the store's back.
trait Place {
    /// What the errors say of each damage. The first one leaves nothing that could be read or ended.
    const DAMAGES: &[&str];

    /// Does damage number `damage` to the row of a session.
    async fn damage(&self, handle: SessionHandle, damage: usize);

    /// Puts back what was there before.
    async fn mend(&self, handle: SessionHandle);
}

/// Lets time pass until a token is due, in strict mode.
async fn a_moment() {
    sleep(Duration::from_millis(3)).await;
}

async fn site(store: impl SessionStore) -> TestSite {
    let builder = Sessions::builder(store).keys(KEYS).grace(Duration::ZERO).routes(&ROUTES);
    let sessions = builder.build().await.expect("the settings work");
    TestSite::new(ROUTES.router(sessions.clone()), &sessions, &session_runtime::Clock::system())
}

async fn is_never_taken_for_no_session<P: Place>(store: impl SessionStore, place: P) {
    let log = Log::of_this_thread();
    let site = site(store).await;
    let client = site.login_as("alice").await;
    let handle = client.handle();
    for (damage, cause) in P::DAMAGES.iter().enumerate() {
        place.damage(handle, damage).await;
        a_moment().await;
        let before = log.text().len();
        client.refresh().await.assert_refused("store_unavailable").assert_status(503);
        client.assert_logged_in();
        let said = log.text()[before..].to_owned();
        let line = said.lines().find(|line| line.contains("ERROR")).expect("a line in the log").to_owned();
        assert!(line.contains(cause), "{cause}: {line}");
        if damage == 0 {
            assert_all_say_so(&site, &client, cause).await;
        }
        assert_eq!(client.get("/me").await.assert_ok().text(), "alice", "that asks no store");
        place.mend(handle).await;
        client.refresh().await.assert_ok();
    }
    let mut secrets = Secrets::default();
    secrets.texts.insert(KEYS.to_owned());
    let tokens = [client.access_token(), client.refresh_token()].map(|token| token.expect("it is logged in"));
    secrets.add_tokens(&tokens[0], &tokens[1]);
    assert_eq!(secrets.first_in(&log.text()), None);
}

/// Reading, listing and ending say what is wrong too.
async fn assert_all_say_so(site: &TestSite, client: &TestClient, cause: &str) {
    let sessions = site.sessions();
    let read = sessions.info(client.handle()).await.map(drop);
    let listed = sessions.list("alice").await.map(drop);
    for (what, error) in [("read", read), ("listed", listed)] {
        match error {
            Err(SessionError::StoreUnavailable(error)) => {
                assert!(error.to_string().contains(cause), "{what}: {error}");
            }
            other => panic!("{what} as {other:?}"),
        }
    }
    client.post("/logout").await.assert_refused("store_unavailable").assert_status(503);
    client.assert_logged_in();
}

/// What the columns of a table may hold that no session has: the damage, and what is said of it.
const COLUMNS: [(&str, &str); 4] = [
    ("generation = -1", "`generation` of session"),
    ("salt = substr(salt, 1, 31)", "`salt` of session"),
    ("end_reason = 'boredom', ended_at = 5", "`end_reason` of session"),
    ("claims = '{'", "the claims of session"),
];

const KEEP: &str = "CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM session_sessions";

// A row whose claims alone are damaged was rotated meanwhile.
const MEND: &str = "UPDATE session_sessions SET salt = kept.salt, claims = kept.claims, \
     generation = CASE WHEN session_sessions.generation < 0 THEN kept.generation ELSE session_sessions.generation END, \
     ended_at = kept.ended_at, end_reason = kept.end_reason \
     FROM kept WHERE kept.handle = session_sessions.handle; DROP TABLE kept";

fn damage_of(number: usize) -> String {
    format!("{KEEP}; UPDATE session_sessions SET {}", COLUMNS[number].0)
}

const CAUSES: &[&str] = &[COLUMNS[0].1, COLUMNS[1].1, COLUMNS[2].1, COLUMNS[3].1];

struct File(rusqlite::Connection);

impl Place for File {
    const DAMAGES: &[&str] = CAUSES;

    async fn damage(&self, _: SessionHandle, damage: usize) {
        self.0.execute_batch(&damage_of(damage)).expect("a statement of SQLite");
    }

    async fn mend(&self, _: SessionHandle) {
        self.0.execute_batch(MEND).expect("a statement of SQLite");
    }
}

#[tokio::test]
async fn a_damaged_row_of_sqlite_is_never_taken_for_no_session() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("sessions.db");
    let store = SqliteStore::open(&path).await.expect("a database file");
    let place = File(rusqlite::Connection::open(&path).expect("the same file"));
    is_never_taken_for_no_session(store, place).await;
}

struct Schema(tokio_postgres::Client);

impl Place for Schema {
    const DAMAGES: &[&str] = CAUSES;

    async fn damage(&self, _: SessionHandle, damage: usize) {
        self.0.batch_execute(&damage_of(damage)).await.expect("a statement of PostgreSQL");
    }

    async fn mend(&self, _: SessionHandle) {
        self.0.batch_execute(MEND).await.expect("a statement of PostgreSQL");
    }
}

#[tokio::test]
async fn a_damaged_row_of_postgresql_is_never_taken_for_no_session() {
    let Some(server) = Postgres::shared() else { return };
    let url = server.url();
    let (client, connection) =
        tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("it is there");
    tokio::spawn(connection);
    client.batch_execute("CREATE SCHEMA damage; SET search_path = damage").await.expect("the superuser may");
    let store = PostgresStore::builder(&url).schema("damage").open().await.expect("it is there");
    is_never_taken_for_no_session(store, Schema(client)).await;
}

/// Keys, reached by `ask`; their names begin with what follows the first argument.
struct Keys<F>(F, &'static str);

impl<F: Fn(&[&str]) -> String> Keys<F> {
    /// Runs a script on the row's key and on one beside it, in the same slot.
    fn run(&self, handle: SessionHandle, script: &str) {
        // On a cluster, a row lies in one of 64 slots.
        let partition = handle.as_bytes()[15] % 64;
        let tag = if self.1.ends_with(':') {
            format!("{{{}{partition}}}", self.1)
        } else {
            format!("{{{}}}", self.1)
        };
        let (row, kept) = (format!("{tag}:row:{handle}"), format!("{tag}:kept"));
        let done = (self.0)(&["eval", script, "2", &row, &kept]);
        assert_eq!(done, "OK", "{script}");
    }
}

impl<F: Fn(&[&str]) -> String> Place for Keys<F> {
    const DAMAGES: &[&str] = &[
        "another version",
        "something else where the sessions should be",
        "something else where the sessions should be",
        "WRONGTYPE",
    ];

    async fn damage(&self, handle: SessionHandle, damage: usize) {
        let damage = [
            "redis.call('SET', KEYS[1], 'of another application')",
            "redis.call('SET', KEYS[1], string.sub(row, 1, -2))",
            "redis.call('SET', KEYS[1], string.sub(row, 1, 20))",
            "redis.call('DEL', KEYS[1]) redis.call('RPUSH', KEYS[1], 'of another application')",
        ][damage];
        let keep = "local row = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[2], row)";
        self.run(handle, &format!("{keep} {damage} return redis.status_reply('OK')"));
    }

    async fn mend(&self, handle: SessionHandle) {
        self.run(handle, "redis.call('RENAME', KEYS[2], KEYS[1]) return redis.status_reply('OK')");
    }
}

#[tokio::test]
async fn a_damaged_row_of_redis_is_never_taken_for_no_session() {
    let Some(redis) = Redis::shared() else { return };
    let store = RedisStore::builder(&redis.url()).key_prefix("damage").open().await.expect("it is there");
    is_never_taken_for_no_session(store, Keys(|command: &[&str]| redis.ask(command), "damage")).await;
}

#[tokio::test]
async fn a_damaged_row_of_a_redis_cluster_is_never_taken_for_no_session() {
    let Some(cluster) = RedisCluster::shared() else { return };
    let builder = RedisStore::cluster(cluster.urls()).key_prefix("damage");
    let store = builder.open().await.expect("it is there");
    is_never_taken_for_no_session(store, Keys(|command: &[&str]| cluster.ask(command), "damage:")).await;
}
