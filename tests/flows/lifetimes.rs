//! When tokens and sessions end: to the millisecond, and never later than promised.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use session_runtime::{BeyondLimit, EndReason, EventKind, NewSession};

use crate::{
    client::{ACCESS_COOKIE, Client, REFRESH_COOKIE},
    store::Operation,
    world::{ACCESS, G, IDLE, MS, World, next_event},
};

/// How long the end of a session is remembered: an access token's life, and the slack of the keys.
const RETENTION: Duration = ACCESS.saturating_add(Duration::from_secs(60));

const MINUTE: Duration = Duration::from_secs(60);

/// Lets the runtime's clock go on until the next purge has run.
async fn purged(world: &World) {
    world.settle().await;
    let before = world.store.calls(Operation::Purge);
    tokio::time::advance(MINUTE).await;
    world.until(async || world.store.calls(Operation::Purge) > before).await;
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn an_access_token_is_good_until_the_millisecond_of_its_expiry() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    world.advance(ACCESS - MS);
    client.get("/me").await.assert_ok();
    world.advance(MS);
    client.get("/me").await.assert_refused(401, "try_refresh_token").assert_keeps_tokens();
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_refresh_ends_in_the_millisecond_of_its_idle_expiry() {
    let world = World::new().await;
    let (mut in_time, mut too_late) = (world.login("alice").await, world.login("bob").await);
    world.advance(IDLE - MS);
    in_time.refresh().await.assert_ok();
    world.advance(MS);
    too_late.refresh().await.assert_refused(401, "unauthorised");
    assert!(too_late.has_forgotten());
    // The refresh moved the other one's expiry ahead.
    world.advance(IDLE - 2 * MS);
    in_time.refresh().await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_refresh_never_moves_the_absolute_expiry() {
    let absolute = ACCESS * 5 / 2;
    let world = World::with(|settings| settings.absolute_lifetime(absolute)).await;
    let mut client = world.login("alice").await;
    for _ in 0..2 {
        world.advance(ACCESS);
        client.refresh().await.assert_ok();
    }
    let row = world.store.row(client.handle()).await.unwrap();
    assert_eq!(row.expires_at(), row.created_at.after(absolute));
    world.advance(ACCESS / 2 - MS);
    client.get("/me").await.assert_ok();
    let last = client.refresh().await;
    last.assert_ok();
    world.advance(MS);
    client.get("/me").await.assert_refused(401, "try_refresh_token");
    client.refresh().await.assert_refused(401, "unauthorised");
    assert!(client.has_forgotten());
}

#[tokio::test(start_paused = true)]
async fn near_the_absolute_expiry_tokens_and_cookies_live_no_longer_than_the_session() {
    let absolute = ACCESS * 3 / 2;
    let world = World::with(|settings| settings.absolute_lifetime(absolute)).await;
    let mut client = world.login("alice").await;
    world.advance(ACCESS);
    let answer = client.refresh().await;
    assert_eq!(answer.access_lifetime(), (ACCESS / 2).as_secs());
    let cookie = answer.cookie(REFRESH_COOKIE).unwrap();
    assert_eq!(cookie.attribute("Max-Age"), Some(&*(ACCESS / 2).as_secs().to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_remembered_has_session_cookies_for_ever() {
    let world = World::new().await;
    let mut client = world.browser();
    let login = client.post("/login", &json!({ "user": "alice", "forget": true })).await;
    world.advance(ACCESS / 2);
    let claim = client.post("/role", &json!(["admin"])).await;
    let refresh = client.refresh().await;
    assert!(login.cookie(REFRESH_COOKIE).is_some() && refresh.cookie(REFRESH_COOKIE).is_some());
    assert!(claim.cookie(ACCESS_COOKIE).is_some());
    for cookie in [login.cookies(), claim.cookies(), refresh.cookies()].concat() {
        assert_eq!((cookie.attribute("Max-Age"), cookie.attribute("Expires")), (None, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_can_ask_for_a_recent_authentication_and_a_refresh_is_none() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    world.advance(15 * MINUTE);
    client.get("/recent").await.assert_ok();
    world.advance(MS);
    let refused = client.get("/recent").await;
    refused.assert_refused(403, "invalid_claim").assert_keeps_tokens();
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.contains("insufficient_user_authentication") && challenge.contains("max_age=\"900\""));
    client.refresh().await.assert_ok();
    client.get("/recent").await.assert_refused(403, "invalid_claim");
    client.login("alice").await.assert_ok();
    client.get("/recent").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_login_beyond_the_limit_ends_the_oldest_session() {
    let limit =
        |max| World::with(move |settings| settings.max_sessions_per_user(max, BeyondLimit::EvictOldest));
    let world = limit(2).await;
    let mut events = world.sessions.events();
    let mut first = world.login("alice").await;
    let mut second = world.login("alice").await;
    let mut third = world.login("alice").await;
    let mut bob = world.login("bob").await;
    world.settle().await;
    first.get("/me").await.assert_refused(401, "unauthorised");
    for client in [&mut second, &mut third, &mut bob] {
        client.get("/me").await.assert_ok();
    }
    let end = next_event(&mut events, |kind| matches!(kind, EventKind::Revoked { .. })).await;
    assert_eq!(end.kind, EventKind::Revoked { reason: EndReason::Evicted });
}

#[tokio::test(start_paused = true)]
async fn a_login_beyond_the_limit_can_be_refused_instead() {
    let world = World::with(|settings| settings.max_sessions_per_user(1, BeyondLimit::Refuse)).await;
    let mut first = world.login("alice").await;
    let mut second = world.browser();
    let refused = second.login("alice").await;
    refused.assert_refused(409, "too_many_sessions").assert_keeps_tokens();
    assert_eq!(refused.json(), json!({ "message": "too many sessions" }));
    first.get("/me").await.assert_ok();
    first.logout().await.assert_ok();
    second.login("alice").await.assert_ok();
    world.advance(IDLE);
    world.browser().login("alice").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_a_login_replaces_does_not_count_to_the_limit() {
    for beyond in [BeyondLimit::EvictOldest, BeyondLimit::Refuse] {
        let world = World::with(|settings| settings.max_sessions_per_user(1, beyond)).await;
        let mut client = world.login("alice").await;
        let mut before = client.clone();
        client.login("alice").await.assert_ok();
        before.get("/me").await.assert_ok();
        let old = before.handle();
        client.get("/me").await.assert_ok();
        world.until_ended(old).await;
        assert_eq!(world.sessions.list("alice").await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_holds_under_parallel_logins() {
    for beyond in [BeyondLimit::EvictOldest, BeyondLimit::Refuse] {
        let world = World::with(|settings| settings.max_sessions_per_user(3, beyond)).await;
        let logins = (0..60).map(|_| {
            let mut client = world.browser();
            tokio::spawn(async move { client.login("alice").await.status.as_u16() })
        });
        let statuses: Vec<_> = join_all(logins).await.into_iter().map(|status| status.unwrap()).collect();
        assert_eq!(world.sessions.list("alice").await.unwrap().len(), 3);
        let refused = statuses.iter().filter(|status| **status == 409).count();
        assert_eq!(refused, if beyond == BeyondLimit::Refuse { 57 } else { 0 });
        assert!(statuses.iter().all(|status| matches!(status, 200 | 409)));
    }
}

#[tokio::test(start_paused = true)]
async fn expired_sessions_are_deleted_in_bounded_batches_and_their_end_is_told() {
    let world = World::new().await;
    for number in 0..1500 {
        world.sessions.create(&NewSession::new(format!("user-{number}"))).await.unwrap();
    }
    let mut events = world.sessions.events();
    world.advance(IDLE - MS);
    purged(&world).await;
    assert_eq!(world.store.rows(), 1500, "they live");
    world.advance(MINUTE + MS);
    let before = world.store.calls(Operation::Purge);
    purged(&world).await;
    world.until(async || world.store.rows() == 0).await;
    assert_eq!(world.store.calls(Operation::Purge) - before, 2, "1000 at once");
    next_event(&mut events, |kind| *kind == EventKind::Expired).await;
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_stays_known_while_an_access_token_of_it_may_live() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let stolen = client.clone();
    client.logout().await.assert_ok();
    world.advance(ACCESS - MS);
    purged(&world).await;
    assert_eq!(world.store.rows(), 1);
    stolen.clone().get("/me").await.assert_refused(401, "unauthorised");
    world.advance(RETENTION + MINUTE - ACCESS + MS);
    purged(&world).await;
    assert_eq!(world.store.rows(), 0);
    stolen.clone().get("/me").await.assert_refused(401, "try_refresh_token");
    stolen.clone().refresh().await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_end_of_a_session_is_told_of_its_revocation() {
    let world = World::new().await;
    let client = world.login("alice").await;
    let session = world.sessions.verify(&client.access_token()).unwrap();
    let ended = tokio::spawn(session.ended());
    world.settle().await;
    assert!(!ended.is_finished());
    world.sessions.revoke(client.handle()).await.unwrap();
    world.until(async || ended.is_finished()).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_end_of_a_session_is_told_of_its_expiry_and_not_of_its_access_tokens() {
    let world = World::new().await;
    let mut client: Client = world.login("alice").await;
    let session = world.sessions.verify(&client.access_token()).unwrap();
    let ended = tokio::spawn(session.ended());
    world.settle().await;
    world.advance(ACCESS + G);
    world.settle().await;
    assert!(!ended.is_finished(), "only the access token has expired");
    client.refresh().await.assert_ok();
    world.advance(IDLE - G);
    world.settle().await;
    assert!(!ended.is_finished(), "the refresh moved the expiry ahead");
    world.advance(G - MS);
    world.settle().await;
    assert!(!ended.is_finished());
    world.advance(MS);
    world.until(async || ended.is_finished()).await;
}
