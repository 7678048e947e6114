//! No secret shows: all flows at `TRACE`, and then a search for every piece of every token and key.

use axum::http::Method;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};
use session_runtime::{CsrfMode, KeyRing, NewSession, SessionError, Sessions};
use tests::hidden::{Log, Secrets};

use crate::{
    app::Role,
    client::{Client, REFRESH_COOKIE},
    promises::victim_and_thief,
    store::{Fault, Operation},
    world::{ACCESS, G, KEYS, MS, World},
};

fn add_client(secrets: &mut Secrets, client: &Client) {
    secrets.add_tokens(&client.access_token(), &client.refresh_token());
    let anti_csrf = client.request(Method::GET, "/").headers().get("anti-csrf").cloned();
    secrets.texts.extend(anti_csrf.map(|token| token.to_str().unwrap().to_owned()));
}

async fn add_salt(secrets: &mut Secrets, world: &World, client: &Client) {
    let row = world.store.row(client.handle()).await.unwrap();
    secrets.bytes.insert(row.salt.0.to_vec());
}

/// Everything that can happen to a session.
async fn all_flows(world: &World, secrets: &mut Secrets) {
    let mut client = world.login("alice").await;
    add_client(secrets, &client);
    add_salt(secrets, world, &client).await;
    let mut lost = client.clone();
    client.post("/role", &json!(["admin"])).await;
    for path in ["/me", "/note", "/admin", "/recent", "/checked", "/maybe", "/own-refusal", "/nowhere"] {
        client.get(path).await;
    }
    world.advance(ACCESS);
    client.get("/me").await;
    client.refresh().await;
    add_client(secrets, &client);
    for wait in [G, G + MS, 2 * G] {
        world.advance(wait);
        lost.clone().refresh().await;
    }
    lost.refresh().await;
    add_client(secrets, &lost);
    for operation in Operation::ALL {
        for fault in [Fault::Fails, Fault::Hangs] {
            world.store.break_down(operation, fault);
            lost.clone().refresh().await;
            lost.clone().post("/role", &json!(["user"])).await;
            lost.clone().logout().await;
            world.browser().login("alice").await;
            world.store.mend();
        }
    }
    let mut damaged = lost.clone();
    damaged.set_cookie(REFRESH_COOKIE, &lost.refresh_token()[1..]);
    damaged.refresh().await;
    let without_csrf = lost.clone().with("sec-fetch-site", "cross-site").call(Method::POST, "/leave").await;
    assert!(!without_csrf.headers.is_empty());
    lost.post("/broken", &Value::Null).await;
    lost.post("/leave-others", &Value::Null).await;
    lost.logout().await;

    let (mut victim, mut thief) = victim_and_thief(world, "mallory").await;
    add_client(secrets, &victim);
    add_client(secrets, &thief);
    add_salt(secrets, world, &victim).await;
    thief.refresh().await;
    victim.get("/me").await;
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn no_piece_of_a_token_or_key_is_ever_logged() {
    for csrf in [CsrfMode::FetchMetadata, CsrfMode::Token] {
        let log = Log::of_this_thread();
        let world = World::with(|settings| settings.keys(KEYS).csrf(csrf)).await;
        let mut secrets = Secrets::default();
        secrets.texts.insert(KEYS.to_owned());
        secrets.bytes.insert(BASE64_STANDARD.decode(KEYS).unwrap());
        all_flows(&world, &mut secrets).await;
        let text = log.text();
        assert!(text.contains("theft") && text.contains("session store"), "the flows were logged");
        assert_eq!(secrets.first_in(&text), None);
    }
}

#[tokio::test(start_paused = true)]
async fn no_public_type_or_error_shows_a_piece_of_a_token_or_key() {
    let world = World::with(|settings| settings.keys(KEYS)).await;
    let client = world.login("alice").await;
    let mut secrets = Secrets::default();
    add_client(&mut secrets, &client);
    add_salt(&mut secrets, &world, &client).await;
    secrets.texts.insert(KEYS.to_owned());
    secrets.bytes.insert(BASE64_STANDARD.decode(KEYS).unwrap());

    let tokens =
        world.sessions.create(NewSession::new("alice").claim(Role, vec!["admin".into()])).await.unwrap();
    secrets.texts.insert(tokens.access().expose().to_owned());
    secrets.texts.insert(tokens.refresh().unwrap().expose().to_owned());
    let session = world.sessions.verify(&client.access_token()).unwrap();
    let row = world.store.row(client.handle()).await.unwrap();
    let list = world.sessions.list("alice").await.unwrap();
    let mut shown = format!(
        "{tokens:?} {:?} {:?} {session:?} {row:?} {list:?} {:?} {:?} {:?}",
        tokens.access(),
        tokens.refresh(),
        world.sessions,
        Sessions::builder(world.store.clone()).keys(KEYS),
        KeyRing::parse(KEYS),
    );
    for bad in [&KEYS[..20], &format!("{KEYS},{KEYS}"), &format!("{KEYS}!"), &KEYS.to_lowercase()] {
        let error = KeyRing::parse(bad).unwrap_err();
        shown += &format!("{error} {error:?}");
        let error = Sessions::builder(world.store.clone()).keys(bad).build().await.unwrap_err();
        shown += &format!("{error} {error:?}");
    }
    let errors: [SessionError; 2] = [
        world.sessions.refresh(&client.refresh_token()[1..]).await.unwrap_err(),
        world.sessions.verify(&client.access_token()[1..]).unwrap_err(),
    ];
    shown += &format!("{errors:?} {} {}", errors[0], errors[1]);
    assert_eq!(secrets.first_in(&shown), None);
    assert!(shown.contains("[REDACTED]"));
}

#[test]
fn the_search_finds_a_secret_in_every_encoding() {
    let secret: Vec<u8> = (100..148).collect();
    let mut secrets = Secrets::default();
    secrets.bytes.insert(secret.clone());
    secrets.texts.insert("a-token-that-crosses-the-network".to_owned());
    for shown in [
        BASE64_STANDARD.encode(&secret[1..]),
        BASE64_URL_SAFE_NO_PAD.encode(&secret[2..20]),
        format!("{secret:?}"),
        secret.iter().map(|byte| format!("{byte:02x}")).collect(),
        "… that-crosses …".to_owned(),
    ] {
        assert!(secrets.first_in(&shown).is_some(), "{shown}");
    }
    assert_eq!(secrets.first_in("nothing of the kind"), None);
}
