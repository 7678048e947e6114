//! The store's time, as this node tells it between two calls of the store.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::{Clock, Timestamp};

/// A clock of this process and how far the store's clock is ahead of it.
///
/// All nodes of one store thereby stamp and check tokens by one time, however far apart their own clocks are.
#[derive(Debug)]
pub(crate) struct NodeClock {
    local: Clock,
    /// By how much the store is ahead; `None` where the store keeps time by `local` itself.
    ahead_ms: Option<AtomicI64>,
}

impl NodeClock {
    /// For a store whose own clock is `shared`, or that keeps time elsewhere.
    pub(crate) fn new(shared: Option<Clock>) -> Self {
        match shared {
            Some(local) => Self { local, ahead_ms: None },
            None => Self { local: Clock::system(), ahead_ms: Some(AtomicI64::new(0)) },
        }
    }

    /// The store's time, as far as known.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.local.now().as_millis().saturating_add_signed(self.ahead()))
    }

    /// Takes over the store's time from an answer that has just arrived.
    pub(crate) fn adjust(&self, store_now: Timestamp) {
        if let Some(ahead) = &self.ahead_ms {
            let local = self.local.now().as_millis();
            ahead.store(
                store_now.as_millis().cast_signed().wrapping_sub(local.cast_signed()),
                Ordering::Relaxed,
            );
        }
    }

    /// Waits until the store's time is `at`.
    pub(crate) async fn sleep_until(&self, at: Timestamp) {
        let local = at.as_millis().saturating_add_signed(self.ahead().saturating_neg());
        self.local.sleep_until(Timestamp::from_millis(local)).await;
    }

    fn ahead(&self) -> i64 {
        self.ahead_ms.as_ref().map_or(0, |ahead| ahead.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_node_tells_the_stores_time_whatever_its_own_clock_shows() {
        let local = Clock::set_to(Timestamp::from_secs(1_000));
        let node = NodeClock { local: local.clone(), ahead_ms: Some(AtomicI64::new(0)) };
        node.adjust(Timestamp::from_secs(400));
        local.advance(Duration::from_secs(5));
        assert_eq!(node.now(), Timestamp::from_secs(405));
    }

    #[test]
    fn a_clock_shared_with_the_store_needs_no_adjusting() {
        let local = Clock::set_to(Timestamp::from_secs(1_000));
        let node = NodeClock::new(Some(local.clone()));
        local.advance(Duration::from_secs(5));
        node.adjust(Timestamp::from_secs(1_000));
        assert_eq!(node.now(), Timestamp::from_secs(1_005));
    }
}
