//! What a login does to the sessions that the same client had before, and what can't be used to end another's.

use std::time::Duration;

use session_runtime::SessionHandle;

use crate::{
    client::Client,
    world::{ACCESS, World},
};

/// A client that logged in `times` times in a row, using no session in between, and the handles of all its sessions.
async fn logged_in_again(world: &World, times: usize) -> (Client, Vec<SessionHandle>) {
    let mut client = world.browser();
    let mut handles = Vec::new();
    for _ in 0..times {
        client.login("alice").await.assert_ok();
        handles.push(client.handle());
    }
    (client, handles)
}

async fn live(world: &World, handles: &[SessionHandle]) -> Vec<bool> {
    let mut live = Vec::new();
    for handle in handles {
        live.push(world.sessions.info(*handle).await.unwrap().is_some());
    }
    live
}

#[tokio::test(start_paused = true)]
async fn using_the_newest_session_ends_all_that_were_replaced_on_the_way_to_it() {
    let world = World::new().await;
    let (mut client, handles) = logged_in_again(&world, 500).await;
    client.get("/me").await.assert_ok();
    world.until_ended(handles[0]).await;
    let (newest, older) = handles.split_last().unwrap();
    assert!(live(&world, older).await.iter().all(|live| !live));
    assert!(world.sessions.info(*newest).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_logout_as_the_first_use_ends_the_replaced_session_too() {
    for end in ["/logout", "/leave"] {
        let world = World::new().await;
        let (mut client, handles) = logged_in_again(&world, 2).await;
        client.post(end, &serde_json::Value::Null).await.assert_ok();
        assert_eq!(live(&world, &handles).await, [false, false], "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn revoking_an_unused_session_from_elsewhere_leaves_the_one_that_it_was_to_replace() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    // The answer to this login is lost.
    let mut lost = client.clone();
    lost.login("alice").await.assert_ok();
    assert!(world.sessions.revoke(lost.handle()).await.unwrap());
    world.settle().await;
    client.get("/me").await.assert_ok();
    world.advance(ACCESS);
    client.refresh().await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn an_expired_access_token_of_another_user_ends_nothing() {
    let world = World::new().await;
    let victim = world.login("alice").await;
    world.advance(ACCESS + Duration::from_secs(1));
    let mut attacker = victim.clone();
    attacker.login("mallory").await.assert_ok();
    attacker.get("/me").await.assert_ok();
    world.until_used(attacker.handle()).await;
    assert!(world.sessions.info(victim.handle()).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_expired_access_token_of_the_same_user_is_enough_to_replace_its_session() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let old = client.handle();
    world.advance(ACCESS + Duration::from_secs(1));
    client.login("alice").await.assert_ok();
    client.get("/me").await.assert_ok();
    world.until_ended(old).await;
}

#[tokio::test(start_paused = true)]
async fn switching_users_in_one_browser_ends_the_first_users_session() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let old = client.handle();
    client.login("bob").await.assert_ok();
    client.get("/me").await.assert_ok();
    world.until_ended(old).await;
}
