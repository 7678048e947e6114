//! Bad input: whatever stands in the place of a token is refused with 401, and with nothing else.

use std::{io::ErrorKind, net::TcpListener};

use axum::{
    body::Body,
    http::{
        HeaderName, HeaderValue, Method, Request,
        header::{AUTHORIZATION, COOKIE},
    },
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::json;
use session_runtime::{CsrfMode, SigningAlgorithm};

use crate::{
    client::{ACCESS_COOKIE, Answer, REFRESH_COOKIE, payload_of, send},
    world::{ACCESS, World},
};

/// Where a token can stand.
#[derive(Clone, Copy, Debug)]
enum Place {
    Cookie(&'static str),
    Bearer,
    RefreshHeader,
}

const ACCESS_PLACES: [Place; 2] = [Place::Cookie(ACCESS_COOKIE), Place::Bearer];
const REFRESH_PLACES: [Place; 3] = [Place::Cookie(REFRESH_COOKIE), Place::Bearer, Place::RefreshHeader];

impl Place {
    fn header(self, value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
        let (name, prefix) = match self {
            Self::Cookie(name) => (COOKIE, format!("{name}=")),
            Self::Bearer => (AUTHORIZATION, "Bearer ".to_owned()),
            Self::RefreshHeader => (HeaderName::from_static("st-refresh-token"), String::new()),
        };
        // What no header can carry never reaches a server.
        let value = HeaderValue::from_bytes(&[prefix.as_bytes(), value].concat()).ok()?;
        Some((name, value))
    }
}

fn request(
    method: Method,
    path: &str,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    request.headers_mut().insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
    for (name, value) in headers {
        request.headers_mut().append(name, value);
    }
    request
}

/// Presents a text as an access token, at each place, to a protected route and to the logout.
async fn as_access_token(world: &World, text: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for place in ACCESS_PLACES {
        for (method, path) in [(Method::GET, "/me"), (Method::POST, "/logout")] {
            if let Some(header) = place.header(text) {
                answers.push(send(&world.app, request(method, path, [header])).await);
            }
        }
    }
    answers
}

/// Presents a text as a refresh token, at each place.
async fn as_refresh_token(world: &World, text: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for place in REFRESH_PLACES {
        if let Some(header) = place.header(text) {
            answers.push(send(&world.app, request(Method::POST, "/refresh", [header])).await);
        }
    }
    answers
}

#[track_caller]
fn assert_refused(answers: &[Answer], case: &str) {
    for answer in answers {
        assert_eq!(answer.status, 401, "{case}");
        assert_eq!(answer.cookie_names().0, [""; 0], "{case}");
        assert_eq!(answer.access(), None, "{case}");
        assert!(
            matches!(answer.header("session-error"), Some("unauthorised" | "try_refresh_token")),
            "{case}"
        );
        assert!(answer.json()["message"].is_string());
    }
}

/// Every change of one character, and every cut.
fn damaged(token: &str) -> Vec<String> {
    let cuts = (0..token.len()).map(|end| token[..end].to_owned());
    let flips = (0..token.len()).map(|at| {
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &token[..at], &token[at + 1..])
    });
    let longer =
        ["A", "=", ".", ".A", "AAAA", " ", "\t", ",", ";", "\"", "%00"].map(|tail| format!("{token}{tail}"));
    let quoted = [
        format!("\"{token}\""),
        format!("{token},{token}"),
        format!("{token}.{token}"),
        token.to_uppercase(),
    ];
    cuts.chain(flips).chain(longer).chain(quoted).collect()
}

/// White space around a token is no part of it (RFC 9110, section 5.5; RFC 6265, section 5.2).
fn is_the_token(text: &str, token: &str) -> bool {
    text.trim_matches([' ', '\t', ';']) == token
}

#[tokio::test(start_paused = true)]
async fn a_damaged_access_token_opens_nothing() {
    let world = World::new().await;
    let token = world.login("alice").await.access_token();
    for text in damaged(&token).into_iter().filter(|text| !is_the_token(text, &token)) {
        assert_refused(&as_access_token(&world, text.as_bytes()).await, &text);
    }
    assert_eq!(as_access_token(&world, token.as_bytes()).await[0].status, 200, "undamaged it does");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_refresh_token_opens_nothing_and_ends_nothing() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let token = client.refresh_token();
    for text in damaged(&token).into_iter().filter(|text| !is_the_token(text, &token)) {
        assert_refused(&as_refresh_token(&world, text.as_bytes()).await, &text);
    }
    client.get("/me").await.assert_ok();
    world.advance(ACCESS);
    client.refresh().await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_token_is_accepted_in_its_own_place_only() {
    let world = World::with(|settings| settings.csrf(CsrfMode::Token)).await;
    let mut client = world.browser();
    let login = client.login("alice").await;
    let (access, refresh) = (client.access_token(), client.refresh_token());
    let others = [login.header("anti-csrf").unwrap(), login.header("front-token").unwrap()];
    let handle = client.handle().to_string();
    for text in others.into_iter().chain([&*refresh, &*handle, "remove", "null", "undefined"]) {
        assert_refused(&as_access_token(&world, text.as_bytes()).await, text);
    }
    for text in others.into_iter().chain([&*access, &*handle, "remove", "null", "undefined"]) {
        assert_refused(&as_refresh_token(&world, text.as_bytes()).await, text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_operator_opens_nothing() {
    let (world, elsewhere) = (World::new().await, World::new().await);
    let stranger = elsewhere.login("alice").await;
    assert_refused(&as_access_token(&world, stranger.access_token().as_bytes()).await, "another key");
    assert_refused(&as_refresh_token(&world, stranger.refresh_token().as_bytes()).await, "another key");
}

#[tokio::test(start_paused = true)]
async fn only_the_algorithm_of_the_key_is_accepted() {
    let keys = crate::world::KEYS;
    let world = World::with(|settings| settings.keys(keys)).await;
    let hs256 = World::with(|settings| settings.keys(keys).algorithm(SigningAlgorithm::Hs256)).await;
    let es256 = World::with(|settings| settings.keys(keys).algorithm(SigningAlgorithm::Es256)).await;
    for other in [&hs256, &es256] {
        let token = other.login("alice").await.access_token();
        assert_refused(&as_access_token(&world, token.as_bytes()).await, "another algorithm");
        let own = world.login("alice").await.access_token();
        assert_refused(&as_access_token(other, own.as_bytes()).await, "another algorithm");
    }
}

#[tokio::test(start_paused = true)]
async fn no_header_of_a_token_makes_an_unsigned_payload_count() {
    let world = World::new().await;
    let token = world.login("alice").await.access_token();
    let (header, rest) = token.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let own: serde_json::Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    let encode = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["none", "None", "nOnE", "HS256", "RS256", "ES256", "EdDSA", "eddsa", ""] {
        let mut forged = own.clone();
        forged["alg"] = algorithm.into();
        for signature in [signature, "", "AAAA"] {
            let forged = if algorithm == "EdDSA" { "e30".to_owned() } else { encode(&forged) };
            let text = format!("{forged}.{payload}.{signature}");
            assert_refused(&as_access_token(&world, text.as_bytes()).await, &text);
        }
    }
    for (member, value) in [
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("jwk", json!({ "kty": "oct", "k": "AAAA" })),
        ("zip", json!("DEF")),
    ] {
        let mut forged = own.clone();
        forged[member] = value;
        let text = format!("{}.{payload}.{signature}", encode(&forged));
        assert_refused(&as_access_token(&world, text.as_bytes()).await, member);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_names_a_key_elsewhere_makes_no_connection() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", elsewhere.local_addr().unwrap());
    let world = World::new().await;
    let token = world.login("alice").await.access_token();
    let (header, rest) = token.split_once('.').unwrap();
    let own: serde_json::Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    for member in ["jku", "x5u", "kid", "iss"] {
        let mut forged = own.clone();
        forged[member] = json!(url);
        let text = format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(forged.to_string()));
        assert_refused(&as_access_token(&world, text.as_bytes()).await, member);
    }
    world.settle().await;
    assert_eq!(elsewhere.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test(start_paused = true)]
async fn times_of_the_wrong_type_or_size_open_nothing() {
    let world = World::new().await;
    let token = world.login("alice").await.access_token();
    let mut parts = token.split('.');
    let (header, _, signature) = (parts.next().unwrap(), parts.next(), parts.next().unwrap());
    for member in ["exp", "iat", "auth_time", "nbf"] {
        for value in
            [json!("9999999999"), json!(9_999_999_999.5), json!(-1), json!(null), json!([]), json!(1e300)]
        {
            let mut forged = payload_of(&token);
            forged[member] = value;
            let payload = BASE64_URL_SAFE_NO_PAD.encode(forged.to_string());
            let text = format!("{header}.{payload}.{signature}");
            assert_refused(&as_access_token(&world, text.as_bytes()).await, member);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_megabytes_are_no_token() {
    let world = World::new().await;
    let token = world.login("alice").await.access_token();
    let (header, _) = token.split_once('.').unwrap();
    let size = 10 << 20;
    for text in
        ["A".repeat(size), format!("{header}.{}.A", "A".repeat(size)), ".".repeat(size), " ".repeat(size)]
    {
        assert_refused(&as_access_token(&world, text.as_bytes()).await, "10 MB");
        assert_refused(&as_refresh_token(&world, text.as_bytes()).await, "10 MB");
    }
    let many = format!("{ACCESS_COOKIE}={token}; ").repeat(500);
    let header = HeaderValue::from_str(many.trim_end_matches("; ")).unwrap();
    let answer = send(&world.app, request(Method::GET, "/me", [(COOKIE, header)])).await;
    assert_eq!(answer.status, 200, "many copies of a good one are one");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_no_token_has_open_nothing() {
    let world = World::new().await;
    let client = world.login("alice").await;
    for token in [client.access_token(), client.refresh_token()] {
        for byte in (0x80..=0xff).chain(0x00..0x20).chain([0x7f, b'"', b',', b'\\', b'+', b'/']) {
            for at in [0, token.len() / 2] {
                let mut text = token.as_bytes().to_vec();
                text.insert(at, byte);
                if byte == b'\t' && at == 0 {
                    continue;
                }
                assert_refused(&as_access_token(&world, &text).await, "a stray byte");
                assert_refused(&as_refresh_token(&world, &text).await, "a stray byte");
            }
        }
    }
    for text in ["ſAccessToken", "é.é.é", "\u{202e}token", "日本語"] {
        assert_refused(&as_access_token(&world, text.as_bytes()).await, text);
        assert_refused(&as_refresh_token(&world, text.as_bytes()).await, text);
    }
}

#[tokio::test(start_paused = true)]
async fn two_refresh_tokens_in_headers_are_none() {
    let world = World::new().await;
    let client = world.login("alice").await;
    world.advance(ACCESS);
    let token = client.refresh_token();
    for place in [Place::Bearer, Place::RefreshHeader] {
        let header = place.header(token.as_bytes()).unwrap();
        let answer = send(&world.app, request(Method::POST, "/refresh", [header.clone(), header])).await;
        assert_refused(&[answer], "twice");
    }
    let row = world.store.row(client.handle()).await.unwrap();
    assert_eq!((row.chain.generation, row.ended.is_some()), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_cookie_counts_under_its_exact_name_only() {
    let world = World::new().await;
    let token = world.login("alice").await.access_token();
    for name in
        ["saccesstoken", "SACCESSTOKEN", "sAccessToken2", "__Host-sAccessToken", "$sAccessToken", "", "s"]
    {
        let header = HeaderValue::from_str(&format!("{name}={token}")).unwrap();
        let answer = send(&world.app, request(Method::GET, "/me", [(COOKIE, header)])).await;
        answer.assert_refused(401, "unauthorised").assert_keeps_tokens();
    }
    for written in
        [format!("$Version=1; {ACCESS_COOKIE}=\"{token}\""), format!("{ACCESS_COOKIE} = {token}"), token]
    {
        let header = HeaderValue::from_str(&written).unwrap();
        let answer = send(&world.app, request(Method::GET, "/me", [(COOKIE, header)])).await;
        answer.assert_refused(401, "unauthorised").assert_keeps_tokens();
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_header_switches_a_check_off() {
    let world = World::new().await;
    let client = world.login("alice").await;
    let switches = [
        ("x-http-method-override", "GET"),
        ("x-original-url", "/health"),
        ("x-rewrite-url", "/health"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.example"),
        ("x-forwarded-prefix", "/health"),
        ("x-user-id", "alice"),
    ];
    for (name, value) in switches {
        let header = (HeaderName::from_static(name), HeaderValue::from_static(value));
        let answer = send(&world.app, request(Method::GET, "/me", [header.clone()])).await;
        answer.assert_refused(401, "unauthorised");
        let mut forged = client.clone().with(name, value).with("origin", "https://evil.example");
        forged = forged.without("sec-fetch-site");
        forged.call(Method::POST, "/leave").await.assert_refused(403, "csrf");
    }
}
