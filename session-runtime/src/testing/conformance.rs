//! What every store promises, as a kit that any store can be put to: feature `testing`.
//!
//! The contract is [`SessionStore`]'s. Who writes a store runs the kit in a test of their own:
//!
//! ```
//! use session_runtime::{MemoryStore, testing::conformance};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // In a `#[tokio::test]`:
//! # const HISTORIES: usize = 100;
//! # conformance::Conformance::new(|| async { MemoryStore::new() }).histories(HISTORIES).parallel(50).run().await;
//! # if false {
//! conformance::run(|| async { MemoryStore::new() }).await;
//! # }
//! # }
//! ```
//!
//! A store whose sessions lie in a file or on a server is put to more: another process must see the same sessions, and what was
//! answered must be there when the store is opened again. [`Conformance::shared`] takes a place for sessions and a way to open it.
//!
//! # What is checked
//!
//! Every operation by itself; races, with a thousand presentations of one token at once; theft of every kind; expiry; the feed;
//! the purge; requests that are dropped half-way; and agreement with [`rotation::decide`](crate::rotation::decide), by ten
//! thousand random histories in which the store and the functions of [`Row`](crate::store::Row) and
//! [`Exchange`](crate::store::Exchange) are asked the same and compared after each step. [`Report::promises`] lists them.
//!
//! # Time
//!
//! Where the store's [`clock`](SessionStore::clock) is one that is [set](crate::Clock::set_to), the kit moves it, checks expiry to the
//! millisecond, and never waits. By any other clock it waits for real, some seconds in all; give a store that lives in this process
//! a set clock. Don't run the kit on a paused tokio runtime: a store that does I/O would seem to hang.

macro_rules! ensure {
    ($holds:expr, $($otherwise:tt)+) => {
        if !$holds {
            return Err($crate::testing::conformance::Broken::new(format!($($otherwise)+)));
        }
    };
}

mod bench;
mod cancellation;
mod expiry;
mod feed;
mod histories;
mod nodes;
mod operations;
mod races;
mod random;
mod reference;
mod theft;

#[cfg(test)]
mod tests;

use std::{fmt, panic::AssertUnwindSafe, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::timeout;

use self::bench::{Bench, Place};
use crate::{error::StoreError, store::SessionStore};

/// Puts a store to the kit. Each call of `fresh` makes a new, empty store.
///
/// # Panics
///
/// If the store breaks a promise; the message names every one that it broke.
pub async fn run<S, F>(fresh: impl Fn() -> F + Send + Sync + 'static)
where
    S: SessionStore,
    F: Future<Output = S> + Send + 'static,
{
    Conformance::new(fresh).run().await;
}

/// The kit, with a store to put to it.
///
/// ```
/// use session_runtime::{Clock, MemoryStore, testing::conformance::Conformance};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let fresh = || async { MemoryStore::with_clock(Clock::set_to_now()) };
/// let report = Conformance::new(fresh).histories(100).parallel(50).check().await;
/// assert!(report.holds(), "{report}");
/// # }
/// ```
#[must_use = "nothing is checked until it is run"]
pub struct Conformance {
    place: Place,
    scale: Scale,
    patience: Duration,
}

/// How much is asked of the store.
#[derive(Clone, Copy, Debug)]
struct Scale {
    parallel: usize,
    histories: usize,
    seed: u64,
}

impl Conformance {
    /// For a store of which each call of `fresh` makes a new, empty one.
    pub fn new<S, F>(fresh: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        S: SessionStore,
        F: Future<Output = S> + Send + 'static,
    {
        Self::of(Place::inside(fresh))
    }

    /// For a store whose sessions lie outside of it, and outlive it: in a file, on a server.
    ///
    /// Each call of `place` makes a new, empty place for sessions: a temporary directory, a schema, a prefix of keys. `open` opens
    /// a store on it, and is called several times for one place: at once, as by several processes, and one after another.
    ///
    /// ```
    /// use session_runtime::{Clock, MemoryStore, testing::conformance::Conformance};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// // Clones of this store share their sessions, so it can stand for a place.
    /// let place = || async { MemoryStore::with_clock(Clock::set_to_now()) };
    /// Conformance::shared(place, |place| async move { place }).histories(100).parallel(50).run().await;
    /// # }
    /// ```
    pub fn shared<P, S, PF, SF>(
        place: impl Fn() -> PF + Send + Sync + 'static,
        open: impl Fn(P) -> SF + Clone + Send + Sync + 'static,
    ) -> Self
    where
        P: Clone + Send + Sync + 'static,
        S: SessionStore,
        PF: Future<Output = P> + Send + 'static,
        SF: Future<Output = S> + Send + 'static,
    {
        Self::of(Place::outside(place, open))
    }

    fn of(place: Place) -> Self {
        let scale = Scale { parallel: 1000, histories: 10_000, seed: 1 };
        Self { place, scale, patience: Duration::from_secs(120) }
    }

    /// How many operations a race consists of; 1,000 by default. With fewer, a race may be missed.
    pub fn parallel(mut self, operations: usize) -> Self {
        self.scale.parallel = operations.max(2);
        self
    }

    /// How many random histories are lived through; 10,000 by default. With fewer, a rare disagreement may be missed.
    pub fn histories(mut self, count: usize) -> Self {
        self.scale.histories = count;
        self
    }

    /// Where the random histories begin; 1 by default. The same seed makes the same histories, but for the times by a clock that
    /// isn't set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.scale.seed = seed;
        self
    }

    /// How long one check may take before the store is said to hang; two minutes by default.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Checks every promise, one after another, each on an empty store.
    pub async fn check(self) -> Report {
        let mut report = Report { broken: Vec::new() };
        for promise in PROMISES {
            let bench = Bench::new(&self.place, self.scale).await;
            let kept = AssertUnwindSafe(timeout(self.patience, (promise.check)(&bench))).catch_unwind().await;
            let broken = match kept {
                Ok(Ok(Ok(()))) => continue,
                Ok(Ok(Err(broken))) => broken.0,
                Ok(Err(_)) => format!("the store did not answer within {:?}", self.patience),
                Err(_) => "the store panicked".to_owned(),
            };
            report.broken.push((promise.text, broken));
        }
        report
    }

    /// Checks every promise, and panics if one is broken.
    ///
    /// # Panics
    ///
    /// With a message that names every promise that was broken, and how.
    pub async fn run(self) {
        let report = self.check().await;
        assert!(report.holds(), "{report}");
    }
}

impl fmt::Debug for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conformance").field("scale", &self.scale).finish_non_exhaustive()
    }
}

/// What the kit found.
#[derive(Clone, Debug)]
pub struct Report {
    broken: Vec<(&'static str, String)>,
}

impl Report {
    /// Whether every promise was kept.
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    /// The promises that were broken, each with what showed it.
    pub fn broken(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.broken.iter().map(|(promise, how)| (*promise, how.as_str()))
    }

    /// Every promise that the kit checks.
    pub fn promises() -> impl Iterator<Item = &'static str> {
        PROMISES.iter().map(|promise| promise.text)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.holds() {
            return write!(f, "the store keeps all of {} promises", PROMISES.len());
        }
        write!(f, "the store breaks {} of {} promises:", self.broken.len(), PROMISES.len())?;
        self.broken.iter().try_for_each(|(promise, how)| write!(f, "\n- {promise}\n    but {how}"))
    }
}

/// A promise, and what shows that it is kept.
struct Promise {
    text: &'static str,
    check: for<'a> fn(&'a Bench) -> BoxFuture<'a, Verdict>,
}

type Verdict = Result<(), Broken>;

/// What showed that a promise was broken.
#[derive(Debug)]
struct Broken(String);

impl Broken {
    fn new(how: impl Into<String>) -> Self {
        Self(how.into())
    }
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self(format!("the store answered with an error: {error}"))
    }
}

macro_rules! promises {
    ($($text:literal => $check:path,)+) => {
        &[$(Promise { text: $text, check: |bench| Box::pin($check(bench)) },)+]
    };
}

const PROMISES: &[Promise] = promises![
    "a new session is kept as it was asked for" => operations::a_row_is_kept_whole,
    "`create` never overwrites a session, live or ended" => operations::a_handle_is_taken_once,
    "a login beyond the limit ends the oldest session, or is refused" => operations::a_limit_holds,
    "a session that is replaced does not count towards the limit" => operations::the_replaced_does_not_count,
    "a change touches nothing but what it changes, and nothing that has ended" => operations::a_change_is_compare_and_set,
    "`revoke` ends a session once, for good" => operations::revoke_ends_for_good,
    "`revoke_all` ends the user's sessions, but not the exception, and no one else's" => operations::revoke_all_ends_the_users,
    "a session made after `revoke_all` is younger than its mark" => operations::a_later_session_is_younger,
    "`list` tells the user's live sessions, the oldest first" => operations::list_tells_the_live,
    "a confirmation counts a token as used once, and passes over what it doesn't know" => operations::a_confirmation_counts_once,
    "a session ends when the one that replaces it is first used, and not before" => operations::the_replaced_ends_at_first_use,
    "sessions that replace each other end together, however many they are" => operations::a_chain_ends_as_a_whole,
    "a token with a wrong proof, or of no session, changes nothing" => theft::a_wrong_proof_changes_nothing,
    "a twin at the same generation is theft" => theft::a_twin_is_theft,
    "a token that was superseded is theft" => theft::a_superseded_token_is_theft,
    "a token from before is theft, however much was cleaned up" => theft::an_old_token_is_theft,
    "an access token of a dead branch is theft" => theft::a_dead_branch_is_theft,
    "another nonce than a bound client's is theft" => theft::another_nonce_is_theft,
    "a token of a session that ended or expired is refused, and is no theft" => theft::an_ended_session_is_no_theft,
    "nothing brings an ended session back" => theft::ended_stays_ended,
    "times are those of the store's clock" => expiry::times_are_the_stores,
    "a session expires by the store's clock, and a refresh never moves the absolute expiry" => expiry::sessions_expire,
    "the purge deletes what is dead, in batches, and nothing else" => expiry::the_purge_deletes_the_dead,
    "the feed tells of every end, in order" => feed::every_end_is_told,
    "the feed wakes who waits for it, and lets them go in time" => feed::who_waits_is_woken,
    "the count of the feed outlives its entries" => feed::the_count_goes_on,
    "a follower misses nothing that is published at the same time" => feed::a_follower_misses_nothing,
    "one token presented many times at once is rotated once" => races::one_token_is_rotated_once,
    "the limit holds under parallel logins" => races::the_limit_holds,
    "a handle is given once under parallel logins" => races::a_handle_is_given_once,
    "nothing made before `revoke_all` survives it, whatever is in flight" => races::nothing_survives_revoke_all,
    "concurrent writers lose nothing" => races::writers_lose_nothing,
    "a session ends once, whatever else happens to it at the same time" => races::a_session_ends_once,
    "an operation that is dropped half-way happens as a whole or not at all, and its answer goes to no one else"
        => cancellation::dropped_operations_cross_nothing,
    "the store agrees with `rotation::decide`" => histories::the_store_agrees,
    "another process sees the same sessions, and hears of their ends" => nodes::another_process_sees_the_same,
    "what was answered is there when the store is opened again" => nodes::what_was_answered_is_kept,
];
