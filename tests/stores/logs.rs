//! What is logged at `TRACE` of sessions in a store, by the store and by the client library beneath it, holds no secret.

use std::time::Duration;

use session_runtime::{
    Clock, SessionStore, Sessions,
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

/// What the application keeps of a session. It is nobody's business either.
const DATA: &str = "what-only-the-application-knows";

/// Sessions that live through everything, and what of them is secret.
struct Flows<S> {
    store: S,
    site: TestSite,
    secrets: Secrets,
}

impl<S: SessionStore + Clone> Flows<S> {
    async fn begin(store: S, password: &str) -> Self {
        let builder = Sessions::builder(store.clone()).keys(KEYS).grace(Duration::ZERO).routes(&ROUTES);
        let sessions = builder.build().await.expect("the settings work");
        let site = TestSite::new(ROUTES.router(sessions.clone()), &sessions, &Clock::system());
        let mut secrets = Secrets::default();
        secrets.texts.extend([KEYS, password, DATA].map(str::to_owned));
        Self { store, site, secrets }
    }

    async fn log_in(&mut self) -> TestClient {
        let client = self.site.login_as("alice").await;
        self.note(&client).await;
        client
    }

    /// Notes down what must not show of a client.
    async fn note(&mut self, client: &TestClient) {
        let tokens =
            [client.access_token(), client.refresh_token()].map(|token| token.expect("it is logged in"));
        self.secrets.add_tokens(&tokens[0], &tokens[1]);
        let row = self.store.read(client.handle()).await.expect("the store answers");
        self.secrets.bytes.insert(row.expect("it was made").salt.0.to_vec());
    }

    /// Everything that can happen to a session while the store is there.
    async fn run(&mut self) {
        let sessions = self.site.sessions().clone();
        let (client, other) = (self.log_in().await, self.log_in().await);
        let thief = client.steal_refresh();
        sessions.set_data(client.handle(), &DATA).await.expect("the store answers");
        for _ in 0..2 {
            sleep(Duration::from_millis(3)).await;
            client.refresh().await.assert_ok();
            client.get("/me").await.assert_ok();
            self.note(&client).await;
        }
        sessions.list("alice").await.expect("the store answers");
        thief.refresh().await.assert_refused("token_theft");
        client.refresh().await.assert_refused("unauthorised");
        other.post("/logout").await.assert_ok();
        let last = self.log_in().await;
        sessions.revoke_all("alice").await.expect("the store answers");
        last.refresh().await.assert_refused("unauthorised");
    }

    #[track_caller]
    fn assert_hidden_in(&self, text: &str) {
        assert!(text.contains("token_theft") || text.contains("theft"), "the flows were logged");
        assert_eq!(self.secrets.first_in(text), None);
    }
}

#[tokio::test]
async fn nothing_secret_is_logged_of_sessions_in_sqlite() {
    let log = Log::of_this_thread();
    let folder = TempDir::new().expect("a temporary folder");
    let store = SqliteStore::open(folder.path().join("sessions.db")).await.expect("a database file");
    let mut flows = Flows::begin(store, "there-is-no-password").await;
    flows.run().await;
    flows.assert_hidden_in(&log.text());
}

#[tokio::test]
async fn nothing_secret_is_logged_of_sessions_in_postgresql() {
    let Some(server) = Postgres::shared() else { return };
    let log = Log::of_this_thread();
    let url = server.url();
    let store = PostgresStore::builder(url).schema("logs").open().await.expect("the server is there");
    let mut flows = Flows::begin(store, Postgres::PASSWORD).await;
    flows.run().await;
    let text = log.text();
    assert!(text.contains("executing statement"), "the client library was heard");
    flows.assert_hidden_in(&text);
}

#[tokio::test]
async fn nothing_secret_is_logged_of_sessions_in_redis() {
    let Some(mut server) = Redis::start() else { return };
    let log = Log::of_this_thread();
    let store = RedisStore::open(&server.url()).await.expect("the server is there");
    let mut flows = Flows::begin(store, Redis::PASSWORD).await;
    flows.run().await;
    let client = flows.log_in().await;
    server.server_mut().kill();
    client.refresh().await.assert_refused("store_unavailable");
    flows.assert_hidden_in(&log.text());
}

#[tokio::test]
async fn nothing_secret_is_logged_of_sessions_in_a_redis_cluster() {
    let Some(cluster) = RedisCluster::shared() else { return };
    let log = Log::of_this_thread();
    let builder = RedisStore::cluster(cluster.urls()).key_prefix("logs");
    let mut flows = Flows::begin(builder.open().await.expect("the cluster is there"), Redis::PASSWORD).await;
    flows.run().await;
    let urls = cluster.urls();
    let wrong = urls.iter().map(|url| url.replace(Redis::PASSWORD, "wr0ng-passw0rd"));
    flows.secrets.texts.insert("wr0ng-passw0rd".to_owned());
    let refused = RedisStore::cluster(wrong).open().await.expect_err("it is wrong");
    let text = log.text();
    assert!(text.contains("redis::"), "the client library was heard");
    flows.assert_hidden_in(&format!("{text} {refused} {refused:?}"));
}
