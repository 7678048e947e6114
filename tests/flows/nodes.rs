//! Several nodes on one store: what one ends, the others hear of, and what they do while they can't hear.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use session_runtime::{Clock, EventKind, SessionError, SessionsBuilder, WhenBehind};

use crate::{
    client::Client,
    store::{Fault, ObservedStore, Operation},
    world::{ACCESS, BEGINNING, KEYS, MS, World, next_event},
};

const BOUND: Duration = Duration::from_secs(10);

async fn two_nodes(settings: impl Fn(SessionsBuilder) -> SessionsBuilder) -> (World, World) {
    let clock = Clock::set_to(BEGINNING);
    let store = ObservedStore::new(&clock);
    let other = store.of_another_node();
    let here = World::on(&clock, store, |builder| settings(builder.keys(KEYS))).await;
    let there = World::on(&clock, other, |builder| settings(builder.keys(KEYS))).await;
    (here, there)
}

/// The same client, sent to another node.
fn sent_to(node: &World, client: &Client) -> Client {
    client.clone().at(node.app.clone())
}

#[tokio::test(start_paused = true)]
async fn a_session_of_one_node_is_good_on_the_other() {
    let (here, there) = two_nodes(|settings| settings).await;
    let client = here.login("alice").await;
    let mut client = sent_to(&there, &client);
    client.get("/me").await.assert_ok();
    here.advance(ACCESS);
    client.refresh().await.assert_ok();
    sent_to(&here, &client).get("/me").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_revocation_on_one_node_reaches_the_other() {
    let (here, there) = two_nodes(|settings| settings).await;
    let mut client = here.login("alice").await;
    let mut elsewhere = sent_to(&there, &client);
    elsewhere.get("/me").await.assert_ok();
    client.logout().await.assert_ok();
    there.settle().await;
    let before = there.store.calls_of_requests();
    elsewhere.get("/me").await.assert_refused(401, "unauthorised");
    assert!(elsewhere.has_forgotten());
    assert_eq!(there.store.calls_of_requests(), before, "it was told, and does not ask");
}

#[tokio::test(start_paused = true)]
async fn who_waits_on_another_node_is_told_of_the_end() {
    let (here, there) = two_nodes(|settings| settings).await;
    let client = here.login("alice").await;
    let ended = tokio::spawn(there.sessions.verify(&client.access_token()).unwrap().ended());
    there.settle().await;
    assert!(!ended.is_finished());
    here.sessions.revoke_all("alice").await.unwrap();
    there.settle().await;
    assert!(ended.is_finished());
}

#[tokio::test(start_paused = true)]
async fn who_waits_on_a_node_that_hears_nothing_finds_the_end_out() {
    let (here, there) = two_nodes(|settings| settings).await;
    let mut client = here.login("alice").await;
    let ended = tokio::spawn(there.sessions.verify(&client.access_token()).unwrap().ended());
    there.settle().await;
    here.advance(ACCESS);
    client.refresh().await.assert_ok();
    there.store.break_down(Operation::Feed, Fault::Fails);
    let before = there.store.calls(Operation::Feed);
    there.until(async || there.store.calls(Operation::Feed) > before).await;
    here.sessions.revoke(client.handle()).await.unwrap();
    there.settle().await;
    assert!(!ended.is_finished(), "it was not told");
    here.advance(2 * ACCESS);
    there.until(async || ended.is_finished()).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_later_knows_what_ended_before() {
    let (here, _) = two_nodes(|settings| settings).await;
    let mut client = here.login("alice").await;
    let stolen = client.clone();
    client.logout().await.assert_ok();
    let store = here.store.of_another_node();
    let late = World::on(&here.clock, store, |builder| builder.keys(KEYS)).await;
    sent_to(&late, &stolen).get("/me").await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn nothing_made_before_revoke_all_survives_it_whatever_is_in_flight() {
    let (here, there) = two_nodes(|settings| settings).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(here.login("alice").await);
    }
    here.advance(ACCESS);
    let in_flight: Vec<_> = clients
        .iter()
        .flat_map(|client| [sent_to(&here, client), sent_to(&there, client)])
        .map(|mut client| {
            tokio::spawn(async move {
                client.refresh().await;
                client
            })
        })
        .collect();
    let revocation = tokio::spawn({
        let sessions = here.sessions.clone();
        async move { sessions.revoke_all("alice").await }
    });
    let after = join_all(in_flight).await;
    revocation.await.unwrap().unwrap();
    here.settle().await;
    for client in after {
        let client = client.unwrap();
        if client.has_forgotten() {
            continue;
        }
        for node in [&here, &there] {
            assert_eq!(sent_to(node, &client).get("/me").await.status, 401);
            sent_to(node, &client).refresh().await.assert_refused(401, "unauthorised");
        }
    }
    let mut client = here.login("alice").await;
    client.get("/me").await.assert_ok();
    sent_to(&there, &client).get("/me").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_node_cut_off_from_the_feed_serves_on_and_catches_up() {
    let (here, there) = two_nodes(|settings| settings.when_feed_is_behind(BOUND, WhenBehind::FailOpen)).await;
    let mut client = here.login("alice").await;
    let mut elsewhere = sent_to(&there, &client);
    there.store.break_down(Operation::Feed, Fault::Fails);
    there.until(async || there.store.calls(Operation::Feed) > 2).await;
    client.post("/leave", &Value::Null).await.assert_ok();
    tokio::time::advance(BOUND + MS).await;
    there.settle().await;
    assert!(there.sessions.feed_age() > BOUND, "a health check sees it");
    elsewhere.clone().get("/me").await.assert_ok();
    elsewhere.clone().get("/checked").await.assert_refused(401, "unauthorised");
    there.store.mend();
    there.until(async || elsewhere.clone().get("/me").await.status == 401).await;
    assert!(there.sessions.feed_age() < BOUND);
    elsewhere.get("/me").await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_lacks_the_last_entries_and_counts_on_hides_none_from_a_node_that_was_cut_off() {
    let (here, there) = two_nodes(|settings| settings).await;
    let mut events = there.sessions.events();
    let (mut lost, mut known, mut client) =
        (here.login("alice").await, here.login("bob").await, here.login("carol").await);
    let elsewhere = sent_to(&there, &client);
    lost.post("/leave", &Value::Null).await.assert_ok();
    known.post("/leave", &Value::Null).await.assert_ok();
    let is_revoked = |kind: &EventKind| matches!(kind, EventKind::Revoked { .. });
    for _ in 0..2 {
        next_event(&mut events, is_revoked).await;
    }
    there.store.break_down(Operation::Feed, Fault::Fails);
    there.until(async || there.store.calls(Operation::Feed) > 4).await;
    // The cursor stands at 2. The end of `lost` is gone, so this one is the second of the replica's count.
    there.store.forget_entries(1);
    client.post("/leave", &Value::Null).await.assert_ok();
    there.store.mend();
    there.until(async || elsewhere.clone().get("/me").await.status == 401).await;
    assert_eq!(&*next_event(&mut events, is_revoked).await.user, "carol", "and bob's is told once");
}

#[tokio::test(start_paused = true)]
async fn a_node_cut_off_from_the_feed_can_refuse_to_serve() {
    let (here, there) =
        two_nodes(|settings| settings.when_feed_is_behind(BOUND, WhenBehind::FailClosed)).await;
    let client = here.login("alice").await;
    let mut elsewhere = sent_to(&there, &client);
    there.store.break_down(Operation::Feed, Fault::Hangs);
    there.until(async || there.store.calls(Operation::Feed) > 1).await;
    tokio::time::advance(BOUND - there.sessions.feed_age()).await;
    elsewhere.get("/me").await.assert_ok();
    tokio::time::advance(MS).await;
    let refused = elsewhere.get("/me").await;
    refused.assert_refused(503, "store_unavailable").assert_keeps_tokens();
    assert_eq!(refused.header("retry-after"), Some("1"));
    elsewhere.get("/health").await.assert_ok();
    there.store.mend();
    there.until(async || elsewhere.clone().get("/me").await.status == 200).await;
}

#[tokio::test(start_paused = true)]
async fn a_healthy_feed_is_never_behind_however_short_the_bound() {
    let bound = Duration::from_millis(200);
    let world = World::with(|settings| settings.when_feed_is_behind(bound, WhenBehind::FailClosed)).await;
    let client = world.login("alice").await;
    world.settle().await;
    for _ in 0..50 {
        for _ in 0..10 {
            tokio::time::advance(10 * MS).await;
            world.settle().await;
        }
        client.clone().get("/me").await.assert_ok();
    }
}

#[tokio::test(start_paused = true)]
async fn a_theft_found_on_one_node_is_told_on_every_node() {
    let (here, there) = two_nodes(|settings| settings).await;
    let mut events = there.sessions.events();
    let (victim, mut thief) = crate::promises::victim_and_thief(&here, "theft-nodes").await;
    thief.refresh().await.assert_refused(401, "token_theft");
    next_event(&mut events, |kind| matches!(kind, EventKind::Theft { .. })).await;
    sent_to(&there, &victim).get("/me").await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn a_new_secret_reaches_one_node_after_the_other_and_nobody_is_logged_out() {
    let new = "u8Qe2LkVt0XyZ7nB5rJc1PdHw9sFgMaTiK3oRlNvEx4=";
    let clock = Clock::set_to(BEGINNING);
    let store = ObservedStore::new(&clock);
    let mut node = World::on(&clock, store.clone(), |settings| settings.keys(KEYS)).await;
    let mut client = node.login("alice").await;
    for ring in [format!("{KEYS},{new}"), format!("{new},{KEYS}"), new.to_owned()] {
        let next = World::on(&clock, store.of_another_node(), |settings| settings.keys(&ring)).await;
        for order in [[&node, &next], [&next, &node]] {
            for world in order {
                client = sent_to(world, &client);
                client.get("/me").await.assert_ok();
                clock.advance(ACCESS / 2);
                client.refresh().await.assert_ok();
            }
        }
        node = next;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_cut_off_from_the_feed_still_asks_the_store_where_a_route_says_so() {
    let (here, there) =
        two_nodes(|settings| settings.when_feed_is_behind(BOUND, WhenBehind::FailClosed)).await;
    let client = here.login("alice").await;
    there.store.break_down(Operation::Feed, Fault::Hangs);
    there.until(async || there.store.calls(Operation::Feed) > 1).await;
    tokio::time::advance(BOUND + MS).await;
    let token = client.access_token();
    sent_to(&there, &client).get("/me").await.assert_refused(503, "store_unavailable");
    assert!(matches!(there.sessions.verify(&token), Err(SessionError::StoreUnavailable(_))));
    sent_to(&there, &client).get("/checked").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_check_of_the_store_takes_no_newer_cookies_from_a_client_that_logged_in_anew() {
    let (here, there) = two_nodes(|settings| settings).await;
    let mut client = here.login("alice").await;
    let (old, handle) = (client.clone(), client.handle());
    there.store.break_down(Operation::Feed, Fault::Hangs);
    there.until(async || there.store.calls(Operation::Feed) > 1).await;
    client.login("alice").await.assert_ok();
    client.get("/me").await.assert_ok();
    here.until_ended(handle).await;
    sent_to(&there, &old)
        .get("/checked")
        .await
        .assert_refused(401, "try_refresh_token")
        .assert_keeps_tokens();
}

#[tokio::test(start_paused = true)]
async fn a_restarted_process_takes_no_token_of_a_store_that_ended_with_the_last() {
    let clock = Clock::set_to(BEGINNING);
    let before = World::on(&clock, ObservedStore::new(&clock), |builder| builder.keys(KEYS)).await;
    let client = before.login("alice").await;
    before.sessions.revoke_all("alice").await.unwrap();
    clock.advance(MS);
    let after = World::on(&clock, ObservedStore::new(&clock), |builder| builder.keys(KEYS)).await;
    sent_to(&after, &client).get("/me").await.assert_refused(401, "unauthorised");
    sent_to(&after, &client).refresh().await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn tokens_made_when_access_tokens_lived_longer_are_cut_short() {
    let clock = Clock::set_to(BEGINNING);
    let store = ObservedStore::new(&clock).that_outlives_the_process();
    let short = Duration::from_secs(300);
    let before = World::on(&clock, store.clone(), |builder| builder.keys(KEYS)).await;
    let mut client = before.login("alice").await;
    let after = World::on(&clock, store, |builder| builder.keys(KEYS).access_lifetime(short)).await;
    clock.advance(short - MS);
    sent_to(&after, &client).get("/me").await.assert_ok();
    clock.advance(MS);
    sent_to(&after, &client).get("/me").await.assert_refused(401, "try_refresh_token");
    client.get("/me").await.assert_ok();
}
