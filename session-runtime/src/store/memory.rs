//! The store that lives in the process.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dashmap::{DashMap, Entry};
use tokio::{sync::watch, time::timeout};

use super::{
    Batch, BeyondLimit, Change, Changed, Creation, Cursor, EndReason, Exchange, NewRow, Purge, Revocation,
    Rotation, Row, SessionLimit, SessionStore,
};
use crate::{
    clock::{Clock, Timestamp},
    error::StoreError,
    handle::SessionHandle,
    rotation::Decision,
};

/// Keeps sessions in the memory of the process: the default. They end with it.
///
/// Cloning is cheap; clones share their sessions. Creating, refreshing and revoking a session cost the same however many
/// there are.
///
/// # Locks
///
/// Three kinds, always taken in this order and never over an `await`: a user's entry, a row, and the feed or the due list.
#[derive(Clone, Debug)]
pub struct MemoryStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    born_at: Timestamp,
    rows: DashMap<SessionHandle, Box<Row>>,
    users: DashMap<Arc<str>, Handles>,
    /// Until when the sessions of a user were revoked as a whole; kept as long as an access token may live.
    marks: DashMap<Arc<str>, Timestamp>,
    due: Mutex<Due>,
    feed: Feed,
}

impl MemoryStore {
    /// An empty store that keeps time by the system's clock.
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// An empty store that keeps time by `clock`; the whole session system then does.
    pub fn with_clock(clock: Clock) -> Self {
        Self(Arc::new(Inner {
            born_at: clock.now(),
            clock,
            rows: DashMap::new(),
            users: DashMap::new(),
            marks: DashMap::new(),
            due: Mutex::default(),
            feed: Feed::default(),
        }))
    }

    /// How many rows there are, those included that ended or expired and wait for the purge.
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl SessionStore for MemoryStore {
    fn clock(&self) -> Option<Clock> {
        Some(self.0.clock.clone())
    }

    fn born_at(&self) -> Option<Timestamp> {
        Some(self.0.born_at)
    }

    async fn create(&self, new: NewRow) -> Result<Creation, StoreError> {
        Ok(self.0.create(new))
    }

    async fn rotate(&self, exchange: Exchange) -> Result<Rotation, StoreError> {
        Ok(self.0.rotate(&exchange))
    }

    async fn confirm(&self, used: Vec<(SessionHandle, u32)>) -> Result<(), StoreError> {
        for (handle, generation) in used {
            self.0.confirm(handle, generation);
        }
        Ok(())
    }

    async fn read(&self, handle: SessionHandle) -> Result<Option<Row>, StoreError> {
        Ok(self.0.rows.get(&handle).map(|row| Row::clone(&row)))
    }

    async fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> Result<Changed, StoreError> {
        let now = self.0.clock.now();
        let row = self.0.rows.get_mut(&handle);
        Ok(row.map_or(Changed::Gone, |mut row| row.change(version, &change, now)))
    }

    async fn revoke(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, StoreError> {
        Ok(self.0.end(handle, reason, self.0.clock.now()))
    }

    async fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> Result<Vec<SessionHandle>, StoreError> {
        Ok(self.0.revoke_all(user, except, reason))
    }

    async fn list(&self, user: Arc<str>) -> Result<Vec<Row>, StoreError> {
        let now = self.0.clock.now();
        let handles = self.0.users.get(&user).map(|handles| handles.as_slice().to_vec()).unwrap_or_default();
        let rows = handles.iter().filter_map(|handle| self.0.rows.get(handle).map(|row| Row::clone(&row)));
        Ok(rows.filter(|row| row.is_live(now)).collect())
    }

    async fn purge_expired(&self, retention: Duration, limit: usize) -> Result<Purge, StoreError> {
        Ok(self.0.purge(retention, limit))
    }

    async fn revocations(&self, after: Cursor, wait: Duration) -> Result<Batch, StoreError> {
        let mut last = self.0.feed.last.subscribe();
        // A time-out is the answer "none so far".
        let _ = timeout(wait, last.wait_for(|last| *last > after)).await;
        let (revocations, next) = self.0.feed.after(after);
        Ok(Batch { revocations, next, more: false, now: self.0.clock.now() })
    }
}

impl Inner {
    fn create(&self, new: NewRow) -> Creation {
        let mut handles = self.users.entry(Arc::clone(&new.user)).or_default();
        let marked = self.marks.get(&new.user).map(|mark| mark.after(Duration::from_millis(1)));
        let now = self.clock.now().max(marked.unwrap_or_default());
        if self.rows.contains_key(&new.handle) {
            return Creation::HandleTaken;
        }
        if let Some(limit) = new.limit
            && !self.make_room(handles.as_slice(), new.replaces, limit, now)
        {
            return Creation::LimitReached;
        }
        let Entry::Vacant(vacant) = self.rows.entry(new.handle) else {
            return Creation::HandleTaken;
        };
        let mut row = new.into_row(now);
        row.user = Arc::clone(handles.key());
        vacant.insert(Box::new(row.clone()));
        handles.push(row.handle);
        lock(&self.due).push(row.expires_at(), now, row.handle);
        Creation::Created(row)
    }

    /// Whether the user may have one more session, if need be at the expense of the oldest. The one that is being replaced
    /// does not count: it ends by itself, but not before the new one is used.
    fn make_room(
        &self,
        handles: &[SessionHandle],
        replaced: Option<SessionHandle>,
        limit: SessionLimit,
        now: Timestamp,
    ) -> bool {
        let is_live = |handle: &SessionHandle| self.rows.get(handle).is_some_and(|row| row.is_live(now));
        let counts = |handle: &&SessionHandle| Some(**handle) != replaced && is_live(handle);
        let live: Vec<_> = handles.iter().filter(counts).collect();
        let surplus = (live.len() + 1).saturating_sub(limit.max as usize);
        if surplus > 0 && limit.beyond == BeyondLimit::Refuse {
            return false;
        }
        for handle in live.into_iter().take(surplus) {
            self.end(*handle, EndReason::Evicted, now);
        }
        true
    }

    fn rotate(&self, exchange: &Exchange) -> Rotation {
        let mut row = self.rows.get_mut(&exchange.handle());
        let now = self.clock.now();
        let other_client = row.as_ref().is_some_and(|row| !exchange.is_by(row.fingerprint));
        let decision = exchange.step(row.as_deref_mut().map(|row| &mut **row), now);
        let mut replaced = None;
        if let Some(row) = &mut row {
            if let Decision::Theft { .. } = decision {
                self.publish_end(row);
            } else if decision.answer().is_some() {
                replaced = row.replaces.take();
            }
        }
        let row = row.map(|row| Row::clone(&row));
        if let Some(replaced) = replaced {
            self.end(*replaced, EndReason::Replaced, now);
        }
        Rotation { decision, row, other_client, now }
    }

    fn confirm(&self, handle: SessionHandle, generation: u32) {
        let now = self.clock.now();
        let Some(mut row) = self.rows.get_mut(&handle) else { return };
        if !row.is_live(now) {
            return;
        }
        row.confirm(generation, now);
        let replaced = if row.ended.is_some() {
            self.publish_end(&row);
            None
        } else {
            row.replaces.take()
        };
        drop(row);
        if let Some(replaced) = replaced {
            self.end(*replaced, EndReason::Replaced, now);
        }
    }

    /// Ends a session, and those that it replaces if the end shows that it was in use. Returns whether it was live.
    fn end(&self, handle: SessionHandle, reason: EndReason, now: Timestamp) -> bool {
        let (ended, mut replaced) = self.end_one(handle, reason, now);
        while let Some(handle) = replaced {
            (_, replaced) = self.end_one(handle, EndReason::Replaced, now);
        }
        ended
    }

    /// Ends a session. Returns whether it was live, and which one ends with it.
    fn end_one(
        &self,
        handle: SessionHandle,
        reason: EndReason,
        now: Timestamp,
    ) -> (bool, Option<SessionHandle>) {
        let Some(mut row) = self.rows.get_mut(&handle) else { return (false, None) };
        let ended = row.end(reason, now);
        if ended {
            self.publish_end(&row);
        }
        let replaced = if reason.shows_use() { row.replaces.take() } else { None };
        (ended, replaced.map(|replaced| *replaced))
    }

    /// Tells the feed of a row that just ended, while the row is locked: so ends are published in their order.
    fn publish_end(&self, row: &Row) {
        let Some(ended) = row.ended.as_deref().copied() else { return };
        self.feed.publish(
            ended.at,
            Revocation::Session { handle: row.handle, user: Arc::clone(&row.user), ended },
        );
        lock(&self.due).push(ended.at, ended.at, row.handle);
    }

    fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> Vec<SessionHandle> {
        // The entry stays locked to the end, so that no session of the user is made meanwhile.
        let handles = self.users.entry(Arc::clone(&user)).or_default();
        let mut made_by = self.clock.now();
        let mut ended = Vec::new();
        for handle in handles.as_slice().iter().filter(|handle| Some(**handle) != except) {
            if let Some(row) = self.rows.get(handle) {
                made_by = made_by.max(row.created_at);
            }
            if self.end(*handle, reason, self.clock.now()) {
                ended.push(*handle);
            }
        }
        if except.is_none() {
            let mut mark = self.marks.entry(Arc::clone(&user)).or_default();
            // The clock may have been set back since an earlier one.
            *mark = made_by.max(*mark);
            self.feed.publish(self.clock.now(), Revocation::User { user: Arc::clone(&user), made_by });
        }
        drop(handles);
        self.users.remove_if(&user, |_, handles| handles.as_slice().is_empty());
        ended
    }

    fn purge(&self, retention: Duration, limit: usize) -> Purge {
        let now = self.clock.now();
        let (handles, more) = lock(&self.due).take(now, limit);
        let mut purge = Purge { expired: Vec::new(), more };
        for handle in handles {
            if let Some((_, row)) = self.rows.remove_if(&handle, |_, row| row.is_dead(now, retention)) {
                self.forget(&row);
                if row.ended.is_none() {
                    purge.expired.push((handle, row.user));
                }
            } else if let Some(row) = self.rows.get(&handle) {
                let due = row.ended.as_ref().map_or(row.expires_at(), |ended| ended.at.after(retention));
                lock(&self.due).push(due, now, handle);
            }
        }
        self.marks.retain(|_, made_by| made_by.after(retention) > now);
        self.feed.forget_before(now.before(retention));
        purge
    }

    /// Takes a deleted row out of the index of its user.
    fn forget(&self, row: &Row) {
        if let Entry::Occupied(mut handles) = self.users.entry(Arc::clone(&row.user)) {
            handles.get_mut().remove(row.handle);
            if handles.get().as_slice().is_empty() {
                handles.remove();
            }
        }
    }
}

/// The handles of one user, the oldest first. Nearly every user has one session, so one is kept without a `Vec`.
#[derive(Debug)]
enum Handles {
    One(SessionHandle),
    Many(Vec<SessionHandle>),
}

impl Handles {
    fn as_slice(&self) -> &[SessionHandle] {
        match self {
            Self::One(handle) => std::slice::from_ref(handle),
            Self::Many(handles) => handles,
        }
    }

    fn push(&mut self, handle: SessionHandle) {
        match self {
            Self::Many(handles) if handles.is_empty() => *self = Self::One(handle),
            Self::Many(handles) => handles.push(handle),
            Self::One(first) => *self = Self::Many(vec![*first, handle]),
        }
    }

    fn remove(&mut self, handle: SessionHandle) {
        match self {
            Self::One(one) if *one == handle => *self = Self::default(),
            Self::One(_) => {}
            Self::Many(handles) => handles.retain(|other| *other != handle),
        }
    }
}

impl Default for Handles {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// When which row is to be looked at by the purge, by the minute. Rows that live longer then are put back for later.
///
/// None is put off for longer than [`Due::HORIZON`], so that the handles of rows that ended long before their time don't pile
/// up.
#[derive(Debug, Default)]
struct Due(BTreeMap<u64, Vec<SessionHandle>>);

impl Due {
    const HORIZON: Duration = Duration::from_secs(60 * 60);

    fn push(&mut self, at: Timestamp, now: Timestamp, handle: SessionHandle) {
        // Rounded up: at the end of its minute the row is dead.
        let minute = at.min(now.after(Self::HORIZON)).as_secs() / 60 + 1;
        self.0.entry(minute).or_default().push(handle);
    }

    /// Up to `limit` handles that are due, and whether there are more.
    fn take(&mut self, now: Timestamp, limit: usize) -> (Vec<SessionHandle>, bool) {
        let minute = now.as_secs() / 60;
        let mut taken = Vec::new();
        while let Some(mut bucket) = self.0.first_entry().filter(|bucket| *bucket.key() <= minute) {
            let room = limit - taken.len();
            if bucket.get().len() > room {
                let rest = bucket.get().len() - room;
                taken.extend(bucket.get_mut().drain(rest..));
                return (taken, true);
            }
            taken.extend(bucket.remove());
        }
        (taken, false)
    }
}

/// The ends of sessions, in order.
#[derive(Debug)]
struct Feed {
    entries: Mutex<VecDeque<(Cursor, Timestamp, Revocation)>>,
    last: watch::Sender<Cursor>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { entries: Mutex::default(), last: watch::Sender::new(Cursor::default()) }
    }
}

impl Feed {
    fn publish(&self, at: Timestamp, revocation: Revocation) {
        let mut entries = lock(&self.entries);
        let cursor = Cursor(self.last.borrow().0 + 1);
        entries.push_back((cursor, at, revocation));
        self.last.send_replace(cursor);
    }

    fn after(&self, cursor: Cursor) -> (Vec<Revocation>, Cursor) {
        let entries = lock(&self.entries);
        let start = entries.partition_point(|(entry, ..)| *entry <= cursor);
        let revocations = entries.range(start..).map(|(.., revocation)| revocation.clone()).collect();
        (revocations, *self.last.borrow())
    }

    fn forget_before(&self, time: Timestamp) {
        let mut entries = lock(&self.entries);
        while entries.front().is_some_and(|(_, at, _)| *at < time) {
            entries.pop_front();
        }
    }
}

/// What the locks guard is changed in single steps, so it is whole even if a thread panicked while holding one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
