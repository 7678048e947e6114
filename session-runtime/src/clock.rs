//! Time: milliseconds since the Unix epoch, from the system or from a test's hand.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::sleep};

/// A point in time: whole milliseconds since the Unix epoch.
///
/// Arithmetic saturates, so that no stored value can make it panic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The latest time there is; stands for "never".
    pub const MAX: Self = Self(u64::MAX);

    /// `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// `secs` seconds after the Unix epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// This time and `duration` more.
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This time and `duration` less.
    pub const fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

const fn millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1000).saturating_add(duration.subsec_millis() as u64)
}

/// Where "now" comes from: the system's clock, or one that a test sets.
///
/// Cloning is cheap; clones of a set clock share its time.
///
/// ```
/// use std::time::Duration;
/// use session_runtime::Clock;
///
/// let clock = Clock::set_to_now();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now().since(before), Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Set(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    /// The system's clock; the default.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `at` until it is advanced.
    pub fn set_to(at: Timestamp) -> Self {
        Self(Source::Set(Arc::new(watch::Sender::new(at))))
    }

    /// A clock that stands still at the present time until it is advanced.
    pub fn set_to_now() -> Self {
        Self::set_to(Self::system().now())
    }

    /// The time by this clock.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                Timestamp(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
            }
            Source::Set(at) => *at.borrow(),
        }
    }

    /// Whether this clock stands still until it is advanced.
    #[cfg(feature = "testing")]
    pub(crate) fn is_set(&self) -> bool {
        matches!(self.0, Source::Set(_))
    }

    /// Moves a set clock forward.
    ///
    /// # Panics
    ///
    /// On the system's clock, which is not ours to move.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Source::System => {
                panic!("the system clock can't be advanced; make the clock with `Clock::set_to`")
            }
            Source::Set(at) => at.send_modify(|at| *at = at.after(by)),
        }
    }

    /// Waits until this clock shows `at`; on a set clock, until it is advanced so far.
    pub(crate) async fn sleep_until(&self, at: Timestamp) {
        match &self.0 {
            // In pieces, because the system's clock may be set while we sleep.
            Source::System => {
                while self.now() < at {
                    sleep(at.since(self.now()).min(Duration::from_secs(60))).await;
                }
            }
            // The sender lives as long as `self`, so the wait can't fail.
            Source::Set(now) => {
                let _ = now.subscribe().wait_for(|now| *now >= at).await;
            }
        }
    }
}
