//! Three nodes on one store, a crowd before them, and what strikes them.

use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

use tests::load::{Counts, Crowd, Plan, Site};

use crate::node::{Node, ROLLED_FORWARD, Settings};

/// How soon every node serves again after a fault, on a machine that does nothing else.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// On a machine that is busier than this, how long something takes says nothing of the nodes. It is in the table all the same.
const BUSY: f64 = 2.0;

/// So many nodes share a store.
const NODES: usize = 3;

/// How much of a node's log is shown when a cell fails, in lines.
const SHOWN: usize = 30;

/// What differs between the quick form and the long one, `FAULTS=long`.
pub(crate) fn form<T>(quick: T, long: T) -> T {
    if env::var("FAULTS").is_ok_and(|form| form == "long") { long } else { quick }
}

/// How many times as long as on an idle machine it takes to compute something now, by a sample.
pub(crate) fn business() -> f64 {
    const SAMPLE: Duration = Duration::from_millis(10);
    let computed = || {
        let times = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        times.split(' ').next()?.parse().map(Duration::from_nanos).ok()
    };
    let (started, before) = (Instant::now(), computed());
    // Where the system doesn't tell, the sample is all time that passes.
    let is_short = || match (before, computed()) {
        (Some(before), Some(now)) => now - before < SAMPLE,
        _ => started.elapsed() < SAMPLE,
    };
    while is_short() {}
    started.elapsed().div_duration_f64(SAMPLE)
}

/// Nodes, and the crowd that uses them.
pub(crate) struct Scene {
    pub(crate) nodes: Vec<Node>,
    pub(crate) crowd: Crowd,
    strikes: usize,
}

/// What came of a cell.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) strikes: usize,
    pub(crate) counts: Counts,
}

impl Outcome {
    /// Asserts that refreshes were refused, or the fault was none.
    pub(crate) fn felt(self) -> Self {
        assert!(self.counts.unavailable > 0, "nobody felt the fault: {}", self.counts);
        self
    }

    /// Asserts that the store had lost rotations, or the fault was none.
    pub(crate) fn rolled_forward(self) -> Self {
        assert!(self.counts.rolled_forward > 0, "nothing was lost: {}", self.counts);
        self
    }
}

impl Scene {
    /// Three nodes of the same settings, and a usual crowd.
    pub(crate) fn start(settings: &Settings) -> Self {
        Self::with(settings, Plan::default())
    }

    /// Three nodes of the same settings, and a crowd by plan.
    pub(crate) fn with(settings: &Settings, plan: Plan) -> Self {
        Self::of(&vec![settings.clone(); NODES], plan)
    }

    /// A node for each of the settings, which agree on the grace.
    pub(crate) fn of(settings: &[Settings], plan: Plan) -> Self {
        let nodes: Vec<_> = thread::scope(|scope| {
            let start = |settings| scope.spawn(move || Node::start(settings));
            let starting: Vec<_> = settings.iter().map(start).collect();
            starting.into_iter().map(|node| node.join().expect("a node starts")).collect()
        });
        let site = Site {
            nodes: nodes.iter().map(Node::url).collect(),
            login: "/login",
            refresh: "/refresh",
            protected: "/me",
            account: |number| (format!("user-{number}"), String::new()),
            grace: settings[0].grace,
        };
        Self { crowd: Crowd::start(site, plan), nodes, strikes: 0 }
    }

    /// Strikes as often as the form of the run asks for, while the crowd works. `strike` returns when the fault is over; then every
    /// node has to answer a refresh within [`BACK_WITHIN`].
    pub(crate) fn strike(&mut self, strike: impl FnMut(&mut Self)) {
        self.strike_times(form(2, 20), strike);
    }

    /// As [`strike`](Self::strike), so many times.
    pub(crate) fn strike_times(&mut self, times: usize, mut strike: impl FnMut(&mut Self)) {
        for _ in 0..times {
            self.crowd.work_for(Duration::from_millis(500));
            strike(self);
            let (back, business) = (Instant::now(), business());
            let recovery = self.crowd.recover(back);
            let business = business.max(self::business());
            self.strikes += 1;
            assert!(
                recovery <= BACK_WITHIN || business > BUSY,
                "the nodes were back after {recovery:?}\n{}",
                self.logs()
            );
        }
        self.crowd.work_for(Duration::from_millis(500));
    }

    /// Lets the clients work on, for `least`, and until so many more of something were counted, but not for longer than `most`.
    pub(crate) fn work_until(
        &self,
        more: usize,
        counted: impl Fn(&Counts) -> usize,
        (least, most): (Duration, Duration),
    ) {
        let (started, before) = (Instant::now(), counted(&self.crowd.counts()));
        self.crowd.work_for(least);
        while counted(&self.crowd.counts()) < before + more && started.elapsed() < most {
            self.crowd.work_for(Duration::from_millis(20));
        }
    }

    /// Ends the work, and asserts that nobody was harmed.
    pub(crate) fn end(self) -> Outcome {
        let logs = self.logs();
        let Self { nodes, crowd, strikes } = self;
        let mut counts = crowd.finish();
        let logged = |what| nodes.iter().map(|node| node.log().matches(what).count()).sum();
        counts.panics = logged("panicked at");
        counts.rolled_forward = logged(ROLLED_FORWARD);
        if counts.is_harmful() {
            eprintln!("{logs}");
        }
        counts.assert_clean();
        Outcome { strikes, counts }
    }

    /// The last lines of what each node logged.
    fn logs(&self) -> String {
        let log = |(number, node): (usize, &Node)| {
            let log = node.log();
            let lines: Vec<_> = log.lines().rev().take(SHOWN).collect();
            format!("node {number}:\n{}\n", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        };
        self.nodes.iter().enumerate().map(log).collect()
    }
}
