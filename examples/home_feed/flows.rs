//! The life of a session in the example, on a set clock: no server, no sockets, no waiting.

mod accounts;
mod events;
mod handlers;
mod journal;
mod lab;
mod page;

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};
use session_runtime::{
    Clock, Grace, MemoryStore, RouteKind, Sessions,
    testing::{TestClient, TestRequest, TestSite},
};

use crate::{
    handlers::{App, Pace, ROUTES},
    journal::Journal,
};

/// Longer than an access token lives.
const PAST_ACCESS: Duration = Duration::from_hours(2);

/// Longer than a message of an honest client is under way.
const PAST_GRACE: Duration = Duration::from_mins(1);

async fn site() -> TestSite {
    site_with(true).await
}

async fn site_with(lab: bool) -> TestSite {
    site_and_journal(lab).await.0
}

async fn site_and_journal(lab: bool) -> (TestSite, Journal) {
    let clock = Clock::set_to_now();
    let store = MemoryStore::with_clock(clock.clone());
    let sessions = Sessions::builder(store).routes(&ROUTES).build().await.unwrap();
    let pace = Pace { access_lifetime: Duration::from_hours(1), grace: Grace::default().window(), lab };
    let app = App::new(sessions.clone(), clock.clone(), pace);
    let journal = app.journal();
    (TestSite::new(app.router(), &sessions, &clock), journal)
}

/// The application's own login.
fn log_in(client: &TestClient, user: &str, password: &str) -> TestRequest {
    client.post("/login").json(&json!({ "user": user, "password": password }))
}

async fn browser_of(site: &TestSite, user: &str) -> TestClient {
    let client = site.browser();
    log_in(&client, user, "demo").await.assert_ok();
    client
}

#[tokio::test]
async fn the_feed_is_for_those_who_logged_in() {
    let site = site().await;
    let alice = site.browser();
    alice.get("/getHomeFeed").await.assert_refused("unauthorised");
    log_in(&alice, "alice", "wrong").await.assert_status(403);
    log_in(&alice, "mallory", "demo").await.assert_status(403);
    alice.assert_logged_out();

    log_in(&alice, "alice", "demo").await.assert_ok();
    let feed: Value = alice.get("/getHomeFeed").await.assert_ok().json();
    assert_eq!((&feed["user"], &feed["theme"]), (&json!("alice"), &json!("light")));
}

#[tokio::test]
async fn an_expired_token_is_refreshed_and_the_call_repeated() {
    let site = site().await;
    let alice = browser_of(&site, "alice").await;
    for _ in 0..3 {
        site.advance(PAST_ACCESS);
        alice.get("/getHomeFeed").await.assert_refused("try_refresh_token").assert_status(401);
        let spent = alice.refresh_token();
        alice.refresh().await.assert_ok();
        assert_ne!(alice.refresh_token(), spent);
        alice.get("/getHomeFeed").await.assert_ok();
    }
}

#[tokio::test]
async fn a_lost_answer_and_a_second_tab_log_nobody_out() {
    let site = site().await;
    let alice = browser_of(&site, "alice").await;
    let tab = alice.second_tab();
    for wait in [Duration::ZERO, Duration::from_secs(15), Duration::from_hours(24)] {
        site.advance(PAST_ACCESS);
        alice.refresh().lose_response().await;
        site.advance(wait);
        let (one, other) = tokio::join!(alice.refresh(), tab.refresh());
        one.assert_ok();
        other.assert_ok();
        alice.get("/getHomeFeed").await.assert_ok();
        tab.get("/getHomeFeed").await.assert_ok();
    }
}

#[tokio::test]
async fn a_stolen_token_used_after_its_owner_ends_the_session() {
    let site = site().await;
    let alice = browser_of(&site, "alice").await;
    let thief = alice.steal_refresh();
    site.advance(PAST_ACCESS);
    alice.refresh().await.assert_ok();
    alice.get("/getHomeFeed").await.assert_ok();

    site.advance(PAST_GRACE);
    thief.refresh().await.assert_refused("token_theft").assert_status(401);
    alice.get("/getHomeFeed").await.assert_refused("unauthorised");
    alice.assert_logged_out();
    thief.assert_logged_out();
}

#[tokio::test]
async fn a_stolen_token_used_before_its_owner_ends_the_session() {
    let site = site().await;
    let alice = browser_of(&site, "alice").await;
    let thief = alice.steal_refresh();
    site.advance(PAST_ACCESS);
    thief.refresh().await.assert_ok();
    thief.get("/getHomeFeed").await.assert_ok();

    site.advance(PAST_GRACE);
    alice.refresh().await.assert_refused("token_theft");
    thief.get("/getHomeFeed").await.assert_refused("unauthorised");
}

#[tokio::test]
async fn after_a_logout_no_token_of_the_session_is_good() {
    let site = site().await;
    let alice = browser_of(&site, "alice").await;
    let (refresh, access) = (alice.steal_refresh(), alice.steal_access());
    let answer: Value = alice.post("/logout").await.assert_ok().json();
    assert_eq!(answer, json!({ "status": "OK" }));
    alice.assert_logged_out();
    access.get("/getHomeFeed").await.assert_refused("unauthorised");
    refresh.refresh().await.assert_refused("unauthorised");
}

#[tokio::test]
async fn a_user_sees_their_devices_and_revokes_one_or_all_others() {
    let site = site().await;
    let phone = site.browser().with_header("user-agent", "Phone/1.0");
    log_in(&phone, "alice", "demo").await.assert_ok();
    let (laptop, tablet) = (browser_of(&site, "alice").await, browser_of(&site, "alice").await);
    let bob = browser_of(&site, "bob").await;

    let devices: Value = phone.get("/sessions").await.assert_ok().json();
    let devices = devices.as_array().unwrap();
    assert_eq!(devices.len(), 3, "bob's is not among them");
    let current: Vec<_> = devices.iter().filter(|device| device["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(
        (&current[0]["handle"], &current[0]["userAgent"]),
        (&json!(phone.handle()), &json!("Phone/1.0"))
    );

    let revoke = |client: &TestClient| format!("/sessions/{}/revoke", client.handle());
    phone.post(&revoke(&bob)).await.assert_status(404);
    phone.post(&revoke(&tablet)).await.assert_status(204);
    tablet.get("/getHomeFeed").await.assert_refused("unauthorised");
    laptop.get("/getHomeFeed").await.assert_ok();

    let answer: Value = phone.post("/sessions/revoke-others").await.assert_ok().json();
    assert_eq!(answer, json!({ "revoked": 1 }));
    laptop.get("/getHomeFeed").await.assert_refused("unauthorised");
    for client in [&phone, &bob] {
        client.get("/getHomeFeed").await.assert_ok();
    }
}

#[tokio::test]
async fn only_an_admin_who_logged_in_lately_deletes_a_post() {
    let site = site().await;
    let (alice, bob) = (browser_of(&site, "alice").await, browser_of(&site, "bob").await);
    let refused: Value = alice.delete("/posts/1").await.assert_refused("invalid_claim").json();
    assert_eq!(refused["claimValidationErrors"][0]["id"], "roles");
    bob.delete("/posts/1").await.assert_status(204);

    site.advance(Duration::from_mins(16));
    let refused: Value = bob.delete("/posts/1").await.assert_refused("invalid_claim").json();
    assert_eq!(refused["claimValidationErrors"][0]["id"], "auth_time");
    log_in(&bob, "bob", "demo").await.assert_ok();
    bob.delete("/posts/1").await.assert_status(204);
}

#[tokio::test]
async fn a_theme_is_chosen_and_shows_at_once() {
    let site = site().await;
    let alice = browser_of(&site, "alice").await;
    alice.post("/theme").json(&json!({ "theme": "dark" })).await.assert_ok();
    let feed: Value = alice.get("/getHomeFeed").await.assert_ok().json();
    assert_eq!(feed["theme"], "dark");
    alice.post("/theme").json(&json!({ "theme": "x".repeat(33) })).await.assert_status(422);
}

#[tokio::test]
async fn an_app_that_is_no_browser_has_its_tokens_in_headers() {
    let site = site().await;
    let app = site.browser().in_header_mode();
    let answer = log_in(&app, "alice", "demo").await;
    assert_eq!(answer.assert_ok().header("set-cookie"), None);
    site.advance(PAST_ACCESS);
    app.get("/getHomeFeed").await.assert_refused("try_refresh_token");
    app.refresh().await.assert_ok();
    app.get("/getHomeFeed").await.assert_ok();
}

#[tokio::test]
async fn what_is_public_needs_no_session() {
    let site = site().await;
    assert_eq!(site.browser().get("/health").await.assert_ok().text(), "ok");
    let keys: Value = site.browser().get("/auth/jwt/jwks.json").await.assert_ok().json();
    assert!(!keys["keys"].as_array().unwrap().is_empty());
}

/// Whatever is added to the table, it is closed to strangers, or says that it is open.
#[tokio::test]
async fn every_other_route_is_closed_to_strangers() {
    let site = site().await;
    let mut closed = 0;
    for route in ROUTES.iter().filter(|route| !matches!(route.kind(), RouteKind::Public | RouteKind::Login)) {
        let path = route.path().replace("{handle}", &"0".repeat(32)).replace("{id}", "1");
        let method = route.method().expect("the table has handlers only").as_str().parse().unwrap();
        site.browser().request(method, &path).await.assert_refused("unauthorised");
        closed += 1;
    }
    assert_eq!(closed, 12);
}

#[tokio::test]
async fn the_page_has_every_file_that_it_names() {
    let site = site().await;
    let visitor = site.browser();
    let index = visitor.get("/").await;
    assert!(index.header("content-security-policy").unwrap().contains("default-src 'none'"));
    let mut to_read = vec![("/".to_owned(), index.assert_ok().text().to_owned())];
    let mut seen = HashSet::new();
    while let Some((of, text)) = to_read.pop() {
        for name in named_files(&of, &text) {
            if seen.insert(name.clone()) {
                let file = visitor.get(&name).await;
                assert!(file.assert_ok().header("content-type").is_some(), "{name}");
                to_read.push((name, file.text().to_owned()));
            }
        }
    }
    assert!(seen.contains("/page/vendor/supertokens-website.js"), "{seen:?}");
    visitor.get("/page/main.rs").await.assert_status(404);
}

/// The files that a page names, or that a module of the page imports.
fn named_files(of: &str, text: &str) -> Vec<String> {
    if of.contains("/vendor/") {
        return Vec::new();
    }
    text.split('"')
        .filter_map(|name| match name.strip_prefix("./") {
            Some(module) => Some(format!("/page/{module}")),
            None => name.starts_with("/page/").then(|| name.to_owned()),
        })
        .collect()
}

#[tokio::test]
async fn the_lab_loses_one_answer_and_the_next_one_brings_the_same_successor() {
    let site = site().await;
    let alice = browser_of(&site, "alice").await;
    site.advance(PAST_GRACE);
    alice.post("/lab/lose-next-refresh").await.assert_ok();
    let kept = alice.refresh_token();
    let lost = alice.refresh().await;
    assert_eq!(lost.assert_status(504).header("set-cookie"), None);
    assert_eq!(alice.refresh_token(), kept);

    alice.refresh().await.assert_ok();
    let notes = notes_until_logout(&alice).await;
    assert_eq!(rules(&notes), [5, 8]);
    let successors: Vec<_> =
        notes.iter().filter(|note| note["path"] == "/refresh").map(|note| &note["issued"]).collect();
    assert_eq!(successors.len(), 2);
    assert_eq!(successors[0][1], successors[1][1], "the same refresh token, issued at the same time");
}

#[tokio::test]
async fn the_lab_steals_what_the_browser_has_and_its_thief_is_found_out() {
    let site = site().await;
    let alice = browser_of(&site, "alice").await;
    let thief = |action| format!("/lab/thief/{}/{action}", alice.handle());
    let nobody = site.browser();
    nobody.post(&thief("refresh")).await.assert_status(404);

    alice.post("/lab/steal").await.assert_ok();
    site.advance(PAST_GRACE);
    let note: Value = nobody.post(&thief("refresh")).await.assert_ok().json();
    assert_eq!(
        (&note["by"], &note["status"], &note["presented"]["generation"]),
        (&json!("thief"), &json!(200), &json!(1))
    );
    let note: Value = nobody.post(&thief("call")).await.assert_ok().json();
    assert_eq!(note["status"], 200);

    site.advance(PAST_GRACE);
    let session = alice.handle();
    alice.refresh().await.assert_refused("token_theft");
    let note: Value = nobody.post(&format!("/lab/thief/{session}/call")).await.assert_ok().json();
    assert_eq!((&note["status"], &note["reason"]), (&json!(401), &json!("unauthorised")));
}

#[tokio::test]
async fn the_stream_tells_a_user_of_their_own_sessions_only_and_ends_with_the_session() {
    let site = site().await;
    let (alice, bob) = (browser_of(&site, "alice").await, browser_of(&site, "bob").await);
    alice.post("/lab/phone").await.assert_ok();
    bob.get("/getHomeFeed").await.assert_ok();
    let notes = notes_until_logout(&alice).await;

    let sessions: HashSet<_> = notes.iter().map(|note| note["session"].as_str().unwrap()).collect();
    assert_eq!(sessions.len(), 2, "alice's browser and her phone");
    assert!(!sessions.contains(bob.handle().to_string().as_str()));
    let last = notes.iter().rfind(|note| note["kind"] == "decision").unwrap();
    assert_eq!((&last["decision"], &last["because"]), (&json!("ended"), &json!("logout")));
    let text = json!(notes).to_string();
    assert!(!text.contains(&bob.access_token().unwrap()) && !text.contains("eyJ"), "no token is told");
}

#[tokio::test]
async fn no_stream_keeps_the_server_from_stopping() {
    let (site, journal) = site_and_journal(true).await;
    let alice = browser_of(&site, "alice").await;
    let (stream, ()) = tokio::join!(alice.get("/events").send(), async { journal.close() });
    assert!(stream.assert_ok().text().contains("event: end"));
}

#[tokio::test]
async fn without_the_lab_nothing_is_lost_and_nothing_stolen() {
    let site = site_with(false).await;
    let alice = browser_of(&site, "alice").await;
    for path in ["/lab/lose-next-refresh", "/lab/steal", "/lab/phone"] {
        alice.post(path).await.assert_status(404);
    }
    let notes = notes_until_logout(&alice).await;
    assert!(notes.iter().all(|note| note["kind"] == "decision"));
}

/// Reads the stream of events while the user logs out, which ends it.
async fn notes_until_logout(client: &TestClient) -> Vec<Value> {
    let (stream, logout) = tokio::join!(client.get("/events").send(), client.post("/logout").send());
    logout.assert_ok();
    let data = stream.assert_ok().text().lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.map(|json| serde_json::from_str::<Value>(json).unwrap());
    events.filter(|event| event.get("kind").is_some()).collect()
}

fn rules(notes: &[Value]) -> Vec<u64> {
    notes.iter().filter_map(|note| note["rule"].as_u64()).collect()
}
