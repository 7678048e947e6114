//! The kit, put to a store that is right and to stores that are wrong in a known way.

use tokio::task::yield_now;

use super::{Conformance, Report};
use crate::rotation::Why;

// The example of the trait's documentation, whose insides the wrong stores reach into.
include!("../../store/custom.rs");

#[tokio::test]
async fn the_example_keeps_every_promise() {
    let report = Conformance::new(|| async { plain() }).check().await;
    assert!(report.holds(), "{report}");
}

#[tokio::test]
async fn the_kit_finds_a_rotation_that_is_decided_before_it_is_written() {
    expect_found(Fault::RotatesInTwoSteps, "one token presented many times at once is rotated once").await;
}

#[tokio::test]
async fn the_kit_finds_a_theft_that_is_told_and_not_written() {
    expect_found(Fault::OnlyTellsOfTheft, "a twin at the same generation is theft").await;
}

#[tokio::test]
async fn the_kit_finds_a_history_that_is_pruned() {
    expect_found(Fault::PrunesHistory, "a token from before is theft, however much was cleaned up").await;
}

#[tokio::test]
async fn the_kit_finds_a_creation_that_overwrites() {
    expect_found(Fault::Overwrites, "`create` never overwrites a session, live or ended").await;
}

#[tokio::test]
async fn the_kit_finds_a_limit_that_is_checked_before_the_creation() {
    expect_found(Fault::CountsBefore, "the limit holds under parallel logins").await;
}

#[tokio::test]
async fn the_kit_finds_a_revocation_that_a_late_confirmation_undoes() {
    expect_found(
        Fault::ConfirmsInTwoSteps,
        "a session ends once, whatever else happens to it at the same time",
    )
    .await;
    expect_found(Fault::ConfirmsTheEnded, "nothing brings an ended session back").await;
}

#[tokio::test]
async fn the_kit_finds_a_change_that_overwrites_another() {
    expect_found(Fault::ForgetsVersions, "concurrent writers lose nothing").await;
}

#[tokio::test]
async fn the_kit_finds_a_session_that_survives_the_end_of_all() {
    expect_found(Fault::ForgetsMarks, "a session made after `revoke_all` is younger than its mark").await;
    expect_found(
        Fault::EndsAllInTwoSteps,
        "nothing made before `revoke_all` survives it, whatever is in flight",
    )
    .await;
}

#[tokio::test]
async fn the_kit_finds_a_login_that_ends_what_it_replaces() {
    let promise = "a session ends when the one that replaces it is first used, and not before";
    expect_found(Fault::ReplacesAtOnce, promise).await;
}

#[tokio::test]
async fn the_kit_finds_a_wrong_clock() {
    expect_found(Fault::CountsSeconds, "times are those of the store's clock").await;
    expect_found(Fault::ClockIsBehind, "times are those of the store's clock").await;
}

#[tokio::test]
async fn the_kit_finds_a_feed_that_drops_a_message() {
    expect_found(Fault::DropsNews, "a follower misses nothing that is published at the same time").await;
    expect_found(Fault::SkipsNews, "a follower misses nothing that is published at the same time").await;
}

#[tokio::test]
async fn the_kit_finds_a_feed_that_counts_anew() {
    expect_found(Fault::CountsAnew, "the count of the feed outlives its entries").await;
}

#[tokio::test]
async fn the_kit_finds_a_feed_that_sleeps() {
    let report = kit(Fault::WakesNobody).patience(Duration::from_secs(1)).check().await;
    let promise = "the feed wakes who waits for it, and lets them go in time";
    assert!(report.broken().any(|(broken, _)| broken == promise), "{report}");
}

#[tokio::test]
async fn the_kit_finds_a_purge_that_takes_the_living() {
    expect_found(Fault::PurgesTheEnded, "the purge deletes what is dead, in batches, and nothing else").await;
}

#[tokio::test]
async fn the_kit_finds_answers_that_are_crossed() {
    let promise = "an operation that is dropped half-way happens as a whole or not at all, and its answer goes to no one else";
    expect_found(Fault::CrossesAnswers, promise).await;
}

#[tokio::test]
async fn the_kit_finds_a_store_that_panics_and_one_that_hangs() {
    let panics = report_on(Fault::Panics).await;
    assert!(panics.broken().all(|(_, how)| how == "the store panicked"), "{panics}");
    assert!(panics.broken().count() > 1, "{panics}");
    let hangs = kit(Fault::Hangs).patience(Duration::from_millis(100)).check().await;
    assert!(hangs.broken().any(|(_, how)| how.starts_with("the store did not answer within")), "{hangs}");
}

#[test]
fn every_promise_has_a_text_of_its_own() {
    let texts: std::collections::BTreeSet<_> = Report::promises().collect();
    assert_eq!(texts.len(), Report::promises().count());
}

async fn expect_found(fault: Fault, promise: &'static str) {
    assert!(Report::promises().any(|text| text == promise), "no such promise: {promise}");
    let report = report_on(fault).await;
    assert!(report.broken().any(|(broken, _)| broken == promise), "{fault:?}: {report}");
}

async fn report_on(fault: Fault) -> Report {
    kit(fault).check().await
}

fn kit(fault: Fault) -> Conformance {
    Conformance::new(move || async move { WrongStore::new(fault) }).parallel(60).histories(100)
}

fn plain() -> PlainStore {
    PlainStore { clock: Clock::set_to_now(), ..PlainStore::default() }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    RotatesInTwoSteps,
    OnlyTellsOfTheft,
    PrunesHistory,
    Overwrites,
    CountsBefore,
    ConfirmsInTwoSteps,
    ConfirmsTheEnded,
    ForgetsVersions,
    ForgetsMarks,
    EndsAllInTwoSteps,
    ReplacesAtOnce,
    CountsSeconds,
    ClockIsBehind,
    DropsNews,
    SkipsNews,
    CountsAnew,
    WakesNobody,
    PurgesTheEnded,
    CrossesAnswers,
    Panics,
    Hangs,
}

/// The example, with one fault.
struct WrongStore {
    right: PlainStore,
    fault: Fault,
    /// The clock that it claims to go by.
    clock: Clock,
    has_purged: Mutex<bool>,
    /// The answers that are on their way.
    wire: Mutex<Vec<Option<Row>>>,
}

impl WrongStore {
    fn new(fault: Fault) -> Self {
        let right = plain();
        let clock = right.clock.clone();
        Self { right, fault, clock, has_purged: Mutex::default(), wire: Mutex::default() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn wire(&self) -> MutexGuard<'_, Vec<Option<Row>>> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_purged(&self) -> MutexGuard<'_, bool> {
        self.has_purged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it stamps with.
    fn stamp(&self) -> Timestamp {
        match self.fault {
            Fault::CountsSeconds => Timestamp::from_secs(self.clock.now().as_secs()),
            Fault::ClockIsBehind => self.clock.now().before(Duration::from_secs(3)),
            _ => self.clock.now(),
        }
    }

    async fn in_two_steps<T>(&self, handle: SessionHandle, change: impl FnOnce(Option<&mut Row>) -> T) -> T {
        let mut row = self.right.kept().rows.get(&handle).cloned();
        yield_now().await;
        let changed = change(row.as_mut());
        if let Some(row) = row {
            self.right.kept().rows.insert(handle, row);
        }
        changed
    }

    async fn decide_alone(&self, exchange: &Exchange) -> Rotation {
        let mut row = self.right.kept().rows.get(&exchange.handle()).cloned();
        let now = self.clock.now();
        let decision = exchange.step(row.as_mut(), now);
        Rotation { decision, row, other_client: false, now }
    }
}

impl SessionStore for WrongStore {
    fn clock(&self) -> Option<Clock> {
        Some(self.clock.clone())
    }

    async fn create(&self, new: NewRow) -> Result<Creation, StoreError> {
        let (handle, user, replaces) = (new.handle, Arc::clone(&new.user), new.replaces);
        match self.fault {
            Fault::Overwrites => drop(self.right.kept().rows.remove(&handle)),
            Fault::CountsBefore if new.limit.is_some() => {
                let live = self.right.list(Arc::clone(&user)).await?.len();
                yield_now().await;
                if new.limit.is_some_and(|limit| live < limit.max as usize) {
                    return self.right.create(NewRow { limit: None, ..new }).await;
                }
            }
            Fault::ForgetsMarks => drop(self.right.kept().marks.remove(&user)),
            Fault::Panics => panic!("as ordered"),
            _ => {}
        }
        let creation = self.right.create(new).await?;
        match (replaces, creation) {
            (Some(replaced), creation) if self.has(Fault::ReplacesAtOnce) => {
                self.right.revoke(replaced, EndReason::Replaced).await?;
                Ok(creation)
            }
            (_, Creation::Created(mut row)) if self.stamp() != self.clock.now() => {
                row.created_at = self.stamp();
                self.right.kept().rows.insert(handle, row.clone());
                Ok(Creation::Created(row))
            }
            (_, creation) => Ok(creation),
        }
    }

    async fn rotate(&self, exchange: Exchange) -> Result<Rotation, StoreError> {
        match self.fault {
            Fault::RotatesInTwoSteps => {
                let now = self.clock.now();
                let (decision, row) = self
                    .in_two_steps(exchange.handle(), |mut row| {
                        (exchange.step(row.as_deref_mut(), now), row.cloned())
                    })
                    .await;
                Ok(Rotation { decision, row, other_client: false, now })
            }
            Fault::OnlyTellsOfTheft | Fault::PrunesHistory => {
                let alone = self.decide_alone(&exchange).await;
                let pruned = self.has(Fault::PrunesHistory) && *self.has_purged();
                match alone.decision {
                    Decision::Theft { .. } if pruned => {
                        Ok(Rotation { decision: Decision::Unauthorised(Why::Unknown), row: None, ..alone })
                    }
                    Decision::Theft { .. } if self.has(Fault::OnlyTellsOfTheft) => Ok(alone),
                    _ => self.right.rotate(exchange).await,
                }
            }
            _ => self.right.rotate(exchange).await,
        }
    }

    async fn confirm(&self, used: Vec<(SessionHandle, u32)>) -> Result<(), StoreError> {
        let now = self.clock.now();
        match self.fault {
            Fault::ConfirmsInTwoSteps => {
                for (handle, generation) in used {
                    let confirm = |row: Option<&mut Row>| row.is_some_and(|row| row.confirm(generation, now));
                    if self.in_two_steps(handle, confirm).await {
                        self.right.confirm(vec![(handle, generation)]).await?;
                    }
                }
                Ok(())
            }
            Fault::ConfirmsTheEnded => {
                for (handle, generation) in &used {
                    let mut kept = self.right.kept();
                    if let Some(row) = kept.rows.get_mut(handle)
                        && row.chain.generation == *generation
                    {
                        row.ended = None;
                    }
                }
                self.right.confirm(used).await
            }
            _ => self.right.confirm(used).await,
        }
    }

    async fn read(&self, handle: SessionHandle) -> Result<Option<Row>, StoreError> {
        let row = self.right.read(handle).await?;
        if self.has(Fault::CrossesAnswers) {
            self.wire().insert(0, row);
            yield_now().await;
            return Ok(self.wire().pop().flatten());
        }
        Ok(row)
    }

    async fn update(
        &self,
        handle: SessionHandle,
        version: u32,
        change: Change,
    ) -> Result<Changed, StoreError> {
        if self.has(Fault::ForgetsVersions) {
            yield_now().await;
            let version = self.right.kept().rows.get(&handle).map_or(version, |row| row.version);
            return self.right.update(handle, version, change).await;
        }
        self.right.update(handle, version, change).await
    }

    async fn revoke(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, StoreError> {
        let was_live = self.right.revoke(handle, reason).await?;
        let mut kept = self.right.kept();
        if self.has(Fault::DropsNews) && kept.last().0.is_multiple_of(5) {
            kept.feed.pop();
        }
        Ok(was_live)
    }

    async fn revoke_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
        reason: EndReason,
    ) -> Result<Vec<SessionHandle>, StoreError> {
        if self.has(Fault::EndsAllInTwoSteps) && except.is_none() {
            let live = self.right.kept().live(&user, self.clock.now());
            yield_now().await;
            for handle in &live {
                self.right.revoke(*handle, reason).await?;
            }
            let (now, mut kept) = (self.clock.now(), self.right.kept());
            let made_by = kept.of(&user).map(|row| row.created_at).fold(now, Timestamp::max);
            kept.marks.insert(Arc::clone(&user), made_by);
            kept.feed.push((now, Revocation::User { user, made_by }));
            return Ok(live);
        }
        self.right.revoke_all(user, except, reason).await
    }

    async fn list(&self, user: Arc<str>) -> Result<Vec<Row>, StoreError> {
        self.right.list(user).await
    }

    async fn purge_expired(&self, retention: Duration, limit: usize) -> Result<Purge, StoreError> {
        *self.has_purged() = true;
        let retention = if self.has(Fault::PurgesTheEnded) { Duration::ZERO } else { retention };
        let purge = self.right.purge_expired(retention, limit).await?;
        if self.has(Fault::CountsAnew) {
            self.right.kept().forgotten = 0;
        }
        Ok(purge)
    }

    async fn revocations(&self, after: Cursor, wait: Duration) -> Result<Batch, StoreError> {
        match self.fault {
            Fault::Hangs => std::future::pending().await,
            Fault::WakesNobody => {
                sleep(wait).await;
                self.right.revocations(after, Duration::ZERO).await
            }
            Fault::SkipsNews => {
                let mut batch = self.right.revocations(after, wait).await?;
                yield_now().await;
                batch.next = self.right.kept().last();
                Ok(batch)
            }
            _ => self.right.revocations(after, wait).await,
        }
    }
}
