//! A private PostgreSQL server.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tempfile::TempDir;

use super::{Launch, Server, Unprivileged, find, or_skip, run, wait_until};

/// A PostgreSQL server that takes its superuser's password.
pub struct Postgres(Server);

impl Postgres {
    /// The password of `postgres`.
    pub const PASSWORD: &str = "s3cret-of-the-tests";

    /// Starts a server, or skips the test where there is none.
    ///
    /// # Panics
    ///
    /// If it is missing and `CI=true`, or if it does not start.
    pub fn start() -> Option<Self> {
        Self::start_in(TempDir::new().expect("a temporary folder"))
    }

    /// As [`start`](Self::start), with all that it keeps in a folder.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_in(folder: TempDir) -> Option<Self> {
        Self::start_after(folder, |_| (), &[])
    }

    /// As [`start`](Self::start), with further settings, such as `fsync=on`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_with(settings: &'static [&'static str]) -> Option<Self> {
        Self::start_after(TempDir::new().expect("a temporary folder"), |_| (), settings)
    }

    /// As [`start`](Self::start), for connections that are encrypted with a key and its certificate.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_with_certificate(key: &Path, certificate: &Path) -> Option<Self> {
        let copy = |data: &Path| {
            for (file, name) in [(key, "server.key"), (certificate, "server.crt")] {
                let copy = data.join(name);
                fs::copy(file, &copy).expect("the file is there");
                fs::set_permissions(&copy, Permissions::from_mode(0o600)).expect("the copy is ours");
                if let Some(user) = Unprivileged::if_root() {
                    user.own(&copy);
                }
            }
        };
        Self::start_after(TempDir::new().expect("a temporary folder"), copy, &["ssl=on"])
    }

    fn start_after(folder: TempDir, prepare: impl FnOnce(&Path), settings: &'static [&str]) -> Option<Self> {
        or_skip(programs(), "PostgreSQL")?;
        let password = folder.path().join("password");
        fs::write(&password, Self::PASSWORD).expect("the folder is ours");
        if let Some(user) = Unprivileged::if_root() {
            user.own(folder.path());
            user.own(&password);
        }
        let mut initdb = command("initdb");
        initdb.arg("--pgdata").arg(folder.path().join("data")).arg("--pwfile").arg(password);
        // The password as it is: to derive a key from it takes a test's unoptimised program a tenth of a second.
        initdb.args(["--username=postgres", "--auth=password", "--encoding=UTF8", "--locale=C"]);
        run(initdb.arg("--no-sync").current_dir(folder.path()));
        prepare(&folder.path().join("data"));
        Some(Self(Server::start(folder, move |folder, port| launch(folder, port, settings))))
    }

    /// The server that the tests of this process share, while one of them holds it.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let started = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    /// Starts a standby of it, which keeps in a folder what it receives a moment after it was committed.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn standby(&self, folder: TempDir) -> Self {
        if let Some(user) = Unprivileged::if_root() {
            user.own(folder.path());
        }
        let mut copy = command("pg_basebackup");
        copy.arg("--pgdata").arg(folder.path().join("data")).arg("--dbname").arg(self.url());
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]);
        run(copy.current_dir(folder.path()));
        Self(Server::start(folder, |folder, port| launch(folder, port, &[])))
    }

    /// Has a standby receive nothing any more.
    ///
    /// # Panics
    ///
    /// If it goes on.
    pub fn cut_off(&self) {
        self.ask("ALTER SYSTEM SET primary_conninfo = ''");
        self.ask("SELECT pg_reload_conf()");
        let receives = "SELECT count(*) FROM pg_stat_wal_receiver";
        wait_until("the standby is cut off", || self.ask(receives) == "0");
    }

    /// Makes a standby the primary.
    ///
    /// # Panics
    ///
    /// If it can't be one.
    pub fn promote(&self) {
        assert_eq!(self.ask("SELECT pg_promote()"), "t");
    }

    /// Runs a statement as its superuser, and returns what it answers: a line a row, without ornaments.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn ask(&self, statement: &str) -> String {
        let mut psql = self.psql();
        let output = psql.args(["--command", statement]).output().expect("`psql` runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statement:?} failed:\n{said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A client that runs what is written to it.
    pub fn psql(&self) -> Command {
        let mut psql = self.client("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        psql
    }

    /// Where it is reached, by its superuser.
    pub fn url(&self) -> String {
        self.url_at(self.0.port())
    }

    /// Where it is reached through a port that leads to it, without the encryption that all of them but one don't have.
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{port}/postgres?sslmode=disable", Self::PASSWORD)
    }

    /// A program that comes with it, such as `pgbench`; it is told where the server is, and the superuser's password.
    ///
    /// # Panics
    ///
    /// If it is missing.
    pub fn client(&self, program: &str) -> Command {
        let mut client = Command::new(programs().expect("PostgreSQL was found before").join(program));
        client.env("PGHOST", "127.0.0.1").env("PGPORT", self.0.port().to_string());
        client.env("PGUSER", "postgres").env("PGPASSWORD", Self::PASSWORD).env("PGSSLMODE", "disable");
        client
    }

    /// Its process and port.
    pub fn server(&self) -> &Server {
        &self.0
    }

    /// Its process, to be ended and restarted.
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.0
    }
}

fn launch(folder: &Path, port: u16, settings: &[&str]) -> Launch {
    let mut server = command("postgres");
    server.arg("-D").arg(folder.join("data"));
    server.args(["-p", &port.to_string(), "-k", ""]);
    // A crash of the process loses nothing by this, only one of the machine would.
    let always = [
        "listen_addresses=127.0.0.1",
        "fsync=off",
        "max_connections=200",
        "min_wal_size=32MB",
        "max_wal_size=64MB",
    ];
    for setting in always.iter().chain(settings) {
        server.args(["-c", setting]);
    }
    let mut probe = command("pg_isready");
    probe.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    Launch { server, probe, stop: "QUIT" }
}

pub(super) fn command(program: &str) -> Command {
    let program = programs().expect("PostgreSQL was found before").join(program);
    Unprivileged::if_root().map_or_else(|| Command::new(&program), |user| user.command(&program))
}

/// The folder of the server's programs, which Debian keeps off the `PATH`.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    places.sort();
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    places.extend(
        configured.and_then(|output| String::from_utf8(output.stdout).ok()).map(|place| place.trim().into()),
    );
    let initdb = find("initdb", places.into_iter().rev())?;
    // A link may stand alone where it is found; the programs that it belongs to don't.
    fs::canonicalize(initdb).ok()?.parent().map(Path::to_owned)
}
