use std::{panic::AssertUnwindSafe, time::Duration};

use axum::{
    Router,
    http::{Method, StatusCode, header::SET_COOKIE},
    response::AppendHeaders,
    routing::get,
};
use futures_util::FutureExt as _;
use serde_json::json;

use super::{
    TestResponse, TestSite,
    example::{App, ROUTES, Role, site},
};
use crate::{
    BeyondLimit, Clock, CsrfMode, EventKind, MemoryStore, NewSession, Sessions, SessionsBuilder, Transport,
};

const PAST_ACCESS: Duration = Duration::from_hours(2);
const PAST_GRACE: Duration = Duration::from_mins(1);

async fn site_with(settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> TestSite {
    let clock = Clock::set_to_now();
    let builder = Sessions::builder(MemoryStore::with_clock(clock.clone())).routes(&ROUTES);
    let sessions = settings(builder).build().await.unwrap();
    TestSite::new(ROUTES.router(App { sessions: sessions.clone() }), &sessions, &clock)
}

/// What the check says that it should fail with.
#[track_caller]
fn failure<T>(check: impl FnOnce() -> T) -> String {
    let panic = std::panic::catch_unwind(AssertUnwindSafe(check)).err().expect("the check fails");
    panic
        .downcast::<String>()
        .map_or_else(|panic| panic.downcast_ref::<&str>().unwrap().to_string(), |text| *text)
}

#[tokio::test]
async fn the_kits_login_answers_as_the_applications_does() {
    let site = site().await;
    let names = |response: &TestResponse| {
        let cookies = response.headers().get_all(SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap());
        let shapes = cookies.map(|cookie| {
            let (name, rest) = cookie.split_once('=').unwrap();
            format!("{name}; {}", rest.split_once("; ").unwrap().1)
        });
        shapes.collect::<Vec<_>>()
    };
    let own = site.browser().post("/login").json(&json!({ "user": "alice" })).await;
    let kits = site.browser().login_as("alice").await;
    own.assert_ok();
    assert_eq!(names(kits.assert_ok()), names(&own));
    assert!(names(&own).iter().any(|cookie| cookie.contains("Path=/refresh")));
    assert_eq!(kits.header("cache-control"), own.header("cache-control"));
    assert!(kits.header("front-token").is_some());
}

#[tokio::test]
async fn a_login_carries_claims_and_data_and_is_of_the_browser_that_goes_on() {
    let site = site().await;
    let bob = site.login_with(NewSession::new("bob").claim(Role, ["admin".to_owned()]).data(&7)).await;
    bob.delete("/posts/1").await.assert_ok();
    assert_eq!(site.sessions().data::<u32>(bob.handle()).await.unwrap(), Some(7));
    let info = site.sessions().info(bob.handle()).await.unwrap().unwrap();
    assert_eq!(info.user_agent.as_deref(), Some("TestBrowser/1.0"));
    let mut events = site.sessions().events();
    site.advance(PAST_ACCESS);
    bob.refresh().await.assert_ok();
    assert_eq!(events.next().await.unwrap().kind, EventKind::Refreshed { rule: 5 });
    assert_eq!(events.next().now_or_never(), None, "the refresh is not taken for another client's");
}

#[tokio::test]
async fn a_login_goes_through_the_guard() {
    let site = site_with(|settings| settings.max_sessions_per_user(1, BeyondLimit::Refuse)).await;
    let alice = site.login_as("alice").await;
    site.browser().login_as("alice").await.assert_refused("too_many_sessions");
    let stranger = site.browser().with_header("sec-fetch-site", "cross-site");
    stranger.login_as("bob").await.assert_refused("csrf");
    stranger.assert_logged_out();
    // The session that the browser has is replaced, as it would be by a real login, once the new one is used.
    let replaced = alice.handle();
    alice.login_as("alice").await.assert_ok();
    alice.get("/getHomeFeed").await.assert_ok();
    assert!(site.sessions().info(replaced).await.unwrap().is_none());
}

#[tokio::test]
async fn in_header_mode_tokens_travel_in_headers_alone() {
    let site = site().await;
    let app = site.browser().in_header_mode();
    let answer = app.login_as("alice").await;
    assert_eq!(answer.assert_ok().header("set-cookie"), None);
    site.advance(PAST_ACCESS);
    app.get("/getHomeFeed").await.assert_refused("try_refresh_token");
    let before = app.refresh_token();
    app.refresh().await.assert_ok();
    assert_ne!(app.refresh_token(), before);
    app.get("/getHomeFeed").await.assert_ok();
    let thief = app.steal_refresh();
    site.advance(PAST_ACCESS);
    app.refresh().await.assert_ok();
    app.get("/getHomeFeed").await.assert_ok();
    site.advance(PAST_GRACE);
    thief.refresh().await.assert_refused("token_theft");
    app.post("/logout").await.assert_refused("unauthorised");
    app.assert_logged_out();
}

#[tokio::test]
async fn every_setting_of_transport_works() {
    let settings: [fn(SessionsBuilder) -> SessionsBuilder; 6] = [
        |settings| settings.transport(Transport::Header),
        |settings| settings.cookie_names("__Host-a", "__Secure-r"),
        |settings| settings.csrf(CsrfMode::CustomHeader),
        |settings| settings.csrf(CsrfMode::Token),
        |settings| settings.public_prefix("/gateway"),
        |settings| settings.cookie_domain("example.com").public_origins(["https://app.example.com"]),
    ];
    for settings in settings {
        let site = site_with(settings).await;
        let alice = site.login_as("alice").await;
        site.advance(PAST_ACCESS);
        alice.get("/getHomeFeed").await.assert_refused("try_refresh_token");
        alice.refresh().await.assert_ok();
        alice.get("/getHomeFeed").await.assert_ok();
        alice.post("/logout").await.assert_ok();
        alice.assert_logged_out();
    }
}

#[tokio::test]
async fn use_is_told_before_the_answer_is_handed_over() {
    let site = site().await;
    let alice = site.login_as("alice").await;
    let thief = alice.steal_refresh();
    site.advance(PAST_ACCESS);
    alice.refresh().await.assert_ok();
    alice.get("/getHomeFeed").await.assert_ok();
    // Were the use not told yet, this would pass for a lost answer, and be given a token.
    site.advance(PAST_GRACE);
    thief.refresh().await.assert_refused("token_theft");
}

#[tokio::test]
async fn another_node_has_heard_of_an_end_before_it_is_asked() {
    const KEYS: &str = "pZ0hYw7Q1mXrC4t9uVbK2sEo8LdN5fGjRiAyTz3HxMk=";
    let clock = Clock::set_to_now();
    let store = MemoryStore::with_clock(clock.clone());
    let node = async || {
        let sessions = Sessions::builder(store.clone()).keys(KEYS).routes(&ROUTES).build().await.unwrap();
        TestSite::new(ROUTES.router(App { sessions: sessions.clone() }), &sessions, &clock)
    };
    let (here, there) = (node().await, node().await);
    let alice = here.login_as("alice").await;
    alice.at(&there).get("/getHomeFeed").await.assert_ok();
    here.sessions().revoke(alice.handle()).await.unwrap();
    alice.at(&there).get("/getHomeFeed").await.assert_refused("unauthorised");
    alice.assert_logged_out();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kit_works_on_a_multi_thread_runtime_too() {
    let site = site().await;
    let alice = site.login_as("alice").await;
    let thief = alice.steal_refresh();
    site.advance(PAST_ACCESS);
    let tab = alice.second_tab();
    let (one, other) = (tokio::spawn(alice.refresh().send()), tokio::spawn(tab.refresh().send()));
    one.await.unwrap().assert_ok();
    other.await.unwrap().assert_ok();
    alice.get("/getHomeFeed").await.assert_ok();
    site.advance(PAST_GRACE);
    thief.refresh().await.assert_refused("token_theft");
}

#[tokio::test]
async fn a_lost_answer_leaves_the_client_as_it_was() {
    let site = site().await;
    let alice = site.login_as("alice").await;
    let (access, refresh) = (alice.access_token(), alice.refresh_token());
    site.advance(PAST_ACCESS);
    let mut events = site.sessions().events();
    alice.refresh().lose_response().await;
    assert_eq!(events.next().await.unwrap().kind, EventKind::Refreshed { rule: 5 });
    assert_eq!((alice.access_token(), alice.refresh_token()), (access, refresh.clone()));
    alice.refresh().await.assert_ok();
    assert_eq!(events.next().await.unwrap().kind, EventKind::Replayed { rule: 8 });
    assert_ne!(alice.refresh_token(), refresh);
}

#[tokio::test]
async fn a_request_that_is_never_awaited_never_reaches_the_server() {
    let site = site().await;
    let alice = site.login_as("alice").await;
    drop(alice.post("/logout"));
    alice.get("/getHomeFeed").await.assert_ok();
}

#[tokio::test]
async fn a_thief_has_what_was_stolen_and_nothing_else() {
    let site = site_with(|settings| settings.csrf(CsrfMode::Token)).await;
    let alice = site.login_as("alice").await;
    let (refresh, access) = (alice.steal_refresh(), alice.steal_access());
    assert_eq!((refresh.refresh_token(), refresh.access_token()), (alice.refresh_token(), None));
    assert_eq!((access.refresh_token(), access.access_token()), (None, alice.access_token()));
    access.get("/getHomeFeed").await.assert_ok();
    refresh.get("/getHomeFeed").await.assert_refused("unauthorised");
    site.advance(PAST_ACCESS);
    refresh.refresh().await.assert_ok();
    assert_ne!(refresh.refresh_token(), alice.refresh_token(), "the jars are apart");
}

#[tokio::test]
async fn the_refresh_cookie_goes_to_the_refresh_endpoint_alone() {
    let site = site().await;
    let alice = site.login_as("alice").await;
    let carries = |path: &str| {
        let request = alice.get(path).into_http();
        request
            .headers()
            .get("cookie")
            .is_some_and(|cookies| cookies.to_str().unwrap().contains("sRefreshToken="))
    };
    assert!(carries("/refresh") && carries("/refresh?x=1") && carries("/refresh/below"));
    assert!(!carries("/getHomeFeed") && !carries("/refreshed") && !carries("/"));
}

/// A browser's view of the application's own cookies.
#[tokio::test]
async fn the_jar_keeps_replaces_and_drops_cookies_as_a_browser_does() {
    async fn cookies() -> AppendHeaders<[(&'static str, &'static str); 7]> {
        AppendHeaders([
            ("set-cookie", "plain=1"),
            ("set-cookie", "plain=2; Path=/shop/cart; Max-Age=60"),
            ("set-cookie", "plain=3; Path=/; HttpOnly; SameSite=Lax"),
            ("set-cookie", "plain=4; Path=/; Max-Age=60"),
            ("set-cookie", "gone=1; Max-Age=0"),
            ("set-cookie", "past=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
            ("set-cookie", "dated=1; Path=/; Max-Age=30; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        ])
    }
    let site = site().await;
    #[expect(clippy::disallowed_methods, reason = "a bare router is what the jar is tried on")]
    let app = Router::new().route("/shop/all", get(cookies)).fallback(|| async { StatusCode::NO_CONTENT });
    let site = TestSite::new(app, site.sessions(), site.clock());
    let client = site.browser();
    client.get("/shop/all").await.assert_ok();
    let sent = |path| {
        let request = client.request(Method::GET, path).into_http();
        request.headers().get("cookie").map(|cookies| cookies.to_str().unwrap().to_owned())
    };
    assert_eq!(sent("/shop/cart/1").as_deref(), Some("plain=2; plain=1; plain=4; dated=1"));
    assert_eq!(sent("/shop").as_deref(), Some("plain=1; plain=4; dated=1"));
    assert_eq!(sent("/shopping").as_deref(), Some("plain=4; dated=1"));
    site.advance(Duration::from_secs(30));
    assert_eq!(sent("/").as_deref(), Some("plain=4"));
    site.advance(Duration::from_secs(30));
    assert_eq!(sent("/").as_deref(), None);
    assert_eq!(client.cookie("plain").as_deref(), Some("1"));
    client.close_browser();
    assert_eq!(client.cookie("plain"), None);
}

#[tokio::test]
async fn a_session_that_is_not_remembered_ends_with_the_browser() {
    let site = site().await;
    let passing = site.login_with(NewSession::new("alice").remember(false)).await;
    let lasting = site.login_as("alice").await;
    for client in [&passing, &lasting] {
        client.assert_logged_in().close_browser();
    }
    passing.assert_logged_out();
    lasting.assert_logged_in();
}

#[tokio::test]
async fn an_assertion_that_fails_says_what_was_asked_and_answered() {
    let site = site().await;
    let alice = site.login_as("alice").await;
    let anonymous = site.browser().get("/getHomeFeed?page=2").await;
    let text = failure(|| anonymous.assert_ok());
    assert!(text.contains("`GET /getHomeFeed?page=2` was answered 401"), "{text}");
    assert!(text.contains("(unauthorised)") && text.contains(r#"{"message":"unauthorised"}"#), "{text}");
    let feed = alice.get("/getHomeFeed").await;
    let stranger = site.browser();
    for (text, part) in [
        (failure(|| anonymous.assert_refused("try_refresh_token")), "`try_refresh_token` was expected"),
        (failure(|| anonymous.assert_status(403)), "403 was expected"),
        (failure(|| feed.assert_refused("unauthorised")), "200 OK: hello alice"),
        (failure(|| feed.json::<u32>()), "hello alice"),
        (failure(|| alice.assert_logged_out()), "access token"),
        (failure(|| stranger.assert_logged_in()), "no refresh token"),
        (failure(|| stranger.steal_refresh()), "to steal"),
        (failure(|| stranger.steal_access()), "to steal"),
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_clock_that_the_sessions_do_not_keep_time_by_is_found_out() {
    let sessions = Sessions::builder(MemoryStore::new()).routes(&ROUTES).build().await.unwrap();
    let app = ROUTES.router(App { sessions: sessions.clone() });
    let site = TestSite::new(app, &sessions, &Clock::set_to_now());
    assert!(failure(|| site.advance(PAST_ACCESS)).contains("MemoryStore::with_clock"));
}

#[tokio::test]
async fn what_is_printed_of_the_kit_holds_no_token() {
    let site = site().await;
    for client in [site.login_as("alice").await, {
        let app = site.browser().in_header_mode();
        app.login_as("alice").await.assert_ok();
        app
    }] {
        let (access, refresh) = (client.access_token().unwrap(), client.refresh_token().unwrap());
        let printed = format!("{client:?} {:?} {site:?}", client.get("/getHomeFeed"));
        site.advance(PAST_ACCESS);
        let printed = printed + &format!("{:?}", client.refresh().await);
        let newer = (client.access_token().unwrap(), client.refresh_token().unwrap());
        for token in [access, refresh, newer.0, newer.1] {
            assert!(!printed.contains(&token), "{printed}");
        }
    }
}
