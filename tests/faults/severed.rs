//! A store whose feed can be cut, and nothing else of it.

use std::{future::pending, path::PathBuf, sync::Arc, time::Duration};

use session_runtime::{
    Clock, SessionHandle, SessionStore, StoreError, Timestamp,
    store::{Batch, Change, Changed, Creation, Cursor, EndReason, Exchange, NewRow, Purge, Rotation, Row},
};

/// The feed is cut while there is a file: then nothing comes of it, not even an error, as of a connection that is half open.
pub(crate) struct Severed<S> {
    pub(crate) inner: S,
    pub(crate) while_there_is: PathBuf,
}

impl<S: SessionStore> SessionStore for Severed<S> {
    async fn revocations(&self, after: Cursor, wait: Duration) -> Result<Batch, StoreError> {
        let batch = self.inner.revocations(after, wait).await;
        if self.while_there_is.exists() { pending().await } else { batch }
    }

    fn clock(&self) -> Option<Clock> {
        self.inner.clock()
    }

    fn born_at(&self) -> Option<Timestamp> {
        self.inner.born_at()
    }

    async fn create(&self, new: NewRow) -> Result<Creation, StoreError> {
        self.inner.create(new).await
    }

    async fn rotate(&self, exchange: Exchange) -> Result<Rotation, StoreError> {
        self.inner.rotate(exchange).await
    }

    async fn confirm(&self, used: Vec<(SessionHandle, u32)>) -> Result<(), StoreError> {
        self.inner.confirm(used).await
    }

    async fn read(&self, handle: SessionHandle) -> Result<Option<Row>, StoreError> {
        self.inner.read(handle).await
    }

    async fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> Result<Changed, StoreError> {
        self.inner.update(handle, version, change).await
    }

    async fn revoke(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, StoreError> {
        self.inner.revoke(handle, reason).await
    }

    async fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> Result<Vec<SessionHandle>, StoreError> {
        self.inner.revoke_all(user, except, reason).await
    }

    async fn list(&self, user: Arc<str>) -> Result<Vec<Row>, StoreError> {
        self.inner.list(user).await
    }

    async fn purge_expired(&self, retention: Duration, limit: usize) -> Result<Purge, StoreError> {
        self.inner.purge_expired(retention, limit).await
    }
}
