//! What a browser without scripts of its own meets, on a set clock: no server, no sockets, no waiting.

mod handlers;
mod local_path;
mod pages;

use std::time::Duration;

use session_runtime::{
    Clock, MemoryStore, RouteKind, Sessions,
    testing::{TestClient, TestRequest, TestResponse, TestSite},
};

use crate::handlers::{App, ROUTES};

/// Longer than an access token lives.
const PAST_ACCESS: Duration = Duration::from_hours(2);

async fn site() -> TestSite {
    let clock = Clock::set_to_now();
    let store = MemoryStore::with_clock(clock.clone());
    let sessions = Sessions::builder(store).routes(&ROUTES).build().await.unwrap();
    TestSite::new(ROUTES.router(App::new(sessions.clone())), &sessions, &clock)
}

/// A form as a browser sends it.
fn submit(client: &TestClient, path: &str, fields: &[(&str, &str)]) -> TestRequest {
    let body = serde_urlencoded::to_string(fields).unwrap();
    client.post(path).header("content-type", "application/x-www-form-urlencoded").body(body)
}

fn log_in(client: &TestClient, password: &str, to: &str) -> TestRequest {
    submit(client, "/login", &[("user", "alice"), ("password", password), ("to", to)])
}

/// Where an answer sends the browser.
#[track_caller]
fn redirect(answer: &TestResponse) -> &str {
    answer.assert_status(303).header("location").expect("a redirect says where to")
}

#[tokio::test]
async fn a_stranger_logs_in_and_comes_to_the_page_that_they_asked_for() {
    let site = site().await;
    let alice = site.browser();
    let page = alice.get("/?unsaved=1").await;
    assert_eq!(redirect(&page), "/login?to=%2F%3Funsaved%3D1");
    let form = alice.get(redirect(&page)).await;
    assert!(form.assert_ok().text().contains(r#"name="to" value="/?unsaved=1""#), "{}", form.text());

    let refused = log_in(&alice, "wrong", "/?unsaved=1").await;
    assert!(refused.assert_status(403).text().contains("Wrong user or password"));
    alice.assert_logged_out();
    assert_eq!(redirect(&log_in(&alice, "demo", "/?unsaved=1").await), "/?unsaved=1");
    assert!(alice.get("/").await.assert_ok().text().contains("The notes of alice"));
}

#[tokio::test]
async fn a_page_load_with_an_expired_token_is_renewed_and_comes_back() {
    let site = site().await;
    let alice = site.login_as("alice").await;
    site.advance(PAST_ACCESS);
    let page = alice.get("/?page=2").await;
    assert_eq!(redirect(&page), "/session/renew?to=%2F%3Fpage%3D2");
    alice.assert_logged_in();

    let renewal = alice.get(redirect(&page)).await;
    assert!(renewal.assert_ok().text().contains(r#"data-to="/?page=2""#), "{}", renewal.text());
    assert!(renewal.text().contains(r#"src="/session/renew.js""#));
    assert!(alice.get("/session/renew.js").await.assert_ok().text().contains(r#"fetch("/session/refresh""#));
    alice.refresh().await.assert_ok();
    alice.get("/?page=2").await.assert_ok();
}

#[tokio::test]
async fn where_the_session_is_over_the_renewal_leads_to_the_login() {
    let site = site().await;
    let alice = site.login_as("alice").await;
    site.advance(PAST_ACCESS);
    site.sessions().revoke(alice.handle()).await.unwrap();
    let renewal = alice.get(redirect(&alice.get("/").await)).await;
    assert!(renewal.assert_ok().text().contains(r#"data-login="/login?to=%2F""#), "{}", renewal.text());
    alice.refresh().await.assert_refused("unauthorised").assert_status(401);
    alice.assert_logged_out();
}

#[tokio::test]
async fn nobody_is_sent_to_another_site() {
    let site = site().await;
    let alice = site.browser();
    for elsewhere in [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
    ] {
        let query = serde_urlencoded::to_string([("to", elsewhere)]).unwrap();
        for page in ["/login", "/session/renew"] {
            let text = alice.get(&format!("{page}?{query}")).await.assert_ok().text().to_owned();
            assert!(!text.contains("evil") && !text.contains("alert("), "{elsewhere:?}: {text}");
        }
        assert_eq!(redirect(&log_in(&alice, "demo", elsewhere).await), "/");
    }
}

#[tokio::test]
async fn a_value_never_ends_the_attribute_that_it_stands_in() {
    let site = site().await;
    let text = site.browser().get("/session/renew?to=/%22%3E%3Cscript%3E").await;
    assert!(!text.assert_ok().text().contains("\"><script>"), "{}", text.text());
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let site = site().await;
    let alice = site.login_as("alice").await;
    for from in ["cross-site", "same-site"] {
        let forged = submit(&alice, "/notes", &[("text", "forged")]).header("sec-fetch-site", from);
        forged.await.assert_refused("csrf").assert_status(403);
        let forged = alice.post("/logout").header("sec-fetch-site", from);
        forged.await.assert_refused("csrf").assert_status(403);
    }
    assert_eq!(redirect(&submit(&alice, "/notes", &[("text", "my <own>")]).await), "/");
    let page = alice.get("/").await;
    assert!(page.assert_ok().text().contains("<li>my &lt;own&gt;</li>") && !page.text().contains("forged"));

    let mallory = site.browser().with_header("sec-fetch-site", "cross-site");
    log_in(&mallory, "demo", "/").await.assert_refused("csrf");
    mallory.assert_logged_out();
}

#[tokio::test]
async fn a_form_that_was_sent_too_late_is_said_to_be_unsaved() {
    let site = site().await;
    let alice = site.login_as("alice").await;
    site.advance(PAST_ACCESS);
    let late = submit(&alice, "/notes", &[("text", "late")]).await;
    assert_eq!(redirect(&late), "/session/renew?to=%2F%3Funsaved%3D1");
    alice.refresh().await.assert_ok();
    let page = alice.get("/?unsaved=1").await;
    assert!(page.assert_ok().text().contains("was not saved") && !page.text().contains("late</li>"));
}

#[tokio::test]
async fn who_logs_out_with_an_expired_token_is_asked_again() {
    let site = site().await;
    let alice = site.login_as("alice").await;
    site.advance(PAST_ACCESS);
    assert_eq!(redirect(&alice.post("/logout").await), "/session/renew?to=/logout");
    alice.assert_logged_in();
    alice.refresh().await.assert_ok();
    assert!(alice.get("/logout").await.assert_ok().text().contains("You are logged in as alice"));

    assert_eq!(redirect(&alice.post("/logout").await), "/login");
    alice.assert_logged_out();
    assert_eq!(redirect(&alice.get("/").await), "/login?to=%2F");
}

/// Whatever is added to the table, it sends strangers to the login, or says that it is open.
#[tokio::test]
async fn every_other_route_is_closed_to_strangers() {
    let site = site().await;
    let mut closed = 0;
    for route in ROUTES.iter().filter(|route| !matches!(route.kind(), RouteKind::Public | RouteKind::Login)) {
        let method = route.method().expect("the table has handlers only").as_str().parse().unwrap();
        let answer = site.browser().request(method, &route.path()).await;
        match route.kind() {
            RouteKind::Refresh => {
                answer.assert_refused("unauthorised");
            }
            _ => assert!(redirect(&answer).starts_with("/login"), "{}", route.path()),
        }
        closed += 1;
    }
    assert_eq!(closed, 5);
}
