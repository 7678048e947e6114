//! A private PgBouncer.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use super::{Launch, Postgres, Server, Unprivileged, find, or_skip};

/// A pooler before a PostgreSQL server that gives each transaction whichever server connection is free.
pub struct PgBouncer {
    url: String,
    _process: Server,
}

impl PgBouncer {
    /// Starts one, or skips the test where there is none.
    ///
    /// # Panics
    ///
    /// If it is missing and `CI=true`, or if it does not start.
    pub fn before(server: &Postgres) -> Option<Self> {
        let program = or_skip(find("pgbouncer", ["/usr/sbin".into()]), "PgBouncer")?;
        let folder = TempDir::new().expect("a temporary folder");
        let (upstream, password) = (server.server().port(), Postgres::PASSWORD);
        let users = folder.path().join("users");
        fs::write(&users, format!("\"postgres\" \"{password}\"\n")).expect("the folder is ours");
        if let Some(user) = Unprivileged::if_root() {
            user.own(folder.path());
            user.own(&users);
        }
        let pooler = Server::start(folder, move |folder, port| {
            configure(folder, port, upstream);
            launch(folder, port, &program)
        });
        Some(Self { url: server.url_at(pooler.port()), _process: pooler })
    }

    /// Where it is reached, by the server's superuser.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Few enough server connections that clients get each other's.
fn configure(folder: &Path, port: u16, upstream: u16) {
    let users = folder.join("users");
    let settings = format!(
        "[databases]\n\
         postgres = host=127.0.0.1 port={upstream} dbname=postgres\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = plain\n\
         auth_file = {}\n\
         pool_mode = transaction\n\
         default_pool_size = 4\n",
        users.display()
    );
    let file = folder.join("pgbouncer.ini");
    fs::write(&file, settings).expect("the folder is ours");
    if let Some(user) = Unprivileged::if_root() {
        user.own(&file);
    }
}

fn launch(folder: &Path, port: u16, program: &Path) -> Launch {
    let mut server =
        Unprivileged::if_root().map_or_else(|| Command::new(program), |user| user.command(program));
    server.arg(folder.join("pgbouncer.ini"));
    let mut probe = super::postgres::command("pg_isready");
    probe.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    Launch { server, probe, stop: "TERM" }
}
