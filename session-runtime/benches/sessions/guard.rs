//! A guarded handler beside the same handler without a guard, and beside one with a session of `tower-sessions`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Request, StatusCode,
        header::{AUTHORIZATION, COOKIE, SET_COOKIE},
    },
    routing::get,
};
use session_runtime::{MemoryStore, NewSession, Session, Sessions, protected};
use tokio::runtime::Runtime;
use tower::Service as _;
use tower_sessions::{MemoryStore as TowerMemoryStore, SessionManagerLayer};

use crate::{
    Effort,
    rounds::{Times, Variant, interleave},
};

const PATH: &str = "/feed";
const BODY: &str = "the feed";
const USER_KEY: &str = "user";

/// What browsers send with every request, cookies apart.
const BROWSER: [(HeaderName, &str); 6] = [
    (HeaderName::from_static("host"), "app.example.com"),
    (HeaderName::from_static("user-agent"), "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101"),
    (HeaderName::from_static("accept"), "application/json, text/plain, */*"),
    (HeaderName::from_static("accept-language"), "en-US,en;q=0.5"),
    (HeaderName::from_static("accept-encoding"), "gzip, deflate, br"),
    (HeaderName::from_static("sec-fetch-site"), "same-origin"),
];

async fn bare() -> &'static str {
    BODY
}

#[protected]
async fn guarded(session: Session) -> &'static str {
    black_box(session.user_id());
    BODY
}

async fn tower_session(session: tower_sessions::Session) -> &'static str {
    black_box(session.get::<String>(USER_KEY).await.expect("the memory store does not fail"));
    BODY
}

async fn tower_login(session: tower_sessions::Session) {
    session.insert(USER_KEY, "alice").await.expect("the memory store does not fail");
}

pub(crate) fn measure(effort: Effort, runtime: &Runtime) {
    // A request takes less time than what else is measured, so more of them make a batch and more batches a median.
    let (rounds, clients) = (effort.rounds * 5, effort.batch * 2);
    let (sessions, tokens) = runtime.block_on(log_in(clients));
    let (beside_revoked, tokens_beside_revoked) = runtime.block_on(log_in(clients));
    runtime.block_on(revoke_others(&beside_revoked, effort.revoked));

    let guarded_router =
        |sessions: &Sessions| router().route(PATH, get(guarded)).with_state(sessions.clone());
    let bare_router = router().route(PATH, get(bare)).with_state(sessions.clone());
    let (tower_router, tower_cookies) = runtime.block_on(tower_log_in(&sessions, clients));
    let cookies: Vec<_> = tokens.iter().map(|token| with_cookie("sAccessToken", token)).collect();
    let beside: Vec<_> =
        tokens_beside_revoked.iter().map(|token| with_cookie("sAccessToken", token)).collect();
    let bearers: Vec<_> = tokens.iter().map(|token| with_bearer(token)).collect();

    let client = |router: Router, headers| Client { runtime, router, headers };
    let times = interleave(
        rounds,
        clients,
        [
            client(bare_router.clone(), cookies.clone()).into_variant(),
            client(guarded_router(&sessions), cookies).into_variant(),
            client(guarded_router(&beside_revoked), beside).into_variant(),
            client(bare_router.clone(), bearers.clone()).into_variant(),
            client(guarded_router(&sessions), bearers).into_variant(),
            client(bare_router, tower_cookies.clone()).into_variant(),
            client(tower_router, tower_cookies).into_variant(),
        ],
    );
    print(effort, &times);
}

fn print(effort: Effort, times: &[Times; 7]) {
    let [bare_cookie, cookie, beside_revoked, bare_header, header, bare_tower, tower] = times;
    let tower_overhead = tower.above(bare_tower);
    let row = |name: &str, times: &Times, bare: &Times| {
        let overhead = times.above(bare);
        println!(
            "{name:<50}{:>7.0} ns{:>8.0} ns{overhead:>9.0} ns{:>10.2}",
            times.median(),
            bare.median(),
            overhead / tower_overhead
        );
    };
    println!("1. A guarded GET handler, its access token in the cache; aim: at most 400 ns and 0.25");
    println!("{:<50}{:>10}{:>11}{:>12}{:>10}", "", "request", "bare axum", "overhead", "relative");
    row("guarded, cookie", cookie, bare_cookie);
    row(&format!("guarded, cookie, {} other sessions revoked", effort.revoked), beside_revoked, bare_cookie);
    row("guarded, Authorization header", header, bare_header);
    row("tower-sessions 0.15, memory store, one value read", tower, bare_tower);
    println!();
}

fn router() -> Router<Sessions> {
    Router::new()
}

async fn log_in(clients: usize) -> (Sessions, Vec<String>) {
    let sessions = Sessions::builder(MemoryStore::new()).refresh_path("/refresh").build().await;
    let sessions = sessions.expect("the settings are sound");
    let mut tokens = Vec::with_capacity(clients);
    for client in 0..clients {
        let new = NewSession::new(format!("user-{client}"));
        let made = sessions.create(&new).await.expect("the memory store does not fail");
        tokens.push(made.access().expose().to_owned());
    }
    (sessions, tokens)
}

async fn revoke_others(sessions: &Sessions, count: usize) {
    for _ in 0..count {
        let made =
            sessions.create(&NewSession::new("mallory")).await.expect("the memory store does not fail");
        sessions.revoke(made.handle()).await.expect("the memory store does not fail");
    }
}

async fn tower_log_in(sessions: &Sessions, clients: usize) -> (Router, Vec<HeaderMap>) {
    let layer = SessionManagerLayer::new(TowerMemoryStore::default());
    let mut router = router()
        .route(PATH, get(tower_session))
        .route("/login", get(tower_login))
        .with_state(sessions.clone())
        .layer(layer);
    let mut headers = Vec::with_capacity(clients);
    for _ in 0..clients {
        let login = Request::get("/login").body(Body::empty()).expect("a sound request");
        let Ok(response) = router.call(login).await;
        let cookie = response.headers()[SET_COOKIE].to_str().expect("a cookie is ASCII");
        let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
        headers.push(with_cookie(name, value));
    }
    (router, headers)
}

fn with_cookie(name: &str, value: &str) -> HeaderMap {
    with(COOKIE, &format!("theme=dark; {name}={value}"))
}

fn with_bearer(token: &str) -> HeaderMap {
    with(AUTHORIZATION, &format!("Bearer {token}"))
}

fn with(name: HeaderName, value: &str) -> HeaderMap {
    let mut headers: HeaderMap =
        BROWSER.map(|(name, value)| (name, HeaderValue::from_static(value))).into_iter().collect();
    headers.insert(name, HeaderValue::from_str(value).expect("tokens are ASCII"));
    headers
}

/// All the clients of one server.
struct Client<'a> {
    runtime: &'a Runtime,
    router: Router,
    headers: Vec<HeaderMap>,
}

impl<'a> Client<'a> {
    fn into_variant(mut self) -> Variant<'a> {
        Variant::new(move |_| self.send())
    }

    /// Sends one request of each client.
    ///
    /// Few are built at a time, so that the processor has a request at hand when it is served, as after reading it.
    fn send(&mut self) -> Duration {
        const AT_A_TIME: usize = 10;
        let request = |headers: &HeaderMap| {
            let mut request = Request::get(PATH).body(Body::empty()).expect("a sound request");
            *request.headers_mut() = headers.clone();
            request
        };
        let (router, headers) = (&mut self.router, &self.headers);
        self.runtime.block_on(async {
            let mut elapsed = Duration::ZERO;
            for headers in headers.chunks(AT_A_TIME) {
                let requests: Vec<_> = headers.iter().map(request).collect();
                let start = Instant::now();
                for request in requests {
                    let Ok(response) = router.call(request).await;
                    assert_eq!(black_box(response).status(), StatusCode::OK);
                }
                elapsed += start.elapsed();
            }
            elapsed
        })
    }
}
