//! What happens inside a transaction.

use std::{cell::Cell, sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::{Failure, readers, schema::Sql};
use crate::{
    clock::Timestamp,
    handle::SessionHandle,
    rotation::Decision,
    store::{
        BeyondLimit, Change, Changed, Creation, EndReason, Exchange, NewRow, Purge, Revocation, Rotation,
        Row, SessionLimit,
        columns::{Column, Value, encode_revocation},
    },
};

/// A transaction that holds the write lock, at one time.
pub(super) struct Step<'a> {
    pub(super) connection: &'a Connection,
    pub(super) sql: &'a Sql,
    now: Timestamp,
    has_published: Cell<bool>,
    has_savepoint: Cell<bool>,
}

/// The operations.
impl<'a> Step<'a> {
    pub(super) fn new(connection: &'a Connection, sql: &'a Sql, now: Timestamp) -> Self {
        Self { connection, sql, now, has_published: Cell::default(), has_savepoint: Cell::default() }
    }

    /// Has all that the operation writes from here on undone if a part of it fails. For a single statement SQLite does that by
    /// itself, without a copy of each page that is written.
    pub(super) fn write_several(&self) -> Result<(), Failure> {
        if !self.has_savepoint.get() {
            self.connection.prepare_cached("SAVEPOINT operation")?.execute([])?;
            self.has_savepoint.set(true);
        }
        Ok(())
    }

    /// Ends the operation that the step was made for. If it failed, nothing of it is left in the transaction.
    pub(super) fn end_operation(&self, has_succeeded: bool) -> Result<(), Failure> {
        if !self.has_savepoint.get() {
            // A full disk, for one, may have SQLite undo the whole transaction; what came next would be in none.
            return if self.connection.is_autocommit() { Err(Failure::Undone) } else { Ok(()) };
        }
        if !has_succeeded {
            self.connection.prepare_cached("ROLLBACK TO operation")?.execute([])?;
        }
        self.connection.prepare_cached("RELEASE operation")?.execute([])?;
        Ok(())
    }

    /// Whether revocations were published.
    pub(super) fn has_published(&self) -> bool {
        self.has_published.get()
    }

    pub(super) fn create(&self, new: NewRow) -> Result<Creation, Failure> {
        let mark = self.mark(&new.user)?.map(|mark| mark.after(Duration::from_millis(1)));
        let now = self.now.max(mark.unwrap_or_default());
        if let Some(limit) = new.limit {
            // Before anybody's session is ended for it.
            if self.row(new.handle)?.is_some() {
                return Ok(Creation::HandleTaken);
            }
            if !self.make_room(&new, limit, now)? {
                return Ok(Creation::LimitReached);
            }
        }
        let row = new.into_row(now);
        Ok(if self.insert(&row)? { Creation::Created(row) } else { Creation::HandleTaken })
    }

    pub(super) fn rotate(&self, exchange: &Exchange) -> Result<Rotation, Failure> {
        let before = self.row(exchange.handle())?;
        let other_client = before.as_ref().is_some_and(|row| !exchange.is_by(row.fingerprint));
        let mut row = before.clone();
        let decision = exchange.step(row.as_mut(), self.now);
        if let (Some(before), Some(row)) = (&before, &mut row) {
            let replaced = decision.answer().and_then(|_| row.replaces.take());
            let is_theft = matches!(decision, Decision::Theft { .. });
            if is_theft || replaced.is_some() {
                self.write_several()?;
            }
            self.keep(before, row)?;
            if is_theft {
                self.publish_end(row)?;
            }
            self.end_replaced(replaced)?;
        }
        Ok(Rotation { decision, row, other_client, now: self.now })
    }

    pub(super) fn confirm(&self, used: &[(SessionHandle, u32)]) -> Result<(), Failure> {
        for (handle, generation) in used {
            let Some(before) = self.row(*handle)?.filter(|row| row.is_live(self.now)) else { continue };
            let mut row = before.clone();
            row.confirm(*generation, self.now);
            let is_theft = row.ended.is_some();
            let replaced = if is_theft { None } else { row.replaces.take() };
            self.keep(&before, &row)?;
            if is_theft {
                self.publish_end(&row)?;
            }
            self.end_replaced(replaced)?;
        }
        Ok(())
    }

    pub(super) fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: &Change,
    ) -> Result<Changed, Failure> {
        let Some(before) = self.row(handle)? else { return Ok(Changed::Gone) };
        let mut row = before.clone();
        let changed = row.change(version, change, self.now);
        self.keep(&before, &row)?;
        Ok(changed)
    }

    /// Ends a session, and those that it replaces if the end shows that it was in use. Returns whether it was live.
    pub(super) fn end(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, Failure> {
        let (ended, mut replaced) = self.end_one(handle, reason)?;
        // Whoever logs in again and again without using what they get makes a long chain of them.
        while let Some(handle) = replaced {
            (_, replaced) = self.end_one(*handle, EndReason::Replaced)?;
        }
        Ok(ended)
    }

    /// Ends a session. Returns whether it was live, and which one ends with it.
    fn end_one(
        &self,
        handle: SessionHandle,
        reason: EndReason,
    ) -> Result<(bool, Option<Box<SessionHandle>>), Failure> {
        let Some(before) = self.row(handle)? else { return Ok((false, None)) };
        let mut row = before.clone();
        let ended = row.end(reason, self.now);
        let replaced = if reason.shows_use() { row.replaces.take() } else { None };
        self.keep(&before, &row)?;
        if ended {
            self.publish_end(&row)?;
        }
        Ok((ended, replaced))
    }

    pub(super) fn end_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> Result<Vec<SessionHandle>, Failure> {
        let mut ended = Vec::new();
        for row in self.live(&user, self.now)?.into_iter().filter(|row| Some(row.handle) != except) {
            if self.end(row.handle, reason)? {
                ended.push(row.handle);
            }
        }
        if except.is_none() {
            let made_by = self.now.max(self.youngest(&user)?);
            self.set_mark(&user, made_by)?;
            self.publish(&Revocation::User { user, made_by })?;
        }
        Ok(ended)
    }

    pub(super) fn purge(&self, retention: Duration, limit: usize) -> Result<Purge, Failure> {
        let mut purge = Purge::default();
        let limit = limit.max(1);
        let due = self.due(limit)?;
        let oldest = (Value::from(self.now.before(retention)), as_limit(limit));
        let marks = self.connection.prepare_cached(&self.sql.forget_marks)?.execute(oldest.clone())?;
        let ends = self.connection.prepare_cached(&self.sql.forget_revocations)?.execute(oldest)?;
        purge.more = due.len() == limit || marks == limit || ends == limit;
        for row in due {
            let dies_at = row.ended_at.map_or(row.expires_at, |ended_at| ended_at.after(retention));
            if dies_at > self.now {
                let later = Value::from(dies_at);
                self.connection.prepare_cached(&self.sql.put_off)?.execute((row.id, later))?;
                continue;
            }
            self.connection.prepare_cached(&self.sql.delete)?.execute([row.id])?;
            if row.ended_at.is_none() {
                purge.expired.push((row.handle, row.user));
            }
        }
        Ok(purge)
    }
}

/// What the operations are made of.
impl Step<'_> {
    fn row(&self, handle: SessionHandle) -> Result<Option<Row>, Failure> {
        readers::row(self.connection, self.sql, handle)
    }

    fn live(&self, user: &str, now: Timestamp) -> Result<Vec<Row>, Failure> {
        readers::live(self.connection, self.sql, user, now)
    }

    /// Whether the user may have one more session, if need be at the expense of the oldest. The one that is being replaced does
    /// not count: it ends by itself, but not before the new one is used.
    fn make_room(&self, new: &NewRow, limit: SessionLimit, now: Timestamp) -> Result<bool, Failure> {
        let mut live = self.live(&new.user, now)?;
        live.retain(|row| Some(row.handle) != new.replaces);
        let surplus = (live.len() + 1).saturating_sub(limit.max as usize);
        if surplus > 0 && limit.beyond == BeyondLimit::Refuse {
            return Ok(false);
        }
        for row in live.into_iter().take(surplus) {
            self.end(row.handle, EndReason::Evicted)?;
        }
        Ok(true)
    }

    /// Inserts a row unless its handle is taken. Returns whether it was inserted.
    fn insert(&self, row: &Row) -> Result<bool, Failure> {
        let values = Column::ALL.iter().map(|column| column.of(row)).chain([row.expires_at().into()]);
        let inserted = self.connection.prepare_cached(&self.sql.insert)?.execute(params_from_iter(values))?;
        Ok(inserted > 0)
    }

    /// Writes what a step has changed, if anything.
    fn keep(&self, before: &Row, row: &Row) -> Result<(), Failure> {
        if before == row {
            return Ok(());
        }
        let handle = Column::Handle.of(row);
        let values = Column::CHANGING.iter().map(|column| column.of(row)).chain([handle]);
        self.connection.prepare_cached(&self.sql.keep)?.execute(params_from_iter(values))?;
        Ok(())
    }

    /// Tells the feed of a row that just ended, and has the purge look at it.
    fn publish_end(&self, row: &Row) -> Result<(), Failure> {
        let Some(ended) = row.ended.as_deref().copied() else { return Ok(()) };
        let at = (Column::Handle.of(row), Value::from(ended.at));
        self.connection.prepare_cached(&self.sql.look_after)?.execute(at)?;
        self.publish(&Revocation::Session { handle: row.handle, user: Arc::clone(&row.user), ended })
    }

    fn publish(&self, revocation: &Revocation) -> Result<(), Failure> {
        let values = params_from_iter(encode_revocation(revocation));
        self.connection.prepare_cached(&self.sql.publish)?.execute(values)?;
        self.has_published.set(true);
        Ok(())
    }

    fn end_replaced(&self, replaced: Option<Box<SessionHandle>>) -> Result<(), Failure> {
        if let Some(replaced) = replaced {
            self.end(*replaced, EndReason::Replaced)?;
        }
        Ok(())
    }

    fn mark(&self, user: &str) -> Result<Option<Timestamp>, Failure> {
        let mut statement = self.connection.prepare_cached(&self.sql.mark)?;
        Ok(statement.query_row([Value::from(user)], |row| row.get(0)).optional()?)
    }

    fn set_mark(&self, user: &str, made_by: Timestamp) -> Result<(), Failure> {
        let mark = [Value::from(user), Value::from(made_by)];
        self.connection.prepare_cached(&self.sql.set_mark)?.execute(params_from_iter(mark))?;
        Ok(())
    }

    fn youngest(&self, user: &str) -> Result<Timestamp, Failure> {
        let mut statement = self.connection.prepare_cached(&self.sql.youngest)?;
        let created_at: Option<Timestamp> = statement.query_row([Value::from(user)], |row| row.get(0))?;
        Ok(created_at.unwrap_or_default())
    }

    fn due(&self, limit: usize) -> Result<Vec<Due>, Failure> {
        let mut statement = self.connection.prepare_cached(&self.sql.due)?;
        let rows = statement.query_map((Value::from(self.now), as_limit(limit)), |row| {
            Ok(Due {
                id: row.get(0)?,
                handle: SessionHandle::from_bytes(row.get(1)?),
                user: row.get(2)?,
                expires_at: row.get(3)?,
                ended_at: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn as_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A row that the purge looks at.
struct Due {
    id: i64,
    handle: SessionHandle,
    user: Arc<str>,
    expires_at: Timestamp,
    ended_at: Option<Timestamp>,
}
