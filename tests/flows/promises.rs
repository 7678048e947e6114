//! What every user of a session SDK expects: create, verify, refresh, theft, revoke, data and claims, anti-CSRF.

use axum::http::Method;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use session_runtime::{
    CsrfMode, EventKind, Grace, NewSession, SessionError, SessionHandle, Sessions, TheftKind,
};
use tests::hidden::Secrets;

use crate::{
    app::{ALARMS, ANSWERED, CLUMSY, DISMISSED, LOGIN_TIMEOUT, PROMOTED, Role, SDK_ROUTES},
    client::{ACCESS_COOKIE, Answer, Client, REFRESH_COOKIE, payload_of},
    world::{ACCESS, BEGINNING, G, IDLE, MS, World, next_event},
};

/// A victim whose refresh token was copied, used and superseded, and the thief who still holds the copy.
pub(crate) async fn victim_and_thief(world: &World, user: &str) -> (Client, Client) {
    let mut victim = world.login(user).await;
    let thief = victim.clone();
    world.advance(ACCESS);
    victim.refresh().await.assert_ok();
    victim.get("/me").await.assert_ok();
    world.until_used(victim.handle()).await;
    world.advance(G + MS);
    (victim, thief)
}

#[track_caller]
fn assert_cookie(answer: &Answer, name: &str, path: &str, max_age: &str) {
    let cookie = answer.cookie(name).expect(name);
    assert!(!cookie.value.is_empty());
    let attribute = |name| cookie.attribute(name);
    assert_eq!((attribute("HttpOnly"), attribute("Secure")), (Some(""), Some("")));
    assert_eq!((attribute("SameSite"), attribute("Domain")), (Some("Lax"), None));
    assert_eq!((attribute("Path"), attribute("Max-Age")), (Some(path), Some(max_age)));
}

#[track_caller]
fn assert_front_token(answer: &Answer, user: &str) {
    let front = answer.front_token();
    let access = answer.access().expect("an access token");
    assert_eq!(front["uid"], user);
    assert_eq!(front["ate"], json!(access["exp"].as_u64().unwrap() * 1000));
    assert_eq!(front["up"], access, "the whole payload");
}

#[tokio::test(start_paused = true)]
async fn a_login_makes_a_session_and_sends_its_tokens() {
    let world = World::new().await;
    let mut client = world.browser();
    let answer = client.post("/login", &json!({ "user": "alice", "roles": ["admin"] })).await;
    answer.assert_ok();

    assert_cookie(&answer, ACCESS_COOKIE, "/", "34560000");
    assert_cookie(&answer, REFRESH_COOKIE, "/refresh", &IDLE.as_secs().to_string());
    assert_front_token(&answer, "alice");
    assert_eq!(answer.front_token()["up"]["role"], json!({ "v": ["admin"], "t": BEGINNING.as_millis() }));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let me = client.get("/me").await.json();
    assert_eq!(
        (&me["user"], &me["roles"], &me["tenant"]),
        (&json!("alice"), &json!(["admin"]), &json!("public"))
    );
    assert_eq!(me["handle"], client.handle().to_string());
}

#[tokio::test(start_paused = true)]
async fn a_valid_request_costs_no_store_call() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let before = world.store.calls_of_requests();
    for _ in 0..20 {
        client.get("/me").await.assert_ok().assert_keeps_tokens();
    }
    assert_eq!(world.store.calls_of_requests(), before);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_rotates_every_value() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let (access, refresh) = (client.access_token(), client.refresh_token());
    world.advance(ACCESS);
    let answer = client.refresh().await;
    assert_eq!(answer.assert_ok().text(), "alice", "the handler runs after the rotation");

    assert_cookie(&answer, ACCESS_COOKIE, "/", "34560000");
    assert_cookie(&answer, REFRESH_COOKIE, "/refresh", &IDLE.as_secs().to_string());
    assert_front_token(&answer, "alice");
    assert_ne!(client.access_token(), access);
    assert_ne!(client.refresh_token(), refresh);
    assert_eq!(payload_of(&client.access_token())["sessionHandle"], payload_of(&access)["sessionHandle"]);
    client.get("/me").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_refresh_handler_that_fails_does_not_lose_the_new_tokens() {
    let world = World::new().await;
    let mut client = world.login(CLUMSY).await;
    let before = client.refresh_token();
    world.advance(ACCESS);
    let answer = client.refresh().await;
    assert_eq!((answer.status.as_u16(), answer.header("session-error")), (500, None));
    assert_ne!(client.refresh_token(), before);
    client.get("/me").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_refresh_handler_can_set_a_claim_and_the_refresh_token_is_sent_all_the_same() {
    let world = World::new().await;
    let mut client = world.login(PROMOTED).await;
    let before = client.refresh_token();
    world.advance(ACCESS);
    let answer = client.refresh().await;
    assert_eq!(answer.assert_ok().access_lifetime(), ACCESS.as_secs());
    assert_front_token(&answer, PROMOTED);
    assert_ne!(client.refresh_token(), before);
    client.get("/admin").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_refresh_handler_can_end_the_session() {
    let world = World::new().await;
    let mut client = world.login(DISMISSED).await;
    let mut copy = client.clone();
    world.advance(ACCESS);
    let answer = client.refresh().await;
    assert_eq!(answer.assert_ok().header("front-token"), Some("remove"));
    assert!(client.has_forgotten());
    copy.refresh().await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn an_access_token_from_before_a_refresh_is_good_until_it_expires() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let mut slow_tab = client.clone();
    world.advance(ACCESS / 2);
    client.refresh().await.assert_ok();
    client.get("/me").await.assert_ok();
    slow_tab.get("/me").await.assert_ok();
    world.advance(ACCESS / 2);
    slow_tab.get("/me").await.assert_refused(401, "try_refresh_token").assert_keeps_tokens();
    client.get("/me").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_superseded_token_that_comes_back_is_theft_and_ends_the_session() {
    let world = World::new().await;
    let (mut victim, mut thief) = victim_and_thief(&world, "theft-plain").await;
    let mut events = world.sessions.events();
    let handle = victim.handle();

    let caught = thief.refresh().await;
    caught.assert_refused(401, "token_theft");
    assert_eq!(caught.json(), json!({ "message": "token theft detected" }));
    assert!(caught.header("www-authenticate").unwrap().starts_with("Bearer "));
    assert_eq!(caught.header("front-token"), Some("remove"));
    assert!(thief.has_forgotten());

    victim.get("/me").await.assert_refused(401, "unauthorised");
    assert!(victim.has_forgotten());
    let event = next_event(&mut events, |kind| {
        matches!(kind, EventKind::Theft { kind: TheftKind::Superseded, reused_by: Some(_), .. })
    });
    let event = event.await;
    assert_eq!((&*event.user, event.handle), ("theft-plain", handle));
    assert_eq!(
        *ALARMS.lock().unwrap().iter().rfind(|(user, _)| user == "theft-plain").unwrap(),
        ("theft-plain".to_owned(), handle)
    );
}

#[tokio::test(start_paused = true)]
async fn the_hook_may_answer_a_theft_and_the_tokens_are_cleared_all_the_same() {
    let world = World::new().await;
    let (_, mut thief) = victim_and_thief(&world, ANSWERED).await;
    let caught = thief.refresh().await;
    assert_eq!((caught.status.as_u16(), &*caught.text()), (418, "call the bank"));
    assert_eq!(caught.header("front-token"), Some("remove"));
    assert!(thief.has_forgotten());
}

#[tokio::test(start_paused = true)]
async fn the_result_form_sees_a_theft_with_user_and_handle() {
    let world = World::with(|settings| settings.routes(&SDK_ROUTES)).await;
    let world = world.behind(SDK_ROUTES.router(world.state()));
    let mut victim = world.login("theft-result").await;
    let mut thief = victim.clone();
    let handle = victim.handle();
    let refresh = "/auth/session/refresh";
    world.advance(ACCESS);
    victim.post(refresh, &Value::Null).await.assert_ok();
    victim.get("/me").await.assert_ok();
    world.until_used(handle).await;
    world.advance(G + MS);

    let caught = thief.post(refresh, &Value::Null).await;
    assert_eq!(caught.status.as_u16(), LOGIN_TIMEOUT);
    assert_eq!(caught.json(), json!({ "message": "theft", "user": "theft-result", "handle": handle }));
    assert!(thief.has_forgotten(), "the guard clears whatever the handler answers");
    let late = victim.post(refresh, &Value::Null).await;
    assert_eq!(late.json(), json!({ "message": "unauthorised" }));
}

#[tokio::test(start_paused = true)]
async fn the_status_of_refusals_can_be_440_and_the_body_stays() {
    let world = World::with(|settings| settings.expired_status(LOGIN_TIMEOUT)).await;
    let (mut victim, mut thief) = victim_and_thief(&world, "theft-440").await;
    assert_eq!(
        thief.refresh().await.assert_refused(LOGIN_TIMEOUT, "token_theft").json(),
        json!({ "message": "token theft detected" })
    );
    victim.get("/me").await.assert_refused(LOGIN_TIMEOUT, "unauthorised");
    world.browser().refresh().await.assert_refused(LOGIN_TIMEOUT, "unauthorised");
    world.browser().get("/me").await.assert_refused(LOGIN_TIMEOUT, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn an_error_that_a_handler_passes_on_has_the_configured_status() {
    let world = World::with(|settings| settings.routes(&SDK_ROUTES).expired_status(LOGIN_TIMEOUT)).await;
    let world = world.behind(SDK_ROUTES.router(world.state()));
    let refusal = world.browser().get("/who").await;
    assert_eq!(
        refusal.assert_refused(LOGIN_TIMEOUT, "unauthorised").json(),
        json!({ "message": "unauthorised" })
    );
}

#[tokio::test(start_paused = true)]
async fn revoking_ends_the_session_at_once_and_clears_the_tokens() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let mut other_tab = client.clone();
    let answer = client.post("/leave", &Value::Null).await;
    assert_eq!(answer.assert_ok().header("front-token"), Some("remove"));
    assert!(client.has_forgotten());

    let refused = other_tab.clone().refresh().await;
    refused.assert_refused(401, "unauthorised");
    assert_eq!(refused.header("front-token"), Some("remove"));
    other_tab.get("/me").await.assert_refused(401, "unauthorised");
    assert!(other_tab.has_forgotten());
}

#[tokio::test(start_paused = true)]
async fn a_removal_repeats_path_domain_and_every_attribute() {
    let world = World::with(|settings| settings.cookie_domain("example.com")).await;
    let mut client = world.login("alice").await;
    let answer = client.logout().await;
    for (name, path) in [(ACCESS_COOKIE, "/"), (REFRESH_COOKIE, "/refresh")] {
        let removal = answer.cookie(name).expect("a removal");
        let attribute = |name| removal.attribute(name);
        assert_eq!((removal.value.as_str(), attribute("Max-Age")), ("", Some("0")));
        assert_eq!((attribute("Path"), attribute("Domain")), (Some(path), Some("example.com")));
        assert_eq!((attribute("HttpOnly"), attribute("Secure")), (Some(""), Some("")));
        assert_eq!(attribute("SameSite"), Some("Lax"));
    }
    assert!(client.has_forgotten());
}

#[tokio::test(start_paused = true)]
async fn data_is_kept_by_session_and_by_handle() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    assert_eq!(client.get("/note").await.json(), Value::Null);
    client.post("/note", &json!("milk")).await.assert_ok().assert_keeps_tokens();
    assert_eq!(client.get("/note").await.json(), "milk");
    assert_eq!(world.sessions.data::<String>(client.handle()).await.unwrap().as_deref(), Some("milk"));
    assert!(world.sessions.set_data(client.handle(), &"bread").await.unwrap());
    assert_eq!(client.get("/note").await.json(), "bread");
}

#[tokio::test(start_paused = true)]
async fn concurrent_changes_of_the_data_lose_nothing() {
    let world = World::new().await;
    let client = world.login("alice").await;
    let handle = client.handle();
    let count = |sessions: Sessions| async move {
        sessions.update_data(handle, |count: Option<u32>| count.unwrap_or_default() + 1).await.unwrap()
    };
    let tasks: Vec<_> = (0..50).map(|_| tokio::spawn(count(world.sessions.clone()))).collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(world.sessions.data::<u32>(handle).await.unwrap(), Some(50));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_a_handler_sets_is_in_the_token_of_the_same_answer() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let refresh = client.refresh_token();
    client.get("/admin").await.assert_refused(403, "invalid_claim").assert_keeps_tokens();
    world.advance(5 * G);
    let answer = client.post("/role", &json!(["admin"])).await;
    assert_eq!(answer.assert_ok().json(), json!(["admin"]), "and in the handler's own session");

    let now = BEGINNING.after(5 * G);
    assert_front_token(&answer, "alice");
    assert_eq!(answer.front_token()["up"]["role"], json!({ "v": ["admin"], "t": now.as_millis() }));
    assert_eq!(answer.front_token()["up"]["iat"], now.as_secs(), "the SDK reads its clock skew from it");
    assert_eq!(client.refresh_token(), refresh);
    assert_eq!(answer.cookie(REFRESH_COOKIE), None);
    client.get("/admin").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_claim_set_by_handle_shows_in_the_next_token() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    assert!(world.sessions.set_claim(client.handle(), Role, vec!["admin".to_owned()]).await.unwrap());
    client.get("/admin").await.assert_refused(403, "invalid_claim");
    world.advance(ACCESS);
    client.refresh().await.assert_ok();
    client.get("/admin").await.assert_ok();
    assert!(world.sessions.remove_claim(client.handle(), Role).await.unwrap());
    world.advance(ACCESS);
    client.refresh().await.assert_ok();
    client.get("/admin").await.assert_refused(403, "invalid_claim");
}

#[tokio::test(start_paused = true)]
async fn a_claim_change_never_makes_an_access_token_live_longer() {
    let world = World::new().await;
    let mut thief = world.login("alice").await;
    let expiry = payload_of(&thief.access_token())["exp"].clone();
    world.advance(ACCESS - G);
    let answer = thief.post("/role", &json!(["admin"])).await;
    assert_eq!(
        answer.assert_ok().access().unwrap()["exp"],
        expiry,
        "who holds an access token has it for A at most"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_handle_is_no_session_and_no_error() {
    let world = World::new().await;
    let nobody = SessionHandle::from_bytes([7; 16]);
    let sessions = &world.sessions;
    assert!(sessions.info(nobody).await.unwrap().is_none());
    assert!(sessions.claims(nobody).await.unwrap().is_none());
    assert!(sessions.data::<String>(nobody).await.unwrap().is_none());
    assert!(!sessions.set_data(nobody, &"milk").await.unwrap());
    assert!(!sessions.set_claim(nobody, Role, vec![]).await.unwrap());
    assert!(!sessions.remove_claim(nobody, Role).await.unwrap());
    assert!(!sessions.revoke(nobody).await.unwrap());
    assert_eq!(sessions.revoke_many(&[nobody]).await.unwrap(), 0);
    assert_eq!(sessions.revoke_all("nobody").await.unwrap(), 0);
    assert!(sessions.list("nobody").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn several_sessions_are_revoked_by_handle_and_by_user() {
    let world = World::new().await;
    let mut alice = Vec::new();
    for _ in 0..4 {
        alice.push(world.login("alice").await);
    }
    let mut bob = world.login("bob").await;
    let handles = [alice[0].handle(), alice[1].handle()];
    assert_eq!(world.sessions.revoke_many(&handles).await.unwrap(), 2);
    assert_eq!(world.sessions.revoke_many(&handles).await.unwrap(), 0, "they are over");
    assert_eq!(world.sessions.list("alice").await.unwrap().len(), 2);
    alice[2].get("/me").await.assert_ok();
    assert_eq!(world.sessions.revoke_all("alice").await.unwrap(), 2);
    for client in &mut alice {
        client.get("/me").await.assert_refused(401, "unauthorised");
    }
    bob.get("/me").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn revoking_the_others_keeps_the_one_at_hand() {
    let world = World::new().await;
    let mut here = world.login("alice").await;
    let mut elsewhere = world.login("alice").await;
    let mut bob = world.login("bob").await;
    assert_eq!(here.post("/leave-others", &Value::Null).await.text(), "1");
    here.get("/me").await.assert_ok();
    elsewhere.get("/me").await.assert_refused(401, "unauthorised");
    bob.get("/me").await.assert_ok();
    world.advance(ACCESS);
    here.refresh().await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn the_list_of_sessions_holds_no_token_material() {
    let world = World::new().await;
    let client = world.login("alice").await;
    let list = serde_json::to_string(&world.sessions.list("alice").await.unwrap()).unwrap();
    assert!(list.contains(&client.handle().to_string()) && list.contains("Test/1.0"));
    let mut secrets = Secrets::default();
    secrets.add_tokens(&client.access_token(), &client.refresh_token());
    secrets.bytes.insert(world.store.row(client.handle()).await.unwrap().salt.0.to_vec());
    assert_eq!(secrets.first_in(&list), None);
}

#[tokio::test(start_paused = true)]
async fn a_session_made_without_a_request_works_over_http() {
    let world = World::new().await;
    let tokens = world.sessions.create(NewSession::new("alice").tenant("acme")).await.unwrap();
    let mut client = world.browser().in_header_mode();
    client.access = Some(tokens.access().expose().to_owned());
    client.refresh = tokens.refresh().map(|token| token.expose().to_owned());
    assert_eq!(client.get("/me").await.json()["tenant"], "acme");
    world.advance(ACCESS);
    client.refresh().await.assert_ok();
    let refreshed = world.sessions.refresh(client.refresh_token().as_str()).await;
    assert!(refreshed.unwrap().refresh().is_none(), "within the floor the client keeps its token");
    assert!(matches!(world.sessions.refresh("junk").await, Err(SessionError::Unauthorised)));
}

#[tokio::test(start_paused = true)]
async fn with_anti_csrf_tokens_an_unsafe_request_needs_the_one_of_its_session() {
    let world = World::with(|settings| settings.csrf(CsrfMode::Token)).await;
    let mut client = world.browser();
    let login = client.login("alice").await;
    assert!(login.assert_ok().header("anti-csrf").is_some());
    client.get("/me").await.assert_ok();
    client.post("/note", &json!("milk")).await.assert_ok();

    let others = world.login("mallory").await.request(Method::POST, "/role").headers()["anti-csrf"].clone();
    for forged in [None, Some(others)] {
        let mut request = client.request(Method::POST, "/role");
        request.headers_mut().remove("anti-csrf");
        if let Some(token) = forged {
            request.headers_mut().insert("anti-csrf", token);
        }
        let answer = client.clone().send(request).await;
        answer.assert_refused(401, "try_refresh_token").assert_keeps_tokens();
    }
}

#[tokio::test(start_paused = true)]
async fn with_anti_csrf_tokens_a_refresh_needs_one_and_brings_a_new_one() {
    let world = World::with(|settings| settings.csrf(CsrfMode::Token)).await;
    let mut client = world.login("alice").await;
    world.advance(ACCESS);
    let mut forged = client.request(Method::POST, "/refresh");
    let own = forged.headers_mut().remove("anti-csrf").expect("sent with every request");
    let refused = client.send(forged).await;
    refused.assert_refused(401, "unauthorised").assert_keeps_tokens();
    let answer = client.refresh().await;
    assert_ne!(answer.assert_ok().header("anti-csrf").expect("a new one"), own.to_str().unwrap());
    client.post("/note", &json!("milk")).await.assert_ok();
    client.logout().await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn without_a_csrf_defence_nothing_is_asked_and_no_token_is_sent() {
    let world = World::with(|settings| settings.csrf(CsrfMode::None)).await;
    let mut client = world.browser().with("sec-fetch-site", "cross-site");
    assert_eq!(client.login("alice").await.assert_ok().header("anti-csrf"), None);
    client.post("/note", &json!("milk")).await.assert_ok();
    world.advance(ACCESS);
    assert_eq!(client.refresh().await.assert_ok().header("anti-csrf"), None);
    client.logout().await.assert_ok();
}

#[test]
fn the_grace_of_these_tests_is_the_default() {
    assert_eq!(Grace::default().window(), G);
}

#[tokio::test(start_paused = true)]
async fn a_thief_who_hangs_up_does_not_silence_the_hook() {
    let world = World::new().await;
    let (victim, mut thief) = victim_and_thief(&world, "theft-hung-up").await;
    {
        let mut refresh = Box::pin(thief.refresh());
        assert!((&mut refresh).now_or_never().is_none());
    }
    world.until_ended(victim.handle()).await;
    world.until(async || ALARMS.lock().unwrap().iter().any(|(user, _)| user == "theft-hung-up")).await;
}
