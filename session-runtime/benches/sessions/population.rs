//! A memory store full of sessions.

use std::{cell::RefCell, fs, time::Duration};

use session_runtime::{Clock, KeyRing, MemoryStore, NewSession, Sessions, SigningAlgorithm};
use tokio::runtime::Runtime;

use crate::Effort;

/// A store with sessions of as many users, of whom some are about to refresh.
pub(crate) struct Population {
    pub(crate) sessions: usize,
    pub(crate) clock: Clock,
    /// The session system with signatures that take little time, so that what the store takes can be seen.
    pub(crate) hs256: Sessions,
    /// The session system with the default algorithm, on the same store.
    pub(crate) eddsa: Sessions,
    /// The refresh tokens of the users who refresh, evenly spread over the store.
    pub(crate) refresh_tokens: RefCell<Vec<String>>,
    bytes: Option<u64>,
}

impl Population {
    const BATCHES_OF_REFRESH_TOKENS: usize = 20;

    /// The stores that are asked for, the largest made first.
    pub(crate) fn of_each(effort: Effort, runtime: &Runtime) -> [Self; 3] {
        let of = |sessions: usize| {
            let refreshing = sessions.min(Self::BATCHES_OF_REFRESH_TOKENS * effort.batch);
            runtime.block_on(Self::fill(sessions, refreshing))
        };
        let [few, more, most] = effort.populations;
        let (most, more, few) = (of(most), of(more), of(few));
        [few, more, most]
    }

    async fn fill(sessions: usize, refreshing: usize) -> Self {
        let (clock, keys) = (Clock::set_to_now(), KeyRing::random());
        let store = MemoryStore::with_clock(clock.clone());
        let system = async |algorithm| {
            let builder = Sessions::builder(store.clone()).refresh_path("/refresh").key_ring(keys.clone());
            builder.algorithm(algorithm).build().await.expect("the settings are sound")
        };
        let (hs256, eddsa) = (system(SigningAlgorithm::Hs256).await, system(SigningAlgorithm::EdDsa).await);
        let mut refresh_tokens = Vec::with_capacity(refreshing);
        let before = resident_bytes();
        for number in 0..sessions {
            let made = hs256.create(&NewSession::new(user(number))).await;
            let made = made.expect("the memory store does not fail");
            if number % (sessions / refreshing) == 0 {
                refresh_tokens.push(made.refresh().expect("a new session has one").expose().to_owned());
            }
        }
        let bytes = resident_bytes().zip(before).map(|(after, before)| after.saturating_sub(before));
        Self { sessions, clock, hs256, eddsa, refresh_tokens: RefCell::new(refresh_tokens), bytes }
    }

    /// Has the clock go on by so much that every session rotates when it is refreshed next.
    pub(crate) fn let_time_pass(&self) {
        self.clock.advance(Duration::from_secs(60));
    }

    pub(crate) fn print_memory(&self) {
        println!(
            "4. Memory of a session whose user's name has 36 bytes, without claims; aim: at most 400 bytes"
        );
        match self.bytes {
            Some(bytes) => println!(
                "{:<48}{:>8} bytes each ({} MB of resident memory)",
                format!("{} sessions, one a user", self.sessions),
                bytes / self.sessions as u64,
                bytes / 1_000_000
            ),
            None => println!("not known on this system, which has no /proc/self/status"),
        }
    }
}

/// A user's name of the length of a UUID.
pub(crate) fn user(number: usize) -> String {
    format!("01890a5d-ac96-774b-bcce-{number:012x}")
}

/// The memory that the process has in use, by `proc_pid_status(5)`.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
