//! Load over real HTTP: honest clients that lose answers, and thieves.
//!
//! An honest client is a browser with one cookie jar and three tabs. Every tab calls a protected route, refreshes when it is told
//! to, and now and then without being told; it goes to another node each time. One in five answers gets lost, some requests arrive
//! twice and some late; the client tries again. It keeps the premises under which nobody may ever be logged out:
//!
//! - No message is under way for longer than the grace. How long each one was, answer and delays included, is measured. Where the
//!   machine was too slow for that, a client that is logged out is counted as [excused](Counts::excused).
//! - The cookie jar never goes back. A browser takes every answer that reaches it, at the moment at which it does, whatever else
//!   it has asked for meanwhile; an answer that was lost on the way changes nothing.
//!
//! All choices of a client come from one seed. It is printed with every complaint, and `CROWD_SEED` sets it.

mod browser;
mod counts;
mod jar;
mod messages;
mod tabs;
mod thief;
mod wire;

use std::{
    env,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode};
use tokio::{
    runtime::{Handle, Runtime},
    task::JoinSet,
    time::{sleep, timeout},
};

pub use self::counts::Counts;
use self::{
    browser::{Browser, Call},
    wire::Wire,
};

/// How long the nodes may take to serve again after a fault, or at the start, before that is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// The application that the clients talk to.
#[derive(Clone, Debug)]
pub struct Site {
    /// Where its nodes are reached, such as `http://127.0.0.1:3000`.
    pub nodes: Vec<String>,
    /// Takes `{"user": …, "password": …}`, and answers `{"user": …}`.
    pub login: &'static str,
    /// Answers `{"user": …}`.
    pub refresh: &'static str,
    /// A protected route, which answers with an object that has `user`.
    pub protected: &'static str,
    /// The user and password of the client of a number.
    pub account: fn(usize) -> (String, String),
    /// The grace of its sessions.
    pub grace: Duration,
}

/// Who comes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Honest clients, with three tabs each.
    pub clients: usize,
    /// Thieves, each with victims of its own. A theft takes a bit more than twice the grace, and each thief completes the first.
    /// A store that loses writes forgets a theft together with them; then there should be none.
    pub thieves: usize,
    /// How long a tab rests between two calls, on average.
    pub rest: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self { clients: 24, thieves: 2, rest: Duration::from_millis(80) }
    }
}

/// Clients at work, from [`start`](Self::start) to [`finish`](Self::finish).
pub struct Crowd {
    world: Arc<World>,
    honest: Vec<Arc<Browser>>,
    /// One client for each node, which is asked there alone.
    probes: Vec<Arc<Browser>>,
    work: JoinSet<()>,
    runtime: Runtime,
}

impl Crowd {
    /// Logs everyone in, and sets them to work.
    ///
    /// # Panics
    ///
    /// If they can't log in.
    pub fn start(site: Site, plan: Plan) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().expect("threads can be started");
        let world = Arc::new(World::new(site, plan));
        let honest: Vec<_> = (0..plan.clients).map(|_| Browser::new(&world)).collect();
        let probes: Vec<_> = world.site.nodes.iter().map(|_| Browser::new(&world)).collect();
        let mut work = JoinSet::new();
        runtime.block_on(async {
            let mut logins = JoinSet::new();
            for browser in honest.iter().chain(&probes) {
                let browser = Arc::clone(browser);
                logins.spawn(async move { browser.log_in().await });
            }
            logins.join_all().await;
            for browser in &honest {
                for _ in 0..tabs::TABS {
                    work.spawn(tabs::browse(Arc::clone(browser)));
                }
            }
            for _ in 0..plan.thieves {
                work.spawn(thief::steal(Arc::clone(&world)));
            }
        });
        world.count(|counts| counts.sessions = honest.len() + probes.len());
        Self { world, honest, probes, work, runtime }
    }

    /// Lets the clients work on for a while.
    pub fn work_for(&self, time: Duration) {
        self.runtime.block_on(async { sleep(time).await });
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.world.counts().clone()
    }

    /// Somebody who is led by the test; logged in, and not counted among the sessions.
    ///
    /// # Panics
    ///
    /// If the login fails.
    pub fn visitor(&self) -> Visitor {
        let browser = Browser::new(&self.world);
        self.runtime.block_on(browser.log_in());
        let cookies = browser.cookies(Call::Protected);
        Visitor { browser, cookies, runtime: self.runtime.handle().clone() }
    }

    /// Waits until every node answers a refresh, and notes how long that took since `since`, the end of a fault.
    ///
    /// # Panics
    ///
    /// If one never does.
    pub fn recover(&self, since: Instant) -> Duration {
        self.runtime.block_on(async {
            let mut probes = JoinSet::new();
            for (node, probe) in self.probes.iter().cloned().enumerate() {
                probes.spawn(async move { probe.refresh_at(node, PATIENCE).await });
            }
            for verdict in probes.join_all().await {
                assert!(verdict.is_some(), "a node does not answer {PATIENCE:?} after the fault");
            }
        });
        let recovery = since.elapsed();
        self.world.count(|counts| counts.recoveries.push(recovery));
        recovery
    }

    /// Waits until every honest client has a refresh token that was made after this call.
    ///
    /// # Panics
    ///
    /// If one never gets it.
    pub fn renew(&self) {
        let grace = self.world.site.grace;
        self.runtime.block_on(async {
            // What was made before may still be under way.
            sleep(grace).await;
            let mut renewals = JoinSet::new();
            for browser in &self.honest {
                let browser = Arc::clone(browser);
                renewals.spawn(async move { browser.renewal().await });
            }
            for (node, probe) in self.probes.iter().cloned().enumerate() {
                renewals.spawn(async move { probe.renew_at(node).await });
            }
            let renewed = timeout(PATIENCE, renewals.join_all()).await;
            assert!(renewed.is_ok(), "not everyone got a new refresh token within {PATIENCE:?}");
        });
    }

    /// Ends the work, and has every honest client refresh once more.
    pub fn finish(mut self) -> Counts {
        self.world.is_closing.store(true, Ordering::Relaxed);
        let (world, honest) = (Arc::clone(&self.world), self.honest.into_iter().chain(self.probes));
        self.runtime.block_on(async move {
            while let Some(ended) = self.work.join_next().await {
                ended.expect("a client does not panic");
            }
            let mut last = JoinSet::new();
            for browser in honest {
                last.spawn(async move { browser.leave().await });
            }
            last.join_all().await;
        });
        world.counts().clone()
    }
}

/// A client that does what a test tells it to, once, and is told what it is answered.
pub struct Visitor {
    browser: Arc<Browser>,
    /// Those that the login set.
    cookies: String,
    runtime: Handle,
}

impl Visitor {
    /// `GET` of a path at a node, with the tokens of the login.
    ///
    /// # Panics
    ///
    /// If there is no answer.
    pub fn get(&self, node: usize, path: &str) -> StatusCode {
        self.ask(node, Method::GET, path)
    }

    /// `POST` to a path at a node, with the tokens of the login.
    ///
    /// # Panics
    ///
    /// If there is no answer.
    pub fn post(&self, node: usize, path: &str) -> StatusCode {
        self.ask(node, Method::POST, path)
    }

    fn ask(&self, node: usize, method: Method, path: &str) -> StatusCode {
        let answer = self.browser.ask(node, method, path, self.cookies.clone(), None);
        let answer = self.runtime.block_on(answer);
        answer.unwrap_or_else(|| panic!("node {node} does not answer for {path}")).status
    }
}

/// What all clients share.
struct World {
    site: Site,
    plan: Plan,
    seed: u64,
    browsers: Mutex<usize>,
    wire: Wire,
    is_closing: AtomicBool,
    counts: Mutex<Counts>,
    started: Instant,
}

impl World {
    fn new(site: Site, plan: Plan) -> Self {
        let seed = env::var("CROWD_SEED").ok().map(|seed| seed.parse().expect("CROWD_SEED is a number"));
        Self {
            site,
            plan,
            seed: seed.unwrap_or_else(|| fastrand::u64(..)),
            browsers: Mutex::default(),
            wire: Wire::new(),
            is_closing: AtomicBool::new(false),
            counts: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// The number of a new client, and its source of choices.
    fn enroll(&self) -> (usize, fastrand::Rng) {
        let mut browsers = self.browsers.lock().unwrap_or_else(PoisonError::into_inner);
        *browsers += 1;
        (*browsers, fastrand::Rng::with_seed(self.seed.wrapping_add(*browsers as u64)))
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    /// Waits until the crowd is to end.
    async fn closing(&self) {
        while !self.is_closing() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts());
    }
}
