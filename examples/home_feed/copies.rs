//! Several copies of the example on one store.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tests::servers::{Postgres, Redis, RedisCluster};

use crate::{Server, curl_is_there, home_feed};

/// Of these tests alone.
const KEYS: &str = "q0Tz1fVdM7mJY8bYkRk3s5c2l9oQ0sUe4u1Xw7hZp6A=";

/// What the passwords of the servers begin with.
const SECRET: &str = "s3cret";

/// How long a copy may take to hear of an end, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn copies_on_one_sqlite_file_are_one_application() {
    let folder = TempDir::new().unwrap();
    are_one_application(&format!("sqlite:{}", folder.path().join("sessions.db").display()));
}

#[test]
fn copies_on_one_postgresql_database_are_one_application() {
    let Some(server) = Postgres::shared() else { return };
    are_one_application(&server.url());
}

#[test]
fn copies_on_one_redis_server_are_one_application() {
    let Some(server) = Redis::shared() else { return };
    are_one_application(&server.url());
}

#[test]
fn copies_on_one_redis_cluster_are_one_application() {
    let Some(cluster) = RedisCluster::shared() else { return };
    are_one_application(&cluster.url());
}

/// Logs in at one copy, calls the other, revokes at one, is refused at the other, and finds the session again after a restart.
fn are_one_application(store: &str) {
    if !curl_is_there() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let start = |name: &str| {
        let log = File::create(folder.path().join(name)).unwrap();
        let mut copy = home_feed();
        copy.args(["--store", store, "--access-lifetime", "1h"]).env("SESSION_KEYS", KEYS);
        Server::start(copy.env("RUST_LOG", "trace").stderr(log))
    };
    let (one, other) = (start("one.log"), start("other.log"));
    let (laptop, phone) = (Browser::new(folder.path(), "laptop"), Browser::new(folder.path(), "phone"));
    for browser in [&laptop, &phone] {
        browser.log_in(&one).assert(200, r#""user":"alice""#);
        browser.call(&other).assert(200, r#""feed":["#);
    }

    laptop.post(&one, "/sessions/revoke-others").assert(200, r#"{"revoked":1}"#);
    let deadline = Instant::now() + PATIENCE;
    while phone.call(&other).status == 200 {
        assert!(Instant::now() < deadline, "the other copy never hears of the end");
    }
    phone.call(&other).assert(401, "unauthorised");
    laptop.call(&other).assert(200, r#""feed":["#);

    drop((one, other));
    let again = start("again.log");
    laptop.call(&again).assert(200, r#""feed":["#);
    laptop.post(&again, "/refresh").assert(200, r#"{"user":"alice"}"#);
    phone.call(&again).assert(401, "unauthorised");

    for log in ["one.log", "other.log", "again.log"] {
        let log = fs::read_to_string(folder.path().join(log)).unwrap();
        assert!(!log.contains(SECRET), "{log}");
    }
}

#[test]
fn a_store_that_outlives_the_process_needs_keys_and_says_how_to_make_them() {
    let folder = TempDir::new().unwrap();
    let store = format!("sqlite:{}", folder.path().join("sessions.db").display());
    let error = refusal_of(&store);
    assert!(error.contains("`SESSION_KEYS`") && error.contains("`openssl rand -base64 32`"), "{error}");
}

#[test]
fn a_place_that_cannot_be_opened_is_not_repeated() {
    let unusable = [
        "mysql://app:s3cret@127.0.0.1/app",
        "s3cret",
        "postgres://app:s3cret@127.0.0.1:1/app",
        "postgres://app:s3cret@127.0.0.1:port/app",
        "postgres://app:s3cret@127.0.0.1/app?sslmode=s3cret",
        "redis://app:s3cret@127.0.0.1:1",
        "redis://app:s3cret@127.0.0.1:port",
        "redis://app:s3cret@127.0.0.1/s3cret",
        "redis-cluster://app:s3cret@127.0.0.1:1,127.0.0.1:2",
        "redis-cluster://app:s3cret@127.0.0.1:port,127.0.0.1:2",
    ];
    for place in unusable {
        let error = refusal_of(place);
        assert!(!error.is_empty() && !error.contains(SECRET), "{place}: {error}");
    }
}

/// What the example says when it does not start on a store.
fn refusal_of(store: &str) -> String {
    let output = home_feed().args(["--store", store]).env("RUST_LOG", "trace").output().unwrap();
    assert!(!output.status.success(), "{store}");
    assert!(output.stdout.is_empty(), "{store}: nothing is served");
    String::from_utf8(output.stderr).unwrap()
}

/// A client with a cookie jar. Cookies know no ports, so every copy is sent the same ones.
struct Browser {
    jar: PathBuf,
}

struct Answer {
    status: u16,
    body: String,
}

impl Browser {
    fn new(folder: &Path, name: &str) -> Self {
        Self { jar: folder.join(name) }
    }

    fn log_in(&self, copy: &Server) -> Answer {
        let form = r#"{"user":"alice","password":"demo"}"#;
        self.curl(copy, "/login", &["-H", "content-type: application/json", "-d", form])
    }

    fn call(&self, copy: &Server) -> Answer {
        self.curl(copy, "/getHomeFeed", &[])
    }

    fn post(&self, copy: &Server, path: &str) -> Answer {
        self.curl(copy, path, &["-X", "POST", "-H", "rid: session"])
    }

    fn curl(&self, copy: &Server, path: &str, arguments: &[&str]) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-w", "\n%{http_code}"]).arg("-b").arg(&self.jar).arg("-c").arg(&self.jar);
        let output = curl.args(arguments).arg(format!("{}{path}", copy.base)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer = String::from_utf8(output.stdout).unwrap();
        let (body, status) = answer.rsplit_once('\n').unwrap();
        Answer { status: status.parse().unwrap(), body: body.to_owned() }
    }
}

impl Answer {
    #[track_caller]
    fn assert(&self, status: u16, part: &str) {
        assert!(self.status == status && self.body.contains(part), "{}: {}", self.status, self.body);
    }
}
