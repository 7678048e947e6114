//! The table of what came of the cells.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tests::load::Counts;

use crate::{Cell, ROWS, bench::Store, scene::Outcome};

type Column = (&'static str, fn(&Counts) -> String);

/// The columns of counts; those with `!` have to be zero.
const COLUMNS: [Column; 17] = [
    ("requests", |counts| counts.requests.to_string()),
    ("refreshes", |counts| counts.refreshes.to_string()),
    ("rotations", |counts| counts.rotations.to_string()),
    ("forward", |counts| counts.rolled_forward.to_string()),
    ("no answer", |counts| counts.unanswered.to_string()),
    ("503", |counts| (counts.unavailable + counts.protected_unavailable).to_string()),
    ("sessions", |counts| counts.sessions.to_string()),
    ("logged out!", |counts| counts.false_logouts.to_string()),
    ("lost!", |counts| counts.sessions_lost.to_string()),
    ("thefts", |counts| (counts.thefts + counts.missed_thefts).to_string()),
    ("missed!", |counts| counts.missed_thefts.to_string()),
    ("crossed!", |counts| counts.crossed_answers.to_string()),
    ("wrong!", |counts| (counts.wrong_answers + counts.panics).to_string()),
    ("overdue", |counts| counts.overdue.to_string()),
    ("excused", |counts| counts.excused.to_string()),
    ("slowest, ms", |counts| counts.slowest.as_millis().to_string()),
    ("back, ms", |counts| counts.recovery().as_millis().to_string()),
];

/// What came of the cells so far.
#[derive(Default)]
pub(crate) struct Report(Mutex<Vec<Line>>);

struct Line {
    fault: &'static str,
    store: Store,
    outcome: Outcome,
    took: Duration,
}

impl Report {
    pub(crate) fn add(&self, fault: &'static str, store: Store, outcome: Outcome, took: Duration) {
        self.lines().push(Line { fault, store, outcome, took });
    }

    /// Prints a line for each cell that ran, and why the others of these faults can't.
    pub(crate) fn print(&self) {
        let lines = self.lines();
        if lines.is_empty() {
            return;
        }
        let titles: String = COLUMNS.iter().map(|(title, _)| format!(" {title:>11}")).collect();
        println!("{:<22} {:<9} {:>7}{titles} {:>6}", "fault", "store", "strikes", "took");
        for Line { fault, store, outcome: Outcome { strikes, counts }, took } in lines.iter() {
            let counts: String = COLUMNS.iter().map(|(_, count)| format!(" {:>11}", count(counts))).collect();
            println!("{fault:<22} {store:<9} {strikes:>7}{counts} {:>4} s", took.as_secs());
        }
        for row in ROWS {
            for store in Store::ALL {
                if let Cell::Never(reason) = row.cell(store) {
                    println!("{:<22} {store:<9} never: {reason}", row.fault);
                }
            }
        }
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
