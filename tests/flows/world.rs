//! A running application on a set clock.

use std::time::Duration;

use axum::Router;
use session_runtime::{
    Clock, Event, EventKind, Events, KeyRing, SessionHandle, Sessions, SessionsBuilder, Timestamp,
};
use tokio::time::timeout;

use crate::{
    app::{App, ROUTES},
    client::Client,
    store::ObservedStore,
};

/// When every test begins: a whole second, at the beginning of a minute.
pub(crate) const BEGINNING: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The grace of every test that doesn't set another.
pub(crate) const G: Duration = Duration::from_secs(10);

/// The lifetime of access tokens in every test that doesn't set another; there is no jitter.
pub(crate) const ACCESS: Duration = Duration::from_secs(3600);

/// The idle lifetime of sessions in every test that doesn't set another.
pub(crate) const IDLE: Duration = Duration::from_secs(100 * 24 * 3600);

pub(crate) const MS: Duration = Duration::from_millis(1);

/// A secret for tests whose nodes share one.
pub(crate) const KEYS: &str = "pZ0hYw7Q1mXrC4t9uVbK2sEo8LdN5fGjRiAyTz3HxMk=";

/// The next event of the kind that is waited for. On the paused runtime, giving up takes no time.
pub(crate) async fn next_event(events: &mut Events, is_meant: impl Fn(&EventKind) -> bool) -> Event {
    let next = async {
        loop {
            let event = events.next().await.expect("the session system runs");
            if is_meant(&event.kind) {
                return event;
            }
        }
    };
    timeout(Duration::from_secs(60), next).await.expect("the event comes")
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) store: ObservedStore,
    pub(crate) sessions: Sessions,
    pub(crate) app: Router,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|settings| settings).await
    }

    pub(crate) async fn with(settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        let clock = Clock::set_to(BEGINNING);
        Self::on(&clock, ObservedStore::new(&clock), settings).await
    }

    /// Another node on the same store; give both the same keys.
    pub(crate) async fn on(
        clock: &Clock,
        store: ObservedStore,
        settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
        let builder = Sessions::builder(store.clone()).key_ring(KeyRing::random());
        let builder = builder.routes(&ROUTES).access_jitter(0.0);
        let sessions = settings(builder).build().await.expect("the settings work");
        let app = ROUTES.router(App { sessions: sessions.clone() });
        Self { clock: clock.clone(), store, sessions, app }
    }

    /// The same sessions behind another router.
    pub(crate) fn behind(&self, app: Router) -> Self {
        Self { app, ..self.clone() }
    }

    pub(crate) fn state(&self) -> App {
        App { sessions: self.sessions.clone() }
    }

    /// A browser that knows nothing yet.
    pub(crate) fn browser(&self) -> Client {
        Client::new(self.app.clone())
    }

    /// A browser that has just logged in.
    pub(crate) async fn login(&self, user: &str) -> Client {
        let mut client = self.browser();
        client.login(user).await.assert_ok();
        client
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Lets the runtime's own tasks, and its paused time, go on until `condition` holds.
    pub(crate) async fn until(&self, condition: impl AsyncFn() -> bool) {
        for _ in 0..1000 {
            if condition().await {
                return;
            }
            self.settle().await;
            tokio::time::advance(10 * MS).await;
        }
        panic!("what was waited for never came");
    }

    /// Waits until the store knows that the session's current refresh token is in use.
    pub(crate) async fn until_used(&self, handle: SessionHandle) {
        self.until(async || self.store.row(handle).await.is_some_and(|row| row.chain.used_at.is_some()))
            .await;
    }

    /// Waits until the store knows that the session has ended.
    pub(crate) async fn until_ended(&self, handle: SessionHandle) {
        self.until(async || self.store.row(handle).await.is_none_or(|row| row.ended.is_some())).await;
    }

    /// Lets the runtime's own tasks do all that they have to do now.
    pub(crate) async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}
