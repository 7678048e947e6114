//! One cookie jar, and the messages of those who share it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::Method;
use fastrand::Rng;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    PATIENCE, World,
    jar::{Jar, REFRESH_COOKIE},
    messages::Messages,
    wire::{Answer, Message, Verdict},
};

/// How much of what a client did is shown with a complaint.
const MEMORY: usize = 40;

/// How soon a call is tried again that has to succeed.
const PAUSE: Duration = Duration::from_millis(10);

/// The share of answers that get lost.
const LOST: f64 = 0.2;

/// The share of requests that arrive twice, and how much later at most, in graces.
const TWICE: f64 = 0.1;
const LATEST: f64 = 0.4;

/// The share of messages that are held up, and for how long at most, there and back each, in graces. The node has half a grace for its
/// work, and what is left is for a machine that is busy.
const HELD_UP: f64 = 0.2;
const LONGEST: f64 = 0.12;

pub(super) struct Browser {
    world: Arc<World>,
    number: usize,
    user: String,
    password: String,
    rng: Mutex<Rng>,
    jar: Mutex<Jar>,
    /// The last that came, even if it was cleared since.
    last_token: Mutex<Option<String>>,
    messages: Mutex<Messages>,
    is_out: AtomicBool,
    sleeps_until: Mutex<Instant>,
    past: Mutex<VecDeque<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Login,
    Refresh,
    Protected,
}

/// What becomes of a message on its way.
#[derive(Clone, Copy, Default)]
struct Fate {
    there: Duration,
    back: Duration,
    is_lost: bool,
}

impl Browser {
    /// A browser that knows nothing yet, for a user of its own.
    pub(super) fn new(world: &Arc<World>) -> Arc<Self> {
        let (number, rng) = world.enroll();
        let (user, password) = (world.site.account)(number);
        Arc::new(Self::with(world, number, (user, password), rng))
    }

    /// A thief, who has this browser's refresh token and nothing else.
    pub(super) fn thief(&self) -> Arc<Self> {
        let (number, rng) = self.world.enroll();
        let token = self.refresh_token().expect("the victim has logged in");
        let thief = Self::with(&self.world, number, (self.user.clone(), String::new()), rng);
        *lock(&thief.jar) = Jar::with_refresh_token(&token, self.world.site.refresh);
        Arc::new(thief)
    }

    fn with(world: &Arc<World>, number: usize, (user, password): (String, String), rng: Rng) -> Self {
        Self {
            world: Arc::clone(world),
            number,
            user,
            password,
            rng: Mutex::new(rng),
            jar: Mutex::default(),
            last_token: Mutex::default(),
            messages: Mutex::new(Messages::new(world.site.grace)),
            is_out: AtomicBool::new(false),
            sleeps_until: Mutex::new(Instant::now()),
            past: Mutex::default(),
        }
    }

    /// Logs in; no answer to that gets lost.
    ///
    /// # Panics
    ///
    /// If that can't be done.
    pub(super) async fn log_in(&self) {
        let verdict = self.insist(Call::Login, None, PATIENCE).await;
        assert_eq!(verdict, Some(Verdict::Served), "client {} can't log in: {:?}", self.number, self.past());
    }

    /// One call at some node, with whatever accidents happen.
    pub(super) async fn call(self: &Arc<Self>, call: Call) -> Verdict {
        let fate = self.draw_fate();
        if self.draw(|rng| rng.f64() < TWICE) {
            self.send_copy(call);
        }
        self.send(call, self.draw_node(), fate).await
    }

    /// Refreshes without accidents until the answer says something of the session.
    pub(super) async fn refresh(&self) -> Verdict {
        self.insist(Call::Refresh, None, PATIENCE).await.unwrap_or(Verdict::Unavailable)
    }

    /// Refreshes at one node until that serves again; nothing, if it does not within `patience`.
    pub(super) async fn refresh_at(&self, node: usize, patience: Duration) -> Option<Verdict> {
        let verdict = self.insist(Call::Refresh, Some(node), patience).await?;
        if verdict == Verdict::LoggedOut {
            self.be_logged_out().await;
        }
        Some(verdict)
    }

    /// Waits until the tabs have a new refresh token, or no session any more.
    pub(super) async fn renewal(&self) {
        let before = self.refresh_token();
        while !self.is_out() && self.refresh_token() == before {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Refreshes at one node until that brings a new refresh token.
    pub(super) async fn renew_at(&self, node: usize) {
        let before = self.refresh_token();
        while !self.is_out() && self.refresh_token() == before {
            self.refresh_at(node, PATIENCE).await;
            sleep(self.world.plan.rest).await;
        }
    }

    /// Waits for what is still under way, refreshes a last time, and calls the protected route at every node.
    pub(super) async fn leave(&self) {
        while !lock(&self.messages).all_have_ended() {
            sleep(Duration::from_millis(5)).await;
        }
        if self.is_out() {
            return;
        }
        let mut verdict = self.refresh().await;
        for node in 0..self.world.site.nodes.len() {
            if verdict == Verdict::Served {
                verdict = self.be_served_at(node).await;
            }
        }
        if verdict == Verdict::LoggedOut && self.is_excused().await {
            self.world.count(|counts| counts.excused += 1);
        } else if verdict != Verdict::Served {
            self.world.count(|counts| counts.sessions_lost += 1);
            self.complain(&format!("lost its session: in the end, it is answered with {verdict:?}"));
        }
    }

    /// Calls the protected route of a node, and refreshes wherever it is told to, until it is served or logged out.
    async fn be_served_at(&self, node: usize) -> Verdict {
        let started = Instant::now();
        loop {
            let verdict =
                self.insist(Call::Protected, Some(node), PATIENCE).await.unwrap_or(Verdict::Unavailable);
            if verdict != Verdict::Expired || started.elapsed() > PATIENCE {
                return verdict;
            }
            let verdict = self.refresh().await;
            if verdict != Verdict::Served {
                return verdict;
            }
        }
    }

    /// Whether the client has no session any more.
    pub(super) fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// A choice of this client.
    pub(super) fn draw<T>(&self, choose: impl FnOnce(&mut Rng) -> T) -> T {
        choose(&mut lock(&self.rng))
    }

    /// All tabs rest, such as when a laptop is closed.
    pub(super) fn fall_asleep(&self, time: Duration) {
        *lock(&self.sleeps_until) = Instant::now() + time;
    }

    pub(super) fn is_asleep(&self) -> bool {
        Instant::now() < *lock(&self.sleeps_until)
    }

    pub(super) fn refresh_token(&self) -> Option<String> {
        lock(&self.jar).refresh_token(self.world.site.refresh)
    }

    /// Writes down what happened to this client.
    pub(super) fn complain(&self, what: &str) {
        let past = self.past().join("\n    ");
        let complaint =
            format!("seed {}: client {} ({}) {what}:\n    {past}", self.world.seed, self.number, self.user);
        self.world.count(|counts| counts.complaints.push(complaint));
    }

    /// Calls until the answer says something of the session.
    async fn insist(&self, call: Call, node: Option<usize>, patience: Duration) -> Option<Verdict> {
        let started = Instant::now();
        while started.elapsed() < patience {
            let verdict = self.send(call, node.unwrap_or_else(|| self.draw_node()), Fate::default()).await;
            if !matches!(verdict, Verdict::Unavailable | Verdict::Unanswered) {
                return Some(verdict);
            }
            sleep(PAUSE).await;
        }
        None
    }

    /// The same request a second time, to whichever node, and maybe much later; the browser never sees what that answers.
    fn send_copy(self: &Arc<Self>, call: Call) {
        let there = self.world.site.grace.mul_f64(self.draw(|rng| LATEST * rng.f64()));
        let (node, fate) = (self.draw_node(), Fate { there, is_lost: true, ..Fate::default() });
        let (browser, cookies, number) = (Arc::clone(self), self.cookies(call), self.begin());
        tokio::spawn(async move {
            browser.deliver(number, call, node, cookies, fate).await;
            browser.end(number);
        });
    }

    async fn send(&self, call: Call, node: usize, fate: Fate) -> Verdict {
        let (number, cookies) = (self.begin(), self.cookies(call));
        let answer = self.deliver(number, call, node, cookies, fate).await;
        let verdict = match answer {
            Some(answer) if !fate.is_lost => self.take(call, &answer),
            _ => Verdict::Unanswered,
        };
        self.end(number);
        verdict
    }

    /// Brings a request to a node, and its answer back.
    async fn deliver(
        &self,
        number: usize,
        call: Call,
        node: usize,
        cookies: String,
        fate: Fate,
    ) -> Option<Answer> {
        sleep(fate.there).await;
        let mark = cookies.rsplit(REFRESH_COOKIE).next().map(tail).unwrap_or_default().to_owned();
        let sent = Instant::now();
        let answer = self.exchange(call, node, cookies).await;
        let took = sent.elapsed();
        self.world.count(|counts| counts.slowest = counts.slowest.max(took));
        sleep(fate.back).await;
        self.note(call, answer.as_ref());
        let lost = if fate.is_lost { ", lost" } else { "" };
        let said = answer.as_ref().map_or_else(|| "no answer".to_owned(), Answer::summary);
        self.remember(format!("#{number} {call:?} {mark} at node {node} took {took:?}: {said}{lost}"));
        answer
    }

    async fn exchange(&self, call: Call, node: usize, cookies: String) -> Option<Answer> {
        let method = match call {
            Call::Login | Call::Refresh => Method::POST,
            Call::Protected => Method::GET,
        };
        let credentials = || json!({ "user": self.user, "password": self.password });
        let body = (call == Call::Login).then(credentials);
        let asked = self.ask(node, method, self.path(call), cookies, body);
        let Ok(answer) = timeout(PATIENCE, asked).await else {
            self.world.count(|counts| counts.wrong_answers += 1);
            self.complain(&format!("waited for {PATIENCE:?} for an answer to {call:?}"));
            return None;
        };
        let answer = answer?;
        if answer.verdict() == Verdict::Served && answer.user().as_ref() != Some(&self.user) {
            self.world.count(|counts| counts.crossed_answers += 1);
            self.complain(&format!("is answered on {call:?} as {:?}", answer.user()));
        }
        Some(answer)
    }

    /// Sends a request as it is, and leaves the answer alone.
    pub(super) async fn ask(
        &self,
        node: usize,
        method: Method,
        path: &str,
        cookies: String,
        body: Option<Value>,
    ) -> Option<Answer> {
        let url = format!("{}{path}", self.world.site.nodes[node]);
        let agent = format!("Crowd/1.0 ({})", self.number);
        self.world.wire.send(Message { method, url, agent: &agent, cookies, body }).await
    }

    /// What a browser does with an answer that reaches it.
    fn take(&self, call: Call, answer: &Answer) -> Verdict {
        let before = self.refresh_token();
        lock(&self.jar).take(self.path(call), &answer.headers);
        let after = self.refresh_token();
        if after.is_some() {
            lock(&self.last_token).clone_from(&after);
        }
        let is_new = after.is_some() && before.is_some() && before != after;
        self.world.count(|counts| counts.rotations += usize::from(is_new));
        if before.is_some() && after.is_none() { Verdict::LoggedOut } else { answer.verdict() }
    }

    /// Counts an answer, whether it reaches the client or not.
    fn note(&self, call: Call, answer: Option<&Answer>) {
        self.world.count(|counts| {
            counts.requests += usize::from(call != Call::Login);
            counts.refreshes += usize::from(call == Call::Refresh);
            match answer.map(Answer::verdict) {
                None => counts.unanswered += 1,
                Some(Verdict::Unavailable) if call == Call::Protected => counts.protected_unavailable += 1,
                Some(Verdict::Unavailable) => counts.unavailable += 1,
                Some(Verdict::Wrong) => counts.wrong_answers += 1,
                Some(_) => {}
            }
        });
        if let Some(answer) = answer.filter(|answer| answer.verdict() == Verdict::Wrong) {
            self.complain(&format!("is answered on {call:?} with {}", answer.summary()));
        }
    }

    /// An honest client was told that it has no session.
    pub(super) async fn be_logged_out(&self) {
        if self.is_out.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.is_excused().await {
            self.world.count(|counts| counts.excused += 1);
        } else {
            self.world.count(|counts| counts.false_logouts += 1);
            self.complain("was logged out");
        }
    }

    /// Whether the end of the session is the fault of a message that was under way for too long. Then there is an end: no node
    /// accepts the refresh token that this client had.
    async fn is_excused(&self) -> bool {
        if !lock(&self.messages).any_overdue() {
            return false;
        }
        let token = lock(&self.last_token).clone().unwrap_or_default();
        let cookie = format!("{REFRESH_COOKIE}={token}");
        for node in 0..self.world.site.nodes.len() {
            let refused = async {
                loop {
                    let answer = self.exchange(Call::Refresh, node, cookie.clone()).await;
                    match answer.map_or(Verdict::Unanswered, |answer| answer.verdict()) {
                        Verdict::Unanswered | Verdict::Unavailable => sleep(PAUSE).await,
                        verdict => return verdict == Verdict::LoggedOut,
                    }
                }
            };
            if !timeout(PATIENCE, refused).await.unwrap_or(false) {
                return false;
            }
        }
        true
    }

    fn begin(&self) -> usize {
        lock(&self.messages).begin()
    }

    fn end(&self, number: usize) {
        let is_overdue = lock(&self.messages).end(number);
        self.world.count(|counts| counts.overdue += usize::from(is_overdue));
    }

    fn draw_node(&self) -> usize {
        self.draw(|rng| rng.usize(..self.world.site.nodes.len()))
    }

    fn draw_fate(&self) -> Fate {
        let longest = self.world.site.grace.mul_f64(LONGEST);
        self.draw(|rng| {
            let mut delay = || if rng.f64() < HELD_UP { longest.mul_f64(rng.f64()) } else { Duration::ZERO };
            Fate { there: delay(), back: delay(), is_lost: rng.f64() < LOST }
        })
    }

    /// What goes with a call.
    pub(super) fn cookies(&self, call: Call) -> String {
        lock(&self.jar).cookies_for(self.path(call))
    }

    fn path(&self, call: Call) -> &'static str {
        let site = &self.world.site;
        match call {
            Call::Login => site.login,
            Call::Refresh => site.refresh,
            Call::Protected => site.protected,
        }
    }

    fn remember(&self, what: String) {
        let mut past = lock(&self.past);
        if past.len() == MEMORY {
            past.pop_front();
        }
        past.push_back(format!("{:?} {what}", self.world.started.elapsed()));
    }

    fn past(&self) -> Vec<String> {
        lock(&self.past).iter().cloned().collect()
    }
}

/// Enough of a token to tell it from the others of its session.
fn tail(token: &str) -> &str {
    let token = token.split(';').next().unwrap_or_default();
    &token[token.len().saturating_sub(6)..]
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
