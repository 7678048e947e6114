//! Pages of other origins: the layer made from the settings, beside the defence against cross-site requests.

use axum::{
    body::Body,
    http::{
        HeaderName, HeaderValue, Method, Request,
        header::{ACCESS_CONTROL_EXPOSE_HEADERS, VARY},
    },
};
use serde_json::json;
use session_runtime::{CsrfMode, SameSite};

use crate::{
    app::ROUTES,
    client::{Answer, Client, send},
    world::{ACCESS, World},
};

const PARTNER: &str = "https://partner.example";

/// The application behind its layer, with one other origin that may use it.
async fn world() -> World {
    let world = World::with(|settings| settings.allowed_origins([PARTNER])).await;
    let app = ROUTES.router(world.state()).layer(world.sessions.cors());
    world.behind(app)
}

/// A browser on a page of the partner's.
fn partner(world: &World) -> Client {
    world.browser().with("sec-fetch-site", "cross-site").with("origin", PARTNER)
}

async fn preflight(world: &World, path: &str, method: &str, origin: &str) -> Answer {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::OPTIONS;
    *request.uri_mut() = path.parse().unwrap();
    for (name, value) in [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", "content-type,rid"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    send(&world.app, request).await
}

/// All that a list header lists, in lower case.
fn listed(answer: &Answer, name: HeaderName) -> Vec<String> {
    let values = answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_lowercase());
    values.flat_map(|value| value.split(',').map(|one| one.trim().to_owned()).collect::<Vec<_>>()).collect()
}

#[track_caller]
fn assert_readable_by_partner(answer: &Answer) {
    assert_eq!(answer.header("access-control-allow-origin"), Some(PARTNER), "{}", answer.status);
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert!(listed(answer, VARY).contains(&"origin".to_owned()));
    let exposed = listed(answer, ACCESS_CONTROL_EXPOSE_HEADERS);
    for name in ["front-token", "st-access-token", "st-refresh-token", "anti-csrf", "session-error"] {
        assert_eq!(exposed.contains(&name.to_owned()), answer.headers.contains_key(name), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_origin_may_read_answers_exactly_where_it_may_change_something() {
    let world = world().await;
    for (origin, allowed) in [
        (PARTNER, true),
        ("https://partner.example:443", true),
        ("https://partner.example:8443", false),
        ("http://partner.example", false),
        ("https://sub.partner.example", false),
        ("https://evil-partner.example", false),
        ("https://partner.example.evil.com", false),
        ("https://PARTNER.example", false),
        ("https://partner.example/", false),
        ("null", false),
        ("*", false),
        ("", false),
    ] {
        let asked = preflight(&world, "/leave", "POST", origin).await;
        let may_read = asked.header("access-control-allow-origin");
        assert_eq!(may_read, allowed.then_some(origin), "preflight of {origin:?}");
        let mut client = world.login("alice").await.with("sec-fetch-site", "cross-site");
        client = client.with("origin", origin);
        let answer = client.call(Method::POST, "/leave").await;
        assert_eq!(answer.header("access-control-allow-origin"), may_read, "answer to {origin:?}");
        assert_eq!(answer.status.is_success(), allowed, "{origin:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_preflight_reaches_no_guard() {
    let world = world().await;
    let before = world.store.calls_of_requests();
    for (path, method) in [
        ("/me", "GET"),
        ("/note", "POST"),
        ("/refresh", "POST"),
        ("/nowhere", "DELETE"),
        ("/health", "PATCH"),
    ] {
        let answer = preflight(&world, path, method, PARTNER).await;
        assert_eq!((answer.status.as_u16(), &*answer.text()), (200, ""), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(PARTNER));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-allow-methods"), Some(method));
        assert_eq!(answer.header("access-control-max-age"), Some("3600"));
        assert_eq!(answer.header("session-error"), None);
        let allowed = listed(&answer, HeaderName::from_static("access-control-allow-headers"));
        let expected =
            ["content-type", "authorization", "rid", "fdi-version", "anti-csrf", "st-auth-mode", "st-nonce"];
        assert_eq!(allowed, expected);
    }
    assert_eq!(world.store.calls_of_requests(), before);
}

#[tokio::test(start_paused = true)]
async fn every_answer_can_be_read_by_an_allowed_origin_refusals_too() {
    let world = world().await;
    let mut anonymous = partner(&world);
    for (path, status) in [("/me", 401), ("/nowhere", 404), ("/health", 200), ("/login", 405)] {
        let answer = anonymous.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_readable_by_partner(&answer);
    }
    for mut client in [partner(&world), partner(&world).in_header_mode()] {
        assert_readable_by_partner(client.login("alice").await.assert_ok());
        assert_readable_by_partner(client.post("/role", &json!(["new"])).await.assert_ok());
        assert_readable_by_partner(client.get("/admin").await.assert_refused(403, "invalid_claim"));
        world.advance(ACCESS);
        assert_readable_by_partner(client.get("/me").await.assert_refused(401, "try_refresh_token"));
        assert_readable_by_partner(client.refresh().await.assert_ok());
        assert_readable_by_partner(client.logout().await.assert_ok());
        assert_readable_by_partner(client.refresh().await.assert_refused(401, "unauthorised"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_varies_on_the_origin_and_on_the_session() {
    let world = world().await;
    for mut client in
        [partner(&world), world.browser(), world.browser().with("origin", "https://evil.example")]
    {
        let varies_on = listed(&client.get("/me").await, VARY);
        for name in ["origin", "cookie", "authorization"] {
            assert!(varies_on.contains(&name.to_owned()), "{name} is missing in {varies_on:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_allows_and_exposes_headers_of_its_own_beside_those_of_the_session() {
    let world = world().await;
    let names = |names: [&'static str; 2]| names.map(HeaderName::from_static);
    let cors = world.sessions.cors();
    let cors =
        cors.allow_headers(names(["x-request-id", "x-trace"])).expose_headers(names(["x-total", "x-page"]));
    let cors = cors.max_age(std::time::Duration::from_secs(5));
    assert!(format!("{cors:?}").contains("partner.example"));
    let world = world.behind(ROUTES.router(world.state()).layer(cors));
    let asked = preflight(&world, "/me", "GET", PARTNER).await;
    let allowed = listed(&asked, HeaderName::from_static("access-control-allow-headers"));
    for name in ["rid", "x-request-id", "x-trace"] {
        assert!(allowed.contains(&name.to_owned()), "{name} is missing in {allowed:?}");
    }
    assert_eq!(asked.header("access-control-max-age"), Some("5"));
    let mut client = partner(&world);
    client.login("alice").await.assert_ok();
    let exposed = listed(&client.post("/own-headers", &json!(null)).await, ACCESS_CONTROL_EXPOSE_HEADERS);
    assert_eq!(exposed, ["x-own", "front-token", "x-total", "x-page"]);
}

#[tokio::test(start_paused = true)]
async fn without_allowed_origins_no_page_of_another_may_read_anything() {
    let world = World::with(|settings| settings.same_site(SameSite::None).csrf(CsrfMode::CustomHeader)).await;
    let world = world.behind(ROUTES.router(world.state()).layer(world.sessions.cors()));
    for origin in [PARTNER, "null", "https://app.example.com"] {
        let asked = preflight(&world, "/me", "GET", origin).await;
        assert_eq!(asked.header("access-control-allow-origin"), None);
        let answer = world.browser().with("origin", origin).get("/health").await;
        assert_eq!(answer.assert_ok().header("access-control-allow-origin"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_origin_in_bytes_that_are_no_text_is_nobody() {
    let world = world().await;
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = "/health".parse().unwrap();
    request.headers_mut().insert("origin", HeaderValue::from_bytes(b"https://partner.example\xff").unwrap());
    let answer = send(&world.app, request).await;
    assert_eq!(answer.assert_ok().header("access-control-allow-origin"), None);
}
