//! A private PostgreSQL server.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tempfile::TempDir;

use super::{Launch, Server, Unprivileged, find, or_skip, run};

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
        Self::start_after(|_| (), &[])
    }

    /// As [`start`](Self::start), with further settings, such as `fsync=on`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_with(settings: &'static [&'static str]) -> Option<Self> {
        Self::start_after(|_| (), settings)
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
        Self::start_after(copy, &["ssl=on"])
    }

    fn start_after(prepare: impl FnOnce(&Path), settings: &'static [&str]) -> Option<Self> {
        or_skip(programs(), "PostgreSQL")?;
        let folder = TempDir::new().expect("a temporary folder");
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

    /// Where it is reached, by its superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/postgres", Self::PASSWORD, self.0.port())
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
    let always = ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=200"];
    for setting in always.iter().chain(settings) {
        server.args(["-c", setting]);
    }
    let mut probe = command("pg_isready");
    probe.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    Launch { server, probe, stop: "QUIT" }
}

fn command(program: &str) -> Command {
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
