//! One refresh token, presented a thousand times at once by three processes: one rotation, and one successor for all.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Method, Request, header::AUTHORIZATION, header::USER_AGENT},
};
use futures_util::future::join_all;
use session_runtime::{
    NewSession, Sessions, SessionsBuilder,
    store::{PostgresStore, RedisStore, SqliteStore},
};
use tempfile::TempDir;
use tests::servers::{Postgres, Redis, RedisCluster};
use tower::ServiceExt as _;

use crate::application::{KEYS, ROUTES};

const STORE: &str = "STORE_OF_THE_PRESENTATIONS";
const TOKEN: &str = "TOKEN_OF_THE_PRESENTATIONS";

const PROCESSES: usize = 3;
const EACH: usize = 334;

/// Longer than the test takes, on a machine that is busy with others.
const GRACE: Duration = Duration::from_secs(100);

/// With it, a new session's token counts as twice that old.
const LONGEST_GRACE: Duration = Duration::from_secs(300);

/// The store at a place: a path, the URL of a server, or several URLs of a cluster.
async fn open(place: &str) -> SessionsBuilder {
    // A thousand operations at once take their time.
    let patience = Duration::from_secs(60);
    let builder = match place.split_once(':') {
        Some(("postgres", _)) => {
            let store =
                PostgresStore::builder(place).schema("presentations").max_connections(6).timeout(patience);
            Sessions::builder(store.open().await.expect("the server is there"))
        }
        Some(("redis", _)) => {
            let urls: Vec<_> = place.split(',').collect();
            let store = match urls[..] {
                [url] => RedisStore::builder(url),
                _ => RedisStore::cluster(urls),
            };
            let store = store.key_prefix("presentations").response_timeout(patience);
            Sessions::builder(store.open().await.expect("the server is there"))
        }
        _ => Sessions::builder(SqliteStore::open(place).await.expect("a database file")),
    };
    builder.keys(KEYS).routes(&ROUTES).store_timeout(patience)
}

async fn have_one_successor(place: &str) {
    // In the eyes of a shorter grace it was made so long ago that its token is due.
    let sessions = open(place).await.grace(LONGEST_GRACE).build().await.expect("the settings work");
    let tokens = sessions.create(&NewSession::new("alice")).await.expect("the store answers");
    let token = tokens.refresh().expect("it was made").expose();
    let mut presenters: Vec<_> = (0..PROCESSES).map(|_| Presenter::start(place, token)).collect();
    presenters.iter_mut().for_each(Presenter::wait_until_ready);
    presenters.iter_mut().for_each(Presenter::go);
    let answers: Vec<_> = presenters.into_iter().flat_map(Presenter::answers).collect();
    assert_eq!(answers.len(), PROCESSES * EACH);
    let distinct: BTreeSet<_> = answers.into_iter().collect();
    let [answer] = &Vec::from_iter(distinct)[..] else { panic!("not one answer for all") };
    let successor = answer.strip_prefix("200 ").expect("no presentation is refused");
    assert!(!successor.is_empty() && successor != token, "it was rotated");
    // Its own refresh keeps it: it is the current one.
    let kept = open(place).await.grace(GRACE).build().await.expect("they work").refresh(successor).await;
    assert!(kept.expect("it is good").refresh().is_none());
}

/// A process that presents the token.
struct Presenter {
    process: Child,
    output: Box<dyn Iterator<Item = String>>,
}

impl Presenter {
    fn start(place: &str, token: &str) -> Self {
        let mut process = Command::new(env::current_exe().expect("this test has a file"))
            .args(["--exact", "presentations::presenter", "--ignored", "--nocapture"])
            .envs([(STORE, place), (TOKEN, token)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test can be started again");
        let output = BufReader::new(process.stdout.take().expect("its output is piped"));
        Self { process, output: Box::new(output.lines().map_while(Result::ok)) }
    }

    fn wait_until_ready(&mut self) {
        assert!(self.output.any(|line| line.ends_with("ready")), "it ended before it was ready");
    }

    fn go(&mut self) {
        let mut input = self.process.stdin.take().expect("its input is piped");
        input.write_all(b"go\n").expect("it reads");
    }

    fn answers(mut self) -> Vec<String> {
        let answers = self.output.by_ref().filter_map(|line| line.strip_prefix("answer ").map(str::to_owned));
        let answers = answers.collect();
        assert!(self.process.wait().expect("it was started").success());
        answers
    }
}

impl Drop for Presenter {
    fn drop(&mut self) {
        // It has ended by itself, unless the test failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Run by the tests as processes of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process that the tests start"]
async fn presenter() {
    let (Ok(place), Ok(token)) = (env::var(STORE), env::var(TOKEN)) else { return };
    let sessions = open(&place).await.grace(GRACE).build().await.expect("the settings work");
    let app = ROUTES.router(sessions);
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).expect("the test says when");
    // Clients of different appearance share no call of the store.
    let present = |tab: usize| {
        let request = Request::builder().method(Method::POST).uri("/refresh");
        let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        let request = request.header(USER_AGENT, format!("Tab/{tab}")).body(Body::empty());
        let app = app.clone();
        tokio::spawn(async move { app.oneshot(request.expect("a request")).await })
    };
    for answer in join_all((0..EACH).map(present)).await {
        let Ok(Ok(answer)) = answer else { panic!("{answer:?}") };
        let successor = answer.headers().get("st-refresh-token").map(|token| token.to_str().expect("text"));
        println!("answer {} {}", answer.status().as_u16(), successor.unwrap_or_default());
    }
}

#[tokio::test]
async fn a_thousand_presentations_by_three_processes_on_one_sqlite_file_have_one_successor() {
    let folder = TempDir::new().expect("a temporary folder");
    have_one_successor(folder.path().join("sessions.db").to_str().expect("a path in UTF-8")).await;
}

#[tokio::test]
async fn a_thousand_presentations_by_three_processes_on_one_postgresql_server_have_one_successor() {
    let Some(server) = Postgres::shared() else { return };
    have_one_successor(&server.url()).await;
}

#[tokio::test]
async fn a_thousand_presentations_by_three_processes_on_one_redis_server_have_one_successor() {
    let Some(server) = Redis::shared() else { return };
    have_one_successor(&server.url()).await;
}

#[tokio::test]
async fn a_thousand_presentations_by_three_processes_on_one_redis_cluster_have_one_successor() {
    let Some(cluster) = RedisCluster::shared() else { return };
    have_one_successor(&cluster.urls().join(",")).await;
}
