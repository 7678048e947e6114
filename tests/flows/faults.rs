//! Faults: a store that fails or hangs, handlers that fail, claims that no token can carry.

use std::{panic::AssertUnwindSafe, time::Duration};

use axum::http::Method;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use session_runtime::{NewSession, SessionError};

use crate::{
    app::Role,
    client::{Answer, Client},
    store::{Fault, Operation},
    world::{ACCESS, World},
};

/// Every endpoint that asks the store, and the operations that it needs.
const NEEDS: [(&str, &str, &[Operation]); 11] = [
    ("POST", "/login", &[Operation::Create]),
    ("POST", "/refresh", &[Operation::Rotate]),
    ("POST", "/logout", &[Operation::Revoke]),
    ("POST", "/leave", &[Operation::Revoke]),
    ("POST", "/leave-others", &[Operation::RevokeAll]),
    ("GET", "/note", &[Operation::Read]),
    ("POST", "/note", &[Operation::Read, Operation::Update]),
    ("POST", "/role", &[Operation::Read, Operation::Update]),
    ("GET", "/checked", &[Operation::Read]),
    ("GET", "/me", &[]),
    ("GET", "/maybe", &[]),
];

async fn ask(client: &mut Client, method: &str, path: &str) -> Answer {
    match (method, path) {
        (_, "/login") => client.login("alice").await,
        ("POST", "/note") => client.post(path, &json!("milk")).await,
        (_, "/role") => client.post(path, &json!(["admin"])).await,
        (method, path) => client.call(method.parse().unwrap(), path).await,
    }
}

async fn every_endpoint_under_every(fault: Fault) {
    for (method, path, needs) in NEEDS {
        for operation in Operation::ALL {
            let world = World::new().await;
            let mut client = world.login("alice").await;
            let mut retry = client.clone();
            world.store.break_down(operation, fault);
            let answer = ask(&mut client, method, path).await;
            let case = format!("{method} {path} while {operation:?} {fault:?}");
            if !needs.contains(&operation) {
                assert!(answer.status.is_success(), "{case}: {}", answer.status);
                continue;
            }
            assert_eq!(answer.status, 503, "{case}");
            answer.assert_refused(503, "store_unavailable").assert_keeps_tokens();
            assert_eq!(answer.json(), json!({ "message": "session store unavailable" }), "{case}");
            assert_eq!(answer.header("retry-after"), Some("1"), "{case}");
            world.store.mend();
            assert!(ask(&mut retry, method, path).await.status.is_success(), "{case}, and then the retry");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_never_taken_for_no_session() {
    every_endpoint_under_every(Fault::Fails).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up_in_time() {
    every_endpoint_under_every(Fault::Hangs).await;
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_store_is_given_and_the_retry_can_be_set() {
    let (patience, pause) = (Duration::from_secs(2), Duration::from_secs(7));
    let world = World::with(|settings| settings.store_timeout(patience).retry_after(pause)).await;
    let mut client = world.login("alice").await;
    world.store.break_down(Operation::Rotate, Fault::Hangs);
    world.store.break_down(Operation::Read, Fault::Fails);
    let before = tokio::time::Instant::now();
    assert_eq!(client.refresh().await.header("retry-after"), Some("7"));
    assert_eq!(before.elapsed().as_secs(), patience.as_secs());
    let passed_on = client.get("/note").await;
    assert_eq!(passed_on.assert_refused(503, "store_unavailable").header("retry-after"), Some("7"));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_whose_answer_got_lost_is_heard_through_the_feed() {
    for path in ["/logout", "/leave"] {
        let world = World::new().await;
        let mut client = world.login("alice").await;
        world.store.break_down(Operation::Revoke, Fault::FailsAfterwards);
        let answer = client.call(Method::POST, path).await;
        answer.assert_refused(503, "store_unavailable").assert_keeps_tokens();
        world.until(async || client.clone().get("/me").await.status == 401).await;
        client.get("/me").await.assert_refused(401, "unauthorised");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_note_of_use_costs_nobody_the_session() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    world.store.break_down(Operation::Confirm, Fault::Fails);
    for _ in 0..5 {
        world.advance(ACCESS);
        client.refresh().await.assert_ok();
        client.get("/me").await.assert_ok();
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_note_of_use_that_fails_keeps_no_other_from_being_told() {
    let world = World::new().await;
    let mut clients = Vec::new();
    for user in ["alice", "bob", "carol"] {
        clients.push(world.login(user).await);
    }
    world.advance(ACCESS);
    for client in &mut clients {
        client.refresh().await.assert_ok();
    }
    world.store.fail_to_confirm(clients[1].handle());
    for client in &mut clients {
        client.get("/me").await.assert_ok();
    }
    world.until_used(clients[0].handle()).await;
    world.until_used(clients[2].handle()).await;
}

#[tokio::test(start_paused = true)]
async fn a_login_handler_that_fails_leaves_no_session() {
    let world = World::new().await;
    let mut client = world.browser();
    let refused = client.post("/login", &json!({ "user": "alice", "then": "refuse" })).await;
    assert_eq!((refused.status.as_u16(), refused.header("session-error")), (403, None));
    refused.assert_keeps_tokens();
    client.post("/login", &json!({ "user": 7 })).await.assert_keeps_tokens();
    assert_eq!((world.store.rows(), world.store.calls_of_requests()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_login_handler_that_panics_leaves_no_session() {
    let world = World::new().await;
    let mut client = world.browser();
    let body = json!({ "user": "alice", "then": "panic" });
    let caught = AssertUnwindSafe(client.post("/login", &body)).catch_unwind().await;
    assert!(caught.is_err());
    world.settle().await;
    assert_eq!((world.store.rows(), world.store.calls_of_requests()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_login_whose_store_fails_makes_no_session_and_keeps_the_old_one() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let old = client.handle();
    world.store.break_down(Operation::Create, Fault::Fails);
    client.login("alice").await.assert_refused(503, "store_unavailable").assert_keeps_tokens();
    assert_eq!((world.store.rows(), client.handle()), (1, old));
    client.get("/me").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_random_generator_that_repeats_itself_overwrites_no_session() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let row = world.store.row(client.handle()).await;
    world.store.repeat_handle(client.handle());
    let refused = world.browser().login("mallory").await;
    refused.assert_refused(500, "misconfigured").assert_keeps_tokens();
    assert_eq!(world.store.row(client.handle()).await, row);
    assert_eq!(client.get("/me").await.json()["user"], "alice");
    client.logout().await.assert_ok();
    world.browser().login("mallory").await.assert_refused(500, "misconfigured");
}

#[tokio::test(start_paused = true)]
async fn claims_that_no_token_can_carry_leave_no_session() {
    let world = World::new().await;
    let huge = "x".repeat(4000);
    let mut client = world.browser();
    let refused = client.post("/login", &json!({ "user": "alice", "roles": [huge] })).await;
    refused.assert_refused(500, "misconfigured").assert_keeps_tokens();
    assert_eq!(refused.json(), json!({ "message": "internal server error" }), "the reason is for the log");
    assert_eq!(world.store.rows(), 0);
    let made = world.sessions.create(NewSession::new("alice").claim(Role, vec![huge])).await;
    assert!(matches!(made, Err(SessionError::Misconfigured(_))));
    assert_eq!(world.store.rows(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_no_token_can_carry_changes_nothing() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let huge = client.post("/role", &json!(["x".repeat(4000)])).await;
    huge.assert_refused(500, "misconfigured").assert_keeps_tokens();
    client.post("/broken", &Value::Null).await.assert_refused(500, "misconfigured").assert_keeps_tokens();
    assert_eq!(client.get("/me").await.json()["roles"], json!([]));
    world.advance(ACCESS);
    client.refresh().await.assert_ok();
    assert_eq!(client.get("/me").await.json()["roles"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn claims_of_any_size_are_refused_at_once_or_carried_for_ever() {
    let world = World::new().await;
    let mut carried = world.login("alice").await;
    let mut refusals = 0;
    for size in 2500..2800 {
        let before = world.store.rows();
        let roles = json!(["x".repeat(size)]);
        let mut client = world.browser();
        let login = client.post("/login", &json!({ "user": "bob", "roles": roles })).await;
        let change = carried.post("/role", &roles).await;
        match login.status.as_u16() {
            200 => assert_eq!(world.store.rows(), before + 1),
            status => {
                assert_eq!((status, world.store.rows()), (500, before));
                refusals += 1;
            }
        }
        assert!(matches!(change.status.as_u16(), 200 | 500), "{}", change.status);
    }
    assert!((1..300).contains(&refusals), "the limit lies in between: {refusals}");
    // What was accepted stays good while the generation grows in digits.
    for _ in 0..12 {
        world.advance(ACCESS);
        carried.refresh().await.assert_ok();
        carried.get("/me").await.assert_ok();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_put_together_wrongly_is_told_in_the_log() {
    let world = World::new().await;
    let log = tests::hidden::Log::of_this_thread();
    let huge = "x".repeat(4000);
    world.browser().post("/login", &json!({ "user": "alice", "roles": [huge] })).await;
    assert!(log.text().contains("fit in a cookie"), "{}", log.text());
    let mut client = world.login("alice").await;
    client.post("/broken", &Value::Null).await;
    assert!(log.text().contains("`sub`"), "{}", log.text());
}
