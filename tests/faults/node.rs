//! A node: a process that serves an application with sessions, as its environment says.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::{Command, ExitCode},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::Json;
use serde::Deserialize;
use serde_json::{Value, json};
use session_runtime::{
    Clock, EventKind, Events, Login, PostgresStore, RedisStore, Routes, Session, SessionStore, Sessions,
    SessionsBuilder, SqliteStore, Timestamp, WhenBehind, login_endpoint, logout_endpoint, protected, public,
    refresh_endpoint, routes,
};
use tempfile::TempDir;
use tests::servers::{Launch, Server};
use tokio::{net::TcpListener, runtime::Handle};
use tracing_subscriber::filter::LevelFilter;

use crate::severed::Severed;

/// What the process is to be, if it is not the test.
const ROLE: &str = "FAULTS_ROLE";

/// What a node logs when a client knows of a rotation that the store has lost.
pub(crate) const ROLLED_FORWARD: &str = "a session was rolled forward";

static ROUTES: Routes<Sessions> = routes![login, refresh, logout, me, checked, clock, tasks];

#[derive(Deserialize)]
struct Credentials {
    user: String,
}

#[login_endpoint(POST "/login")]
async fn login(mut login: Login, Json(form): Json<Credentials>) -> Json<Value> {
    login.create(&form.user);
    Json(json!({ "user": form.user }))
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(session: Session) -> Json<Value> {
    Json(json!({ "user": session.user_id() }))
}

#[logout_endpoint(POST "/logout")]
async fn logout(_: Session) {}

#[protected(GET "/me")]
async fn me(session: Session) -> Json<Value> {
    Json(json!({ "user": session.user_id() }))
}

#[protected(GET "/checked", check = store)]
async fn checked(session: Session) -> Json<Value> {
    Json(json!({ "user": session.user_id() }))
}

/// What this node's own clock shows, in milliseconds.
#[public(GET "/clock")]
async fn clock() -> String {
    Clock::system().now().as_millis().to_string()
}

/// How many tasks this node has.
#[public(GET "/tasks")]
async fn tasks() -> String {
    Handle::current().metrics().num_alive_tasks().to_string()
}

/// How a node is set up.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `sqlite:PATH`, `postgres://…`, `redis://…` or `redis-cluster://HOST:PORT,…`.
    pub(crate) store: String,
    pub(crate) keys: String,
    pub(crate) grace: Duration,
    /// In whole seconds.
    pub(crate) access_lifetime: Duration,
    /// How long the store may take. Its own time-outs are a bit shorter. Well below the grace: who waits for a 503 sends again what
    /// was under way for as long.
    pub(crate) store_timeout: Duration,
    pub(crate) feed_bound: Duration,
    pub(crate) fail_closed: bool,
    /// The feed is cut while there is such a file.
    pub(crate) feed_switch: Option<PathBuf>,
    /// Further variables for the process, such as `LD_PRELOAD`.
    pub(crate) environment: Vec<(String, String)>,
}

impl Settings {
    /// For nodes on a store, with a grace and lifetimes that have clients rotate within seconds.
    pub(crate) fn on(store: &str) -> Self {
        Self {
            store: store.to_owned(),
            keys: "pZ0hYw7Q1mXrC4t9uVbK2sEo8LdN5fGjRiAyTz3HxMk=".to_owned(),
            grace: Duration::from_secs(1),
            access_lifetime: Duration::from_secs(2),
            store_timeout: Duration::from_millis(500),
            feed_bound: Duration::from_secs(2),
            fail_closed: false,
            feed_switch: None,
            environment: Vec::new(),
        }
    }

    /// The environment of a node with these settings.
    fn variables(&self, port: u16) -> Vec<(String, String)> {
        let mut variables = vec![
            (ROLE.to_owned(), "node".to_owned()),
            ("NODE_PORT".to_owned(), port.to_string()),
            ("NODE_STORE".to_owned(), self.store.clone()),
            ("SESSION_KEYS".to_owned(), self.keys.clone()),
            ("NODE_GRACE_MS".to_owned(), self.grace.as_millis().to_string()),
            ("NODE_ACCESS_LIFETIME_MS".to_owned(), self.access_lifetime.as_millis().to_string()),
            ("NODE_STORE_TIMEOUT_MS".to_owned(), self.store_timeout.as_millis().to_string()),
            ("NODE_FEED_BOUND_MS".to_owned(), self.feed_bound.as_millis().to_string()),
            ("NODE_FAIL_CLOSED".to_owned(), self.fail_closed.to_string()),
        ];
        let switch = self.feed_switch.iter().map(|file| file.display().to_string());
        variables.extend(switch.map(|file| ("NODE_FEED_SWITCH".to_owned(), file)));
        variables.extend(self.environment.iter().cloned());
        variables
    }
}

/// A running node.
pub(crate) struct Node {
    server: Server,
    settings: Arc<Mutex<Settings>>,
}

impl Node {
    /// Starts a node, and waits until it serves.
    pub(crate) fn start(settings: &Settings) -> Self {
        let settings = Arc::new(Mutex::new(settings.clone()));
        let current = Arc::clone(&settings);
        let server = Server::start(TempDir::new().expect("a temporary folder"), move |_, port| {
            let settings = current.lock().unwrap_or_else(PoisonError::into_inner);
            // Through `env`, which gives way to the node, so that a library to preload is not the shell's too.
            let mut server = Command::new("env");
            server.args(settings.variables(port).iter().map(|(name, value)| format!("{name}={value}")));
            server.arg(this_program());
            let mut probe = Command::new(this_program());
            probe.env(ROLE, "probe").env("NODE_PORT", port.to_string());
            Launch { server, probe, stop: "KILL" }
        });
        Self { server, settings }
    }

    /// Where it serves, after a restart too.
    pub(crate) fn url(&self) -> String {
        url(self.server.port())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again, after a `kill -9` if it runs, and waits until it serves.
    pub(crate) fn restart(&mut self) {
        self.server.restart();
    }

    /// Starts it again with other settings.
    pub(crate) fn restart_with(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings.lock().unwrap_or_else(PoisonError::into_inner));
        self.restart();
    }

    /// How many tasks it has, those of connections with clients apart.
    pub(crate) fn tasks(&self) -> usize {
        let tasks = ask(&self.url(), "/tasks").expect("the node serves");
        usize::try_from(tasks).expect("they fit in memory").saturating_sub(self.connections())
    }

    /// How many clients are connected to it.
    fn connections(&self) -> usize {
        const ESTABLISHED: &str = "01";
        let here = format!(":{:04X}", self.server.port());
        let sockets = fs::read_to_string("/proc/net/tcp").expect("the system tells of its sockets");
        let is_one = |socket: &&str| {
            let mut columns = socket.split_whitespace().skip(1);
            columns.next().is_some_and(|local| local.ends_with(&here)) && columns.nth(1) == Some(ESTABLISHED)
        };
        sockets.lines().filter(is_one).count()
    }

    /// What its own clock shows.
    pub(crate) fn clock(&self) -> Timestamp {
        let shown = ask(&self.url(), "/clock").expect("it runs");
        Timestamp::from_millis(shown)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }
}

fn this_program() -> PathBuf {
    env::current_exe().expect("this test has a file")
}

/// What this process was started for, if not for the tests.
pub(crate) fn play_role() -> Option<ExitCode> {
    let result = match env::var(ROLE).ok()?.as_str() {
        "node" => serve(),
        "probe" => probe(),
        role => Err(format!("there is no role {role}").into()),
    };
    Some(result.map_or_else(
        |error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    ))
}

#[tokio::main(worker_threads = 2)]
async fn serve() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_ansi(false)
        .with_writer(io::stderr)
        .init();
    let store_timeout = milliseconds("NODE_STORE_TIMEOUT_MS")?;
    let when_behind =
        if variable("NODE_FAIL_CLOSED")? == "true" { WhenBehind::FailClosed } else { WhenBehind::FailOpen };
    let sessions = open(&variable("NODE_STORE")?, store_timeout.mul_f64(0.8))
        .await?
        .routes(&ROUTES)
        .grace(milliseconds("NODE_GRACE_MS")?)
        .access_lifetime(milliseconds("NODE_ACCESS_LIFETIME_MS")?)
        .store_timeout(store_timeout)
        .when_feed_is_behind(milliseconds("NODE_FEED_BOUND_MS")?, when_behind)
        .dangerous_insecure_cookies()
        .build()
        .await?;
    tokio::spawn(tell_roll_forwards(sessions.events()));
    // Only now, or requests would wait here for as long as the store does.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port()?)).await?;
    axum::serve(listener, ROUTES.router(sessions)).await?;
    Ok(())
}

async fn tell_roll_forwards(mut events: Events) {
    while let Some(event) = events.next().await {
        if event.kind == (EventKind::Refreshed { rule: 2 }) {
            eprintln!("{ROLLED_FORWARD}");
        }
    }
}

async fn open(store: &str, patience: Duration) -> Result<SessionsBuilder, Box<dyn Error>> {
    Ok(match store.split_once(':').ok_or("the store has no scheme")? {
        ("sqlite", path) => sessions_on(SqliteStore::builder(path).busy_timeout(patience).open().await?),
        ("redis-cluster", nodes) => {
            let nodes = nodes.trim_start_matches('/').split(',');
            let store = RedisStore::cluster(nodes.map(|node| format!("redis://{node}")));
            sessions_on(store.response_timeout(patience).connect_timeout(patience).open().await?)
        }
        ("redis", _) => {
            let store = RedisStore::builder(store).response_timeout(patience).connect_timeout(patience);
            sessions_on(store.open().await?)
        }
        ("postgres", _) => {
            // A server needs more time for a connection than for all else, and these nodes share two cores with it.
            let store = PostgresStore::builder(store).max_connections(6);
            sessions_on(store.timeout(patience).open().await?)
        }
        (scheme, _) => return Err(format!("there is no store {scheme}").into()),
    })
}

fn sessions_on<S: SessionStore>(store: S) -> SessionsBuilder {
    match env::var_os("NODE_FEED_SWITCH") {
        Some(file) => Sessions::builder(Severed { inner: store, while_there_is: file.into() }),
        None => Sessions::builder(store),
    }
}

/// Succeeds if the node serves.
fn probe() -> Result<(), Box<dyn Error>> {
    ask(&url(port()?), "/clock")?;
    Ok(())
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// The number that a node tells at a path.
fn ask(node: &str, path: &str) -> Result<u64, Box<dyn Error>> {
    let answer = send(node, &format!("GET {path} HTTP/1.1\r\n"), "")?;
    let number = answer.rsplit("\r\n").next().unwrap_or_default();
    number.parse().map_err(|_| format!("no number: {answer}").into())
}

/// What a node answers to a request whose head ends before the usual headers.
pub(crate) fn send(node: &str, head: &str, body: &str) -> io::Result<String> {
    let host = node.trim_start_matches("http://");
    let mut connection = TcpStream::connect(host)?;
    connection.set_read_timeout(Some(Duration::from_secs(20)))?;
    let length = body.len();
    let rest = format!("host: {host}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    connection.write_all(format!("{head}{rest}").as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn milliseconds(name: &str) -> Result<Duration, String> {
    let milliseconds = variable(name)?.parse().map_err(|error| format!("{name}: {error}"))?;
    Ok(Duration::from_millis(milliseconds))
}

fn port() -> Result<u16, String> {
    variable("NODE_PORT")?.parse().map_err(|error| format!("NODE_PORT: {error}"))
}
