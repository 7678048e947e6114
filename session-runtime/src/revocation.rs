//! Which sessions were ended while access tokens of theirs may still be alive: the set that every request asks.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    clock::Timestamp,
    handle::SessionHandle,
    store::{EndReason, Revocation},
};

/// What the set says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing against it.
    Live,
    /// It ended because the same client logged in anew. That client has newer tokens, which must not be cleared.
    Replaced,
    /// It ended.
    Ended,
}

/// The sessions that ended in the last `retention`: longer than any access token lives.
///
/// Its size follows the rate of revocations, not the number of sessions. Looking something up takes no lock.
#[derive(Debug)]
pub(crate) struct RevocationSet {
    retention: Duration,
    /// No session is older than this.
    born_at: Timestamp,
    sessions: papaya::HashMap<SessionHandle, Entry, foldhash::fast::RandomState>,
    users: papaya::HashMap<Arc<str>, Mark>,
    waiting: Mutex<HashMap<SessionHandle, Weak<Notify>>>,
    /// When the feed was last known to be complete, in milliseconds after `started`.
    heard_at: AtomicU64,
    /// How long a feed is silent is told by a clock that nobody sets.
    started: Instant,
}

/// When the feed was asked for, in the same way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked(u64);

#[derive(Clone, Copy, Debug)]
struct Entry {
    replaced: bool,
    /// Whether it stood in the feed.
    is_told: bool,
    forget_at: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    made_by: Timestamp,
    forget_at: Timestamp,
}

impl RevocationSet {
    /// An empty set. Sessions made before `born_at` count as ended.
    pub(crate) fn new(retention: Duration, born_at: Timestamp) -> Self {
        Self {
            retention,
            born_at,
            sessions: papaya::HashMap::default(),
            users: papaya::HashMap::new(),
            waiting: Mutex::default(),
            heard_at: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// How long an ended session is remembered.
    pub(crate) fn retention(&self) -> Duration {
        self.retention
    }

    /// What is known of the session `handle` of `user`, made at `created_at`.
    pub(crate) fn standing(&self, handle: SessionHandle, user: &str, created_at: Timestamp) -> Standing {
        if created_at < self.born_at {
            return Standing::Ended;
        }
        if let Some(entry) = self.sessions.pin().get(&handle) {
            return if entry.replaced { Standing::Replaced } else { Standing::Ended };
        }
        if !self.users.is_empty() && self.users.pin().get(user).is_some_and(|mark| created_at <= mark.made_by)
        {
            return Standing::Ended;
        }
        Standing::Live
    }

    /// Takes an end from the feed into the set, and wakes who waits for it. Returns whether it is news, which it is not where the
    /// feed is read for the second time.
    pub(crate) fn insert(&self, revocation: &Revocation) -> bool {
        match revocation {
            Revocation::Session { handle, ended, .. } => {
                let is_news = !self.sessions.pin().get(handle).is_some_and(|entry| entry.is_told);
                let forget_at = ended.at.after(self.retention);
                let replaced = ended.reason == EndReason::Replaced;
                self.take(*handle, Entry { replaced, is_told: true, forget_at });
                is_news
            }
            Revocation::User { user, made_by } => {
                let forget_at = made_by.after(self.retention);
                let newer = |old: &Mark| Mark {
                    made_by: old.made_by.max(*made_by),
                    forget_at: old.forget_at.max(forget_at),
                };
                self.users.pin().update_or_insert(
                    Arc::clone(user),
                    newer,
                    Mark { made_by: *made_by, forget_at },
                );
                // Whose sessions they are, who waits does not say; each looks again.
                self.waiting()
                    .values()
                    .filter_map(Weak::upgrade)
                    .for_each(|waiting| waiting.notify_waiters());
                true
            }
        }
    }

    /// Takes the end of a session into the set before the feed tells of it, and wakes who waits for it.
    pub(crate) fn insert_session(&self, handle: SessionHandle, replaced: bool, at: Timestamp) {
        self.take(handle, Entry { replaced, is_told: false, forget_at: at.after(self.retention) });
    }

    fn take(&self, handle: SessionHandle, entry: Entry) {
        let newer = |old: &Entry| Entry { is_told: old.is_told || entry.is_told, ..entry };
        self.sessions.pin().update_or_insert(handle, newer, entry);
        if let Some(waiting) = self.waiting().remove(&handle).and_then(|waiting| waiting.upgrade()) {
            waiting.notify_waiters();
        }
    }

    /// Wakes when the session's end is taken into the set. Register with [`Notify::notified`] before looking.
    pub(crate) fn end_of(&self, handle: SessionHandle) -> Arc<Notify> {
        let mut waiting = self.waiting();
        if let Some(notify) = waiting.get(&handle).and_then(Weak::upgrade) {
            return notify;
        }
        let notify = Arc::new(Notify::new());
        waiting.insert(handle, Arc::downgrade(&notify));
        notify
    }

    /// Drops what no live access token can need.
    pub(crate) fn forget(&self, now: Timestamp) {
        self.sessions.pin().retain(|_, entry| now < entry.forget_at);
        self.users.pin().retain(|_, mark| now < mark.forget_at);
        self.waiting().retain(|_, waiting| waiting.strong_count() > 0);
    }

    /// This moment, at which the feed is asked for: what is answered then is no younger, however late it comes.
    pub(crate) fn asking(&self) -> Asked {
        Asked(self.running_ms())
    }

    /// Notes that the feed was complete.
    pub(crate) fn heard(&self, at: Asked) {
        self.heard_at.fetch_max(at.0, Ordering::Relaxed);
    }

    /// How long ago the feed was last known to be complete.
    pub(crate) fn behind(&self) -> Duration {
        Duration::from_millis(self.running_ms().saturating_sub(self.heard_at.load(Ordering::Relaxed)))
    }

    fn running_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<SessionHandle, Weak<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Ended;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn handle(byte: u8) -> SessionHandle {
        SessionHandle::from_bytes([byte; 16])
    }

    fn end(byte: u8, reason: EndReason) -> Revocation {
        Revocation::Session { handle: handle(byte), user: "alice".into(), ended: Ended { at: NOW, reason } }
    }

    #[test]
    fn an_ended_session_is_known_until_no_token_of_it_can_live() {
        let set = RevocationSet::new(HOUR, Timestamp::default());
        set.insert(&end(1, EndReason::Logout));
        set.insert(&end(2, EndReason::Replaced));
        assert_eq!(set.standing(handle(1), "alice", NOW), Standing::Ended);
        assert_eq!(set.standing(handle(2), "alice", NOW), Standing::Replaced);
        assert_eq!(set.standing(handle(3), "alice", NOW), Standing::Live);
        set.forget(NOW.after(HOUR - Duration::from_millis(1)));
        assert_eq!(set.standing(handle(1), "alice", NOW), Standing::Ended);
        set.forget(NOW.after(HOUR));
        assert_eq!(set.standing(handle(1), "alice", NOW), Standing::Live);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_late_is_as_old_as_the_question() {
        let set = RevocationSet::new(HOUR, Timestamp::default());
        let asked = set.asking();
        tokio::time::advance(Duration::from_secs(3)).await;
        set.heard(asked);
        assert_eq!(set.behind(), Duration::from_secs(3));
    }

    #[test]
    fn a_users_mark_ends_what_was_made_by_then_and_never_moves_back() {
        let set = RevocationSet::new(HOUR, Timestamp::default());
        let later = NOW.after(Duration::from_millis(1));
        set.insert(&Revocation::User { user: "alice".into(), made_by: NOW });
        set.insert(&Revocation::User { user: "alice".into(), made_by: NOW.before(HOUR) });
        assert_eq!(set.standing(handle(1), "alice", NOW), Standing::Ended);
        assert_eq!(set.standing(handle(1), "alice", later), Standing::Live);
        assert_eq!(set.standing(handle(1), "bob", NOW), Standing::Live);
    }

    #[test]
    fn what_was_made_before_the_store_is_over() {
        let set = RevocationSet::new(HOUR, NOW);
        assert_eq!(set.standing(handle(1), "alice", NOW), Standing::Live);
        assert_eq!(set.standing(handle(1), "alice", NOW.before(Duration::from_millis(1))), Standing::Ended);
    }

    #[test]
    fn an_end_is_news_until_the_feed_has_told_it() {
        let set = RevocationSet::new(HOUR, Timestamp::default());
        set.insert_session(handle(1), false, NOW);
        assert!(set.insert(&end(1, EndReason::Logout)), "this node ended it itself, and nobody was told yet");
        set.insert_session(handle(1), false, NOW);
        assert!(!set.insert(&end(1, EndReason::Logout)));
        assert!(set.insert(&end(2, EndReason::Logout)));
    }

    #[tokio::test]
    async fn who_waits_for_an_end_is_woken_by_it() {
        let set = RevocationSet::new(HOUR, Timestamp::default());
        let notify = set.end_of(handle(1));
        let woken = notify.notified();
        set.insert(&end(1, EndReason::Revoked));
        woken.await;
        let woken = set.end_of(handle(2));
        let woken = woken.notified();
        set.insert(&Revocation::User { user: "alice".into(), made_by: NOW });
        woken.await;
    }
}
