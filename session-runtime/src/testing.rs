//! What an application's own tests use: clients with a cookie jar, on a clock that the test sets. Feature `testing`.
//!
//! Requests go through the application's own router, by the way that they go in production; nothing reaches around the
//! guard, no socket is opened and nothing sleeps.
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::extract::FromRef;
//! use session_runtime::{
//!     Clock, MemoryStore, Routes, Session, Sessions, protected, refresh_endpoint, routes, testing::TestSite,
//! };
//!
//! #[derive(Clone, FromRef)]
//! struct App {
//!     sessions: Sessions,
//! }
//!
//! #[protected(GET "/getHomeFeed")]
//! async fn home_feed(session: Session) -> String {
//!     format!("hello {}", session.user_id())
//! }
//!
//! #[refresh_endpoint(POST "/refresh")]
//! async fn refresh(_: Session) {}
//!
//! static ROUTES: Routes<App> = routes![home_feed, refresh];
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // In a `#[tokio::test]`:
//! let clock = Clock::set_to_now();
//! let store = MemoryStore::with_clock(clock.clone());
//! let sessions = Sessions::builder(store).routes(&ROUTES).build().await.unwrap();
//! let site = TestSite::new(ROUTES.router(App { sessions: sessions.clone() }), &sessions, &clock);
//!
//! let alice = site.login_as("alice").await;
//! assert_eq!(alice.get("/getHomeFeed").await.assert_ok().text(), "hello alice");
//!
//! site.advance(Duration::from_hours(2));
//! alice.get("/getHomeFeed").await.assert_refused("try_refresh_token");
//! alice.refresh().await.assert_ok();
//! alice.get("/getHomeFeed").await.assert_ok();
//! # }
//! ```
//!
//! The examples below go on from there, with an application that also has a login, a logout and a route for admins.
//!
//! # Login
//!
//! [`TestSite::login_as`] makes a session without knowing the application's form: a login endpoint of the kit's own, with a
//! guard like any other, answers the client as the application's would. [`TestSite::login_with`] sets claims and data too.
//! The application's own endpoint is a request like any other.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/example.rs"));
//! # use session_runtime::NewSession;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let site = site().await;
//! let admin = site.login_with(NewSession::new("bob").claim(Role, ["admin".to_owned()])).await;
//! admin.delete("/posts/1").await.assert_ok();
//! site.login_as("alice").await.delete("/posts/1").await.assert_refused("invalid_claim");
//!
//! let alice = site.browser();
//! alice.get("/getHomeFeed").await.assert_refused("unauthorised");
//! alice.post("/login").json(&serde_json::json!({ "user": "alice" })).await.assert_ok();
//! alice.get("/getHomeFeed").await.assert_ok();
//! alice.post("/logout").await.assert_ok();
//! alice.assert_logged_out();
//! # }
//! ```
//!
//! # Expiry
//!
//! Time stands still but for [`TestSite::advance`]. Cookies expire by the same clock, as a browser would have it.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/example.rs"));
//! # use std::time::Duration;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let site = site().await;
//! # let alice = site.login_as("alice").await;
//! site.advance(Duration::from_hours(2)); // past the access token
//! alice.get("/getHomeFeed").await.assert_refused("try_refresh_token");
//! alice.refresh().await.assert_ok();
//!
//! site.advance(Duration::from_hours(101 * 24)); // past the session, whose refresh cookie the browser drops
//! alice.refresh().await.assert_refused("unauthorised");
//! # }
//! ```
//!
//! # Answers that get lost
//!
//! With [`TestRequest::lose_response`] the server has done its work and the client knows nothing of it.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/example.rs"));
//! # use std::time::Duration;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let site = site().await;
//! # let alice = site.login_as("alice").await;
//! site.advance(Duration::from_hours(2));
//! alice.refresh().lose_response().await;
//! alice.refresh().await.assert_ok(); // the spent token is presented again, and no theft
//! alice.get("/getHomeFeed").await.assert_ok();
//! # }
//! ```
//!
//! # Two tabs
//!
//! [`TestClient::second_tab`] shares the cookies. A request carries the cookies of the moment at which it was made, not of that
//! at which it is awaited: one that is made early and awaited late was under way all the time.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/example.rs"));
//! # use std::time::Duration;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let site = site().await;
//! # let alice = site.login_as("alice").await;
//! let tab = alice.second_tab();
//! site.advance(Duration::from_hours(2));
//! let (one, other) = tokio::join!(alice.refresh(), tab.refresh());
//! one.assert_ok();
//! other.assert_ok();
//!
//! site.advance(Duration::from_hours(2));
//! let delayed = tab.refresh();
//! alice.refresh().await.assert_ok();
//! delayed.await.assert_ok();
//! alice.assert_logged_in();
//! # }
//! ```
//!
//! # Theft
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/example.rs"));
//! # use std::time::Duration;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let site = site().await;
//! # let alice = site.login_as("alice").await;
//! let thief = alice.steal_refresh();
//! site.advance(Duration::from_hours(2));
//! alice.refresh().await.assert_ok();
//! alice.get("/getHomeFeed").await.assert_ok(); // the new tokens are in use
//!
//! site.advance(Duration::from_mins(1)); // past the grace that honest clients have
//! thief.refresh().await.assert_refused("token_theft");
//! alice.get("/getHomeFeed").await.assert_refused("unauthorised");
//! alice.assert_logged_out();
//! # }
//! ```
//!
//! # Bound clients
//!
//! A client with [`TestClient::bound`] sends nonces, so a stolen token is found out without any delay.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/example.rs"));
//! # use std::time::Duration;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let site = site().await;
//! let alice = site.login_as("alice").await.bound();
//! site.advance(Duration::from_hours(2));
//! alice.refresh().await.assert_ok();
//!
//! let thief = alice.steal_refresh();
//! thief.refresh().await.assert_refused("nonce_required");
//! site.advance(Duration::from_hours(2));
//! alice.refresh().lose_response().await;
//! site.advance(Duration::from_hours(2));
//! alice.refresh().await.assert_ok(); // the same client, however late
//! thief.bound().refresh().await.assert_refused("token_theft");
//! # }
//! ```
//!
//! # Revocation
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/example.rs"));
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let site = site().await;
//! let (phone, laptop) = (site.login_as("alice").await, site.login_as("alice").await);
//! site.sessions().revoke_others("alice", laptop.handle()).await.unwrap();
//! phone.get("/getHomeFeed").await.assert_refused("unauthorised");
//! laptop.get("/getHomeFeed").await.assert_ok();
//! # }
//! ```
//!
//! # Stores of your own
//!
//! [`conformance`] is the kit that every store must pass.
//!
//! # Header mode
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/example.rs"));
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let site = site().await;
//! let app = site.browser().in_header_mode();
//! app.login_as("alice").await.assert_ok();
//! app.get("/getHomeFeed").await.assert_ok();
//! # }
//! ```

pub mod conformance;

mod client;
mod jar;
mod request;
mod response;

#[cfg(test)]
mod example;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::Router;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::yield_now,
    time::sleep,
};

pub use self::{client::TestClient, request::TestRequest, response::TestResponse};
use crate::{
    clock::Clock,
    sessions::{NewSession, Sessions},
};

/// How often the runtime's own tasks get their turn. Three of them hand on what one request may cause.
const TURNS: usize = 32;

/// What they get on top where other threads run them.
const PAUSE: Duration = Duration::from_millis(2);

/// An application under test: its router, its session system and its clock.
///
/// Cloning is cheap; clones are the same site. See the [module](self) for how it is used.
#[derive(Clone, Debug)]
pub struct TestSite {
    app: Router,
    sessions: Sessions,
    clock: Clock,
}

impl TestSite {
    /// The application behind `app`, whose sessions are `sessions` and keep time by `clock`.
    ///
    /// Make the store with the same clock: `MemoryStore::with_clock(clock.clone())`.
    pub fn new(app: Router, sessions: &Sessions, clock: &Clock) -> Self {
        Self { app, sessions: sessions.clone(), clock: clock.clone() }
    }

    /// A browser that knows nothing yet, on a page of the application's own.
    pub fn browser(&self) -> TestClient {
        TestClient::browser(self.clone())
    }

    /// A browser with a new session of the user `user_id`.
    ///
    /// # Panics
    ///
    /// If the login is refused, such as for the limit of sessions per user. [`TestClient::login_as`] leaves that to the test.
    pub async fn login_as(&self, user_id: &str) -> TestClient {
        self.login_with(&NewSession::new(user_id)).await
    }

    /// A browser with the session `new`: with claims, data, a tenant.
    ///
    /// # Panics
    ///
    /// As [`login_as`](Self::login_as).
    pub async fn login_with(&self, new: &NewSession) -> TestClient {
        let client = self.browser();
        client.login_with(new).await.assert_ok();
        client
    }

    /// Moves the clock forward.
    ///
    /// # Panics
    ///
    /// If the clock is the system's, or the sessions do not keep time by it: nothing would expire, and a test that expects
    /// nothing to expire would pass for the wrong reason.
    #[track_caller]
    pub fn advance(&self, by: Duration) {
        let before = self.sessions.engine().clock.now();
        self.clock.advance(by);
        assert_eq!(
            self.sessions.engine().clock.now(),
            before.after(by),
            "the sessions keep another time than the site; make the store with `MemoryStore::with_clock(clock.clone())`"
        );
    }

    /// The session system, for what a test does beside the requests: revoke, list, follow events.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Lets the session system's own tasks do all that they have to do now: tell the store which tokens are in use, hear of
    /// sessions that ended.
    ///
    /// Every request does this before it is sent and after it is answered, so a test needs it only for what it does by other
    /// means. With the memory store on the runtime of a plain `#[tokio::test]` it is exact. On a multi-thread runtime it gives
    /// them two milliseconds, and a store that does I/O may take longer than that.
    pub async fn settle(&self) {
        for _ in 0..TURNS {
            yield_now().await;
        }
        if Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread {
            sleep(PAUSE).await;
        }
    }
}
