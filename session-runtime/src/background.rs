//! What goes on beside the requests: following the feed, telling the store of use, deleting what expired.
//!
//! Each task holds the system weakly and ends soon after the last [`Sessions`](crate::Sessions) is gone.

use std::{
    collections::{BTreeSet, VecDeque},
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    engine::Engine,
    error::StoreError,
    event::{Event, EventKind},
    handle::SessionHandle,
    store::{Cursor, Purge},
};

/// How many first uses of access tokens may wait for the store. More are dropped.
pub(crate) const CONFIRM_QUEUE: usize = 4096;

const CONFIRM_BATCH: usize = 256;
const CONFIRM_ATTEMPTS: usize = 100;
const PURGE_BATCH: usize = 1000;
const FEED_WAIT: Duration = Duration::from_secs(1);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(250);

/// Takes in what the feed holds already, then starts the tasks.
pub(crate) async fn start(
    engine: &Arc<Engine>,
    used: mpsc::Receiver<(SessionHandle, u32)>,
) -> Result<(), StoreError> {
    let mut cursor = Cursor::default();
    let asked = loop {
        let asked = engine.revoked.asking();
        let batch = engine.unattended(engine.store.revocations(cursor, Duration::ZERO)).await?;
        engine.clock.adjust(batch.now);
        for revocation in &batch.revocations {
            engine.revoked.insert(revocation);
        }
        cursor = batch.next;
        if !batch.more {
            break asked;
        }
    };
    engine.revoked.heard(asked);
    tokio::spawn(follow_feed(Arc::downgrade(engine), cursor));
    tokio::spawn(tell_uses(Arc::downgrade(engine), used));
    tokio::spawn(purge(Arc::downgrade(engine)));
    Ok(())
}

async fn follow_feed(engine: Weak<Engine>, mut cursor: Cursor) {
    while let Some(alive) = engine.upgrade() {
        // So often that a feed without news is not taken for one that is behind: what is known is up to two waits old.
        let wait = FEED_WAIT.min(alive.config.feed_bound / 4);
        let (store, patience) = (Arc::clone(&alive.store), wait.saturating_add(alive.config.store_timeout));
        let asked = alive.revoked.asking();
        drop(alive);
        let batch = unattended(store.revocations(cursor, wait), patience).await;
        let Some(engine) = engine.upgrade() else { return };
        match batch {
            Ok(batch) => {
                engine.clock.adjust(batch.now);
                batch.revocations.iter().for_each(|revocation| engine.take_end(revocation));
                let restarted = batch.next < cursor;
                cursor = if restarted { Cursor::default() } else { batch.next };
                if restarted {
                    tracing::warn!("the feed of revocations counts from the beginning; reading all of it");
                } else if !batch.more {
                    engine.revoked.heard(asked);
                }
            }
            Err(error) => {
                let behind = engine.revoked.behind();
                tracing::warn!(%error, ?behind, "the feed of revocations is interrupted");
                // Who answers next may be a replica that lacks the last entries, and has counted on past the cursor since.
                cursor = Cursor::default();
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

async fn tell_uses(engine: Weak<Engine>, mut used: mpsc::Receiver<(SessionHandle, u32)>) {
    let mut batch = Vec::with_capacity(CONFIRM_BATCH);
    // Ends when the system, which holds the sender, is gone.
    while used.recv_many(&mut batch, CONFIRM_BATCH).await > 0 {
        // Of several generations of a session each may matter, the same one twice never does.
        let distinct: BTreeSet<_> = batch.drain(..).collect();
        let mut untold = VecDeque::from([distinct.into_iter().collect::<Vec<_>>()]);
        let mut failures = 0;
        // A login's first use should be told, or the session that it replaces lives on until the next refresh.
        while let Some(mut uses) = untold.pop_front()
            && failures < CONFIRM_ATTEMPTS
        {
            let Some(engine) = engine.upgrade() else { return };
            if let Err(error) = engine.unattended(engine.store.confirm(uses.clone())).await {
                tracing::warn!(%error, "the store could not be told which tokens are in use");
                failures += 1;
                // A row that can't be read keeps those beside it from being told: so they part.
                let others = uses.split_off(uses.len() / 2);
                untold.extend([uses, others].into_iter().filter(|uses| !uses.is_empty()));
                drop(engine);
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

async fn purge(engine: Weak<Engine>) {
    while let Some(alive) = engine.upgrade() {
        let interval = alive.config.purge_interval;
        drop(alive);
        sleep(interval).await;
        let Some(engine) = engine.upgrade() else { return };
        engine.purge().await;
    }
}

impl Engine {
    /// Deletes what expired, batch by batch.
    async fn purge(&self) {
        self.revoked.forget(self.clock.now());
        loop {
            let retention = self.revoked.retention();
            let purge = self.unattended(self.store.purge_expired(retention, PURGE_BATCH)).await;
            let Purge { expired, more } = match purge {
                Ok(purge) => purge,
                Err(error) => return tracing::warn!(%error, "what expired could not be deleted"),
            };
            for (handle, user) in expired {
                self.send(Event { at: self.clock.now(), user, handle, kind: EventKind::Expired });
            }
            if !more {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn unattended<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        unattended(operation, self.config.store_timeout).await
    }
}

/// Waits for an operation of the store that no request waits for: a store that panics must not end the task.
async fn unattended<T>(
    operation: impl Future<Output = Result<T, StoreError>>,
    patience: Duration,
) -> Result<T, StoreError> {
    match timeout(patience, AssertUnwindSafe(operation).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(StoreError::new("the store panicked")),
        Err(_) => Err(StoreError::new(format!("no answer within {patience:?}"))),
    }
}
