//! What servers and files can do for one statement of the same kind as a rotation: the fastest clients that there are for them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use session_runtime::store::Durability;
use tempfile::TempDir;
use tests::servers::{Postgres, Redis};

use crate::crowd::{Size, scatter};

/// One `UPDATE … RETURNING` of a row by its primary key, prepared, each in a transaction of its own: by `pgbench`.
pub(crate) struct Pgbench<'a> {
    server: &'a Postgres,
    script: PathBuf,
    _folder: TempDir,
    pace: Pace,
}

impl<'a> Pgbench<'a> {
    /// On a table like that of the store, as full, in the schema `schema`.
    pub(crate) fn new(server: &'a Postgres, schema: &str, size: Size) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let script = folder.path().join("update.sql");
        let update = format!(
            "\\set id random(1, {})\n\
             UPDATE {schema}.session_sessions SET generation = generation + 1, parent = generation, grandparent = parent, \
             rotated_at = rotated_at + 1, used_at = NULL, idle_expires_at = idle_expires_at + 1, \
             fingerprint = '\\x00112233445566778899aabbccddeeff' WHERE id = :id RETURNING *;\n",
            size.live
        );
        fs::write(&script, update).expect("the folder is ours");
        Self { server, script, _folder: folder, pace: Pace::default() }
    }

    /// How many a second.
    pub(crate) fn run(&mut self, clients: usize, moment: Duration) -> f64 {
        let mut pgbench = self.server.client("pgbench");
        pgbench.args(["-n", "-M", "prepared", "-c", &clients.to_string()]);
        pgbench.args(["-t", &(self.pace.requests(clients, moment) / clients).to_string(), "-f"]);
        let said = answer(pgbench.arg(&self.script).arg("postgres"));
        let told = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        self.pace.keep(told.unwrap_or_else(|| panic!("`pgbench` tells no figure:\n{said}")))
    }
}

/// A script that reads and writes one key with a value as long as a row: by `redis-benchmark`.
pub(crate) struct RedisBenchmark<'a> {
    server: &'a Redis,
    sha1: String,
    keys: usize,
    pace: Pace,
}

impl<'a> RedisBenchmark<'a> {
    pub(crate) fn new(server: &'a Redis, keys: usize, row_length: usize) -> Self {
        let client = redis::Client::open(server.url()).expect("a sound URL");
        let mut connection = client.get_connection().expect("the server is there");
        let row = vec![b'x'; row_length];
        for key in 0..keys {
            let key = format!("row:{key:012}");
            redis::cmd("SET").arg(key).arg(&row).exec(&mut connection).expect("the server has room");
        }
        let script = "local row = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], row) return row";
        let sha1 =
            redis::cmd("SCRIPT").arg("LOAD").arg(script).query(&mut connection).expect("a sound script");
        Self { server, sha1, keys, pace: Pace::default() }
    }

    /// How many a second.
    pub(crate) fn run(&mut self, clients: usize, moment: Duration) -> f64 {
        let requests = self.pace.requests(clients, moment);
        let mut benchmark = Command::new("redis-benchmark");
        benchmark.args(["-h", "127.0.0.1", "-a", Redis::PASSWORD, "--csv", "-P", "1"]);
        benchmark.args(["-p", &self.server.server().port().to_string(), "-c", &clients.to_string()]);
        benchmark.args(["-n", &requests.to_string(), "-r", &self.keys.to_string()]);
        benchmark.args(["EVALSHA", &self.sha1, "1", "row:__rand_int__"]);
        let said = answer(&mut benchmark);
        let told = said.lines().last().and_then(|line| line.split("\",\"").nth(1)?.parse().ok());
        self.pace.keep(told.unwrap_or_else(|| panic!("`redis-benchmark` tells no figure:\n{said}")))
    }
}

/// One `UPDATE` of a row by its primary key, prepared, each committed by itself, on one connection.
pub(crate) struct SqliteLoop {
    connection: Connection,
    rows: u64,
    done: u64,
}

impl SqliteLoop {
    /// On a file that a store has made and that was filled.
    pub(crate) fn new(path: &Path, durability: Durability, size: Size) -> Self {
        let connection = Connection::open(path).expect("the file is there");
        connection
            .pragma_update(None, "synchronous", format!("{durability:?}"))
            .expect("a setting of SQLite's");
        Self { connection, rows: size.live as u64, done: 0 }
    }

    /// How many a second.
    pub(crate) fn run(&mut self, moment: Duration) -> f64 {
        let update = "UPDATE session_sessions SET generation = generation + 1, parent = generation, grandparent = parent, \
             rotated_at = ?1, used_at = NULL, idle_expires_at = ?1, fingerprint = ?2 WHERE id = ?3";
        let mut statement = self.connection.prepare(update).expect("a sound statement");
        let (started, before) = (Instant::now(), self.done);
        while started.elapsed() < moment {
            let id = scatter(self.done) % self.rows + 1;
            statement.execute((1_700_000_000_000_i64, [1_u8; 16], id as i64)).expect("the disk has room");
            self.done += 1;
        }
        (self.done - before) as f64 / started.elapsed().as_secs_f64()
    }
}

/// How fast it went last, for programs that are told how many requests to send, and not for how long.
#[derive(Default)]
struct Pace {
    a_second: Option<f64>,
}

impl Pace {
    /// How many to send to be busy for a moment, at least ten a client.
    fn requests(&self, clients: usize, moment: Duration) -> usize {
        let requests = self.a_second.unwrap_or(5_000.0) * moment.as_secs_f64();
        (requests as usize).max(10 * clients)
    }

    fn keep(&mut self, a_second: f64) -> f64 {
        *self.a_second.insert(a_second)
    }
}

/// What a command prints.
fn answer(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}:\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}
