//! Where the sessions are kept: `--store`.

use anyhow::bail;
use session_runtime::{
    MemoryStore, PostgresStore, RedisStore, Sessions, SessionsBuilder, SqliteStore, StoreError,
};

/// A place for sessions, as the command line names it.
///
/// It is taken as it is and read when it is opened: `clap` repeats what it refuses, and there may be a password in it.
#[derive(Clone)]
pub struct Place(String);

impl From<String> for Place {
    fn from(place: String) -> Self {
        Self(place)
    }
}

impl Place {
    /// Opens the store, and begins to set up sessions on it.
    ///
    /// # Errors
    ///
    /// If there is no such kind of store, or it can't be opened. No error repeats the place.
    pub async fn open(&self) -> anyhow::Result<SessionsBuilder> {
        let place = self.0.as_str();
        Ok(match place.split_once(':') {
            None if place == "memory" => Sessions::builder(MemoryStore::new()),
            Some(("sqlite", path)) => Sessions::builder(SqliteStore::open(path).await?),
            Some(("postgres" | "postgresql", _)) => Sessions::builder(PostgresStore::connect(place).await?),
            Some(("redis" | "rediss", _)) => Sessions::builder(RedisStore::open(place).await?),
            Some(("redis-cluster", nodes)) => Sessions::builder(open_cluster(nodes).await?),
            _ => bail!(
                "`--store` takes `memory`, `sqlite:PATH`, `postgres://…`, `redis://…`, `rediss://…` or \
                 `redis-cluster://HOST:PORT,…`"
            ),
        })
    }
}

/// `nodes` are `//HOST:PORT,HOST:PORT,…`; the first may name a user and a password, which are those of all.
async fn open_cluster(nodes: &str) -> Result<RedisStore, StoreError> {
    let nodes = nodes.trim_start_matches('/').split(',');
    RedisStore::cluster(nodes.map(|node| format!("redis://{node}"))).open().await
}
