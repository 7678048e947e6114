//! A store under observation: the memory store, with its calls counted and its faults to order.
//!
//! It is written against the public trait alone, as an application's own store would be.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use session_runtime::{
    Clock, MemoryStore, SessionHandle, SessionStore, StoreError, Timestamp,
    store::{Batch, Change, Changed, Creation, Cursor, EndReason, Exchange, NewRow, Purge, Rotation, Row},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Create,
    Rotate,
    Confirm,
    Read,
    Update,
    Revoke,
    RevokeAll,
    List,
    Purge,
    Feed,
}

impl Operation {
    pub(crate) const ALL: [Self; 10] = [
        Self::Create,
        Self::Rotate,
        Self::Confirm,
        Self::Read,
        Self::Update,
        Self::Revoke,
        Self::RevokeAll,
        Self::List,
        Self::Purge,
        Self::Feed,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It answers with an error, and nothing has happened.
    Fails,
    /// It never answers.
    Hangs,
    /// It answers as if it had happened, and forgets it: a crash that lost the last write.
    Forgets,
    /// It happens, and then the answer gets lost.
    FailsAfterwards,
}

/// Clones share the sessions, the counts and the faults.
#[derive(Clone)]
pub(crate) struct ObservedStore {
    inner: MemoryStore,
    is_ephemeral: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    calls: HashMap<Operation, usize>,
    /// The handle that every new session is given.
    repeated: Option<SessionHandle>,
    /// By how much the feed counts less than it did.
    forgotten: u64,
    faults: HashMap<Operation, Fault>,
    /// A session that can't be confirmed, nor anything together with it.
    unconfirmable: Option<SessionHandle>,
}

impl ObservedStore {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { inner: MemoryStore::with_clock(clock.clone()), is_ephemeral: true, state: Arc::default() }
    }

    /// The same sessions, seen by another node: counts and faults are its own.
    pub(crate) fn of_another_node(&self) -> Self {
        Self { state: Arc::default(), ..self.clone() }
    }

    /// Claims that its sessions outlive the process.
    pub(crate) fn that_outlives_the_process(self) -> Self {
        Self { is_ephemeral: false, ..self }
    }

    pub(crate) fn break_down(&self, operation: Operation, fault: Fault) {
        self.state().faults.insert(operation, fault);
    }

    /// Gives every new session this handle, as a broken random generator would.
    pub(crate) fn repeat_handle(&self, handle: SessionHandle) {
        self.state().repeated = Some(handle);
    }

    /// Forgets that the feed ever had its first `entries`: from now on the later ones have their numbers.
    pub(crate) fn forget_entries(&self, entries: u64) {
        self.state().forgotten = entries;
    }

    /// Fails each confirmation in which there is this session, as a store may whose row can't be read.
    pub(crate) fn fail_to_confirm(&self, handle: SessionHandle) {
        self.state().unconfirmable = Some(handle);
    }

    pub(crate) fn mend(&self) {
        self.state().faults.clear();
    }

    pub(crate) fn calls(&self, operation: Operation) -> usize {
        self.state().calls.get(&operation).copied().unwrap_or_default()
    }

    /// The calls that requests cause: all but those that the runtime makes by itself.
    pub(crate) fn calls_of_requests(&self) -> usize {
        let beside = [Operation::Feed, Operation::Purge, Operation::Confirm];
        Operation::ALL.iter().filter(|one| !beside.contains(one)).map(|one| self.calls(*one)).sum()
    }

    /// How many rows there are, tombstones included.
    pub(crate) fn rows(&self) -> usize {
        self.inner.len()
    }

    /// The row of a session, unobserved.
    pub(crate) async fn row(&self, handle: SessionHandle) -> Option<Row> {
        self.inner.read(handle).await.expect("the memory store answers")
    }

    async fn pass<T>(
        &self,
        operation: Operation,
        inner: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let fault = {
            let mut state = self.state();
            *state.calls.entry(operation).or_default() += 1;
            state.faults.get(&operation).copied()
        };
        let broken = || Err(StoreError::new("the store is broken"));
        match fault {
            Some(Fault::Fails) => broken(),
            Some(Fault::Hangs) => pending().await,
            Some(Fault::FailsAfterwards) => {
                inner.await?;
                broken()
            }
            Some(Fault::Forgets) | None => inner.await,
        }
    }

    fn forgets(&self, operation: Operation) -> bool {
        self.state().faults.get(&operation) == Some(&Fault::Forgets)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while holding it")
    }

    async fn rotate_and_forget(&self, exchange: Exchange) -> Result<Rotation, StoreError> {
        let mut row = self.inner.read(exchange.handle()).await?;
        let now = self.clock().map(|clock| clock.now()).unwrap_or_default();
        let other_client = row.as_ref().is_some_and(|row| !exchange.is_by(row.fingerprint));
        let decision = exchange.step(row.as_mut(), now);
        Ok(Rotation { decision, row, other_client, now })
    }
}

impl SessionStore for ObservedStore {
    fn clock(&self) -> Option<Clock> {
        self.inner.clock()
    }

    fn born_at(&self) -> Option<Timestamp> {
        self.inner.born_at().filter(|_| self.is_ephemeral)
    }

    async fn create(&self, mut new: NewRow) -> Result<Creation, StoreError> {
        new.handle = self.state().repeated.unwrap_or(new.handle);
        self.pass(Operation::Create, self.inner.create(new)).await
    }

    async fn rotate(&self, exchange: Exchange) -> Result<Rotation, StoreError> {
        if self.forgets(Operation::Rotate) {
            return self.pass(Operation::Rotate, self.rotate_and_forget(exchange)).await;
        }
        self.pass(Operation::Rotate, self.inner.rotate(exchange)).await
    }

    async fn confirm(&self, used: Vec<(SessionHandle, u32)>) -> Result<(), StoreError> {
        let unconfirmable = self.state().unconfirmable;
        if used.iter().any(|(handle, _)| Some(*handle) == unconfirmable) {
            return Err(StoreError::new("a row can't be read"));
        }
        self.pass(Operation::Confirm, self.inner.confirm(used)).await
    }

    async fn read(&self, handle: SessionHandle) -> Result<Option<Row>, StoreError> {
        self.pass(Operation::Read, self.inner.read(handle)).await
    }

    async fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> Result<Changed, StoreError> {
        self.pass(Operation::Update, self.inner.update(handle, version, change)).await
    }

    async fn revoke(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, StoreError> {
        self.pass(Operation::Revoke, self.inner.revoke(handle, reason)).await
    }

    async fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> Result<Vec<SessionHandle>, StoreError> {
        self.pass(Operation::RevokeAll, self.inner.revoke_all(user, except, reason)).await
    }

    async fn list(&self, user: Arc<str>) -> Result<Vec<Row>, StoreError> {
        self.pass(Operation::List, self.inner.list(user)).await
    }

    async fn purge_expired(&self, retention: Duration, limit: usize) -> Result<Purge, StoreError> {
        self.pass(Operation::Purge, self.inner.purge_expired(retention, limit)).await
    }

    async fn revocations(&self, after: Cursor, wait: Duration) -> Result<Batch, StoreError> {
        let forgotten = self.state().forgotten;
        let feed = async {
            let mut batch = self.inner.revocations(Cursor(after.0 + forgotten), wait).await?;
            batch.next.0 -= forgotten;
            Ok(batch)
        };
        self.pass(Operation::Feed, feed).await
    }
}
