//! Random histories, lived through by the store and by plain rows side by side.
//!
//! Many users live at once, one step each at a time, so that a store which works in batches is seen to do so, and time passes for
//! all of them between two steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::{join_all, try_join_all};

use super::{
    Broken, Verdict,
    bench::{Bench, LONG, NO_PROOF, OWNER, STRANGER, ends, present_with},
    random::Random,
    reference::{Answer, Reference, Step, comparable},
};
use crate::{
    clock::Timestamp,
    handle::SessionHandle,
    rotation::{Grace, Link, NonceHash, Presented},
    store::{BeyondLimit, Change, Cursor, EndReason, Exchange, NewRow, Row, SessionLimit},
};

/// How many users live at once.
const GROUP: usize = 250;

/// How many steps a history has.
const STEPS: usize = 14;

/// Longer than all histories take.
const RETENTION: Duration = Duration::from_secs(1000 * 24 * 3600);

pub(super) async fn the_store_agrees(bench: &Bench) -> Verdict {
    live(bench).await.map(drop)
}

/// Lives through all histories, and returns the rules that were met on the way.
pub(super) async fn live(bench: &Bench) -> Result<BTreeSet<u8>, Broken> {
    let mut random = Random::new(bench.scale.seed);
    let mut rules = BTreeSet::new();
    let mut left = bench.scale.histories;
    while left > 0 {
        let size = left.min(GROUP);
        let user = |number: usize| History::new(&format!("user {}", left - number), random.next());
        let mut group: Vec<_> = (0..size).map(user).collect();
        live_together(bench, &mut group, &mut random).await?;
        group.iter().for_each(|history| rules.extend(&history.rules));
        left -= size;
    }
    Ok(rules)
}

async fn live_together(bench: &Bench, group: &mut [History], random: &mut Random) -> Verdict {
    let begin = bench.feed_after(Cursor::default()).await?.1;
    for round in 0..STEPS {
        let before = bench.now().await?;
        let steps: Vec<_> = group.iter_mut().map(|history| history.next_step(bench)).collect();
        let asked = group.iter().zip(&steps).map(|(history, step)| step.ask(bench, &history.reference.user));
        let answers = try_join_all(asked).await?;
        let after = bench.now().await?;
        let compared = group.iter_mut().zip(steps).zip(answers).map(|((history, step), (answer, at))| {
            history.compare(bench, Seen { step, answer, at, before, after })
        });
        join_all(compared).await.into_iter().collect::<Verdict>()?;
        if round % 5 == 4 {
            purge(bench, group).await?;
        }
        bench.pass(pause(bench, random)).await?;
    }
    let (told, _) = bench.feed_after(begin).await?;
    let mut told_ends: BTreeMap<SessionHandle, Vec<EndReason>> = BTreeMap::new();
    ends(&told).for_each(|(handle, reason)| told_ends.entry(handle).or_default().push(reason));
    join_all(group.iter().map(|history| history.compare_end(bench, &told_ends))).await.into_iter().collect()
}

fn pause(bench: &Bench, random: &mut Random) -> Duration {
    let millis: &[u64] = if bench.has_set_clock() {
        &[0, 0, 1, 2, 5, 39, 40, 41, 120, 121, 1_000, 3_001, 60_000, 900_001]
    } else {
        &[0, 0, 1, 2, 5, 20, 41]
    };
    Duration::from_millis(random.pick(millis))
}

/// Expired sessions may go; those that ended are kept so long that none is old enough.
async fn purge(bench: &Bench, group: &mut [History]) -> Verdict {
    let purge = bench.purge_expired(RETENTION, 10 * GROUP).await?;
    let now = bench.now().await?;
    let gone: BTreeSet<_> = purge.expired.iter().map(|(handle, _)| *handle).collect();
    for history in group {
        for row in history.reference.rows.extract_if(.., |row| gone.contains(&row.handle)) {
            ensure!(row.is_dead(now, RETENTION), "the purge deleted {row:?} at {now:?}");
        }
    }
    Ok(())
}

/// What was asked, what was answered, and between which times.
struct Seen {
    step: Step,
    answer: Answer,
    at: Option<Timestamp>,
    before: Timestamp,
    after: Timestamp,
}

/// The life of one user.
struct History {
    reference: Reference,
    random: Random,
    /// Every refresh token that a session was ever given.
    issued: Vec<(SessionHandle, Link)>,
    /// Whether its client sends nonces.
    is_bound: bool,
    rules: BTreeSet<u8>,
    log: Vec<String>,
}

impl History {
    fn new(user: &str, seed: u64) -> Self {
        let (reference, mut random) = (Reference::new(user.into()), Random::new(seed));
        let is_bound = random.chance(1, 3);
        Self { reference, random, issued: Vec::new(), is_bound, rules: BTreeSet::new(), log: Vec::new() }
    }

    fn next_step(&mut self, bench: &Bench) -> Step {
        let handles: Vec<_> = self.reference.rows.iter().map(|row| row.handle).collect();
        if handles.is_empty() || self.random.chance(1, 12) {
            return Step::Create(self.new_session(bench, &handles));
        }
        let handle = self.random.pick(&handles);
        let row = self.reference.row(handle).cloned();
        let (version, generation) = row.as_ref().map_or((0, 1), |row| (row.version, row.chain.generation));
        match self.random.below(20) {
            0..10 => row.map_or(Step::List, |row| Step::Rotate(self.presentation(&row))),
            10..13 => {
                let back = self.random.pick(&[0, 0, 0, 1, 1, 2, 3]);
                Step::Confirm(handle, generation.saturating_sub(back))
            }
            13..16 => {
                let stale = u32::from(self.random.chance(1, 4));
                Step::Update(handle, version.wrapping_sub(stale), self.change())
            }
            16 => Step::Revoke(handle, self.random.pick(&[EndReason::Logout, EndReason::Revoked])),
            17 => {
                let except = self.random.chance(2, 3).then_some(handle);
                Step::RevokeAll(except)
            }
            18 => Step::List,
            _ => Step::Read(handle),
        }
    }

    fn new_session(&mut self, bench: &Bench, handles: &[SessionHandle]) -> NewRow {
        let short = Duration::from_millis(self.random.pick(&[30, 500, 60_000]));
        let millis = self.random.pick(&[0, 1, 5, 40, 1_000]);
        let mut new = bench.plain(&self.reference.user);
        new.grace = Grace::new(Duration::from_millis(millis));
        new.idle_lifetime = if self.random.chance(1, 3) { short } else { LONG };
        new.absolute_lifetime = self.random.chance(1, 4).then_some(2 * short);
        new.claims = self.random.chance(1, 2).then(|| r#"{"role":["user"]}"#.into());
        if let Some(other) = (!handles.is_empty()).then(|| self.random.pick(handles)) {
            match self.random.below(6) {
                0 | 1 => new.replaces = Some(other),
                2 => new.handle = other,
                _ => {}
            }
            if new.handle != other {
                let beyond = self.random.pick(&[BeyondLimit::EvictOldest, BeyondLimit::Refuse]);
                let limit = SessionLimit { max: self.random.pick(&[1, 2, 3]), beyond };
                new.limit = self.random.chance(1, 3).then_some(limit);
            }
        }
        new
    }

    fn presentation(&mut self, row: &Row) -> Exchange {
        let chain = &row.chain;
        let given: Vec<_> =
            self.issued.iter().filter(|(handle, _)| *handle == row.handle).map(|(_, link)| *link).collect();
        let earlier = |generation| {
            given.iter().rev().find(|link| link.generation == generation).copied().unwrap_or(chain.link())
        };
        let forward = self.random.chance(1, 2).then(|| nonce(row.handle, chain.generation));
        let link = match self.random.below(20) {
            0..9 => chain.link(),
            9..13 => earlier(chain.parent),
            13..15 => earlier(chain.grandparent),
            15..17 if !given.is_empty() => self.random.pick(&given),
            17 => Link { parent: chain.parent.wrapping_add(3), ..chain.link() },
            18 => Link { generation: chain.generation + 1, parent: chain.generation, nonce: forward },
            _ => Link { generation: chain.generation + 2, parent: chain.parent, nonce: None },
        };
        let grace = Grace::new(Duration::from_millis(self.random.pick(&[0, 1, 5, 40, 1_000, 300_000])));
        let by = self.random.pick(&[OWNER, OWNER, STRANGER]);
        let presented = Presented { link, nonce: self.nonce(row.handle, link.generation) };
        if self.random.chance(1, 30) {
            return Exchange::new(row.handle, presented, grace, [by], NO_PROOF);
        }
        present_with(row, presented, grace, by)
    }

    /// The nonce that a client sends with the token of a generation; a client that is not bound sends none.
    fn nonce(&mut self, handle: SessionHandle, generation: u32) -> Option<NonceHash> {
        match self.random.below(20) {
            0 => Some(NonceHash(self.random.bytes())),
            1 => None,
            _ => self.is_bound.then(|| nonce(handle, generation)),
        }
    }

    fn change(&mut self) -> Change {
        let number = self.random.below(1000);
        match self.random.below(5) {
            0 => Change::Authenticated,
            1 => Change::Claims(None),
            2 => Change::Claims(Some(format!(r#"{{"level":{number}}}"#).into())),
            3 => Change::Data(None),
            _ => Change::Data(Some(format!("[{number}]").into())),
        }
    }

    /// Whether plain rows come to the same, at some time between before and after.
    async fn compare(&mut self, bench: &Bench, seen: Seen) -> Verdict {
        self.log.push(format!("{:?}: {} → {}", seen.before, seen.step, seen.answer));
        let mut disagreement = None;
        for now in self.times(&seen) {
            let mut trial = self.reference.clone();
            let answer = trial.carry_out(&seen.step, seen.before, now);
            if !answer.agrees(&seen.answer) {
                disagreement =
                    Some(format!("answered was {:?}, and should have been {answer:?}", seen.answer));
                continue;
            }
            match self.settle(bench, &mut trial, &seen).await? {
                Some(other) => disagreement = Some(other),
                None => {
                    self.reference = trial;
                    self.note(&seen.answer);
                    return Ok(());
                }
            }
        }
        let history = self.log.join("\n      ");
        Err(Broken::new(format!(
            "{}, after\n      {history}",
            disagreement.unwrap_or_else(|| format!("it says that it happened at {:?}", seen.at))
        )))
    }

    /// The times at which the step may have happened. Where the clock stands still, that is one.
    fn times(&self, seen: &Seen) -> BTreeSet<Timestamp> {
        let may_be = |at: &Timestamp| seen.before <= *at && *at <= seen.after;
        // A session made right after all were ended may be stamped a little ahead of the clock.
        let ahead = self.reference.mark.filter(|_| matches!(seen.step, Step::Create(_)));
        if let (Some(at), false) = (seen.at, matches!(seen.step, Step::Confirm(..))) {
            return Some(at)
                .filter(|at| may_be(at) || ahead.is_some_and(|mark| mark < *at))
                .into_iter()
                .collect();
        }
        let expiries = self.reference.rows.iter().map(Row::expires_at);
        expiries.chain(seen.at).chain([seen.before, seen.after]).filter(may_be).collect()
    }

    /// Compares the rows that the step touched with what the store keeps. Returns in what they differ.
    async fn settle(
        &self,
        bench: &Bench,
        trial: &mut Reference,
        seen: &Seen,
    ) -> Result<Option<String>, Broken> {
        for row in &mut trial.rows {
            let was = self.reference.row(row.handle);
            if was == Some(row) && Some(row.handle) != seen.step.target() {
                continue;
            }
            let Some(kept) = bench.read(row.handle).await? else {
                return Ok(Some(format!("there is no row, and should be {row:?}")));
            };
            if comparable(kept.clone()) != comparable(row.clone()) {
                return Ok(Some(format!("the row is {kept:?}, and should be {row:?}")));
            }
            if let (Some(meant), Some(is)) = (row.ended.as_deref_mut(), kept.ended.as_deref()) {
                let known = was.and_then(|row| row.ended.as_deref()).map(|ended| ended.at);
                let fits = known.map_or(seen.before <= is.at && is.at <= seen.after, |at| at == is.at);
                if !fits {
                    return Ok(Some(format!(
                        "the row ended at {:?}, and should have at {:?}",
                        is.at, meant.at
                    )));
                }
                meant.at = is.at;
            }
        }
        Ok(None)
    }

    fn note(&mut self, answer: &Answer) {
        match answer {
            Answer::Created(row) => self.issued.push((row.handle, row.chain.link())),
            Answer::Refused(decision) => drop(self.rules.insert(decision.rule())),
            Answer::Exchanged { decision, row, .. } => {
                self.rules.insert(decision.rule());
                if let (Some(row), Some(chain)) = (row, decision.chain()) {
                    self.issued.push((row.handle, chain.link()));
                }
            }
            _ => {}
        }
    }

    /// In the end, no row may have changed behind our back, and the feed has to have told of every end.
    async fn compare_end(&self, bench: &Bench, told: &BTreeMap<SessionHandle, Vec<EndReason>>) -> Verdict {
        let log = || self.log.join("\n      ");
        for row in &self.reference.rows {
            let kept = bench.read(row.handle).await?.map(comparable);
            ensure!(
                kept == Some(comparable(row.clone())),
                "the row is {kept:?} in the end, and should be {row:?}, after\n      {}",
                log()
            );
        }
        for (handle, reason) in &self.reference.ends {
            let told = told.get(handle).map(Vec::as_slice).unwrap_or_default();
            ensure!(
                told == [*reason],
                "{handle} ended by {reason:?}, and told was {told:?}, after\n      {}",
                log()
            );
        }
        let ended = self.reference.ends.len();
        let mine = |row: &&Row| told.contains_key(&row.handle);
        let told = self.reference.rows.iter().filter(mine).count();
        ensure!(told <= ended, "{told} ends were told, and there were {ended}, after\n      {}", log());
        Ok(())
    }
}

/// A bound client's nonce: made per generation, and kept until it has a later one.
fn nonce(handle: SessionHandle, generation: u32) -> NonceHash {
    let bytes = handle.as_bytes().first_chunk().copied().unwrap_or_default();
    NonceHash(Random::new(u64::from_le_bytes(bytes) ^ u64::from(generation)).bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Clock, MemoryStore,
        testing::conformance::{Scale, bench::Place},
    };

    async fn rules_met(clock: Clock) -> BTreeSet<u8> {
        let place = Place::inside(move || std::future::ready(MemoryStore::with_clock(clock.clone())));
        let bench = Bench::new(&place, Scale { parallel: 1, histories: 1000, seed: 1 }).await;
        live(&bench).await.expect("the memory store agrees")
    }

    #[tokio::test]
    async fn the_histories_meet_every_rule() {
        assert_eq!(rules_met(Clock::set_to_now()).await, (1..=15).collect());
    }

    #[tokio::test]
    async fn by_a_clock_that_runs_the_histories_meet_theft_all_the_same() {
        let rules = rules_met(Clock::system()).await;
        assert!(rules.is_superset(&[1, 2, 3, 5, 8, 11, 14].into()), "{rules:?}");
    }
}
