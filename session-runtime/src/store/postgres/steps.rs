//! What happens inside a transaction: rows are locked and read, changed here, and written back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Failure, Inner,
    connection::{Loan, Parameter, Ready},
    parameters,
    schema::KEPT,
    time_of,
};
use crate::{
    clock::Timestamp,
    handle::SessionHandle,
    rotation::Decision,
    store::{
        BeyondLimit, Change, Changed, Creation, EndReason, Exchange, NewRow, Revocation, Rotation, Row,
        SessionLimit,
        columns::{Column, REVOCATION, Value, decode_row, encode_revocation},
    },
};

/// A transaction that has rows locked, at one time.
pub(super) struct Step<'a> {
    inner: &'a Inner,
    loan: Loan<'a>,
    rows: BTreeMap<SessionHandle, Held>,
    /// Handles from the oldest session to the youngest.
    order: Vec<SessionHandle>,
    ended: Vec<Revocation>,
    marked: Option<(Arc<str>, Timestamp)>,
    has_inserted: bool,
    now: Timestamp,
}

/// A locked row, as it was and as it shall be.
struct Held {
    before: Row,
    row: Row,
}

/// What is known of a user while their mark is locked.
struct User {
    mark: Timestamp,
    youngest: Timestamp,
}

impl<'a> Step<'a> {
    /// Locks sessions, and what they replace.
    pub(super) async fn on(
        inner: &'a Inner,
        handles: &[SessionHandle],
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let mut loan = inner.lend(deadline).await?;
        let sql = &inner.sql;
        let (begin, limit_idle) = (loan.ready(&sql.begin).await?, loan.ready(&sql.limit_idle).await?);
        let (lock_rows, now) = (loan.ready(&sql.lock_rows).await?, loan.ready(&sql.now).await?);
        let handles: Vec<&[u8]> = handles.iter().map(|handle| &handle.as_bytes()[..]).collect();
        loan.begin();
        let answers = loan
            .run_all(&[
                (&begin, vec![]),
                (&limit_idle, vec![]),
                (&lock_rows, vec![&handles, &Value::Null]),
                (&now, vec![]),
            ])
            .await?;
        let [.., rows, now] = &answers[..] else { return Err(Failure::Foreign) };
        Self::holding(inner, loan, rows, now)
    }

    /// Locks all of a user: what was made before, and what would be made meanwhile.
    async fn on_user(
        inner: &'a Inner,
        user: &str,
        handle: Option<SessionHandle>,
        deadline: Instant,
    ) -> Result<(Self, User), Failure> {
        let mut loan = inner.lend(deadline).await?;
        let sql = &inner.sql;
        let (begin, limit_idle) = (loan.ready(&sql.begin).await?, loan.ready(&sql.limit_idle).await?);
        let (lock_mark, lock_rows) = (loan.ready(&sql.lock_mark).await?, loan.ready(&sql.lock_rows).await?);
        let (youngest, now) = (loan.ready(&sql.youngest).await?, loan.ready(&sql.now).await?);
        let handles: Vec<&[u8]> = handle.iter().map(|handle| &handle.as_bytes()[..]).collect();
        loan.begin();
        let answers = loan
            .run_all(&[
                (&begin, vec![]),
                (&limit_idle, vec![]),
                (&lock_mark, vec![&user]),
                (&lock_rows, vec![&handles, &user]),
                (&youngest, vec![&user]),
                (&now, vec![]),
            ])
            .await?;
        let [.., mark, rows, youngest, now] = &answers[..] else { return Err(Failure::Foreign) };
        let user = User { mark: time_of(mark)?, youngest: time_of(youngest)? };
        Ok((Self::holding(inner, loan, rows, now)?, user))
    }

    fn holding(
        inner: &'a Inner,
        loan: Loan<'a>,
        rows: &[tokio_postgres::Row],
        now: &[tokio_postgres::Row],
    ) -> Result<Self, Failure> {
        let mut step = Self {
            inner,
            loan,
            rows: BTreeMap::new(),
            order: Vec::with_capacity(rows.len()),
            ended: Vec::new(),
            marked: None,
            has_inserted: false,
            now: time_of(now)?,
        };
        // They were locked from the youngest on.
        for row in rows.iter().rev() {
            let row = decode_row(row)?;
            step.order.push(row.handle);
            step.rows.insert(row.handle, Held { before: row.clone(), row });
        }
        Ok(step)
    }

    /// Makes a session where there is a limit of them.
    pub(super) async fn create(
        inner: &'a Inner,
        new: NewRow,
        limit: SessionLimit,
        deadline: Instant,
    ) -> Result<Creation, Failure> {
        let (mut step, user) = Self::on_user(inner, &new.user, Some(new.handle), deadline).await?;
        let now = step.now.max(user.mark.after(Duration::from_millis(1)));
        if step.rows.contains_key(&new.handle) {
            return Ok(Creation::HandleTaken);
        }
        if !step.make_room(&new, limit, now) {
            return Ok(Creation::LimitReached);
        }
        let row = new.into_row(now);
        if !step.insert(&row).await? {
            return Ok(Creation::HandleTaken);
        }
        step.commit().await?;
        Ok(Creation::Created(row))
    }

    pub(super) async fn rotate(mut self, exchange: &Exchange) -> Result<Rotation, Failure> {
        let held = self.rows.get_mut(&exchange.handle()).map(|held| &mut held.row);
        let other_client = held.as_ref().is_some_and(|row| !exchange.is_by(row.fingerprint));
        let Some(row) = held else {
            let decision = exchange.step(None, self.now);
            return Ok(Rotation { decision, row: None, other_client, now: self.now });
        };
        let decision = exchange.step(Some(row), self.now);
        let replaced = decision.answer().and_then(|_| row.replaces.take());
        let row = row.clone();
        if let Decision::Theft { .. } = decision {
            self.publish_end(&row);
        }
        self.end_replaced(replaced);
        let now = self.now;
        self.commit().await?;
        Ok(Rotation { decision, row: Some(row), other_client, now })
    }

    pub(super) async fn confirm(mut self, used: &[(SessionHandle, u32)]) -> Result<(), Failure> {
        for (handle, generation) in used {
            let now = self.now;
            let Some(held) = self.rows.get_mut(handle).filter(|held| held.row.is_live(now)) else { continue };
            held.row.confirm(*generation, now);
            let is_theft = held.row.ended.is_some();
            let replaced = if is_theft { None } else { held.row.replaces.take() };
            let row = held.row.clone();
            if is_theft {
                self.publish_end(&row);
            }
            self.end_replaced(replaced);
        }
        self.commit().await
    }

    pub(super) async fn update(
        mut self,
        handle: SessionHandle,
        version: u32,
        change: &Change,
    ) -> Result<Changed, Failure> {
        let now = self.now;
        let Some(held) = self.rows.get_mut(&handle) else { return Ok(Changed::Gone) };
        let changed = held.row.change(version, change, now);
        self.commit().await?;
        Ok(changed)
    }

    pub(super) async fn revoke(mut self, handle: SessionHandle, reason: EndReason) -> Result<bool, Failure> {
        let ended = self.end(handle, reason);
        self.commit().await?;
        Ok(ended)
    }

    pub(super) async fn revoke_all(
        inner: &'a Inner,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
        deadline: Instant,
    ) -> Result<Vec<SessionHandle>, Failure> {
        let (mut step, known) = Self::on_user(inner, &user, None, deadline).await?;
        let theirs = |handle: &SessionHandle| {
            Some(*handle) != except && step.rows.get(handle).is_some_and(|held| held.row.user == user)
        };
        let mut handles: Vec<_> = step.order.iter().copied().filter(theirs).collect();
        handles.retain(|handle| step.end(*handle, reason));
        if except.is_none() {
            step.marked = Some((user, step.now.max(known.youngest)));
        }
        step.commit().await?;
        Ok(handles)
    }
}

/// What the operations are made of.
impl Step<'_> {
    /// Whether the user may have one more session, if need be at the expense of the oldest. The one that is being replaced does
    /// not count: it ends by itself, but not before the new one is used.
    fn make_room(&mut self, new: &NewRow, limit: SessionLimit, now: Timestamp) -> bool {
        let counts = |handle: &SessionHandle| {
            let held = self.rows.get(handle).map(|held| &held.row);
            Some(*handle) != new.replaces && held.is_some_and(|row| row.user == new.user && row.is_live(now))
        };
        let live: Vec<_> = self.order.iter().copied().filter(counts).collect();
        let surplus = (live.len() + 1).saturating_sub(limit.max as usize);
        if surplus > 0 && limit.beyond == BeyondLimit::Refuse {
            return false;
        }
        for handle in live.into_iter().take(surplus) {
            self.end(handle, EndReason::Evicted);
        }
        true
    }

    /// Ends a session, and those that it replaces if the end shows that it was in use. Returns whether it was live.
    fn end(&mut self, handle: SessionHandle, reason: EndReason) -> bool {
        let (ended, mut replaced) = self.end_one(handle, reason);
        // Whoever logs in again and again without using what they get makes a long chain of them.
        while let Some(handle) = replaced {
            (_, replaced) = self.end_one(*handle, EndReason::Replaced);
        }
        ended
    }

    /// Ends a session. Returns whether it was live, and which one ends with it.
    fn end_one(&mut self, handle: SessionHandle, reason: EndReason) -> (bool, Option<Box<SessionHandle>>) {
        let Some(held) = self.rows.get_mut(&handle) else { return (false, None) };
        let ended = held.row.end(reason, self.now);
        let replaced = if reason.shows_use() { held.row.replaces.take() } else { None };
        if ended {
            let row = held.row.clone();
            self.publish_end(&row);
        }
        (ended, replaced)
    }

    fn end_replaced(&mut self, replaced: Option<Box<SessionHandle>>) {
        if let Some(replaced) = replaced {
            self.end(*replaced, EndReason::Replaced);
        }
    }

    fn publish_end(&mut self, row: &Row) {
        if let Some(ended) = row.ended.as_deref().copied() {
            let user = Arc::clone(&row.user);
            self.ended.push(Revocation::Session { handle: row.handle, user, ended });
        }
    }

    /// Inserts a row unless its handle is taken. Returns whether it was inserted.
    async fn insert(&mut self, row: &Row) -> Result<bool, Failure> {
        let values = Column::ALL.iter().map(|column| column.of(row)).chain([row.expires_at().into()]);
        let values: Vec<_> = values.collect();
        let inserted = self.loan.run(&self.inner.sql.insert, &parameters(&values)).await?;
        self.has_inserted = !inserted.is_empty();
        Ok(self.has_inserted)
    }

    /// Writes what changed, publishes what ended, and commits: one round trip. The count of the feed is locked last of all.
    async fn commit(mut self) -> Result<(), Failure> {
        let sql = &self.inner.sql;
        let changed: Vec<_> = self.rows.values().filter(|held| held.before != held.row).collect();
        if changed.is_empty() && self.marked.is_none() && !self.has_inserted {
            // Nothing was done that has to be kept; the end of the loan undoes the locks.
            return Ok(());
        }
        if let Some((user, made_by)) = self.marked.clone() {
            self.ended.push(Revocation::User { user, made_by });
        }
        // One list for each column, of all rows that a statement is about.
        let kept = KEPT.map(|column| changed.iter().map(|held| column.of(&held.row)).collect::<Vec<_>>());
        let mut ended: [Vec<Value<'_>>; REVOCATION.len()] = Default::default();
        for revocation in &self.ended {
            encode_revocation(revocation)
                .into_iter()
                .zip(&mut ended)
                .for_each(|(value, list)| list.push(value));
        }
        let mark = self.marked.as_ref().map(|(user, made_by)| [Value::from(&**user), (*made_by).into()]);
        let channel = Value::from(&*self.inner.channel);

        let (keep, set_mark) = (self.loan.ready(&sql.keep).await?, self.loan.ready(&sql.set_mark).await?);
        let (publish, notify) = (self.loan.ready(&sql.publish).await?, self.loan.ready(&sql.notify).await?);
        let commit = self.loan.ready(&sql.commit).await?;
        let mut queries: Vec<(&Ready<'_>, Vec<Parameter<'_>>)> = Vec::new();
        if !changed.is_empty() {
            queries.push((&keep, parameters(&kept)));
        }
        queries.extend(mark.iter().map(|values| (&set_mark, parameters(values))));
        if !self.ended.is_empty() {
            queries.extend([(&publish, parameters(&ended)), (&notify, vec![&channel])]);
        }
        queries.push((&commit, vec![]));
        self.loan.run_all(&queries).await?;
        self.loan.end();
        if !self.ended.is_empty() {
            self.inner.news.wake();
        }
        Ok(())
    }
}
