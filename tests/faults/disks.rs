//! A store that can't write.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rusqlite::Connection;
use tempfile::TempDir;
use tests::{
    load::Plan,
    servers::{Postgres, run, where_allowed},
};

use crate::{
    bench::Bench,
    outages::endure,
    scene::{Outcome, Scene},
};

/// How long it can't, at least, and how long it takes at most until that is felt: what is left of the last page of a file can still
/// be written.
const WHILE: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(5));

/// How many refreshes are refused before it can write again.
const REFUSED: usize = 3;

pub(crate) fn sqlite_full(bench: &mut Bench) -> Option<Outcome> {
    let disk = bench.disk()?;
    let file = disk.path().join("full.db");
    let outcome = endure(&place_of(&file), Plan::default(), |scene| {
        disk.fill();
        suffer(scene);
        disk.empty();
    });
    assert_whole(&file);
    Some(outcome.felt())
}

fn suffer(scene: &Scene) {
    scene.work_until(REFUSED, |counts| counts.unavailable, WHILE);
}

/// A server whose log can't go on ends itself, and stays away while the disk is full. Else a row is written in the place of the one
/// before, and there need be more space only when somebody may still want to see that, which takes a while.
pub(crate) fn postgres_full(bench: &mut Bench) -> Option<Outcome> {
    bench.disk()?;
    let place = bench.place()?;
    let (server, disk) = bench.postgres_and_disk()?;
    let mut struck = 0;
    let outcome = endure(&place, Plan::default(), |scene| {
        let reader = Reader::start(server);
        disk.fill();
        if struck % 2 == 0 {
            reader.end_log();
        }
        suffer(scene);
        disk.empty();
        drop(reader);
        server.server_mut().await_return();
        struck += 1;
    });
    Some(outcome.felt())
}

/// Somebody who goes on seeing the rows as they were.
struct Reader(Child);

impl Reader {
    fn start(server: &Postgres) -> Self {
        let mut psql = server.psql();
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut psql = psql.spawn().expect("`psql` runs");
        let mut input = psql.stdin.as_ref().expect("stdin is piped");
        let begin =
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM session_sessions;\n\\o /dev/null\n";
        input.write_all(begin.as_bytes()).expect("`psql` reads");
        let mut answer = BufReader::new(psql.stdout.take().expect("stdout is piped"));
        answer.read_line(&mut String::new()).expect("`psql` answers");
        Self(psql)
    }

    /// Has the server begin a new file of its log.
    fn end_log(&self) {
        let mut input = self.0.stdin.as_ref().expect("stdin is piped");
        for _ in 0..20 {
            let end = b"SELECT pg_switch_wal(); SELECT pg_logical_emit_message(false, '', 'more');\n";
            // The server may have ended by then.
            let _ = input.write_all(end);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended with the server.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn redis_full(bench: &mut Bench) -> Option<Outcome> {
    bench.disk()?;
    let place = bench.place()?;
    let (server, disk) = bench.redis_and_disk()?;
    let outcome = endure(&place, Plan::default(), |scene| {
        disk.fill();
        server.ask(&["set", "filler", &filler()]);
        suffer(scene);
        disk.empty();
    });
    Some(outcome.felt())
}

/// A server that can't write down how the cluster changes ends itself.
pub(crate) fn cluster_full(bench: &mut Bench) -> Option<Outcome> {
    bench.disk()?;
    let place = bench.place()?;
    let (cluster, disk) = bench.cluster_and_disk()?;
    let outcome = endure(&place, Plan::default(), |scene| {
        disk.fill();
        // Enough of them, so that each primary has one.
        (0..20).for_each(|number| drop(cluster.ask(&["set", &format!("filler-{number}"), &filler()])));
        suffer(scene);
        disk.empty();
        cluster.nodes_mut().iter_mut().for_each(|node| node.server_mut().await_return());
        cluster.wait_until_whole();
    });
    Some(outcome.felt())
}

/// What takes the rest of a file's last page.
fn filler() -> String {
    "x".repeat(1 << 13)
}

/// The log of the database, which each write goes to first, can't be changed.
pub(crate) fn sqlite_read_only(_: &mut Bench) -> Option<Outcome> {
    // Not on the small disk, whose system can't.
    let folder = TempDir::new().expect("a temporary folder");
    let works = Protected::works_in(folder.path()).then_some(());
    where_allowed(works, "file system that can protect a file from its user")?;
    let file = folder.path().join("protected.db");
    let log = PathBuf::from(format!("{}-wal", file.display()));
    let outcome = endure(&place_of(&file), Plan::default(), |scene| {
        let protected = [Protected::new(&file), Protected::new(&log)];
        suffer(scene);
        drop(protected);
    });
    assert_whole(&file);
    Some(outcome.felt())
}

/// A file that not even those can write who have it open.
struct Protected(PathBuf);

impl Protected {
    fn new(file: &Path) -> Self {
        run(Command::new("chattr").arg("+i").arg(file));
        Self(file.to_owned())
    }

    fn works_in(folder: &Path) -> bool {
        let file = folder.join("protected");
        let mut open = fs::File::create(&file).expect("the folder is ours");
        let set = Command::new("chattr").arg("+i").arg(&file).stderr(Stdio::null()).status();
        set.is_ok_and(|status| status.success()) && {
            let _protected = Self(file);
            open.write_all(b"?").is_err()
        }
    }
}

impl Drop for Protected {
    fn drop(&mut self) {
        run(Command::new("chattr").arg("-i").arg(&self.0));
    }
}

pub(crate) fn postgres_read_only(bench: &mut Bench) -> Option<Outcome> {
    let place = bench.place()?;
    let server = bench.postgres()?;
    let set = |change| {
        server.ask(&format!("ALTER SYSTEM {change}"));
        server.ask("SELECT pg_reload_conf()");
    };
    let outcome = endure(&place, Plan::default(), |scene| {
        set("SET default_transaction_read_only = on");
        suffer(scene);
        set("RESET default_transaction_read_only");
    });
    Some(outcome.felt())
}

/// A primary that must not write without replicas, and has none.
pub(crate) fn redis_read_only(bench: &mut Bench) -> Option<Outcome> {
    let place = bench.place()?;
    let server = bench.redis()?;
    let need_replicas = |count| server.ask(&["config", "set", "min-replicas-to-write", count]);
    let outcome = endure(&place, Plan::default(), |scene| {
        need_replicas("1");
        suffer(scene);
        need_replicas("0");
    });
    Some(outcome.felt())
}

/// Primaries that must not write without more replicas than they have.
pub(crate) fn cluster_read_only(bench: &mut Bench) -> Option<Outcome> {
    let place = bench.place()?;
    let cluster = bench.cluster()?;
    let need_replicas = |count| {
        cluster.nodes().iter().for_each(|node| {
            node.ask(&["config", "set", "min-replicas-to-write", count]);
        });
    };
    let outcome = endure(&place, Plan::default(), |scene| {
        need_replicas("2");
        suffer(scene);
        need_replicas("0");
    });
    Some(outcome.felt())
}

fn place_of(file: &Path) -> String {
    format!("sqlite:{}", file.display())
}

/// Asserts that SQLite finds nothing wrong with a file.
fn assert_whole(file: &Path) {
    let connection = Connection::open(file).expect("the file is there");
    let check = connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(check.as_deref(), Ok("ok"));
}
