//! The servers of a store: started when a cell first needs them, kept for the cells after it.

use std::{fmt, path::PathBuf};

use tempfile::TempDir;
use tests::servers::{Postgres, Redis, RedisCluster, SmallDisk, where_allowed};

/// Where sessions are kept. The memory store has no cells: it dies with its process, which is the only one that can use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
    Redis,
    Cluster,
}

impl Store {
    pub(crate) const ALL: [Self; 4] = [Self::Sqlite, Self::Postgres, Self::Redis, Self::Cluster];
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Cluster => "cluster",
        })
    }
}

/// What the cells of one store share. A cell that fails takes it along: the next one gets new servers.
pub(crate) struct Bench {
    store: Store,
    files: usize,
    folder: TempDir,
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    cluster: Option<RedisCluster>,
    /// After the servers, which write to it.
    disk: Option<SmallDisk>,
}

/// In megabytes. PostgreSQL takes the most: 40 for an empty database, and as much again for its log.
const DISK: usize = 192;

impl Bench {
    pub(crate) fn new(store: Store) -> Self {
        let disk = SmallDisk::new(DISK);
        let folder = folder_on(disk.as_ref());
        Self { store, files: 0, folder, postgres: None, redis: None, cluster: None, disk }
    }

    /// The place of the store, as [`Settings::on`](crate::node::Settings::on) takes it; nothing if the server is missing.
    pub(crate) fn place(&mut self) -> Option<String> {
        Some(match self.store {
            Store::Sqlite => format!("sqlite:{}", self.file().display()),
            Store::Postgres => self.postgres()?.url(),
            Store::Redis => self.redis()?.url(),
            Store::Cluster => self.cluster()?.url(),
        })
    }

    /// Ends the connections on which nodes wait for news of revocations, as an idle connection is ended on the way. SQLite has none: its
    /// file is asked again and again.
    pub(crate) fn kill_listeners(&self) {
        if let Some(server) = &self.postgres {
            let listens = "query LIKE 'LISTEN %'";
            server.ask(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listens}"));
        }
        let blocked = |clients: &str| {
            let lines = clients.lines().filter(|line| line.contains(" flags=b "));
            lines.filter_map(|line| line.split([' ', '=']).nth(1)).map(str::to_owned).collect::<Vec<_>>()
        };
        if let Some(server) = &self.redis {
            for client in blocked(&server.ask(&["client", "list"])) {
                server.ask(&["client", "kill", "id", &client]);
            }
        }
        if let Some(cluster) = &self.cluster {
            for node in cluster.nodes() {
                for client in blocked(&node.ask(&["client", "list"])) {
                    node.ask(&["client", "kill", "id", &client]);
                }
            }
        }
    }

    /// A path for a new file.
    pub(crate) fn file(&mut self) -> PathBuf {
        self.files += 1;
        self.folder.path().join(format!("{}.db", self.files))
    }

    /// The disk that holds all that the servers of this bench keep; nothing where there can be no such disk.
    pub(crate) fn disk(&self) -> Option<&SmallDisk> {
        where_allowed(self.disk.as_ref(), "right to mount a file system")
    }

    /// A folder for a server, on the small disk if there is one.
    pub(crate) fn server_folder(&self) -> TempDir {
        folder_on(self.disk.as_ref())
    }

    /// The PostgreSQL server of this bench, and the disk that it lies on.
    pub(crate) fn postgres_and_disk(&mut self) -> Option<(&mut Postgres, &SmallDisk)> {
        self.postgres()?;
        Some((self.postgres.as_mut()?, self.disk.as_ref()?))
    }

    /// The Redis server of this bench, and the disk that it lies on.
    pub(crate) fn redis_and_disk(&mut self) -> Option<(&mut Redis, &SmallDisk)> {
        self.redis()?;
        Some((self.redis.as_mut()?, self.disk.as_ref()?))
    }

    /// The Redis Cluster of this bench, and the disk that it lies on.
    pub(crate) fn cluster_and_disk(&mut self) -> Option<(&mut RedisCluster, &SmallDisk)> {
        self.cluster()?;
        Some((self.cluster.as_mut()?, self.disk.as_ref()?))
    }

    /// The PostgreSQL server of this bench; nothing if it is missing.
    pub(crate) fn postgres(&mut self) -> Option<&mut Postgres> {
        if self.postgres.is_none() {
            self.postgres = Postgres::start_in(self.server_folder());
        }
        self.postgres.as_mut()
    }

    /// The Redis server of this bench; nothing if it is missing.
    pub(crate) fn redis(&mut self) -> Option<&mut Redis> {
        if self.redis.is_none() {
            self.redis = Redis::start_in(self.server_folder(), &[]);
        }
        self.redis.as_mut()
    }

    /// The Redis Cluster of this bench, each node behind a proxy; nothing if it is missing.
    pub(crate) fn cluster(&mut self) -> Option<&mut RedisCluster> {
        if self.cluster.is_none() {
            self.cluster = RedisCluster::start_behind_proxies(|| self.server_folder());
        }
        self.cluster.as_mut()
    }
}

/// A folder on the small disk if there is one.
fn folder_on(disk: Option<&SmallDisk>) -> TempDir {
    disk.map_or_else(TempDir::new, |disk| TempDir::new_in(disk.path())).expect("a temporary folder")
}
