//! The eleven rules of the rotation, as a client meets them, each to the millisecond.

use std::{collections::HashSet, time::Duration};

use axum::http::Method;
use futures_util::{FutureExt as _, future::join_all};
use session_runtime::{EventKind, TheftKind};

use crate::{
    client::{Answer, Client, REFRESH_COOKIE, payload_of},
    store::{Fault, Operation},
    world::{ACCESS, G, MS, World, next_event},
};

/// The lifetime of a short access token.
const SHORT: u64 = 3 * G.as_secs();

/// A client that has just rotated, and the same client as it was before: the answer got lost, or another tab.
async fn rotated(world: &World) -> (Client, Client) {
    let mut client = world.login("alice").await;
    let before = client.clone();
    world.advance(ACCESS);
    let answer = client.refresh().await;
    assert!(answer.refresh_token().is_some());
    (client, before)
}

/// The new access token is short or usual, and the refresh token stays.
#[track_caller]
fn assert_keeps_refresh_token(answer: &Answer, lifetime: u64) {
    answer.assert_ok();
    assert_eq!(answer.cookie(REFRESH_COOKIE), None, "no refresh cookie at all");
    assert_eq!(answer.header("st-refresh-token"), None);
    assert_eq!(answer.access_lifetime(), lifetime);
}

#[tokio::test(start_paused = true)]
async fn rule_1_a_token_of_an_ended_session_is_unauthorised_and_never_theft() {
    let world = World::new().await;
    let (mut client, mut before) = rotated(&world).await;
    let mut copy = client.clone();
    client.logout().await.assert_ok();
    world.advance(100 * G);
    copy.refresh().await.assert_refused(401, "unauthorised");
    before.refresh().await.assert_refused(401, "unauthorised");
    assert!(copy.has_forgotten() && before.has_forgotten());
}

#[tokio::test(start_paused = true)]
async fn rule_2_a_store_that_lost_its_last_write_logs_nobody_out() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    for _ in 0..5 {
        world.advance(ACCESS);
        world.store.break_down(Operation::Rotate, Fault::Forgets);
        assert!(client.refresh().await.assert_ok().refresh_token().is_some());
        world.store.mend();
        // The client holds a token of which the store knows nothing.
        client.get("/me").await.assert_ok();
        world.advance(ACCESS);
        assert_keeps_refresh_token(&client.refresh().await, ACCESS.as_secs());
        client.get("/me").await.assert_ok();
    }
    let row = world.store.row(client.handle()).await.unwrap();
    assert_eq!((row.chain.generation, row.chain.parent), (6, 5), "as the token said");
}

#[tokio::test(start_paused = true)]
async fn rule_3_two_lines_that_reach_one_generation_are_theft() {
    let world = World::new().await;
    let (mut one, mut other) = rotated(&world).await;
    world.advance(3 * G + MS);
    // One line gets generation 3 of parent 2, and the store forgets it.
    world.store.break_down(Operation::Rotate, Fault::Forgets);
    one.refresh().await.assert_ok();
    world.store.mend();
    // The other one, whose answer seems lost, gets generation 3 of parent 1.
    other.refresh().await.assert_ok();
    let generation = |client: &Client| payload_of(&client.access_token())["generation"].clone();
    assert_eq!((generation(&one), generation(&other)), (3.into(), 3.into()));
    one.refresh().await.assert_refused(401, "token_theft");
    other.get("/me").await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn rule_4_the_current_token_is_kept_until_3g_after_the_rotation_and_rule_5_rotates_it_then() {
    let world = World::new().await;
    let (mut client, _) = rotated(&world).await;
    let token = client.refresh_token();
    world.advance(3 * G);
    assert_keeps_refresh_token(&client.refresh().await, ACCESS.as_secs());
    assert_eq!(client.refresh_token(), token);
    world.advance(MS);
    let answer = client.refresh().await;
    assert!(answer.assert_ok().refresh_token().is_some_and(|newer| newer != token));
    assert_eq!(answer.access().unwrap()["generation"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_within_g_of_the_login_keeps_and_the_next_one_rotates() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    world.advance(G);
    assert_keeps_refresh_token(&client.refresh().await, ACCESS.as_secs());
    world.advance(MS);
    assert!(client.refresh().await.assert_ok().refresh_token().is_some());
}

#[tokio::test(start_paused = true)]
async fn rules_6_and_7_a_predecessor_gets_a_short_token_until_g_after_the_use_and_is_theft_then() {
    let world = World::new().await;
    let (mut client, before) = rotated(&world).await;
    client.get("/me").await.assert_ok();
    world.until_used(client.handle()).await;
    world.advance(G);
    let mut tab = before.clone();
    let late = tab.refresh().await;
    assert_keeps_refresh_token(&late, SHORT);
    assert_eq!(late.access().unwrap()["generation"], 1, "it never confirms the current generation");
    tab.get("/me").await.assert_ok();
    client.get("/me").await.assert_ok();
    world.advance(MS);
    before.clone().refresh().await.assert_refused(401, "token_theft");
    client.get("/me").await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn rule_8_a_lost_answer_is_repeated_byte_for_byte_until_g_after_the_rotation() {
    let world = World::new().await;
    let (client, before) = rotated(&world).await;
    let successor = client.refresh_token();
    for wait in [Duration::ZERO, G / 2, G / 2] {
        world.advance(wait);
        let answer = before.clone().refresh().await;
        assert_eq!(answer.assert_ok().refresh_token().as_ref(), Some(&successor));
        assert_eq!(answer.access_lifetime(), ACCESS.as_secs());
    }
    assert_eq!(world.store.row(client.handle()).await.unwrap().chain.generation, 2, "nothing was written");
}

#[tokio::test(start_paused = true)]
async fn rules_9_and_10_a_lost_answer_is_bridged_until_3g_after_the_rotation_and_reissued_then() {
    let world = World::new().await;
    let (mut lost, before) = rotated(&world).await;
    world.advance(G + MS);
    let quiet = before.clone().refresh().await;
    assert_keeps_refresh_token(&quiet, SHORT);
    assert_eq!(quiet.access().unwrap()["generation"], 1);
    world.advance(2 * G - MS);
    assert_keeps_refresh_token(&before.clone().refresh().await, SHORT);
    world.advance(MS);
    let mut healed = before.clone();
    let reissue = healed.refresh().await;
    assert_ne!(reissue.assert_ok().refresh_token().unwrap(), lost.refresh_token());
    assert_eq!(reissue.access().unwrap()["generation"], 3);
    healed.get("/me").await.assert_ok();
    // The successor that got lost is dead: whoever uses it has found it.
    lost.refresh().await.assert_refused(401, "token_theft");
}

#[tokio::test(start_paused = true)]
async fn rule_11_a_token_that_was_superseded_twice_is_theft_even_at_once() {
    let world = World::new().await;
    let (mut client, mut before) = rotated(&world).await;
    world.advance(3 * G + MS);
    client.refresh().await.assert_ok();
    before.refresh().await.assert_refused(401, "token_theft");
    client.get("/me").await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn an_access_token_confirms_its_generation() {
    let world = World::new().await;
    let (mut client, _) = rotated(&world).await;
    let chain = async || world.store.row(client.handle()).await.unwrap().chain;
    assert_eq!(chain().await.used_at, None);
    client.clone().get("/me").await.assert_ok();
    world.until_used(client.handle()).await;
    assert_eq!(chain().await.used_at, Some(world.clock.now()));
    let told = world.store.calls(Operation::Confirm);
    client.get("/me").await.assert_ok();
    world.settle().await;
    assert_eq!(world.store.calls(Operation::Confirm), told, "once a token");
}

#[tokio::test(start_paused = true)]
async fn an_access_token_of_a_dead_branch_ends_the_session_without_any_refresh() {
    let world = World::new().await;
    let (mut thief, mut victim) = rotated(&world).await;
    world.advance(3 * G + MS);
    victim.refresh().await.assert_ok();
    assert_eq!(payload_of(&victim.access_token())["generation"], 3);
    let mut events = world.sessions.events();
    thief.get("/me").await.assert_ok();
    world.until_ended(victim.handle()).await;
    next_event(&mut events, |kind| {
        matches!(kind, EventKind::Theft { kind: TheftKind::DeadBranch, reused_by: None, .. })
    })
    .await;
    thief.get("/me").await.assert_refused(401, "unauthorised");
    victim.get("/me").await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn without_a_grace_the_predecessor_of_a_used_token_is_theft_at_once() {
    let world = World::with(|settings| settings.grace(Duration::ZERO)).await;
    let (mut client, before) = rotated(&world).await;
    // In the very millisecond of the rotation the answer is repeated; there is no quiet phase after it.
    assert_eq!(before.clone().refresh().await.refresh_token().unwrap(), client.refresh_token());
    client.get("/me").await.assert_ok();
    world.until_used(client.handle()).await;
    assert_keeps_refresh_token(&before.clone().refresh().await, 30);
    world.advance(MS);
    before.clone().refresh().await.assert_refused(401, "token_theft");
}

#[tokio::test(start_paused = true)]
async fn without_a_grace_a_lost_answer_is_reissued_at_once() {
    let world = World::with(|settings| settings.grace(Duration::ZERO)).await;
    let (client, before) = rotated(&world).await;
    world.advance(MS);
    let answer = before.clone().refresh().await;
    assert_ne!(answer.assert_ok().refresh_token().unwrap(), client.refresh_token());
}

#[tokio::test(start_paused = true)]
async fn a_short_access_token_never_outlives_the_usual_one() {
    let access = Duration::from_secs(7);
    let world = World::with(|settings| settings.access_lifetime(access)).await;
    let (_, before) = rotated(&world).await;
    world.advance(2 * G);
    assert_keeps_refresh_token(&before.clone().refresh().await, access.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_claim_change_never_makes_a_short_access_token_a_usual_one() {
    let world = World::new().await;
    let (_, mut thief) = rotated(&world).await;
    world.advance(2 * G);
    assert_keeps_refresh_token(&thief.refresh().await, SHORT);
    let answer = thief.post("/role", &serde_json::json!(["admin"])).await;
    assert!(answer.assert_ok().access_lifetime() <= SHORT);
}

#[tokio::test(start_paused = true)]
async fn a_login_ends_the_old_session_when_the_new_one_is_first_used() {
    for first_use in ["/me", "/refresh"] {
        let world = World::new().await;
        let mut client = world.login("alice").await;
        let mut old = client.clone();
        let old_handle = old.handle();
        client.login("alice").await.assert_ok();
        world.settle().await;
        assert_ne!(client.handle(), old_handle);
        old.clone().get("/me").await.assert_ok();
        assert!(world.sessions.info(old_handle).await.unwrap().is_some(), "not yet");

        match first_use {
            "/refresh" => client.refresh().await.assert_ok().status,
            path => client.get(path).await.assert_ok().status,
        };
        world.until_ended(old_handle).await;
        world.settle().await;
        // The browser holds the new tokens already: an answer to the old ones must not clear them.
        old.clone().get("/me").await.assert_refused(401, "try_refresh_token").assert_keeps_tokens();
        old.refresh().await.assert_refused(401, "unauthorised").assert_keeps_tokens();
        client.get("/me").await.assert_ok();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_login_answer_logs_nobody_out() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    client.clone().login("alice").await.assert_ok();
    world.settle().await;
    client.get("/me").await.assert_ok();
    world.advance(ACCESS);
    client.refresh().await.assert_ok();
    client.get("/me").await.assert_ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_presentations_of_one_token_are_one_rotation_with_one_successor() {
    let world = World::new().await;
    let client = world.login("alice").await;
    world.advance(ACCESS);
    // Clients of different appearance share no call of the store.
    let present = |tab: usize| {
        let mut tab = client.clone().with("user-agent", &format!("Tab/{}", tab % 100));
        tokio::spawn(async move { tab.refresh().await })
    };
    let answers = join_all((0..1000).map(present)).await;
    let successors = answers.into_iter().map(|answer| answer.unwrap().assert_ok().refresh_token());
    let successors: HashSet<_> = successors.map(|token| token.expect("a successor")).collect();
    assert_eq!(successors.len(), 1);
    assert_eq!(world.store.row(client.handle()).await.unwrap().chain.generation, 2);
}

#[tokio::test(start_paused = true)]
async fn presentations_of_one_client_at_one_time_share_a_call_of_the_store() {
    let world = World::new().await;
    let client = world.login("alice").await;
    world.advance(ACCESS);
    let answers = join_all((0..100).map(|_| {
        let mut tab = client.clone();
        async move { tab.refresh().await }
    }))
    .await;
    assert!(answers.iter().all(|answer| answer.refresh_token() == answers[0].refresh_token()));
    assert_eq!(world.store.calls(Operation::Rotate), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_runs_to_its_end_when_the_client_disconnects() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    world.advance(ACCESS);
    let mut gone = client.clone();
    let mut refresh = Box::pin(gone.refresh());
    assert!((&mut refresh).now_or_never().is_none(), "it waits for the store");
    drop(refresh);
    world.until(async || world.store.row(client.handle()).await.unwrap().chain.generation == 2).await;
    // The retry is given the token that was made then.
    assert!(client.refresh().await.assert_ok().refresh_token().is_some());
    assert_eq!(world.store.row(client.handle()).await.unwrap().chain.generation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_whose_answer_the_store_lost_is_safe_to_retry() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    world.advance(ACCESS);
    world.store.break_down(Operation::Rotate, Fault::FailsAfterwards);
    client.refresh().await.assert_refused(503, "store_unavailable").assert_keeps_tokens();
    world.store.mend();
    client.refresh().await.assert_ok();
    client.get("/me").await.assert_ok();
    assert_eq!(world.store.row(client.handle()).await.unwrap().chain.generation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_by_another_client_is_told_and_not_refused() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let mut events = world.sessions.events();
    world.advance(ACCESS);
    client = client.with("user-agent", "Other/2.0");
    client.refresh().await.assert_ok();
    next_event(&mut events, |kind| *kind == EventKind::Refreshed { rule: 5 }).await;
    next_event(&mut events, |kind| *kind == EventKind::OtherClient { rule: 5 }).await;
}

#[tokio::test(start_paused = true)]
async fn an_honest_client_is_never_logged_out_by_lost_answers_at_any_time() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let waits = [0, 1, 5, 10, 11, 19, 29, 30, 31, 45, 60, 3600];
    for round in 0..200 {
        world.advance(Duration::from_secs(waits[round * 7 % waits.len()]));
        let answer = if round % 3 == 0 {
            client.clone().call(Method::POST, "/refresh").await
        } else {
            client.refresh().await
        };
        answer.assert_ok();
        if round % 5 == 0 {
            client.refresh().await.assert_ok();
            client.get("/me").await.assert_ok();
            world.settle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_thief_who_takes_turns_with_the_victim_is_always_found() {
    for first in ["victim", "thief"] {
        let world = World::new().await;
        let mut victim = world.login("alice").await;
        let mut thief = victim.clone();
        let turns = if first == "victim" { [&mut victim, &mut thief] } else { [&mut thief, &mut victim] };
        world.advance(ACCESS);
        turns[0].refresh().await.assert_ok();
        turns[0].get("/me").await.assert_ok();
        world.until_used(turns[0].handle()).await;
        world.advance(ACCESS);
        turns[1].refresh().await.assert_refused(401, "token_theft");
        turns[0].get("/me").await.assert_refused(401, "try_refresh_token");
        turns[0].refresh().await.assert_refused(401, "unauthorised");
        assert!(turns.iter().all(|client| client.has_forgotten()));
    }
}
