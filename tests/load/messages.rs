//! How long messages are under way.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The messages of one browser.
pub(super) struct Messages {
    /// The longest that one may be under way.
    grace: Duration,
    sent: usize,
    under_way: BTreeMap<usize, Instant>,
    was_overdue: bool,
}

impl Messages {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, sent: 0, under_way: BTreeMap::new(), was_overdue: false }
    }

    /// A message sets out: the cookies that it has are the jar's, now. Returns its number.
    pub(super) fn begin(&mut self) -> usize {
        self.sent += 1;
        self.under_way.insert(self.sent, Instant::now());
        self.sent
    }

    /// The answer to a message has been taken in, or never will be. Returns whether that took too long.
    pub(super) fn end(&mut self, number: usize) -> bool {
        let began = self.under_way.remove(&number).expect("it is under way");
        let is_overdue = began.elapsed() > self.grace;
        self.was_overdue |= is_overdue;
        is_overdue
    }

    pub(super) fn all_have_ended(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Whether any message is, or was, under way for too long.
    pub(super) fn any_overdue(&self) -> bool {
        self.was_overdue || self.under_way.values().any(|began| began.elapsed() > self.grace)
    }
}
