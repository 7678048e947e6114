use std::{fmt, time::Duration};

/// What the clients of a crowd met.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests that were sent, those to log in apart.
    pub requests: usize,
    /// Refreshes among them.
    pub refreshes: usize,
    /// New refresh tokens that reached a client.
    pub rotations: usize,
    /// Sessions of honest clients.
    pub sessions: usize,
    /// Honest clients that were told that they have no session, or lost its cookie.
    pub false_logouts: usize,
    /// Those whose session ended after a message of theirs was under way for longer than the grace, so that nothing was promised to
    /// them.
    pub excused: usize,
    /// Thefts that were found out when the second of thief and victim came.
    pub thefts: usize,
    /// Thefts that were not.
    pub missed_thefts: usize,
    /// Honest clients that could not refresh at the end, and had not been logged out before.
    pub sessions_lost: usize,
    /// Answers that name another user.
    pub crossed_answers: usize,
    /// 503 to a refresh or a login.
    pub unavailable: usize,
    /// 503 to a call of the protected route.
    pub protected_unavailable: usize,
    /// Answers that nobody should see: any other 5xx, a 503 without `Retry-After`, a status that the protocol doesn't know.
    pub wrong_answers: usize,
    /// Requests without an answer: the connection was refused, or broke.
    pub unanswered: usize,
    /// Messages that were under way for longer than the grace, their delays included.
    pub overdue: usize,
    /// The longest that a node took for an answer.
    pub slowest: Duration,
    /// Refreshes by which the store learned again what it had lost, in the logs of the nodes.
    pub rolled_forward: usize,
    /// Panics in the logs of the nodes.
    pub panics: usize,
    /// How long it took each time until every node answered a refresh again.
    pub recoveries: Vec<Duration>,
    /// What is behind the counts that should be zero.
    pub complaints: Vec<String>,
}

impl Counts {
    /// The longest time until every node answered a refresh again.
    pub fn recovery(&self) -> Duration {
        self.recoveries.iter().copied().max().unwrap_or_default()
    }

    /// Whether somebody was logged out, something was lost, or a theft was missed.
    pub fn is_harmful(&self) -> bool {
        let harm = [
            self.false_logouts,
            self.missed_thefts,
            self.sessions_lost,
            self.crossed_answers,
            self.wrong_answers,
            self.panics,
        ];
        harm.iter().any(|count| *count > 0)
    }

    /// Asserts that nobody was logged out, nothing was lost, and every theft was found; and that there was load at all.
    ///
    /// # Panics
    ///
    /// If not; the message says what happened to whom.
    pub fn assert_clean(&self) {
        assert!(!self.is_harmful(), "{self}\n{}", self.complaints.join("\n"));
        assert!(self.rotations > 0, "nothing rotated: {self}");
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, {} refreshes, {} rotations, {} rolled forward, {} without an answer, {} times 503 ({} on a protected route), \
             {} overdue; of {} sessions {} logged out, {} lost ({} excused); of {} thefts {} missed; {} crossed answers, \
             {} wrong ones, {} panics; answered after at most {} ms, back after at most {} ms",
            self.requests,
            self.refreshes,
            self.rotations,
            self.rolled_forward,
            self.unanswered,
            self.unavailable + self.protected_unavailable,
            self.protected_unavailable,
            self.overdue,
            self.sessions,
            self.false_logouts,
            self.sessions_lost,
            self.excused,
            self.thefts + self.missed_thefts,
            self.missed_thefts,
            self.crossed_answers,
            self.wrong_answers,
            self.panics,
            self.slowest.as_millis(),
            self.recovery().as_millis(),
        )
    }
}
