//! The servers and files with the stores, as they are run in earnest.

use std::{path::PathBuf, time::Duration};

use session_runtime::{
    Sessions, SessionsBuilder,
    store::{Durability, PostgresStore, RedisStore, SqliteStore},
};
use tempfile::TempDir;
use tests::servers::{Postgres, Redis, RedisCluster};

const KEYS: &str = "pZ0hYw7Q1mXrC4t9uVbK2sEo8LdN5fGjRiAyTz3HxMk=";

pub(crate) const POSTGRES: &[&str] =
    &["fsync=on", "synchronous_commit=on", "shared_buffers=512MB", "max_wal_size=4GB"];

pub(crate) const REDIS: &[&str] = &["--appendfsync", "everysec"];

/// Where sessions are kept.
pub(crate) enum Place {
    Sqlite(TempDir, Durability),
    Postgres(Postgres),
    Redis(Redis),
    Cluster(RedisCluster),
}

impl Place {
    /// Every place that there is a server for.
    pub(crate) fn each() -> impl Iterator<Item = Self> {
        let start: [fn() -> Option<Self>; 4] = [
            || Some(Self::sqlite(Durability::Full)),
            || Postgres::start_with(POSTGRES).map(Self::Postgres),
            || Redis::start_with(REDIS).map(Self::Redis),
            || RedisCluster::start().map(Self::Cluster),
        ];
        start.into_iter().filter_map(|start| start())
    }

    pub(crate) fn sqlite(durability: Durability) -> Self {
        Self::Sqlite(TempDir::new().expect("a temporary folder"), durability)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_, Durability::Full) => "SQLite, Full",
            Self::Sqlite(..) => "SQLite, Normal",
            Self::Postgres(_) => "PostgreSQL",
            Self::Redis(_) => "Redis",
            Self::Cluster(_) => "Redis Cluster",
        }
    }

    /// The database file.
    pub(crate) fn file(folder: &TempDir) -> PathBuf {
        folder.path().join("sessions.db")
    }

    /// The session system of one process, with connections of its own. Every refresh rotates.
    pub(crate) async fn node(&self) -> Sessions {
        let builder = self.builder().await.keys(KEYS).refresh_path("/refresh").grace(Duration::ZERO);
        builder.build().await.expect("the settings are sound")
    }

    async fn builder(&self) -> SessionsBuilder {
        const OPEN: &str = "the store answers";
        match self {
            Self::Sqlite(folder, durability) => {
                let builder = SqliteStore::builder(Self::file(folder)).durability(*durability);
                Sessions::builder(builder.open().await.expect(OPEN))
            }
            Self::Postgres(server) => {
                Sessions::builder(PostgresStore::connect(&server.url()).await.expect(OPEN))
            }
            Self::Redis(server) => Sessions::builder(RedisStore::open(&server.url()).await.expect(OPEN)),
            Self::Cluster(cluster) => {
                let builder = RedisStore::cluster(cluster.urls());
                Sessions::builder(builder.open().await.expect(OPEN))
            }
        }
    }
}
