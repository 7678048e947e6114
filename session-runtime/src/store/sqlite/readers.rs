//! The threads that read, each with a connection of its own.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params_from_iter};
use tokio::sync::oneshot;

use super::{Failure, SqliteStoreBuilder, schema::Sql};
use crate::{
    clock::Timestamp,
    error::StoreError,
    handle::SessionHandle,
    store::{
        Batch, Cursor, Row,
        columns::{Value, decode_revocation, decode_row},
    },
};

/// How many revocations are read at once.
const BATCH: usize = 1000;

/// Hands reads to the threads.
pub(super) struct Readers {
    queue: mpsc::Sender<Read>,
}

type Read = Box<dyn FnOnce(&Reader) + Send>;

impl Readers {
    pub(super) async fn start(settings: &SqliteStoreBuilder, sql: &Arc<Sql>) -> Result<Self, StoreError> {
        let (queue, reads) = mpsc::channel::<Read>();
        let reads = Arc::new(Mutex::new(reads));
        let mut opening = Vec::new();
        for _ in 0..settings.readers {
            let (opened, is_open) = oneshot::channel();
            let (settings, sql, reads) = (settings.clone(), Arc::clone(sql), Arc::clone(&reads));
            let thread = thread::Builder::new().name("session-reader".to_owned());
            let run = move || match Reader::open(&settings, sql) {
                Ok(reader) => {
                    let _ = opened.send(Ok(()));
                    reader.serve(&reads);
                }
                Err(error) => drop(opened.send(Err(settings.refused(error)))),
            };
            thread.spawn(run).map_err(StoreError::new)?;
            opening.push(is_open);
        }
        for is_open in opening {
            is_open.await.map_err(|_| ended())??;
        }
        Ok(Self { queue })
    }

    /// Reads in one of the threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = move |reader: &Reader| {
            // Nobody waits any more if the request is gone.
            if !reply.is_closed() {
                let _ = reply.send(read(reader));
            }
        };
        self.queue.send(Box::new(job)).map_err(|_| ended())?;
        Ok(answer.await.map_err(|_| ended())??)
    }
}

fn ended() -> StoreError {
    StoreError::new("the thread that reads the database has ended")
}

/// A connection that reads.
pub(super) struct Reader {
    connection: Connection,
    sql: Arc<Sql>,
}

impl Reader {
    fn open(settings: &SqliteStoreBuilder, sql: Arc<Sql>) -> rusqlite::Result<Self> {
        let connection = settings.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(Self { connection, sql })
    }

    fn serve(&self, reads: &Mutex<mpsc::Receiver<Read>>) {
        loop {
            // The lock is held while waiting, so that each of the threads takes its turn.
            let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match next {
                Ok(read) => read(self),
                Err(_) => return,
            }
        }
    }

    /// The row of a session.
    pub(super) fn row(&self, handle: SessionHandle) -> Result<Option<Row>, Failure> {
        row(&self.connection, &self.sql, handle)
    }

    /// The live sessions of a user, the oldest first.
    pub(super) fn live(&self, user: &str, now: Timestamp) -> Result<Vec<Row>, Failure> {
        live(&self.connection, &self.sql, user, now)
    }

    /// What was published after a cursor.
    pub(super) fn revocations(&self, after: Cursor, now: Timestamp) -> Result<Batch, Failure> {
        let last = self
            .connection
            .prepare_cached(&self.sql.published)?
            .query_row([], |row| row.get(0))
            .optional()?;
        let last: i64 = last.unwrap_or_default();
        let after = i64::try_from(after.0).unwrap_or(i64::MAX);
        let mut batch = Batch { revocations: Vec::new(), next: cursor(last), more: false, now };
        if last <= after {
            return Ok(batch);
        }
        let mut statement = self.connection.prepare_cached(&self.sql.revocations)?;
        let mut rows = statement.query((after, last, BATCH as i64))?;
        let mut seen = after;
        while let Some(row) = rows.next()? {
            seen = row.get(0)?;
            batch.revocations.push(decode_revocation(row, 1)?);
        }
        if batch.revocations.len() == BATCH && seen < last {
            batch.next = cursor(seen);
            batch.more = true;
        }
        Ok(batch)
    }
}

fn cursor(seq: i64) -> Cursor {
    Cursor(seq.unsigned_abs())
}

pub(super) fn row(connection: &Connection, sql: &Sql, handle: SessionHandle) -> Result<Option<Row>, Failure> {
    let mut statement = connection.prepare_cached(&sql.row)?;
    let mut rows = statement.query([Value::from(handle.as_bytes())])?;
    Ok(rows.next()?.map(decode_row).transpose()?)
}

pub(super) fn live(
    connection: &Connection,
    sql: &Sql,
    user: &str,
    now: Timestamp,
) -> Result<Vec<Row>, Failure> {
    let mut statement = connection.prepare_cached(&sql.live)?;
    let mut rows = statement.query(params_from_iter([Value::from(user)]))?;
    let mut live = Vec::new();
    while let Some(row) = rows.next()? {
        live.push(decode_row(row)?);
    }
    live.retain(|row| row.is_live(now));
    Ok(live)
}
