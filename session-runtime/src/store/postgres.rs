//! The store in a PostgreSQL database.

mod connection;
mod dialer;
mod feed;
mod migration;
mod schema;
mod steps;

use std::{error::Error as StdError, fmt, future::Future, sync::Arc, time::Duration};

use bytes::BytesMut;
use deadpool_postgres::{Pool, PoolError};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::{
    error::SqlState,
    types::{IsNull, ToSql, Type, to_sql_checked},
};

use self::{
    connection::{Address, Connections, Loan, Parameter},
    feed::News,
    schema::{Names, Sql},
    steps::Step,
};
use super::{
    Batch, Change, Changed, Creation, Cursor, EndReason, Exchange, NewRow, Purge, Revocation, Rotation, Row,
    SessionStore,
    columns::{self, BoxError, Column, Record, Undecodable, Value, decode_revocation, decode_row},
};
use crate::{clock::Timestamp, error::StoreError, handle::SessionHandle, rotation::Decision};

/// How many revocations are read at once.
const BATCH: usize = 1000;

/// How often a transaction is tried again that another one got in the way of.
const RETRIES: usize = 5;

/// Keeps sessions in a PostgreSQL database, 12 or later: feature `postgres`. Any number of processes share them.
///
/// ```no_run
/// use session_runtime::store::PostgresStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), session_runtime::StoreError> {
/// let store = PostgresStore::connect("postgres://app:secret@db.internal/app").await?;
/// # Ok(())
/// # }
/// ```
///
/// `Sessions::builder(store)` takes it, and requires keys that outlive the process. All nodes need the same ones.
///
/// # How it works
///
/// A refresh is one statement, and so is a login without a limit of sessions: one round trip. The statement reads the server's
/// clock, and rotates where the ordinary rule applies; where it doesn't, a second one looks at the row, and whatever else is to be
/// done (a theft, a lost write, a session that replaces another) takes a transaction of two round trips more. Rotations touch
/// no index, so that PostgreSQL's heap-only updates apply and the tables need no more than the ordinary autovacuum. Checking an
/// access token asks nothing.
///
/// Ends of sessions are numbered under the lock of one row, so that their numbers become visible in the order of their commits, and
/// no reader of the feed passes one by; an end costs that lock until its commit. A `NOTIFY` without content, sent
/// with the commit, wakes the other processes, each of which keeps one connection that listens. While it can't, the feed is asked
/// every [`POLL`](Self::POLL), and what was missed is found by its number.
///
/// What a commit survives is the database's affair: with `synchronous_commit = off`, or after a failover to a replica that is not
/// synchronous, the last commits may be gone. Rotations heal, and no honest client notices; **a session that was revoked in the last
/// moment may be live again**.
///
/// # Connections
///
/// The URL takes PostgreSQL's own options: `postgres://user:password@host:port/database?sslmode=require`, several hosts separated by
/// commas. Sessions are read and written at the primary (`target_session_attrs=read-write`, whatever the URL says). Connections
/// are encrypted if the server can, unless `sslmode=disable`, and always with `sslmode=require`; the server's certificate is then
/// checked against the system's authorities and the [given ones](PostgresStoreBuilder::root_certificates), and its name against
/// the URL. An application that has a pool already gives that: [`from_pool`](Self::from_pool).
///
/// Through a pooler that gives each transaction another server connection, such as PgBouncer before 1.21, turn
/// [prepared statements](PostgresStoreBuilder::prepared_statements) off. Such a pooler can't pass notifications on either:
/// name the server itself by [`listen_at`](PostgresStoreBuilder::listen_at), or have the feed [ask](PostgresStoreBuilder::poll).
///
/// # The schema
///
/// Opening the store makes its tables and brings older ones up to date. Where the application's role may not do that, let one that may
/// run [`migrations`](Self::migrations), and turn it off with [`migrate(false)`](PostgresStoreBuilder::migrate). The role then
/// needs `SELECT`, `INSERT`, `UPDATE` and `DELETE` on the tables.
///
/// The database's encoding has to be UTF-8. PostgreSQL's text has no NUL, so a user, a claim or data with one is refused.
///
/// Cloning is cheap; clones share their connections.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    place: String,
    connections: Connections,
    patience: Duration,
    sql: Sql,
    channel: String,
    news: News,
}

impl PostgresStore {
    /// How often the feed asks for new ends while somebody waits for them and the server can't be listened to.
    pub const POLL: Duration = Duration::from_millis(50);

    /// How often the feed asks even though it listens, lest a connection is dead and nobody knows.
    pub const POLL_WHILE_LISTENING: Duration = Duration::from_secs(1);

    /// Opens a store at a URL, with default settings.
    ///
    /// # Errors
    ///
    /// When the server can't be reached within four seconds, refuses the user, is too old or read-only, or has tables that this
    /// version of the library does not know. No error repeats the password.
    pub async fn connect(url: impl Into<String>) -> Result<Self, StoreError> {
        Self::builder(url).open().await
    }

    /// Opens a store with the application's own pool, with default settings. The feed asks for new ends, unless it is told
    /// [where to listen](PostgresStoreBuilder::listen_at): connections of a pool don't listen.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_pool(pool: Pool) -> Result<Self, StoreError> {
        Self::builder_from_pool(pool).open().await
    }

    /// Settings for opening a store at a URL.
    pub fn builder(url: impl Into<String>) -> PostgresStoreBuilder {
        PostgresStoreBuilder::of(Source::Url(url.into()))
    }

    /// Settings for opening a store with the application's own pool.
    pub fn builder_from_pool(pool: Pool) -> PostgresStoreBuilder {
        PostgresStoreBuilder::of(Source::Pool(pool))
    }

    /// The statements that make the tables: one text for each version of the schema, the first one first. `schema` and
    /// `table_prefix` are those that the store is opened with. Who runs them by hand runs each in a transaction, and only those
    /// that are newer than the number in the table `<table_prefix>schema`.
    ///
    /// ```
    /// use session_runtime::store::PostgresStore;
    ///
    /// let first = PostgresStore::migrations(Some("auth"), "session_").next().unwrap();
    /// assert!(first.contains(r#"CREATE TABLE "auth".session_sessions"#));
    /// ```
    pub fn migrations(schema: Option<&str>, table_prefix: &str) -> impl Iterator<Item = String> {
        let schema = schema.map(str::to_owned);
        Names { schema, table_prefix: table_prefix.to_owned() }.migrations()
    }
}

/// Shows the server and the database.
impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("place", &self.0.place).finish_non_exhaustive()
    }
}

/// How a [`PostgresStore`] is opened.
///
/// ```no_run
/// use session_runtime::store::PostgresStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), session_runtime::StoreError> {
/// let url = "postgres://app:secret@pooler.internal:6432/app?sslmode=require";
/// let store = PostgresStore::builder(url).schema("auth").prepared_statements(false).poll().open().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing is opened until `open` is called"]
pub struct PostgresStoreBuilder {
    source: Source,
    names: Names,
    migrate: bool,
    prepares: bool,
    connections: usize,
    patience: Duration,
    certificates: Vec<Vec<u8>>,
    listen: Listen,
}

/// Where connections come from.
#[derive(Clone)]
enum Source {
    Url(String),
    Pool(Pool),
}

/// How the feed hears of ends.
#[derive(Clone)]
enum Listen {
    /// At the server that the URL names.
    There,
    At(String),
    Never,
}

impl PostgresStoreBuilder {
    fn of(source: Source) -> Self {
        Self {
            source,
            names: Names { schema: None, table_prefix: "session_".to_owned() },
            migrate: true,
            prepares: true,
            connections: 16,
            patience: Duration::from_secs(4),
            certificates: Vec::new(),
            listen: Listen::There,
        }
    }

    /// The schema of the tables, which is made if it is not there. By default that is left to the user's `search_path`.
    /// Lower-case ASCII letters, digits and underscores, at most 32.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.names.schema = Some(schema.into());
        self
    }

    /// What the names of the tables begin with; `session_` by default. Lower-case ASCII letters, digits and underscores, at most 32.
    pub fn table_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.names.table_prefix = prefix.into();
        self
    }

    /// Whether opening makes the tables and brings them up to date; true by default. If not, opening fails where they are not.
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Whether statements are prepared, once on each connection; true by default. Turned off, the server plans each anew, which
    /// costs it some tenths of a millisecond, and no connection is expected to remember anything.
    pub fn prepared_statements(mut self, prepared: bool) -> Self {
        self.prepares = prepared;
        self
    }

    /// How many connections there are at most; 16 by default, at least 1. One more listens, and one that was made too late for who
    /// asked for it may wait for the next. It means nothing for a pool of the application's own.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long one operation may take, the wait for a connection included; 4 s by default. A connection that has not answered by
    /// then is closed.
    ///
    /// Keep it below the [time-out of the store](crate::SessionsBuilder::store_timeout), or the reason of a failure does not show.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.patience = timeout;
        self
    }

    /// An authority whose certificates are trusted beside the system's, in PEM form: such as a database's own.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.push(pem.into());
        self
    }

    /// Where to listen for ends: the server itself, behind a pooler or a pool. By default it is the URL of the store.
    pub fn listen_at(mut self, url: impl Into<String>) -> Self {
        self.listen = Listen::At(url.into());
        self
    }

    /// Has the feed ask for ends every [`PostgresStore::POLL`], and not listen. For this process they are told at once all the same.
    pub fn poll(mut self) -> Self {
        self.listen = Listen::Never;
        self
    }

    /// Opens the store.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::connect`], and when a name of a table or a certificate is malformed.
    pub async fn open(self) -> Result<PostgresStore, StoreError> {
        self.names.check()?;
        let (pool, address) = match self.source.clone() {
            Source::Pool(pool) => (pool, None),
            Source::Url(url) => {
                let address = self.address(&url).await?;
                (address.clone().pool(self.connections, self.patience)?, Some(address))
            }
        };
        let place = address.as_ref().map_or_else(|| "the given pool".to_owned(), Address::place);
        let channel = migration::prepare(&pool, &self.names, self.migrate, self.patience).await;
        let channel = channel.map_err(|cause| StoreError::new(Unopened { place: place.clone(), cause }))?;
        let tls = address.as_ref().map(|address| address.tls.clone());
        let listen_at = match &self.listen {
            Listen::There => address,
            Listen::At(url) => Some(self.address(url).await?),
            Listen::Never => None,
        };
        let (prepares, patience) = (self.prepares, self.patience);
        let connections = Connections { pool, prepares, tls };
        let news = News::listening(listen_at, &channel, patience);
        let sql = Sql::new(&self.names);
        Ok(PostgresStore(Arc::new(Inner { place, connections, patience, sql, channel, news })))
    }

    async fn address(&self, url: &str) -> Result<Address, StoreError> {
        Address::parse(url, &self.certificates, self.patience).await
    }
}

/// Shows what is no secret.
impl fmt::Debug for PostgresStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStoreBuilder")
            .field("names", &self.names)
            .field("migrate", &self.migrate)
            .field("prepared_statements", &self.prepares)
            .field("max_connections", &self.connections)
            .field("timeout", &self.patience)
            .finish_non_exhaustive()
    }
}

/// The database could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("can't use the database at {place}: {cause}")]
struct Unopened {
    place: String,
    cause: BoxError,
}

impl SessionStore for PostgresStore {
    async fn create(&self, new: NewRow) -> Result<Creation, StoreError> {
        self.0.carry_out(|deadline| self.0.create(&new, deadline)).await
    }

    async fn rotate(&self, exchange: Exchange) -> Result<Rotation, StoreError> {
        self.0.carry_out(|deadline| self.0.rotate(&exchange, deadline)).await
    }

    async fn confirm(&self, used: Vec<(SessionHandle, u32)>) -> Result<(), StoreError> {
        let handles: Vec<_> = used.iter().map(|(handle, _)| *handle).collect();
        let (handles, used) = (&handles, &used);
        self.0
            .carry_out(|deadline| async move { self.0.step(handles, deadline).await?.confirm(used).await })
            .await
    }

    async fn read(&self, handle: SessionHandle) -> Result<Option<Row>, StoreError> {
        self.0.carry_out(|deadline| self.0.read(handle, deadline)).await
    }

    async fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> Result<Changed, StoreError> {
        let change = &change;
        let update = |deadline| async move {
            self.0.step(&[handle], deadline).await?.update(handle, version, change).await
        };
        self.0.carry_out(update).await
    }

    async fn revoke(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, StoreError> {
        let revoke =
            |deadline| async move { self.0.step(&[handle], deadline).await?.revoke(handle, reason).await };
        self.0.carry_out(revoke).await
    }

    async fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> Result<Vec<SessionHandle>, StoreError> {
        let revoke = |deadline| Step::revoke_all(&self.0, Arc::clone(&user), except, reason, deadline);
        self.0.carry_out(revoke).await
    }

    async fn list(&self, user: Arc<str>) -> Result<Vec<Row>, StoreError> {
        self.0.carry_out(|deadline| self.0.list(&user, deadline)).await
    }

    async fn purge_expired(&self, retention: Duration, limit: usize) -> Result<Purge, StoreError> {
        self.0.carry_out(|deadline| self.0.purge(retention, limit, deadline)).await
    }

    async fn revocations(&self, after: Cursor, wait: Duration) -> Result<Batch, StoreError> {
        let mut news = self.0.news.subscribe();
        let patience = Instant::now().checked_add(wait);
        loop {
            let is_listening = *news.borrow_and_update();
            let batch = self.0.carry_out(|deadline| self.0.revocations(after, deadline)).await?;
            let now = Instant::now();
            let is_over = patience.is_some_and(|patience| patience <= now);
            if is_over || batch.next != after {
                return Ok(batch);
            }
            let next = now + feed::interval(is_listening);
            // The sender lives as long as the store. A time-out is the time to ask.
            let _ = timeout_at(patience.map_or(next, |patience| patience.min(next)), news.changed()).await;
        }
    }
}

impl Inner {
    /// Carries an operation out, again if another transaction got in its way.
    async fn carry_out<T, F>(&self, operation: impl Fn(Instant) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let deadline = Instant::now() + self.patience;
        for _ in 0..RETRIES {
            match operation(deadline).await {
                Err(failure) if failure.is_conflict() => {}
                outcome => return Ok(outcome?),
            }
        }
        Ok(operation(deadline).await?)
    }

    async fn lend(&self, deadline: Instant) -> Result<Loan<'_>, Failure> {
        self.connections.lend(deadline).await
    }

    async fn step(&self, handles: &[SessionHandle], deadline: Instant) -> Result<Step<'_>, Failure> {
        Step::on(self, handles, deadline).await
    }

    async fn create(&self, new: &NewRow, deadline: Instant) -> Result<Creation, Failure> {
        if let Some(limit) = new.limit {
            return Step::create(self, new.clone(), limit, deadline).await;
        }
        let row = new.clone().into_row(EPOCH);
        let values: Vec<_> = Column::ALL.iter().map(|column| since_epoch(&row, *column)).collect();
        let made = self.lend(deadline).await?.run(&self.sql.create, &parameters(&values)).await?;
        if made.is_empty() {
            return Ok(Creation::HandleTaken);
        }
        Ok(Creation::Created(new.clone().into_row(time_of(&made)?)))
    }

    async fn rotate(&self, exchange: &Exchange, deadline: Instant) -> Result<Rotation, Failure> {
        let (handle, link) = (exchange.handle(), exchange.presented().link);
        let (nonce, fingerprint) = (exchange.presented().nonce, exchange.fingerprint());
        let proof = exchange.proof();
        let values = [
            Value::from(handle.as_bytes()),
            link.generation.into(),
            link.parent.into(),
            nonce.as_ref().map(|nonce| &nonce.0).into(),
            (&fingerprint.0).into(),
            Value::Bytes(proof.half()),
            Value::Bytes(proof.whole()),
            as_millis(exchange.grace().floor()),
        ];
        let mut loan = self.lend(deadline).await?;
        let rotated = loan.run(&self.sql.rotate, &parameters(&values)).await?;
        if let Some(answer) = rotated.first() {
            let (_, rotation) = self.decide(answer, exchange)?;
            // The statement's conditions are those of the rule. Would they ever differ, the answer must not.
            return match rotation.decision {
                Decision::Rotate(_) => Ok(rotation),
                _ => Err(Failure::Disagreement),
            };
        }
        let answer = loan.run(&self.sql.look, &parameters(&values[..1])).await?;
        drop(loan);
        let (before, rotation) = self.decide(answer.first().ok_or(Failure::Foreign)?, exchange)?;
        let replaces_other = rotation.row.as_ref().is_some_and(|row| row.replaces.is_some());
        let is_first_use = rotation.decision.answer().is_some() && replaces_other;
        if before == rotation.row && !is_first_use {
            return Ok(rotation);
        }
        self.step(&[handle], deadline).await?.rotate(exchange).await
    }

    /// What is to be done with the row of an answer, which the time follows, and the row as it is now.
    fn decide(
        &self,
        answer: &tokio_postgres::Row,
        exchange: &Exchange,
    ) -> Result<(Option<Row>, Rotation), Failure> {
        let now = self::time(answer, Column::ALL.len())?;
        let before = match answer.bytes(0).map_err(Failure::Answer)? {
            Some(_) => Some(self.row(answer, exchange.handle())?),
            None => None,
        };
        let other_client = before.as_ref().is_some_and(|row| !exchange.is_by(row.fingerprint));
        let mut row = before.clone();
        let decision = exchange.step(row.as_mut(), now);
        Ok((before, Rotation { decision, row, other_client, now }))
    }

    async fn read(&self, handle: SessionHandle, deadline: Instant) -> Result<Option<Row>, Failure> {
        let values = [Value::from(handle.as_bytes())];
        let rows = self.lend(deadline).await?.run(&self.sql.row, &parameters(&values)).await?;
        rows.first().map(|row| self.row(row, handle)).transpose()
    }

    /// The row of an answer, which must be that of the session that was asked for.
    fn row(&self, answer: &tokio_postgres::Row, handle: SessionHandle) -> Result<Row, Failure> {
        let row = decode_row(answer)?;
        if row.handle == handle { Ok(row) } else { Err(Failure::Foreign) }
    }

    async fn list(&self, user: &str, deadline: Instant) -> Result<Vec<Row>, Failure> {
        let answers = self.lend(deadline).await?.run(&self.sql.live, &[&user]).await?;
        let mut rows = Vec::with_capacity(answers.len());
        for answer in &answers {
            let row = decode_row(answer)?;
            if row.user.as_ref() != user {
                return Err(Failure::Foreign);
            }
            if row.is_live(time(answer, Column::ALL.len())?) {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    async fn purge(&self, retention: Duration, limit: usize, deadline: Instant) -> Result<Purge, Failure> {
        let mut loan = self.lend(deadline).await?;
        let sql = &self.sql;
        let values = [as_millis(retention), Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX))];
        let marks = loan.run(&sql.forget_marks, &parameters(&values)).await?.len();
        let ends = loan.run(&sql.forget_revocations, &parameters(&values)).await?.len();
        let rows = loan.run(&sql.purge, &parameters(&values)).await?;
        let mut purge = Purge { expired: Vec::new(), more: marks == limit || ends == limit };
        for row in &rows {
            let taken = row.integer(0).map_err(Failure::Answer)?.unwrap_or_default();
            purge.more |= usize::try_from(taken) == Ok(limit);
            if let (Some(handle), Some(user)) =
                (row.try_get::<_, Option<Vec<u8>>>(1)?, row.try_get::<_, Option<String>>(2)?)
            {
                let handle = handle.try_into().map_err(|_| Failure::Foreign)?;
                purge.expired.push((SessionHandle::from_bytes(handle), user.into()));
            }
        }
        Ok(purge)
    }

    async fn revocations(&self, after: Cursor, deadline: Instant) -> Result<Batch, Failure> {
        let after = i64::try_from(after.0).unwrap_or(i64::MAX);
        let values = [Value::Integer(after), Value::Integer(BATCH as i64)];
        let answers = self.lend(deadline).await?.run(&self.sql.revocations, &parameters(&values)).await?;
        let first = answers.first().ok_or(Failure::Foreign)?;
        let mut next = cursor(first, 0)?.ok_or(Failure::Foreign)?;
        let (last, now) = (next, time(first, 1)?);
        let mut revocations: Vec<Revocation> = Vec::with_capacity(answers.len());
        let mut seen = None;
        for answer in &answers {
            if let Some(cursor) = cursor(answer, 2)? {
                revocations.push(decode_revocation(answer, 3)?);
                seen = Some(cursor);
            }
        }
        let more = revocations.len() == BATCH && seen < Some(last);
        if let (true, Some(seen)) = (more, seen) {
            next = seen;
        }
        Ok(Batch { revocations, next, more, now })
    }
}

/// A time that rows are made at where only the durations in them matter: so late that none of them begins before time does, and
/// so early that none ends after it.
const EPOCH: Timestamp = Timestamp::from_millis(1 << 62);

/// What a row that is made at [`EPOCH`] has in a column, where a time is the duration between the two.
fn since_epoch(row: &Row, column: Column) -> Value<'_> {
    let apart = |at: Timestamp| as_millis(at.since(EPOCH).max(EPOCH.since(at)));
    match column {
        Column::CreatedAt => apart(row.created_at),
        Column::AuthenticatedAt => apart(row.authenticated_at),
        Column::IdleExpiresAt => apart(row.idle_expires_at),
        Column::AbsoluteExpiresAt => apart(row.absolute_expires_at),
        Column::RotatedAt => apart(row.chain.rotated_at),
        _ => column.of(row),
    }
}

fn as_millis(duration: Duration) -> Value<'static> {
    Value::Integer(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

fn parameters<T: ToSql + Sync>(values: &[T]) -> Vec<Parameter<'_>> {
    values.iter().map(|value| value as Parameter<'_>).collect()
}

/// The time in a column of an answer.
fn time(row: &tokio_postgres::Row, at: usize) -> Result<Timestamp, Failure> {
    let millis = row.integer(at).map_err(Failure::Answer)?;
    millis.and_then(columns::time).ok_or(Failure::Foreign)
}

/// The time that an answer consists of; the earliest if it is none.
fn time_of(rows: &[tokio_postgres::Row]) -> Result<Timestamp, Failure> {
    let row = rows.first().ok_or(Failure::Foreign)?;
    Ok(row.integer(0).map_err(Failure::Answer)?.and_then(columns::time).unwrap_or_default())
}

fn cursor(row: &tokio_postgres::Row, at: usize) -> Result<Option<Cursor>, Failure> {
    let number = row.integer(at).map_err(Failure::Answer)?;
    Ok(number.map(|number| Cursor(number.unsigned_abs())))
}

impl Record for tokio_postgres::Row {
    fn integer(&self, at: usize) -> Result<Option<i64>, BoxError> {
        Ok(self.try_get(at)?)
    }

    fn text(&self, at: usize) -> Result<Option<String>, BoxError> {
        Ok(self.try_get(at)?)
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, BoxError> {
        Ok(self.try_get(at)?)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) => number.to_sql(of, out),
            Self::Text(text) => text.to_sql(of, out),
            Self::Bytes(bytes) => bytes.to_sql(of, out),
        }
    }

    fn accepts(of: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(of)
    }

    to_sql_checked!();
}

/// How an operation may fail.
enum Failure {
    /// No connection to be had.
    NoConnection,
    Pool(PoolError),
    Server(tokio_postgres::Error),
    /// The server has not answered in time.
    Late,
    /// A row is not what this library writes.
    Undecodable(Undecodable),
    Answer(BoxError),
    /// An answer that does not belong to what was asked.
    Foreign,
    /// The statement decided otherwise than the rules.
    Disagreement,
}

impl Failure {
    /// Whether another transaction got in the way, so that it is worth trying again. Nothing was changed then.
    fn is_conflict(&self) -> bool {
        let Self::Server(error) = self else { return false };
        error.code().is_some_and(|code| {
            *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection => f.write_str("no connection to the database within the time"),
            Self::Pool(PoolError::Backend(error)) | Self::Server(error) => write_error(f, error),
            Self::Pool(PoolError::Timeout(_)) => Self::NoConnection.fmt(f),
            Self::Pool(error) => error.fmt(f),
            Self::Late => f.write_str("the database did not answer in time"),
            Self::Undecodable(error) => error.fmt(f),
            Self::Answer(error) => error.fmt(f),
            Self::Foreign => f.write_str("the database answered what was not asked"),
            Self::Disagreement => f.write_str("the statement decided otherwise than the rules of rotation"),
        }
    }
}

/// What the server said of the failure, but not its details, in which values of a row may stand; or what went wrong on the way.
fn write_error(f: &mut fmt::Formatter<'_>, error: &tokio_postgres::Error) -> fmt::Result {
    if let Some(said) = error.as_db_error() {
        write!(f, "{} (SQLSTATE {})", said.message(), said.code().code())?;
        let is_mixed_up =
            [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT].contains(said.code());
        let hint = "; behind a pooler, turn prepared statements off";
        return if is_mixed_up { f.write_str(hint) } else { Ok(()) };
    }
    write!(f, "{error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}

/// As it is displayed: what a derived form would show of the server's error are values of a row.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Undecodable(error) => error.source(),
            _ => None,
        }
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<Undecodable> for Failure {
    fn from(error: Undecodable) -> Self {
        Self::Undecodable(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::new(failure)
    }
}
