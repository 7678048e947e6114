//! What the session system costs, as ratios to what one would compare it with, all measured in one run.
//!
//! ```sh
//! cargo bench -p session-runtime
//! cargo bench -p session-runtime -- guard verification
//! ```
//!
//! The second line measures what it names only: `guard`, `verification`, `operations` (with the memory of a session).

mod guard;
mod operations;
mod population;
mod rounds;
mod verification;

use tokio::runtime::{Builder, Runtime};

use crate::population::Population;

const METHOD: &str = "\
One thread. The variants of a table are measured in turn, a batch each, for many rounds; a time is the median over the
rounds, a difference or ratio the median of the differences or ratios within each round. So a noisy machine slows the
variants of a row alike. Building requests and tokens is not counted.";

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// How often every variant is measured; the guard five times as often.
    pub(crate) rounds: usize,
    /// How many operations a variant carries out each time; the guard twice as many.
    pub(crate) batch: usize,
    /// How many sessions the stores hold, the smallest first.
    pub(crate) populations: [usize; 3],
    /// How many sessions were revoked, where the guard is measured beside revoked sessions.
    pub(crate) revoked: usize,
}

impl Effort {
    const FULL: Self =
        Self { rounds: 101, batch: 100, populations: [10_000, 100_000, 1_000_000], revoked: 5_000 };

    /// Shows that everything runs, and measures nothing worth reading.
    const TRIAL: Self = Self { rounds: 1, batch: 2, populations: [10, 20, 40], revoked: 10 };

    /// `cargo bench` passes `--bench`, `cargo test --benches` does not.
    fn asked_for() -> Self {
        if std::env::args().any(|argument| argument == "--bench") { Self::FULL } else { Self::TRIAL }
    }
}

fn main() {
    let effort = Effort::asked_for();
    let runtime = runtime();
    println!("{METHOD}\n");
    println!(
        "{} rounds of {} operations; of requests, five times as many of twice as many\n",
        effort.rounds, effort.batch
    );
    // First, while the process holds nothing else: the largest one also tells how much memory a session takes.
    let populations = is_wanted("operations").then(|| Population::of_each(effort, &runtime));
    if is_wanted("guard") {
        guard::measure(effort, &runtime);
    }
    if is_wanted("verification") {
        verification::measure(effort, &runtime);
    }
    if let Some(populations) = populations {
        operations::measure(effort, &runtime, &populations);
        populations[2].print_memory();
    }
}

/// Whether the command line names `table`, or no table at all.
fn is_wanted(table: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|name| name == table)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}
