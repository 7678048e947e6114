//! The thread that writes, and commits in groups.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::{oneshot, watch};

use super::{Failure, SqliteStoreBuilder, schema::Sql, steps::Step};
use crate::{clock::Clock, error::StoreError, store::columns::BoxError};

/// How many operations are committed together at most.
const LARGEST_GROUP: usize = 512;

/// How much of the file the thread keeps in memory, in KiB: what it would otherwise read anew for most of the rotations.
const CACHE_KIB: i64 = 32 << 10;

/// How often to ask for the lock that another process holds.
const LOCK_POLL: Duration = Duration::from_millis(1);

/// Hands operations to the thread.
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Operation>>,
}

impl Writer {
    pub(super) async fn start(
        settings: SqliteStoreBuilder,
        sql: Arc<Sql>,
        published: watch::Sender<()>,
    ) -> Result<Self, StoreError> {
        let (queue, operations) = mpsc::channel();
        let (opened, is_open) = oneshot::channel();
        let run = move || match open(&settings, &sql) {
            Ok(connection) => {
                let _ = opened.send(Ok(()));
                let SqliteStoreBuilder { clock, busy_timeout: patience, .. } = settings;
                Thread { connection, sql, clock, patience, published }.serve(&operations);
            }
            Err(error) => drop(opened.send(Err(settings.refused(error)))),
        };
        thread::Builder::new().name("session-writer".to_owned()).spawn(run).map_err(StoreError::new)?;
        is_open.await.map_err(|_| ended())??;
        Ok(Self { queue })
    }

    /// Carries an operation out in a transaction, and answers when it is committed.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Step<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let run = |step: &Step<'_>| {
            step.write_several()?;
            run(step)
        };
        self.write_little(run).await
    }

    /// As [`write`](Self::write), for an operation that most often writes by a single statement, and where it doesn't, says so:
    /// [`Step::write_several`].
    pub(super) async fn write_little<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Step<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Box::new(Call { run: Some(run), outcome: None, reply })).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

fn ended() -> StoreError {
    StoreError::new("the thread that writes the database has ended")
}

fn open(settings: &SqliteStoreBuilder, sql: &Sql) -> Result<Connection, BoxError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = settings.connect(flags)?;
    if connection.is_readonly("main")? {
        return Err("the file is write-protected".into());
    }
    use_write_ahead_log(&connection, settings.busy_timeout)?;
    connection.pragma_update(None, "synchronous", settings.durability.pragma())?;
    // SQLite takes a negative number for KiB.
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    sql.prepare(&mut connection, settings.migrate)?;
    // From here on, the only lock to wait for is the writer's, and SQLite would wait for it in ever longer steps.
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// SQLite does not wait for the lock that this needs, where another process is about to do the same.
fn use_write_ahead_log(connection: &Connection, patience: Duration) -> Result<(), BoxError> {
    let started = Instant::now();
    loop {
        let mode =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(mode) => {
                return Err(
                    format!("it can't have a write-ahead log; its journal mode stays `{mode}`").into()
                );
            }
            Err(error) if is_busy(&error) && started.elapsed() < patience => {
                thread::sleep(LOCK_POLL);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

struct Thread {
    connection: Connection,
    sql: Arc<Sql>,
    clock: Clock,
    /// How long to wait for another process that writes.
    patience: Duration,
    published: watch::Sender<()>,
}

impl Thread {
    fn serve(self, operations: &mpsc::Receiver<Box<dyn Operation>>) {
        while let Ok(first) = operations.recv() {
            let mut group = vec![first];
            group.extend(operations.try_iter().take(LARGEST_GROUP - 1));
            // Whose request went away before its turn, needs nothing done.
            group.retain(|operation| operation.is_awaited());
            if group.is_empty() {
                continue;
            }
            let committed = self.commit(&mut group);
            if let Ok(true) = committed {
                self.published.send_replace(());
            }
            let committed = committed.map(drop).map_err(StoreError::from);
            group.into_iter().for_each(|operation| operation.answer(committed.clone()));
        }
    }

    /// Carries a group out in one transaction. Returns whether it published revocations.
    fn commit(&self, group: &mut [Box<dyn Operation>]) -> Result<bool, Failure> {
        let transaction = begin(&self.connection, self.patience)?;
        let mut has_published = false;
        for operation in group {
            let step = Step::new(&transaction, &self.sql, self.clock.now());
            let has_succeeded = operation.carry_out(&step);
            step.end_operation(has_succeeded)?;
            has_published |= has_succeeded && step.has_published();
        }
        transaction.commit()?;
        Ok(has_published)
    }
}

/// Begins a transaction that writes, when no other process has one.
fn begin(connection: &Connection, patience: Duration) -> rusqlite::Result<Transaction<'_>> {
    let started = Instant::now();
    loop {
        match Transaction::new_unchecked(connection, TransactionBehavior::Immediate) {
            Err(error) if is_busy(&error) && started.elapsed() < patience => thread::sleep(LOCK_POLL),
            begun => return begun,
        }
    }
}

/// An operation on its way through the thread.
trait Operation: Send {
    /// Whether anyone waits for the answer.
    fn is_awaited(&self) -> bool;

    /// Carries it out, once. Returns whether it succeeded; if not, what it did must be undone.
    fn carry_out(&mut self, step: &Step<'_>) -> bool;

    /// Answers, when its transaction has been committed or has failed.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Call<T, F> {
    run: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Operation for Call<T, F>
where
    T: Send,
    F: FnOnce(&Step<'_>) -> Result<T, Failure> + Send,
{
    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }

    fn carry_out(&mut self, step: &Step<'_>) -> bool {
        let Some(run) = self.run.take() else { return false };
        // The others in the group have nothing to do with its faults.
        let outcome = catch_unwind(AssertUnwindSafe(|| run(step)));
        let outcome = outcome.unwrap_or_else(|_| Err(Failure::Panicked)).map_err(StoreError::from);
        self.outcome.insert(outcome).is_ok()
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match (self.outcome, committed) {
            // Its own failure says more than that of the transaction which it may have caused.
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(answer)), Ok(())) => Ok(answer),
            (None, Ok(())) => Err(ended()),
        };
        // Nobody may be waiting any more.
        let _ = self.reply.send(outcome);
    }
}
