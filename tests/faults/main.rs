//! Every fault on every store: three nodes, honest clients with three tabs each that lose answers, and thieves.
//!
//! Nobody honest may be logged out, no session may get lost, no answer may be another user's, every theft must be found, and every
//! node must serve again soon after the fault. `cargo test -p tests --test faults` strikes each cell a few times; `tests/faults.sh` takes
//! the time for twenty. A cell is named as in `postgres::process_killed`, for filters. `CROWD_SEED` repeats what the clients chose.

mod bench;
mod clocks;
mod connections;
mod disks;
mod failover;
mod feed;
mod keys;
mod node;
mod onlooker;
mod outages;
mod processes;
mod report;
mod scene;
mod severed;

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use libtest_mimic::{Arguments, Completion, Trial};

use crate::{
    bench::{Bench, Store},
    report::Report,
    scene::Outcome,
};

use self::Cell::{Never, Struck};

/// One fault, and what it is on each store.
struct Row {
    fault: &'static str,
    sqlite: Cell,
    postgres: Cell,
    redis: Cell,
    cluster: Cell,
}

/// A fault on a store.
#[derive(Clone, Copy)]
enum Cell {
    /// Strikes, and tells what came of it; nothing if a server is missing.
    Struck(fn(&mut Bench) -> Option<Outcome>),
    /// It can't happen there, and why.
    Never(&'static str),
}

/// The table.
const ROWS: &[Row] = &[
    Row {
        fault: "process_killed",
        sqlite: Struck(processes::killed),
        postgres: Struck(processes::killed),
        redis: Struck(processes::killed),
        cluster: Struck(processes::killed),
    },
    Row {
        fault: "clocks_apart",
        sqlite: Never("its processes are on one machine, and keep time by the clock of that"),
        postgres: Struck(clocks::apart),
        redis: Struck(clocks::apart),
        cluster: Struck(clocks::apart),
    },
    Row {
        fault: "keys_changed",
        sqlite: Struck(keys::changed),
        postgres: Struck(keys::changed),
        redis: Struck(keys::changed),
        cluster: Struck(keys::changed),
    },
    Row {
        fault: "feed_cut",
        sqlite: Struck(feed::cut),
        postgres: Struck(feed::cut),
        redis: Struck(feed::cut),
        cluster: Struck(feed::cut),
    },
    Row {
        fault: "store_killed",
        sqlite: Never("it has no process but the nodes"),
        postgres: Struck(outages::postgres_killed),
        redis: Struck(outages::redis_killed),
        cluster: Struck(outages::cluster_killed),
    },
    Row {
        fault: "store_stopped",
        sqlite: Struck(outages::sqlite_stopped),
        postgres: Struck(outages::postgres_stopped),
        redis: Struck(outages::redis_stopped),
        cluster: Struck(outages::cluster_stopped),
    },
    Row {
        fault: "connections_broken",
        sqlite: Never("a file is not connected to"),
        postgres: Struck(connections::postgres_broken),
        redis: Struck(connections::redis_broken),
        cluster: Struck(connections::cluster_broken),
    },
    Row {
        fault: "disk_full",
        sqlite: Struck(disks::sqlite_full),
        postgres: Struck(disks::postgres_full),
        redis: Struck(disks::redis_full),
        cluster: Struck(disks::cluster_full),
    },
    Row {
        fault: "read_only",
        sqlite: Struck(disks::sqlite_read_only),
        postgres: Struck(disks::postgres_read_only),
        redis: Struck(disks::redis_read_only),
        cluster: Struck(disks::cluster_read_only),
    },
    Row {
        fault: "failover",
        sqlite: Never("it has no replica"),
        postgres: Struck(failover::postgres),
        redis: Struck(failover::redis),
        cluster: Struck(failover::cluster),
    },
];

impl Row {
    fn cell(&self, store: Store) -> Cell {
        match store {
            Store::Sqlite => self.sqlite,
            Store::Postgres => self.postgres,
            Store::Redis => self.redis,
            Store::Cluster => self.cluster,
        }
    }
}

fn main() -> ExitCode {
    if let Some(ended) = node::play_role() {
        return ended;
    }
    // The cells share two cores and the servers.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let report = Arc::new(Report::default());
    let trials = Store::ALL.into_iter().flat_map(|store| trials_of(store, &report)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    report.print();
    conclusion.exit_code()
}

/// The cells of a store, which share its servers: they end with the last cell, or with one that fails.
fn trials_of(store: Store, report: &Arc<Report>) -> Vec<Trial> {
    let kept = Arc::new(Mutex::new(None));
    let trial = |row: &'static Row| {
        let Struck(strike) = row.cell(store) else { return None };
        let (kept, report) = (Arc::clone(&kept), Arc::clone(report));
        Some(Trial::ignorable_test(format!("{store}::{}", row.fault), move || {
            let started = Instant::now();
            let mut bench = lock(&kept).take().unwrap_or_else(|| Bench::new(store));
            let Some(outcome) = strike(&mut bench) else {
                return Ok(Completion::ignored_with("what it needs is missing"));
            };
            report.add(row.fault, store, outcome, started.elapsed());
            *lock(&kept) = Some(bench);
            Ok(Completion::Completed)
        }))
    };
    ROWS.iter().filter_map(trial).collect()
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
