//! Where sessions are kept: the contract of a store, and the stores that come with the library.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod columns;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresStore, PostgresStoreBuilder};
#[cfg(feature = "redis")]
pub use self::redis::{RedisStore, RedisStoreBuilder};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{Durability, SqliteStore, SqliteStoreBuilder};
pub use self::{
    memory::MemoryStore,
    row::{
        BeyondLimit, Change, Changed, EndReason, Ended, Exchange, Fingerprint, NewRow, Origin, Row, Salt,
        SessionLimit,
    },
};
use crate::{
    clock::{Clock, Timestamp},
    error::StoreError,
    handle::SessionHandle,
    rotation::Decision,
};

/// Keeps sessions. Every operation is atomic: it happens as a whole at one time, or not at all.
///
/// # The contract
///
/// - **Time is the store's.** `now` in the steps of [`Row`] and [`Exchange`] is read from the store's clock inside the atomic
///   step, never taken from the caller.
/// - **What the caller learns is kept.** An operation that answered `Ok` survives whatever the store promises to survive.
/// - **A failure is an error**, never "no such session". After an error the operation may or may not have happened; every
///   one can be repeated safely.
/// - **Ended stays ended.** No operation brings a session back, however late it arrives.
/// - **A row belongs to its handle.** An answer that arrives on a connection whose request was cancelled must not be taken for
///   the answer to the next one.
///
/// - **One step, one transaction.** What an operation reads, decides, writes and publishes is one atomic step. A store that
///   decides on a row which it read in an earlier step rotates one token twice, and brings ended sessions back.
///
/// # What ends with what
///
/// A row that is used for the first time ends the one that it [replaces](Row::replaces), as [`EndReason::Replaced`]. So does an end
/// that [shows its use](EndReason::shows_use), which `Replaced` does too: the client has moved on from all of them. All of that
/// happens in the same step. A row was used where [`Decision::answer`] says something, or where it is confirmed and still lives.
/// Whether the row goes on naming what it has replaced is the store's own affair.
///
/// # The feed
///
/// Ends of sessions are published in the order in which they happened through [`revocations`](Self::revocations), with a
/// cursor, so that a node that was away misses none. The count behind the cursor survives what the store survives. A node
/// that is answered with an earlier cursor than its own reads from the beginning, and so it does after an error: a replica that has
/// taken over may lack the last entries, and have counted on since. Where a pooler or a client library may change servers without an
/// error, the store has to find that out, and answers with the default cursor.
///
/// Each end is published once, in the step that it happens in: else a crash between the two would lose it. A store whose writers
/// commit side by side must not let a reader see a later number before an earlier one.
///
/// # A store of your own
///
/// The steps that decide are methods of [`Row`], [`Exchange`] and [`NewRow`]; a store runs them where nothing else can touch the
/// row, and keeps the result. The [conformance kit](crate::testing::conformance) of the feature `testing` tells whether it does. This
/// one is complete, and passes:
///
/// ```
#[doc = include_str!("store/custom.rs")]
/// ```
pub trait SessionStore: Send + Sync + 'static {
    /// The clock that the store keeps time by, if it lives in this process. For any other store the default is right: the
    /// system's clock is read between two calls, and its difference to the store's is measured.
    fn clock(&self) -> Option<Clock> {
        None
    }

    /// When the store was made, if its sessions end with it. Then no access token of a session made before is accepted, even
    /// if the keys are the same as those of an earlier process. A store that outlives the process keeps the default; it needs
    /// keys that outlive it too.
    fn born_at(&self) -> Option<Timestamp> {
        None
    }

    /// Inserts a session unless its handle is taken, by a live session or an ended one, and ends the user's oldest ones beyond the limit in the same step.
    ///
    /// The session that it [replaces](NewRow::replaces) does not count towards the limit and is not ended by it.
    ///
    /// A session's `created_at` is later than the time of every [`revoke_all`](Self::revoke_all) of its user that came before.
    fn create(&self, new: NewRow) -> impl Future<Output = Result<Creation, StoreError>> + Send;

    /// Runs [`Exchange::step`] on the row, and publishes the end where it found a theft. Where the row was used, ends the session
    /// that it [replaces](Row::replaces).
    ///
    /// In the ordinary case this is one round trip to the database.
    fn rotate(&self, exchange: Exchange) -> impl Future<Output = Result<Rotation, StoreError>> + Send;

    /// Runs [`Row::confirm`] for each handle and generation, in any order, and ends the sessions that the rows
    /// [replace](Row::replaces). Handles that are unknown are passed over.
    fn confirm(&self, used: Vec<(SessionHandle, u32)>)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The row of a session, whether it is live or not.
    fn read(&self, handle: SessionHandle) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send;

    /// Runs [`Row::change`]. The change is lost to nobody: of two that name the same version, one is made, and the other is
    /// answered with [`Changed::Conflict`].
    fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> impl Future<Output = Result<Changed, StoreError>> + Send;

    /// Runs [`Row::end`]. Returns whether the session was live.
    fn revoke(
        &self,
        handle: SessionHandle,
        reason: EndReason,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Ends the user's sessions, but not `except`. Returns the handles of those that were live.
    ///
    /// Without an exception, nothing made before this step survives it, whatever is in flight, and a [`Revocation::User`] is
    /// published too, even if the user has no session: access tokens may outlive the rows.
    fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> impl Future<Output = Result<Vec<SessionHandle>, StoreError>> + Send;

    /// The user's live sessions, the oldest first.
    fn list(&self, user: Arc<str>) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Deletes up to `limit` rows that [are dead](Row::is_dead), and what else is older than `retention`.
    ///
    /// A row may stay longer than it must, such as an hour; one that isn't dead may never go.
    fn purge_expired(
        &self,
        retention: Duration,
        limit: usize,
    ) -> impl Future<Output = Result<Purge, StoreError>> + Send;

    /// The ends of sessions after a cursor, in order. Without any, waits for one, at most for `wait`; then answers without.
    ///
    /// A cursor that the store has never come to is answered at once, with the one that it has come to, or with the default.
    fn revocations(
        &self,
        after: Cursor,
        wait: Duration,
    ) -> impl Future<Output = Result<Batch, StoreError>> + Send;
}

/// What [`SessionStore::create`] did.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "made once a login and taken apart at once")]
pub enum Creation {
    /// The session was made.
    Created(Row),
    /// There is, or was, a session of that handle. Nothing was changed.
    HandleTaken,
    /// The user has as many sessions as allowed. Nothing was changed.
    LimitReached,
}

/// What [`SessionStore::rotate`] did.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The decision that was carried out.
    pub decision: Decision,
    /// The row after it; `None` where the decision is [`Decision::Unauthorised`] for want of one.
    pub row: Option<Row>,
    /// Whether the row had another fingerprint than the one that was presented.
    pub other_client: bool,
    /// The store's time.
    pub now: Timestamp,
}

/// What [`SessionStore::purge_expired`] did.
#[derive(Clone, Debug, Default)]
pub struct Purge {
    /// The sessions among the deleted that had expired, rather than ended before.
    pub expired: Vec<(SessionHandle, Arc<str>)>,
    /// Whether there may be more to delete at once.
    pub more: bool,
}

/// A place in the sequence of revocations. The default stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(
    /// The number of the last revocation seen, by the store's own count.
    pub u64,
);

/// A piece of the sequence of revocations.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The revocations, the earliest first.
    pub revocations: Vec<Revocation>,
    /// The cursor to go on from.
    pub next: Cursor,
    /// Whether there are more to be had at once. Until there are none, a node counts as behind.
    pub more: bool,
    /// The store's time.
    pub now: Timestamp,
}

/// An end that every node has to know of.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Revocation {
    /// One session ended.
    Session {
        /// Which.
        handle: SessionHandle,
        /// Whose.
        user: Arc<str>,
        /// When and how.
        ended: Ended,
    },
    /// Every session of the user made at or before a time ended.
    User {
        /// Whose.
        user: Arc<str>,
        /// The time.
        made_by: Timestamp,
    },
}

/// A [`SessionStore`] whose type is forgotten, so that no store type stands in a signature.
pub(crate) trait DynStore: Send + Sync {
    fn create(&self, new: NewRow) -> BoxFuture<'_, Result<Creation, StoreError>>;
    fn rotate(&self, exchange: Exchange) -> BoxFuture<'_, Result<Rotation, StoreError>>;
    fn confirm(&self, used: Vec<(SessionHandle, u32)>) -> BoxFuture<'_, Result<(), StoreError>>;
    fn read(&self, handle: SessionHandle) -> BoxFuture<'_, Result<Option<Row>, StoreError>>;
    fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> BoxFuture<'_, Result<Changed, StoreError>>;
    fn revoke(&self, handle: SessionHandle, reason: EndReason) -> BoxFuture<'_, Result<bool, StoreError>>;
    fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> BoxFuture<'_, Result<Vec<SessionHandle>, StoreError>>;
    fn list(&self, user: Arc<str>) -> BoxFuture<'_, Result<Vec<Row>, StoreError>>;
    fn purge_expired(&self, retention: Duration, limit: usize) -> BoxFuture<'_, Result<Purge, StoreError>>;
    fn revocations(&self, after: Cursor, wait: Duration) -> BoxFuture<'_, Result<Batch, StoreError>>;
}

impl<S: SessionStore> DynStore for S {
    fn create(&self, new: NewRow) -> BoxFuture<'_, Result<Creation, StoreError>> {
        Box::pin(SessionStore::create(self, new))
    }

    fn rotate(&self, exchange: Exchange) -> BoxFuture<'_, Result<Rotation, StoreError>> {
        Box::pin(SessionStore::rotate(self, exchange))
    }

    fn confirm(&self, used: Vec<(SessionHandle, u32)>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(SessionStore::confirm(self, used))
    }

    fn read(&self, handle: SessionHandle) -> BoxFuture<'_, Result<Option<Row>, StoreError>> {
        Box::pin(SessionStore::read(self, handle))
    }

    fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> BoxFuture<'_, Result<Changed, StoreError>> {
        Box::pin(SessionStore::update(self, handle, version, change))
    }

    fn revoke(&self, handle: SessionHandle, reason: EndReason) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(SessionStore::revoke(self, handle, reason))
    }

    fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> BoxFuture<'_, Result<Vec<SessionHandle>, StoreError>> {
        Box::pin(SessionStore::revoke_all(self, user, except, reason))
    }

    fn list(&self, user: Arc<str>) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        Box::pin(SessionStore::list(self, user))
    }

    fn purge_expired(&self, retention: Duration, limit: usize) -> BoxFuture<'_, Result<Purge, StoreError>> {
        Box::pin(SessionStore::purge_expired(self, retention, limit))
    }

    fn revocations(&self, after: Cursor, wait: Duration) -> BoxFuture<'_, Result<Batch, StoreError>> {
        Box::pin(SessionStore::revocations(self, after, wait))
    }
}
