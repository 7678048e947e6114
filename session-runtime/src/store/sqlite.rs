//! The store in a SQLite database file.

mod readers;
mod schema;
mod steps;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{
    Connection, OpenFlags,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use self::{readers::Readers, schema::Sql, writer::Writer};
use super::{
    Batch, Change, Changed, Creation, Cursor, EndReason, Exchange, NewRow, Purge, Rotation, Row,
    SessionStore,
    columns::{self, BoxError, Record, Undecodable, Value},
};
use crate::{
    clock::{Clock, Timestamp},
    error::StoreError,
    handle::SessionHandle,
};

/// Keeps sessions in a SQLite database file: feature `sqlite`. They outlive the process.
///
/// The file may hold the application's own tables too, and several processes of one machine may share it: a session that one of
/// them ends is ended in the others within about 20 ms, [`POLL`](Self::POLL) and a little, in the same process at once. It must
/// lie on a local disk, because SQLite's write-ahead log needs memory that the processes share.
///
/// ```
/// use session_runtime::store::SqliteStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), session_runtime::StoreError> {
/// # let directory = std::env::temp_dir().join(format!("sessions-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).unwrap();
/// # let path = directory.join("sessions.db");
/// let store = SqliteStore::open(path).await?;
/// # drop(store);
/// # std::fs::remove_dir_all(directory).unwrap();
/// # Ok(())
/// # }
/// ```
///
/// `Sessions::builder(store)` takes it, and requires keys that outlive the process too.
///
/// # How it works
///
/// One thread writes. What is asked of it while it is busy waits, and is committed together: one transaction, and with
/// [`Durability::Full`] one flush of the disk, for as many operations as came meanwhile. An operation is answered when it is
/// committed; one that fails is undone by itself. A few more threads read beside it, each with a connection of its own, and
/// never wait for the writer. A refresh reads one row and writes it back, and rewrites no index.
///
/// What went wrong is a [`StoreError`] with SQLite's own words: a full disk, a file that is write-protected or damaged, a lock
/// that another process holds for longer than [`busy_timeout`](SqliteStoreBuilder::busy_timeout). Logins and refreshes are answered
/// with 503 for as long as it lasts, and nothing is lost by it.
///
/// A copy of the file forges no token: that takes the keys too. It does tell who was logged in when, and what the claims and data
/// of the sessions are; guard it as you would any table of users.
///
/// Cloning is cheap; clones share their threads, which end with the last of them.
///
/// # The schema
///
/// Opening the store makes its tables and brings older ones up to date. Where the process may not change the schema, let
/// somebody who may run [`migrations`](Self::migrations), and turn it off with [`migrate(false)`](SqliteStoreBuilder::migrate).
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    path: PathBuf,
    clock: Clock,
    writer: Writer,
    readers: Readers,
    /// Changes when this process has published revocations.
    published: watch::Sender<()>,
}

impl SqliteStore {
    /// How often the feed looks for ends that other processes published, while somebody waits for them.
    pub const POLL: Duration = Duration::from_millis(15);

    /// Opens the database file, which is made if it is not there, with default settings.
    ///
    /// # Errors
    ///
    /// When the file can't be opened or written, is no database, or has tables that this version of the library does not know.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open().await
    }

    /// Settings for opening a database file.
    pub fn builder(path: impl AsRef<Path>) -> SqliteStoreBuilder {
        SqliteStoreBuilder {
            path: path.as_ref().to_owned(),
            clock: Clock::system(),
            durability: Durability::default(),
            table_prefix: "session_".to_owned(),
            migrate: true,
            busy_timeout: Duration::from_secs(4),
            readers: 2,
        }
    }

    /// The statements that make the tables, with `table_prefix` before their names: one text for each version of the schema, the
    /// first one first. Who runs them by hand runs each in a transaction, and only those that are newer than the number in the
    /// table `<table_prefix>schema`.
    ///
    /// ```
    /// use session_runtime::store::SqliteStore;
    ///
    /// let first = SqliteStore::migrations("auth_").next().unwrap();
    /// assert!(first.contains("CREATE TABLE auth_sessions"));
    /// ```
    pub fn migrations(table_prefix: &str) -> impl Iterator<Item = String> {
        schema::migrations(table_prefix)
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.path).finish_non_exhaustive()
    }
}

/// How a [`SqliteStore`] is opened.
///
/// ```
/// use session_runtime::store::{Durability, SqliteStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), session_runtime::StoreError> {
/// # let directory = std::env::temp_dir().join(format!("built-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).unwrap();
/// # let path = directory.join("app.db");
/// let store = SqliteStore::builder(path).table_prefix("auth_").durability(Durability::Normal).open().await?;
/// # drop(store);
/// # std::fs::remove_dir_all(directory).unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until `open` is called"]
pub struct SqliteStoreBuilder {
    path: PathBuf,
    clock: Clock,
    durability: Durability,
    table_prefix: String,
    migrate: bool,
    busy_timeout: Duration,
    readers: usize,
}

impl SqliteStoreBuilder {
    /// The clock that the store keeps time by; the system's by default. For tests.
    ///
    /// Processes that share a file must go by the same clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What a commit survives; [`Durability::Full`] by default.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// What the names of the tables begin with; `session_` by default. ASCII letters, digits and underscores, at most 32.
    pub fn table_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.table_prefix = prefix.into();
        self
    }

    /// Whether opening makes the tables and brings them up to date; true by default. If not, opening fails where they are not.
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// How long to wait for another process that holds the lock; 4 s by default.
    ///
    /// Keep it below the [time-out of the store](crate::SessionsBuilder::store_timeout), or the reason of a failure does not show.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How many threads read; 2 by default, at least 1.
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// Opens the database file, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// When the file can't be opened or written, is no database, or has tables that this version of the library does not know.
    pub async fn open(self) -> Result<SqliteStore, StoreError> {
        if self.path == Path::new(":memory:") || self.path.as_os_str().is_empty() {
            return Err(StoreError::new(
                "SQLite sessions need a file; for sessions in memory there is `MemoryStore`",
            ));
        }
        let sql = Arc::new(Sql::new(&self.table_prefix)?);
        let published = watch::Sender::new(());
        let writer = Writer::start(self.clone(), Arc::clone(&sql), published.clone()).await?;
        let readers = Readers::start(&self, &sql).await?;
        Ok(SqliteStore(Arc::new(Inner { path: self.path, clock: self.clock, writer, readers, published })))
    }

    fn connect(&self, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
        // Each connection is used by one thread alone.
        let connection = Connection::open_with_flags(&self.path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(self.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    /// An error at opening, with the file that it is about.
    fn refused(&self, cause: impl Into<BoxError>) -> StoreError {
        StoreError::new(Unopened { path: self.path.clone(), cause: cause.into() })
    }
}

/// What a commit of a [`SqliteStore`] survives: SQLite's `synchronous` setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// A power failure: every commit waits for the disk (`FULL`). The default.
    #[default]
    Full,
    /// A crash of the process, but a power failure may take the last commits (`NORMAL`). Faster. Rotations that get lost heal, and
    /// no honest client notices; **a session that was revoked in the last moment may be live again**.
    Normal,
}

impl Durability {
    fn pragma(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// The database file could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("can't open the database {}: {cause}", path.display())]
struct Unopened {
    path: PathBuf,
    cause: BoxError,
}

impl SessionStore for SqliteStore {
    fn clock(&self) -> Option<Clock> {
        Some(self.0.clock.clone())
    }

    async fn create(&self, new: NewRow) -> Result<Creation, StoreError> {
        self.0.writer.write(move |step| step.create(new)).await
    }

    async fn rotate(&self, exchange: Exchange) -> Result<Rotation, StoreError> {
        self.0.writer.write_little(move |step| step.rotate(&exchange)).await
    }

    async fn confirm(&self, used: Vec<(SessionHandle, u32)>) -> Result<(), StoreError> {
        self.0.writer.write(move |step| step.confirm(&used)).await
    }

    async fn read(&self, handle: SessionHandle) -> Result<Option<Row>, StoreError> {
        self.0.readers.read(move |reader| reader.row(handle)).await
    }

    async fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> Result<Changed, StoreError> {
        self.0.writer.write(move |step| step.update(handle, version, &change)).await
    }

    async fn revoke(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, StoreError> {
        self.0.writer.write(move |step| step.end(handle, reason)).await
    }

    async fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> Result<Vec<SessionHandle>, StoreError> {
        self.0.writer.write(move |step| step.end_all(user, except, reason)).await
    }

    async fn list(&self, user: Arc<str>) -> Result<Vec<Row>, StoreError> {
        let clock = self.0.clock.clone();
        self.0.readers.read(move |reader| reader.live(&user, clock.now())).await
    }

    async fn purge_expired(&self, retention: Duration, limit: usize) -> Result<Purge, StoreError> {
        self.0.writer.write(move |step| step.purge(retention, limit)).await
    }

    async fn revocations(&self, after: Cursor, wait: Duration) -> Result<Batch, StoreError> {
        let mut published = self.0.published.subscribe();
        let patience = Instant::now().checked_add(wait);
        loop {
            published.mark_unchanged();
            let clock = self.0.clock.clone();
            let batch = self.0.readers.read(move |reader| reader.revocations(after, clock.now())).await?;
            let now = Instant::now();
            let is_over = patience.is_some_and(|patience| patience <= now);
            if is_over || batch.next != after {
                return Ok(batch);
            }
            // The sender lives as long as the store. A time-out is the time to look for what other processes did.
            let until = (now + Self::POLL).min(patience.unwrap_or(now + Self::POLL));
            let _ = timeout_at(until, published.changed()).await;
        }
    }
}

impl Record for rusqlite::Row<'_> {
    fn integer(&self, at: usize) -> Result<Option<i64>, BoxError> {
        Ok(self.get(at)?)
    }

    fn text(&self, at: usize) -> Result<Option<String>, BoxError> {
        Ok(self.get(at)?)
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, BoxError> {
        Ok(self.get(at)?)
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let millis = i64::column_result(value)?;
        columns::time(millis).ok_or(FromSqlError::OutOfRange(millis))
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Integer(number) => ToSqlOutput::Borrowed(ValueRef::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

/// How what a thread does with its connection may fail.
#[derive(Debug)]
enum Failure {
    Sqlite(rusqlite::Error),
    /// A row is not what this library writes.
    Undecodable(Undecodable),
    Panicked,
    /// SQLite has undone the whole transaction.
    Undone,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Undecodable> for Failure {
    fn from(error: Undecodable) -> Self {
        Self::Undecodable(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => Self::new(error),
            Failure::Undecodable(error) => Self::new(error),
            Failure::Panicked => Self::new("an operation panicked and was undone"),
            Failure::Undone => {
                Self::new("SQLite has undone the transaction that the operation was a part of")
            }
        }
    }
}
