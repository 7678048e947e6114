//! Clients that send a nonce with each refresh.

use std::time::Duration;

use axum::http::{HeaderValue, Method};
use futures_util::future::join_all;
use session_runtime::{EventKind, NonceProblem, SessionError, TheftKind};

use crate::{
    client::{Answer, Client, payload_of},
    store::{Fault, Operation},
    world::{ACCESS, G, MS, World, next_event},
};

const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// Who sends nonces. Each has one for every generation.
#[derive(Clone, Copy)]
enum Owner {
    Alice,
    Thief,
}

impl Owner {
    fn nonce(self, generation: u64) -> String {
        let letter = match self {
            Self::Alice => 'a',
            Self::Thief => 't',
        };
        format!("{generation}.{letter}{generation:0>21}")
    }

    /// A refresh with the nonce for the generation that the access token tells.
    async fn refreshes(self, client: &mut Client) -> Answer {
        let generation = payload_of(&client.access_token())["generation"].as_u64().expect("a generation");
        refresh_with(client, &self.nonce(generation)).await
    }
}

async fn refresh_with(client: &mut Client, nonce: &str) -> Answer {
    let mut request = client.request(Method::POST, "/refresh");
    request.headers_mut().insert("st-nonce", nonce.parse().expect("a header value"));
    client.send(request).await
}

/// A client with a bound token: its first exchange with a nonce was the latest.
async fn bound(world: &World) -> Client {
    let mut client = world.login("alice").await;
    world.advance(ACCESS);
    assert!(Owner::Alice.refreshes(&mut client).await.assert_ok().refresh_token().is_some());
    client
}

async fn generation_of(world: &World, client: &Client) -> u32 {
    world.store.row(client.handle()).await.expect("the session is there").chain.generation
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_given_again_after_any_delay() {
    let world = World::new().await;
    let mut client = bound(&world).await;
    world.advance(ACCESS);
    let lost = Owner::Alice.refreshes(&mut client.clone()).await.assert_ok().refresh_token();
    assert!(lost.is_some());
    for delay in [G, 4 * G, A_DAY] {
        world.advance(delay);
        let answer = Owner::Alice.refreshes(&mut client.clone()).await;
        assert_eq!(answer.assert_ok().refresh_token(), lost, "{delay:?}");
        assert_eq!(answer.access_lifetime(), ACCESS.as_secs());
    }
    Owner::Alice.refreshes(&mut client).await.assert_ok();
    client.get("/me").await.assert_ok();
    assert_eq!(generation_of(&world, &client).await, 3, "one rotation");
}

#[tokio::test(start_paused = true)]
async fn a_tab_that_slept_through_the_use_of_the_successor_is_given_it_too() {
    let world = World::new().await;
    let mut client = bound(&world).await;
    let mut tab = client.clone();
    world.advance(ACCESS);
    Owner::Alice.refreshes(&mut client).await.assert_ok();
    client.get("/me").await.assert_ok();
    world.until_used(client.handle()).await;
    world.advance(A_DAY);
    Owner::Alice.refreshes(&mut tab).await.assert_ok();
    assert_eq!(tab.refresh_token(), client.refresh_token());
}

#[tokio::test(start_paused = true)]
async fn a_tab_that_slept_through_two_rotations_is_given_the_current_token() {
    let world = World::new().await;
    let mut client = bound(&world).await;
    let mut tab = client.clone();
    for _ in 0..2 {
        world.advance(ACCESS);
        Owner::Alice.refreshes(&mut client).await.assert_ok();
    }
    Owner::Alice.refreshes(&mut tab).await.assert_ok();
    assert_eq!(tab.refresh_token(), client.refresh_token());
    tab.get("/me").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_stolen_token_that_is_used_within_the_grace_is_found_at_once() {
    let world = World::new().await;
    let mut events = world.sessions.events();
    let mut client = bound(&world).await;
    let mut thief = client.clone().with("user-agent", "Thief/1.0");
    world.advance(ACCESS);
    Owner::Alice.refreshes(&mut client).await.assert_ok();
    world.advance(MS);
    Owner::Thief.refreshes(&mut thief).await.assert_refused(401, "token_theft");
    client.get("/me").await.assert_refused(401, "unauthorised");
    let theft = next_event(&mut events, |kind| matches!(kind, EventKind::Theft { .. })).await;
    assert!(matches!(theft.kind, EventKind::Theft { kind: TheftKind::OtherNonce, .. }), "{theft:?}");
}

#[tokio::test(start_paused = true)]
async fn a_thief_who_is_faster_is_found_by_the_owners_next_refresh() {
    let world = World::new().await;
    let mut client = bound(&world).await;
    let mut thief = client.clone();
    world.advance(ACCESS);
    Owner::Thief.refreshes(&mut thief).await.assert_ok();
    Owner::Alice.refreshes(&mut client).await.assert_refused(401, "token_theft");
    thief.get("/me").await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn a_bound_token_without_a_nonce_is_refused_and_nothing_is_cleared() {
    let world = World::new().await;
    let mut client = bound(&world).await;
    for wait in [MS, ACCESS] {
        world.advance(wait);
        let before = world.store.row(client.handle()).await;
        let answer = client.refresh().await;
        answer.assert_refused(409, "nonce_required").assert_keeps_tokens();
        assert_eq!(answer.json()["message"], "nonce required");
        assert_eq!(world.store.row(client.handle()).await, before);
    }
    Owner::Alice.refreshes(&mut client).await.assert_ok();
    client.get("/me").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_nonce_of_another_generation_is_refused_before_the_store_is_asked() {
    let world = World::new().await;
    for mut client in [world.login("alice").await, bound(&world).await] {
        let current = u64::from(generation_of(&world, &client).await);
        let calls = world.store.calls_of_requests();
        for generation in [current + 1, current + 2, u64::from(u32::MAX)] {
            let answer = refresh_with(&mut client, &Owner::Alice.nonce(generation)).await;
            answer.assert_refused(409, "nonce_generation").assert_keeps_tokens();
        }
        assert_eq!(world.store.calls_of_requests(), calls);
        Owner::Alice.refreshes(&mut client).await.assert_ok();
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_nonce_is_refused_and_nothing_is_cleared() {
    let world = World::new().await;
    let mut client = bound(&world).await;
    let long = format!("2.{}", "a".repeat(60_000));
    let good = Owner::Alice.nonce(2);
    let signed = format!("+{good}");
    for value in
        ["", ".", "2", "2.", "2.short", "x.aaaaaaaaaaaaaaaaaaaaaa", &long, &signed, &format!("{good},{good}")]
    {
        let answer = refresh_with(&mut client, value).await;
        answer.assert_refused(400, "nonce_malformed").assert_keeps_tokens();
    }
    let mut twice = client.request(Method::POST, "/refresh");
    for _ in 0..2 {
        twice.headers_mut().append("st-nonce", good.parse().expect("a header value"));
    }
    client.send(twice).await.assert_refused(400, "nonce_malformed").assert_keeps_tokens();
    let mut bytes = client.request(Method::POST, "/refresh");
    bytes.headers_mut().insert("st-nonce", HeaderValue::from_bytes(b"2.\xff").expect("a header value"));
    client.send(bytes).await.assert_refused(400, "nonce_malformed").assert_keeps_tokens();
    refresh_with(&mut client, &good).await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_nonce_saves_no_token_that_is_none_of_ours() {
    let world = World::new().await;
    let mut stranger = world.browser();
    refresh_with(&mut stranger, &Owner::Alice.nonce(1)).await.assert_refused(401, "unauthorised");
    let mut client = bound(&world).await;
    let mut copy = client.clone();
    client.logout().await.assert_ok();
    Owner::Alice.refreshes(&mut copy).await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_keeps_the_token_binds_nothing() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let answer = Owner::Alice.refreshes(&mut client).await;
    assert_eq!(answer.assert_ok().refresh_token(), None);
    world.advance(ACCESS);
    client.refresh().await.assert_ok();
    client.refresh().await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_sending_nonces_before_the_first_bound_token_reached_it_unbinds() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    world.advance(ACCESS);
    Owner::Alice.refreshes(&mut client.clone()).await.assert_ok();
    // Its bound successor would be of no use to it, so it is given none.
    assert_eq!(client.refresh().await.assert_ok().refresh_token(), None);
    world.advance(3 * G + MS);
    assert!(client.refresh().await.assert_ok().refresh_token().is_some());
    for _ in 0..3 {
        world.advance(ACCESS);
        client.refresh().await.assert_ok();
    }
    assert_eq!(world.store.row(client.handle()).await.unwrap().chain.binding, None);
}

#[tokio::test(start_paused = true)]
async fn a_thief_who_binds_first_is_found_by_the_owner_who_sends_no_nonce() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let mut thief = client.clone();
    world.advance(ACCESS);
    Owner::Thief.refreshes(&mut thief).await.assert_ok();
    thief.get("/me").await.assert_ok();
    world.until_used(thief.handle()).await;
    world.advance(G + MS);
    client.refresh().await.assert_refused(401, "token_theft");
    thief.clone().get("/me").await.assert_refused(401, "unauthorised");
    Owner::Thief.refreshes(&mut thief).await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn a_thief_who_binds_first_and_waits_loses_the_session_to_its_owner() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let mut thief = client.clone();
    world.advance(ACCESS);
    Owner::Thief.refreshes(&mut thief).await.assert_ok();
    world.advance(3 * G + MS);
    client.refresh().await.assert_ok();
    client.get("/me").await.assert_ok();
    Owner::Thief.refreshes(&mut thief).await.assert_refused(401, "token_theft");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_its_last_write_learns_the_nonce_from_the_token() {
    let world = World::new().await;
    let mut client = bound(&world).await;
    let mut tab = client.clone();
    world.advance(ACCESS);
    world.store.break_down(Operation::Rotate, Fault::Forgets);
    assert!(Owner::Alice.refreshes(&mut client).await.assert_ok().refresh_token().is_some());
    world.store.mend();
    world.advance(MS);
    Owner::Alice.refreshes(&mut client).await.assert_ok();
    assert_eq!(generation_of(&world, &client).await, 3, "brought forward by the token");
    world.advance(A_DAY);
    Owner::Alice.refreshes(&mut tab.clone()).await.assert_ok();
    Owner::Thief.refreshes(&mut tab).await.assert_refused(401, "token_theft");
}

#[tokio::test(start_paused = true)]
async fn presentations_share_a_call_of_the_store_only_with_the_same_nonce() {
    let world = World::new().await;
    let client = bound(&world).await;
    world.advance(ACCESS);
    let calls = world.store.calls(Operation::Rotate);
    let present = |owner: Owner| {
        let mut tab = client.clone();
        async move { owner.refreshes(&mut tab).await }
    };
    let alices = join_all((0..10).map(|_| present(Owner::Alice))).await;
    assert!(alices.iter().all(|answer| answer.assert_ok().refresh_token() == alices[0].refresh_token()));
    assert_eq!(world.store.calls(Operation::Rotate), calls + 1);
    let (alice, thief) = tokio::join!(present(Owner::Alice), present(Owner::Thief));
    alice.assert_ok();
    thief.assert_refused(401, "token_theft");
    assert_eq!(world.store.calls(Operation::Rotate), calls + 3);
}

#[tokio::test(start_paused = true)]
async fn a_client_in_header_mode_is_bound_likewise() {
    let world = World::new().await;
    let mut client = world.browser().in_header_mode();
    client.login("alice").await.assert_ok();
    let mut before = client.clone();
    for _ in 0..3 {
        world.advance(ACCESS);
        before = client.clone();
        assert!(Owner::Alice.refreshes(&mut client).await.assert_ok().header("st-refresh-token").is_some());
    }
    client.refresh().await.assert_refused(409, "nonce_required").assert_keeps_tokens();
    world.advance(A_DAY);
    Owner::Alice.refreshes(&mut before).await.assert_ok();
    assert_eq!(before.refresh_token(), client.refresh_token());
}

#[tokio::test(start_paused = true)]
async fn a_bound_session_is_refreshed_without_a_request_too() {
    let world = World::new().await;
    let client = bound(&world).await;
    let token = client.refresh_token();
    let refused = |result: Result<_, SessionError>| match result {
        Err(SessionError::NonceRefused(problem)) => Some(problem),
        _ => None,
    };
    assert_eq!(refused(world.sessions.refresh(&token).await), Some(NonceProblem::Missing));
    let refresh_bound = async |nonce: &str| world.sessions.refresh_bound(&token, nonce).await;
    assert_eq!(refused(refresh_bound("2.short").await), Some(NonceProblem::Malformed));
    assert_eq!(refused(refresh_bound(&Owner::Alice.nonce(3)).await), Some(NonceProblem::OtherGeneration));
    refresh_bound(&Owner::Alice.nonce(2)).await.expect("the token is current");
}
