//! How fast the stores are, as ratios to what their servers and files can do, all measured in one run.
//!
//! ```sh
//! tests/speed.sh
//! tests/speed.sh --assert refresh revocation
//! ```
//!
//! The second line measures what it names only (`refresh`, `revocation`, `growth`, `outage`), and fails where an aim is missed.

mod callers;
mod ceiling;
mod crowd;
mod growth;
mod outage;
mod places;
mod refresh;
mod report;
mod revocation;

use std::{env, process::ExitCode, time::Duration};

use tokio::runtime::{Builder, Runtime};

use crate::report::Report;

const METHOD: &str = "\
What is compared is measured in turn, for a moment each, for many rounds; a figure is the median over the rounds, a ratio the
median of the ratios within each round. So a noisy machine slows both sides alike. Who sends the load shares the processors with
the server, on both sides. PostgreSQL has fsync and synchronous_commit on, Redis appendonly with appendfsync everysec.";

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// How often each side is measured; what is for information only, a fifth as often.
    pub(crate) rounds: usize,
    /// For how long, each time.
    pub(crate) moment: Duration,
    /// How many sessions stores hold, the fewest first.
    pub(crate) populations: [usize; 3],
    /// How many of the sessions are refreshed, in turn.
    pub(crate) in_use: usize,
    /// How many rows one call of the purge deletes.
    pub(crate) purged: usize,
    /// How many sessions are revoked.
    pub(crate) revocations: usize,
}

impl Effort {
    const FULL: Self = Self {
        rounds: 25,
        moment: Duration::from_millis(400),
        populations: [10_000, 100_000, 1_000_000],
        in_use: 2_000,
        purged: 500,
        revocations: 300,
    };

    /// Shows that everything runs, and measures nothing worth reading.
    const TRIAL: Self = Self {
        rounds: 2,
        moment: Duration::from_millis(200),
        populations: [1_000, 2_000, 4_000],
        in_use: 1_000,
        purged: 100,
        revocations: 20,
    };

    /// `cargo bench` passes `--bench`, `cargo test --benches` does not.
    fn asked_for() -> Self {
        if is_said("--bench") && !is_said("--quick") { Self::FULL } else { Self::TRIAL }
    }
}

fn main() -> ExitCode {
    let (effort, mut report) = (Effort::asked_for(), Report::default());
    println!("{METHOD}\n");
    println!("{} rounds of {:?} each\n", effort.rounds, effort.moment);
    if is_wanted("refresh") {
        runtime().block_on(refresh::measure(effort, &mut report));
    }
    if is_wanted("revocation") {
        runtime().block_on(revocation::measure(effort, &mut report));
    }
    if is_wanted("growth") {
        runtime().block_on(growth::measure(effort, &mut report));
    }
    if is_wanted("outage") {
        runtime().block_on(outage::measure(effort, &mut report));
    }
    report.print_missed();
    let has_failed = is_said("--assert") && report.has_missed();
    ExitCode::from(u8::from(has_failed))
}

fn is_said(option: &str) -> bool {
    env::args().any(|argument| argument == option)
}

/// Whether the command line names `table`, or no table at all.
fn is_wanted(table: &str) -> bool {
    let mut named = env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|name| name == table)
}

/// As many threads as `#[tokio::main]` gives an application.
fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().expect("a runtime can be made")
}
