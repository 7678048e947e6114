use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use session_runtime::{
    BeyondLimit, Clock, EndReason, SessionHandle, SessionStore, StoreError, Timestamp,
    rotation::Decision,
    store::{Batch, Change, Changed, Creation, Cursor, Exchange, NewRow, Purge, Revocation, Rotation, Row},
};
use tokio::time::{Instant, sleep};

/// Everything behind one lock: slow with many sessions, and right.
#[derive(Default)]
struct PlainStore {
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    rows: HashMap<SessionHandle, Row>,
    /// The sessions of each user, the oldest first.
    users: HashMap<Arc<str>, Vec<SessionHandle>>,
    /// Until when everything of a user was ended.
    marks: HashMap<Arc<str>, Timestamp>,
    /// The ends, in order, of which the first few were forgotten.
    feed: Vec<(Timestamp, Revocation)>,
    forgotten: u64,
}

impl PlainStore {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionStore for PlainStore {
    fn clock(&self) -> Option<Clock> {
        Some(self.clock.clone())
    }

    async fn create(&self, new: NewRow) -> Result<Creation, StoreError> {
        let mut kept = self.kept();
        let after_mark = kept.marks.get(&new.user).map(|mark| mark.after(Duration::from_millis(1)));
        let now = self.clock.now().max(after_mark.unwrap_or_default());
        if kept.rows.contains_key(&new.handle) {
            return Ok(Creation::HandleTaken);
        }
        if let Some(limit) = new.limit {
            let mut live = kept.live(&new.user, now);
            live.retain(|handle| Some(*handle) != new.replaces);
            let surplus = (live.len() + 1).saturating_sub(limit.max as usize);
            if surplus > 0 && limit.beyond == BeyondLimit::Refuse {
                return Ok(Creation::LimitReached);
            }
            live[..surplus].iter().for_each(|oldest| kept.end(*oldest, EndReason::Evicted, now));
        }
        let row = new.into_row(now);
        kept.rows.insert(row.handle, row.clone());
        kept.users.entry(Arc::clone(&row.user)).or_default().push(row.handle);
        Ok(Creation::Created(row))
    }

    async fn rotate(&self, exchange: Exchange) -> Result<Rotation, StoreError> {
        let mut kept = self.kept();
        let now = self.clock.now();
        let mut row = kept.rows.get_mut(&exchange.handle());
        let other_client = row.as_ref().is_some_and(|row| !exchange.is_by(row.fingerprint));
        let decision = exchange.step(row.as_deref_mut(), now);
        let row = row.cloned();
        if let Some(row) = &row {
            if let Decision::Theft { .. } = decision {
                kept.publish(row);
            } else if decision.answer().is_some() {
                kept.end_replaced(row, now);
            }
        }
        Ok(Rotation { decision, row, other_client, now })
    }

    async fn confirm(&self, used: Vec<(SessionHandle, u32)>) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let now = self.clock.now();
        for (handle, generation) in used {
            let Some(row) = kept.rows.get_mut(&handle).filter(|row| row.is_live(now)) else { continue };
            row.confirm(generation, now);
            let row = row.clone();
            if row.ended.is_some() {
                kept.publish(&row);
            } else {
                kept.end_replaced(&row, now);
            }
        }
        Ok(())
    }

    async fn read(&self, handle: SessionHandle) -> Result<Option<Row>, StoreError> {
        Ok(self.kept().rows.get(&handle).cloned())
    }

    async fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> Result<Changed, StoreError> {
        let mut kept = self.kept();
        let now = self.clock.now();
        Ok(kept.rows.get_mut(&handle).map_or(Changed::Gone, |row| row.change(version, &change, now)))
    }

    async fn revoke(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, StoreError> {
        let mut kept = self.kept();
        let now = self.clock.now();
        let is_live = kept.rows.get(&handle).is_some_and(|row| row.is_live(now));
        kept.end(handle, reason, now);
        Ok(is_live)
    }

    async fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> Result<Vec<SessionHandle>, StoreError> {
        let mut kept = self.kept();
        let now = self.clock.now();
        let mut live = kept.live(&user, now);
        live.retain(|handle| Some(*handle) != except);
        live.iter().for_each(|handle| kept.end(*handle, reason, now));
        if except.is_none() {
            let made_by = kept.of(&user).map(|row| row.created_at).fold(now, Timestamp::max);
            let mark = kept.marks.entry(Arc::clone(&user)).or_default();
            // The clock may have been set back since an earlier one.
            *mark = made_by.max(*mark);
            kept.feed.push((now, Revocation::User { user, made_by }));
        }
        Ok(live)
    }

    async fn list(&self, user: Arc<str>) -> Result<Vec<Row>, StoreError> {
        let (kept, now) = (self.kept(), self.clock.now());
        Ok(kept.of(&user).filter(|row| row.is_live(now)).cloned().collect())
    }

    async fn purge_expired(&self, retention: Duration, limit: usize) -> Result<Purge, StoreError> {
        let mut kept = self.kept();
        let now = self.clock.now();
        let dead: Vec<_> = kept.rows.extract_if(|_, row| row.is_dead(now, retention)).take(limit).collect();
        for (handle, row) in &dead {
            kept.users.entry(Arc::clone(&row.user)).or_default().retain(|other| other != handle);
        }
        let more = dead.len() == limit;
        let expired =
            dead.into_iter().filter(|(_, row)| row.ended.is_none()).map(|(handle, row)| (handle, row.user));
        let old = kept.feed.iter().take_while(|(at, _)| at.after(retention) < now).count();
        kept.feed.drain(..old);
        kept.forgotten += old as u64;
        kept.marks.retain(|_, made_by| made_by.after(retention) > now);
        Ok(Purge { expired: expired.collect(), more })
    }

    async fn revocations(&self, after: Cursor, wait: Duration) -> Result<Batch, StoreError> {
        let asked = Instant::now();
        loop {
            let (next, now) = (self.kept().last(), self.clock.now());
            if next != after || asked.elapsed() >= wait {
                return Ok(Batch { revocations: self.kept().after(after, next), next, more: false, now });
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Kept {
    /// The user's sessions, the oldest first.
    fn of(&self, user: &str) -> impl Iterator<Item = &Row> {
        self.users.get(user).into_iter().flatten().filter_map(|handle| self.rows.get(handle))
    }

    fn live(&self, user: &str, now: Timestamp) -> Vec<SessionHandle> {
        self.of(user).filter(|row| row.is_live(now)).map(|row| row.handle).collect()
    }

    /// Ends a session, and the one that it replaces if the end shows that it was in use.
    fn end(&mut self, handle: SessionHandle, reason: EndReason, now: Timestamp) {
        let mut ending = Some((handle, reason));
        // A chain of them may be long, too long for a function that calls itself.
        while let Some((handle, reason)) = ending.take() {
            let Some(row) = self.rows.get_mut(&handle) else { return };
            let is_new = row.end(reason, now);
            let row = row.clone();
            if is_new {
                self.publish(&row);
            }
            if reason.shows_use() {
                ending = row.replaces.map(|replaced| (*replaced, EndReason::Replaced));
            }
        }
    }

    fn end_replaced(&mut self, row: &Row, now: Timestamp) {
        if let Some(replaced) = &row.replaces {
            self.end(**replaced, EndReason::Replaced, now);
        }
    }

    fn publish(&mut self, row: &Row) {
        if let Some(ended) = row.ended.as_deref().copied() {
            let end = Revocation::Session { handle: row.handle, user: Arc::clone(&row.user), ended };
            self.feed.push((ended.at, end));
        }
    }

    /// The number of ends that were ever told of.
    fn last(&self) -> Cursor {
        Cursor(self.forgotten + self.feed.len() as u64)
    }

    fn after(&self, after: Cursor, next: Cursor) -> Vec<Revocation> {
        let skipped = after.0.saturating_sub(self.forgotten) as usize;
        let seen = next.0.saturating_sub(self.forgotten) as usize;
        let told = self.feed.iter().take(seen).skip(skipped);
        told.map(|(_, revocation)| revocation.clone()).collect()
    }
}
