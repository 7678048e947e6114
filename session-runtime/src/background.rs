//! What goes on beside the requests: following the feed, telling the store of use, deleting what expired.
//!
//! Each task holds the system weakly and ends soon after the last [`Sessions`](crate::Sessions) is gone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::mpsc, time::sleep};

use crate::{
    error::StoreError,
    event::{Event, EventKind},
    handle::SessionHandle,
    sessions::Core,
    store::{Cursor, Purge},
};

/// How many first uses of access tokens may wait for the store. More are dropped.
pub(crate) const CONFIRM_QUEUE: usize = 4096;

const CONFIRM_BATCH: usize = 256;
const PURGE_BATCH: usize = 1000;
const FEED_WAIT: Duration = Duration::from_secs(1);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(250);

/// Takes in what the feed holds already, then starts the tasks.
pub(crate) async fn start(
    core: &Arc<Core>,
    used: mpsc::Receiver<(SessionHandle, u32)>,
) -> Result<(), StoreError> {
    let batch = core.store.revocations(Cursor::default(), Duration::ZERO);
    let batch = tokio::time::timeout(core.config.store_timeout, batch)
        .await
        .map_err(|_| StoreError::new(format!("no answer within {:?}", core.config.store_timeout)))??;
    core.clock.adjust(batch.now);
    for revocation in &batch.revocations {
        core.revoked.insert(revocation);
    }
    core.revoked.heard();
    tokio::spawn(follow_feed(Arc::downgrade(core), batch.next));
    tokio::spawn(tell_uses(Arc::downgrade(core), used));
    tokio::spawn(purge(Arc::downgrade(core)));
    Ok(())
}

async fn follow_feed(core: Weak<Core>, mut cursor: Cursor) {
    while let Some(alive) = core.upgrade() {
        // A quiet feed is heard from several times within the bound, or it would count as interrupted.
        let wait = FEED_WAIT.min(alive.config.feed_bound / 4);
        let (store, patience) = (Arc::clone(&alive.store), wait + alive.config.store_timeout);
        drop(alive);
        let batch = tokio::time::timeout(patience, store.revocations(cursor, wait)).await;
        let Some(core) = core.upgrade() else { return };
        match batch {
            Ok(Ok(batch)) => {
                core.clock.adjust(batch.now);
                batch.revocations.iter().for_each(|revocation| core.take_end(revocation));
                core.revoked.heard();
                cursor = batch.next;
            }
            Ok(Err(error)) => pause(&core, &error).await,
            Err(_) => pause(&core, &StoreError::new("no answer in time")).await,
        }
    }
}

async fn pause(core: &Core, error: &StoreError) {
    let behind = core.revoked.behind();
    tracing::warn!(%error, ?behind, "the feed of revocations is interrupted");
    sleep(PAUSE_AFTER_FAILURE).await;
}

async fn tell_uses(core: Weak<Core>, mut used: mpsc::Receiver<(SessionHandle, u32)>) {
    let mut batch = Vec::with_capacity(CONFIRM_BATCH);
    // Ends when the system, which holds the sender, is gone.
    while used.recv_many(&mut batch, CONFIRM_BATCH).await > 0 {
        let Some(core) = core.upgrade() else { return };
        // Of several generations of a session each may matter, the same one twice never does.
        let distinct: BTreeMap<_, ()> = batch.drain(..).map(|used| (used, ())).collect();
        // A failure is logged; losing the note only widens the tolerance.
        let _ = core.in_time(core.store.confirm(distinct.into_keys().collect())).await;
    }
}

async fn purge(core: Weak<Core>) {
    while let Some(alive) = core.upgrade() {
        let interval = alive.config.purge_interval;
        drop(alive);
        sleep(interval).await;
        let Some(core) = core.upgrade() else { return };
        core.purge().await;
    }
}

impl Core {
    /// Deletes what expired, batch by batch.
    pub(crate) async fn purge(&self) {
        self.revoked.forget(self.clock.now());
        loop {
            let retention = self.revoked.retention();
            let Ok(Purge { expired, more }) =
                self.in_time(self.store.purge_expired(retention, PURGE_BATCH)).await
            else {
                return;
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
}
