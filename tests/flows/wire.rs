//! What crosses the network: which token counts, what is cleared, and every header that a client reads.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, Request,
        header::{AUTHORIZATION, COOKIE},
    },
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use session_runtime::{CsrfMode, SameSite, Transport};

use crate::{
    app::SDK_ROUTES,
    client::{ACCESS_COOKIE, Answer, Client, REFRESH_COOKIE, payload_of, send},
    world::{ACCESS, G, MS, World},
};

/// A request with nothing but these headers, from a page of the application's own.
fn bare(method: Method, path: &str, headers: &[(&'static str, String)]) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    request.headers_mut().insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

async fn get_me(world: &World, headers: &[(&'static str, String)]) -> Answer {
    send(&world.app, bare(Method::GET, "/me", headers)).await
}

async fn post_refresh(world: &World, headers: &[(&'static str, String)]) -> Answer {
    send(&world.app, bare(Method::POST, "/refresh", headers)).await
}

fn cookies(pairs: &[(&str, &str)]) -> (&'static str, String) {
    ("cookie", pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; "))
}

fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

#[tokio::test(start_paused = true)]
async fn the_authorization_header_wins_over_the_cookie() {
    let world = World::new().await;
    let (alice, bob) = (world.login("alice").await, world.login("bob").await);
    let both = [bearer(&bob.access_token()), cookies(&[(ACCESS_COOKIE, &alice.access_token())])];
    assert_eq!(get_me(&world, &both).await.json()["user"], "bob");
}

#[tokio::test(start_paused = true)]
async fn an_authorization_that_is_not_ours_is_ignored() {
    let world = World::new().await;
    let alice = world.login("alice").await;
    let jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJtYWxsb3J5In0.c2lnbmF0dXJl";
    // Another issuer's access token in the same profile (RFC 9068).
    let at_jwt =
        "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJtYWxsb3J5In0.c2lnbmF0dXJl";
    let others = ["Basic YWxpY2U6c2VjcmV0", "Bearer sk-live-1234567890"].map(str::to_owned);
    for foreign in others.into_iter().chain([jwt, at_jwt].map(|token| format!("Bearer {token}"))) {
        let foreign = ("authorization", foreign);
        let with_cookie = [foreign.clone(), cookies(&[(ACCESS_COOKIE, &alice.access_token())])];
        assert_eq!(get_me(&world, &with_cookie).await.assert_ok().json()["user"], "alice");
        get_me(&world, &[foreign]).await.assert_refused(401, "unauthorised").assert_keeps_tokens();
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_is_cleared() {
    let world = World::new().await;
    let answer = get_me(&world, &[cookies(&[("theme", "dark")])]).await;
    answer.assert_refused(401, "unauthorised").assert_keeps_tokens();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_a_refresh_may_mend_asks_for_one_and_nothing_is_cleared() {
    let (world, elsewhere) = (World::new().await, World::new().await);
    let token = world.login("alice").await.access_token();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let flipped: String = signature.chars().rev().collect();
    let bad_signature = format!("{signed}.{flipped}");
    let unknown_key = elsewhere.login("alice").await.access_token();
    let expired = token.clone();
    for (wait, token) in [(G, bad_signature), (G, unknown_key), (ACCESS, expired)] {
        world.advance(wait);
        for header in [bearer(&token), cookies(&[(ACCESS_COOKIE, &token)])] {
            let answer = get_me(&world, &[header]).await;
            answer.assert_refused(401, "try_refresh_token").assert_keeps_tokens();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_access_cookies_the_newest_valid_one_counts() {
    let world = World::new().await;
    let expired = world.login("eve").await.access_token();
    world.advance(ACCESS);
    let older = world.login("alice").await.access_token();
    world.advance(G);
    let newer = world.login("bob").await.access_token();
    for order in [[&expired, &older, &newer], [&newer, &older, &expired], [&older, &newer, &expired]] {
        let pairs = order.map(|token| (ACCESS_COOKIE, token.as_str()));
        assert_eq!(get_me(&world, &[cookies(&pairs)]).await.assert_ok().json()["user"], "bob");
    }
}

#[tokio::test(start_paused = true)]
async fn where_several_cookies_of_one_name_are_seen_those_of_older_domains_are_removed() {
    let older = [Some("old.example.com"), None];
    let world =
        World::with(move |settings| settings.cookie_domain("example.com").older_cookie_domains(older)).await;
    let client = world.login("alice").await;
    let (access, refresh) = (client.access_token(), client.refresh_token());
    let one = get_me(&world, &[cookies(&[(ACCESS_COOKIE, &access)])]).await;
    assert!(one.assert_ok().cookies().is_empty());

    let twice = get_me(&world, &[cookies(&[(ACCESS_COOKIE, &access), (ACCESS_COOKIE, &access)])]).await;
    let removed = |answer: &Answer, name: &str| {
        let cookies = answer.cookies().into_iter().filter(|cookie| cookie.name == name);
        let gone = cookies.filter(|cookie| cookie.attribute("Max-Age") == Some("0"));
        let mut domains: Vec<_> = gone.map(|cookie| cookie.attribute("Domain").map(str::to_owned)).collect();
        domains.sort();
        domains
    };
    let expected = [None, Some("old.example.com".to_owned())];
    assert_eq!(removed(twice.assert_ok(), ACCESS_COOKIE), expected);
    world.advance(ACCESS);
    let pairs = [(REFRESH_COOKIE, &*refresh), (REFRESH_COOKIE, &*refresh)];
    assert_eq!(removed(post_refresh(&world, &[cookies(&pairs)]).await.assert_ok(), REFRESH_COOKIE), expected);
}

#[tokio::test(start_paused = true)]
async fn a_login_removes_what_older_domains_hold_but_only_if_it_succeeds() {
    let world =
        World::with(|settings| settings.cookie_domain("example.com").older_cookie_domains([None::<String>]))
            .await;
    let removed = |answer: &Answer| answer.cookie_names().1;
    let mut client = world.browser();
    assert_eq!(removed(client.login("alice").await.assert_ok()), [ACCESS_COOKIE, REFRESH_COOKIE]);
    let refused = client.post("/login", &json!({ "user": "alice", "then": "refuse" })).await;
    assert_eq!((refused.status.as_u16(), removed(&refused).len()), (403, 0));
    let mut native = world.browser().in_header_mode();
    assert!(native.login("alice").await.assert_ok().cookies().is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_two_sessions_access_cookies_the_later_says_which_is_refreshed() {
    let world = World::new().await;
    let alice = world.login("alice").await;
    world.advance(G);
    let bob = world.login("bob").await;
    world.advance(ACCESS);
    let [a, b] = [&alice, &bob].map(|client| (client.access_token(), client.refresh_token()));
    for flip in [false, true] {
        let mut pairs = vec![
            (ACCESS_COOKIE, &*a.0),
            (ACCESS_COOKIE, &*b.0),
            (REFRESH_COOKIE, &*a.1),
            (REFRESH_COOKIE, &*b.1),
        ];
        if flip {
            pairs.reverse();
        }
        assert_eq!(post_refresh(&world, &[cookies(&pairs)]).await.assert_ok().text(), "bob");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_copy_among_several_refresh_cookies_is_never_presented() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let stale = client.refresh_token();
    world.advance(ACCESS);
    client.refresh().await.assert_ok();
    client.get("/me").await.assert_ok();
    world.until_used(client.handle()).await;
    for flip in [false, true] {
        world.advance(ACCESS);
        let current = client.refresh_token();
        let mut pairs = [(REFRESH_COOKIE, &*stale), (REFRESH_COOKIE, &*current)];
        if flip {
            pairs.reverse();
        }
        let answer = client.send(bare(Method::POST, "/refresh", &[cookies(&pairs)])).await;
        assert!(answer.assert_ok().refresh_token().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_sessions_refresh_cookies_that_of_the_access_token_counts() {
    let world = World::new().await;
    let (alice, bob) = (world.login("alice").await, world.login("bob").await);
    world.advance(ACCESS);
    let (a, b) = (alice.refresh_token(), bob.refresh_token());
    for client in [&alice, &bob] {
        let user = payload_of(&client.access_token())["sub"].as_str().unwrap().to_owned();
        for pairs in
            [[(REFRESH_COOKIE, &*a), (REFRESH_COOKIE, &*b)], [(REFRESH_COOKIE, &*b), (REFRESH_COOKIE, &*a)]]
        {
            // The access token has expired, and still names its session.
            let named = [cookies(&[(ACCESS_COOKIE, &client.access_token()), pairs[0], pairs[1]])];
            assert_eq!(post_refresh(&world, &named).await.assert_ok().text(), user);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_anonymous_refresh_is_refused_without_a_store_call_and_clears_nothing() {
    let world = World::new().await;
    world.login("alice").await;
    let before = world.store.calls_of_requests();
    let answer = post_refresh(&world, &[cookies(&[("theme", "dark")])]).await;
    answer.assert_refused(401, "unauthorised").assert_keeps_tokens();
    assert_eq!(world.store.calls_of_requests(), before);
}

#[tokio::test(start_paused = true)]
async fn a_junk_refresh_token_is_cleared_in_the_modes_that_carried_it_without_a_store_call() {
    let world = World::new().await;
    let before = world.store.calls_of_requests();
    let by_cookie = post_refresh(&world, &[cookies(&[(REFRESH_COOKIE, "junk")])]).await;
    by_cookie.assert_refused(401, "unauthorised");
    assert_eq!(by_cookie.header("front-token"), Some("remove"));
    assert_eq!(by_cookie.cookie_names(), (vec![], vec![ACCESS_COOKIE.into(), REFRESH_COOKIE.into()]));
    assert_eq!(by_cookie.header("st-access-token"), None);

    let by_header = post_refresh(&world, &[("st-refresh-token", "junk".into())]).await;
    by_header.assert_refused(401, "unauthorised");
    assert_eq!(by_header.header("front-token"), Some("remove"));
    assert_eq!(
        (by_header.header("st-access-token"), by_header.header("st-refresh-token")),
        (Some(""), Some(""))
    );
    assert!(by_header.cookies().is_empty());

    let both = [("st-refresh-token", "junk".into()), cookies(&[(REFRESH_COOKIE, "junk")])];
    let by_both = post_refresh(&world, &both).await;
    assert_eq!(by_both.header("st-access-token"), Some(""));
    assert_eq!(by_both.cookie_names().1, [ACCESS_COOKIE, REFRESH_COOKIE]);
    assert_eq!(world.store.calls_of_requests(), before);
}

#[tokio::test(start_paused = true)]
async fn an_access_token_in_place_of_a_refresh_token_ends_nothing() {
    let world = World::new().await;
    let client = world.login("alice").await;
    let answer = post_refresh(&world, &[bearer(&client.access_token())]).await;
    answer.assert_refused(401, "unauthorised").assert_keeps_tokens();
}

#[tokio::test(start_paused = true)]
async fn a_client_can_do_all_of_it_in_header_mode() {
    let world = World::new().await;
    let mut client = world.browser().in_header_mode().without("sec-fetch-site");
    let login = client.login("alice").await;
    assert!(login.assert_ok().cookies().is_empty());
    assert!(login.header("front-token").is_some());
    let exposed = login.header("access-control-expose-headers").unwrap();
    for name in ["st-access-token", "st-refresh-token", "front-token"] {
        assert!(exposed.split(", ").any(|one| one == name), "{exposed}");
    }
    client.get("/me").await.assert_ok();
    client.post("/note", &json!("milk")).await.assert_ok();
    let claim = client.post("/role", &json!(["admin"])).await;
    assert!(
        claim.assert_ok().header("st-access-token").is_some() && claim.header("st-refresh-token").is_none()
    );
    client.get("/admin").await.assert_ok();

    world.advance(ACCESS);
    client.get("/me").await.assert_refused(401, "try_refresh_token").assert_keeps_tokens();
    let refresh = client.refresh().await;
    assert!(refresh.assert_ok().cookies().is_empty());
    assert!(refresh.header("st-access-token").is_some() && refresh.header("st-refresh-token").is_some());
    world.advance(MS);
    let kept = client.refresh().await;
    assert!(
        kept.assert_ok().header("st-access-token").is_some() && kept.header("st-refresh-token").is_none()
    );

    let logout = client.logout().await;
    assert_eq!((logout.header("st-access-token"), logout.header("st-refresh-token")), (Some(""), Some("")));
    assert_eq!(logout.assert_ok().header("front-token"), Some("remove"));
    assert!(logout.cookies().is_empty() && client.has_forgotten());
}

#[tokio::test(start_paused = true)]
async fn the_refresh_token_may_come_in_its_own_header() {
    let world = World::new().await;
    let mut client = world.browser().in_header_mode();
    client.login("alice").await.assert_ok();
    world.advance(ACCESS);
    let answer = post_refresh(&world, &[("st-refresh-token", client.refresh_token())]).await;
    assert!(answer.assert_ok().header("st-refresh-token").is_some_and(|token| !token.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn the_client_chooses_the_mode_of_its_session_and_otherwise_the_settings_do() {
    let cookie = World::new().await;
    let header = World::with(|settings| settings.transport(Transport::Header)).await;
    for (world, asked, in_cookies) in [
        (&cookie, None, true),
        (&cookie, Some("any"), true),
        (&cookie, Some("header"), false),
        (&header, None, false),
        (&header, Some("any"), false),
        (&header, Some("cookie"), true),
    ] {
        let mut client = world.browser();
        if let Some(mode) = asked {
            client = client.with("st-auth-mode", mode);
        }
        let answer = client.login("alice").await;
        assert_eq!(answer.assert_ok().cookie(REFRESH_COOKIE).is_some(), in_cookies, "{asked:?}");
        assert_eq!(answer.header("st-refresh-token").is_some(), !in_cookies, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_both_modes_carry_a_session_the_header_wins_and_the_cookies_are_cleared() {
    let world = World::new().await;
    let alice = world.login("alice").await;
    let mut bob = world.browser().in_header_mode();
    bob.login("bob").await.assert_ok();
    world.advance(ACCESS);
    let pairs = [(ACCESS_COOKIE, &*alice.access_token()), (REFRESH_COOKIE, &*alice.refresh_token())];
    let answer = post_refresh(&world, &[bearer(&bob.refresh_token()), cookies(&pairs)]).await;
    assert_eq!(answer.assert_ok().text(), "bob");
    assert!(answer.header("st-refresh-token").is_some_and(|token| !token.is_empty()));
    assert_eq!(answer.cookie_names(), (vec![], vec![ACCESS_COOKIE.into(), REFRESH_COOKIE.into()]));
}

#[tokio::test(start_paused = true)]
async fn a_login_in_one_mode_clears_what_the_client_had_in_the_other() {
    let world = World::new().await;
    let client = world.login("alice").await;
    let answer = client.in_header_mode().login("alice").await;
    assert!(answer.assert_ok().header("st-access-token").is_some());
    assert_eq!(answer.cookie_names(), (vec![], vec![ACCESS_COOKIE.into(), REFRESH_COOKIE.into()]));
}

#[tokio::test(start_paused = true)]
async fn headers_are_added_to_those_of_the_application() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let answer = client.post("/own-headers", &Value::Null).await;
    assert_eq!(answer.assert_ok().header("access-control-expose-headers"), Some("X-Own, Front-Token"));
    let vary: Vec<_> = answer.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(vary.join(", "), "Accept, Cookie, Authorization");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "it carries a token");
    assert_eq!(answer.cookie_names().0, ["own", ACCESS_COOKIE]);
}

#[tokio::test(start_paused = true)]
async fn every_answer_that_depends_on_the_session_says_so_to_caches() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    for answer in
        [client.get("/me").await, world.browser().get("/me").await, world.browser().get("/maybe").await]
    {
        assert_eq!(answer.header("vary"), Some("Cookie, Authorization"));
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_can_be_read_by_scripts_of_other_origins() {
    let world = World::new().await;
    let answer = world.browser().get("/me").await;
    assert!(answer.header("access-control-expose-headers").unwrap().contains("session-error"));
}

#[tokio::test(start_paused = true)]
async fn a_logout_answers_what_the_sdk_expects_unless_the_handler_says_more() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let answer = client.logout().await;
    assert_eq!(answer.assert_ok().text(), r#"{"status":"OK"}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("content-length").is_none_or(|length| length == "15"));
    assert!(client.has_forgotten());
    client.logout().await.assert_refused(401, "unauthorised").assert_keeps_tokens();

    let world = World::with(|settings| settings.routes(&SDK_ROUTES)).await;
    let world = world.behind(SDK_ROUTES.router(world.state()));
    let mut client = world.login("alice").await;
    assert_eq!(client.post("/auth/signout", &Value::Null).await.assert_ok().text(), "bye");
    assert!(client.jar.iter().all(|cookie| cookie.name != ACCESS_COOKIE));
}

#[tokio::test(start_paused = true)]
async fn a_handlers_own_401_never_looks_like_the_sessions() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let answer = client.get("/own-refusal").await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (401, "your bank says no"));
    assert_eq!((answer.header("session-error"), answer.header("www-authenticate")), (None, None));
    answer.assert_keeps_tokens();
}

#[tokio::test(start_paused = true)]
async fn an_optional_session_may_be_missing_or_over_but_not_merely_expired() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    assert_eq!(client.get("/maybe").await.text(), "alice");
    assert_eq!(world.browser().get("/maybe").await.assert_ok().text(), "nobody");
    let mut revoked = client.clone();
    world.sessions.revoke(client.handle()).await.unwrap();
    assert_eq!(revoked.get("/maybe").await.assert_ok().text(), "nobody");
    assert!(revoked.has_forgotten());
    let mut client = world.login("bob").await;
    world.advance(ACCESS);
    client.get("/maybe").await.assert_refused(401, "try_refresh_token").assert_keeps_tokens();
}

/// Asks each kind of endpoint that changes something, each time with a session of its own.
async fn unsafe_calls(world: &World, change: impl Fn(Client) -> Client) -> Vec<(&'static str, Answer)> {
    let mut answers = Vec::new();
    for path in ["/leave", "/refresh", "/logout"] {
        let mut client = change(world.login("alice").await);
        answers.push((path, client.call(Method::POST, path).await));
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn by_default_only_the_applications_own_pages_can_change_anything() {
    let world = World::with(|settings| settings.allowed_origins(["https://partner.example"])).await;
    type Headers = &'static [(&'static str, &'static str)];
    let passing: [Headers; 7] = [
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://partner.example")],
        &[("origin", "https://app.example.com")],
        &[("origin", "https://partner.example")],
        &[("rid", "anti-csrf")],
        &[("x-requested-with", "curl")],
    ];
    let refused: [Headers; 8] = [
        &[],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("rid", "anti-csrf")],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://app.example.com")],
        &[("sec-fetch-site", "junk")],
        &[("origin", "https://evil-example.com"), ("rid", "anti-csrf")],
        &[("origin", "null"), ("rid", "anti-csrf")],
        &[("origin", "https://app.example.com:8443"), ("x-forwarded-host", "app.example.com:8443")],
    ];
    let sending = |headers: Headers| {
        move |client: Client| {
            headers
                .iter()
                .fold(client.without("sec-fetch-site"), |client, (name, value)| client.with(name, value))
        }
    };
    for headers in passing {
        for (path, answer) in unsafe_calls(&world, sending(headers)).await {
            assert!(answer.status.is_success(), "{path} {headers:?}");
        }
    }
    for headers in refused {
        for (path, answer) in unsafe_calls(&world, sending(headers)).await {
            assert_eq!(answer.status, 403, "{path} {headers:?}");
            answer.assert_refused(403, "csrf").assert_keeps_tokens();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn safe_methods_and_header_mode_need_no_csrf_defence() {
    let world = World::new().await;
    let mut client = world.login("alice").await.with("sec-fetch-site", "cross-site");
    client.get("/me").await.assert_ok();
    let mut native = world.browser().in_header_mode();
    native.login("alice").await.assert_ok();
    native = native.with("sec-fetch-site", "cross-site").with("origin", "https://evil.example");
    native.post("/note", &json!("milk")).await.assert_ok();
    native.refresh().await.assert_ok();
    native.logout().await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_custom_header_can_be_the_csrf_defence() {
    let world = World::with(|settings| settings.csrf(CsrfMode::CustomHeader)).await;
    for (_, answer) in unsafe_calls(&world, |client| client.with("rid", "session")).await {
        answer.assert_ok();
    }
    for (_, answer) in unsafe_calls(&world, |client| client).await {
        answer.assert_refused(403, "csrf").assert_keeps_tokens();
    }
}

#[tokio::test(start_paused = true)]
async fn another_site_cannot_log_a_visitor_in_but_a_client_that_is_no_browser_can_log_in() {
    for mode in [CsrfMode::FetchMetadata, CsrfMode::CustomHeader, CsrfMode::Token] {
        let world = World::with(|settings| settings.csrf(mode)).await;
        world.browser().without("sec-fetch-site").login("alice").await.assert_ok();
        let cross_site = world.browser().with("sec-fetch-site", "cross-site").login("alice").await;
        cross_site.assert_refused(403, "csrf").assert_keeps_tokens();
        let foreign = world.browser().without("sec-fetch-site").with("origin", "https://evil.example");
        foreign.clone().login("alice").await.assert_refused(403, "csrf").assert_keeps_tokens();
        assert_eq!(world.store.rows(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn same_site_none_reaches_every_cookie() {
    let world = World::with(|settings| settings.same_site(SameSite::None)).await;
    let mut client = world.browser();
    let answer = client.login("alice").await;
    assert!(answer.cookies().iter().all(|cookie| cookie.attribute("SameSite") == Some("None")));
    assert!(answer.cookies().iter().all(|cookie| cookie.attribute("Secure").is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_prefix_that_a_proxy_strips_is_in_the_path_of_the_refresh_cookie() {
    let world = World::with(|settings| settings.public_prefix("/gw")).await;
    let mut client = world.browser();
    let answer = client.login("alice").await;
    assert_eq!(answer.assert_ok().cookie(REFRESH_COOKIE).unwrap().attribute("Path"), Some("/gw/refresh"));
    let gone = client.logout().await;
    assert_eq!(gone.cookie(REFRESH_COOKIE).unwrap().attribute("Path"), Some("/gw/refresh"));
}

#[tokio::test(start_paused = true)]
async fn every_refusal_is_json_with_a_reason_and_a_challenge() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    let expired = {
        let client = world.login("bob").await;
        let headers = |headers: &HeaderMap| headers[COOKIE].clone();
        headers(client.request(Method::GET, "/me").headers())
    };
    let claims = client.get("/admin").await;
    assert_eq!(
        claims.json(),
        json!({ "message": "invalid claim", "claimValidationErrors": [{ "id": "role", "reason": {
            "message": "wrong value", "expectedToInclude": "admin", "actualValue": [],
        } }] })
    );
    let csrf = client.clone().with("sec-fetch-site", "cross-site").post("/leave", &Value::Null).await;
    let anonymous = world.browser().get("/me").await;
    world.advance(ACCESS);
    let mut request = bare(Method::GET, "/me", &[]);
    request.headers_mut().insert(COOKIE, expired);
    let expired = send(&world.app, request).await;
    for (answer, status, reason, message) in [
        (&claims, 403, "invalid_claim", "invalid claim"),
        (&csrf, 403, "csrf", "cross-site request refused"),
        (&anonymous, 401, "unauthorised", "unauthorised"),
        (&expired, 401, "try_refresh_token", "try refresh token"),
    ] {
        answer.assert_refused(status, reason).assert_keeps_tokens();
        assert_eq!(answer.json()["message"], message);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer realm=\"session\""));
        assert_eq!(answer.header("retry-after"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn two_bearer_tokens_are_none() {
    let world = World::new().await;
    let token = world.login("alice").await.access_token();
    let twice = get_me(&world, &[bearer(&token), bearer(&token)]).await;
    twice.assert_refused(401, "unauthorised").assert_keeps_tokens();
    let mut request = bare(Method::GET, "/me", &[bearer(&token)]);
    request.headers_mut().append(AUTHORIZATION, HeaderValue::from_static("Basic YWxpY2U6c2VjcmV0"));
    send(&world.app, request).await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_opened_for_the_applications_own_pages_only() {
    let world = World::new().await;
    let client = world.login("alice").await.with("upgrade", "websocket").with("host", "example.com");
    let from = |site: &str, origin: &str| client.clone().with("sec-fetch-site", site).with("origin", origin);
    from("same-origin", "https://example.com").get("/me").await.assert_ok();
    let refused = from("same-site", "https://evil.example.com").get("/me").await;
    refused.assert_refused(403, "csrf").assert_keeps_tokens();
    let refused = from("cross-site", "https://evil.example").get("/me").await;
    refused.assert_refused(403, "csrf").assert_keeps_tokens();
}

#[tokio::test(start_paused = true)]
async fn of_hundreds_of_cookies_of_one_name_a_few_are_looked_at() {
    let world = World::new().await;
    let client = world.login("alice").await;
    let good = client.access_token();
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    let cookies = |forged_first: usize| {
        let junk = format!("sAccessToken={forged}; ").repeat(forged_first);
        world.browser().with("cookie", &format!("{junk}sAccessToken={good}"))
    };
    cookies(7).get("/me").await.assert_ok();
    cookies(8).get("/me").await.assert_refused(401, "try_refresh_token");
    cookies(200).get("/me").await.assert_refused(401, "try_refresh_token");
}

/// What proxies, extensions, other libraries and attackers put in the place of a value.
fn odd_values() -> Vec<Vec<u8>> {
    let texts = [
        "",
        "null",
        "undefined",
        "remove",
        "[object Object]",
        "0",
        "-1",
        "1e400",
        "true",
        "header, cookie",
        "\"quoted\"",
        "a,b;c=d",
        "%00%0d%0aset-cookie:x=1",
        "../../etc/passwd",
        "' OR 1=1 --",
        "{\"uid\":1}",
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.",
        "1.16,1.17,99999999999999999999",
    ];
    let bytes = [&b"\xff\xfe"[..], b"\xc3\x28", "日本語".as_bytes(), b"a\tb"];
    let texts = texts.iter().map(|text| text.as_bytes().to_vec());
    texts.chain(bytes.map(<[u8]>::to_vec)).chain([b"A".repeat(8 << 10), b".".repeat(8 << 10)]).collect()
}

/// The headers and cookies that a browser with the SDK sends and that are no credentials.
const INFORMATION: [&str; 11] = [
    "rid",
    "fdi-version",
    "st-auth-mode",
    "anti-csrf",
    "front-token",
    "st-access-token",
    "content-type",
    "sFrontToken",
    "sAntiCsrf",
    "st-last-access-token-update",
    "sIRTFrontend",
];

/// Puts a value into the header of that name, or, beside what is there, into the cookie.
fn put(request: &mut Request<Body>, name: &'static str, value: &[u8]) {
    let is_cookie = name.starts_with('s') && name.contains(char::is_uppercase) || name.ends_with("-update");
    let headers = request.headers_mut();
    if is_cookie {
        let present =
            headers.get(COOKIE).map(|present| [present.as_bytes(), b"; "].concat()).unwrap_or_default();
        let cookies = [&present, name.as_bytes(), b"=", value].concat();
        headers.insert(COOKIE, HeaderValue::from_bytes(&cookies).unwrap());
    } else {
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_credential_changes_nothing_whatever_it_says() {
    let world = World::new().await;
    for in_headers in [false, true] {
        let browser = if in_headers { world.browser().in_header_mode() } else { world.browser() };
        for name in INFORMATION {
            let mut client = browser.clone();
            client.login("alice").await.assert_ok();
            for value in odd_values() {
                for (method, path) in
                    [(Method::GET, "/me"), (Method::POST, "/refresh"), (Method::POST, "/leave-others")]
                {
                    let mut request = client.request(method, path);
                    put(&mut request, name, &value);
                    let answer = client.send(request).await;
                    assert!(answer.status.is_success(), "{name}: {value:?} at {path}: {}", answer.text());
                }
                world.advance(ACCESS);
                client.refresh().await.assert_ok();
            }
            let mut request = client.request(Method::POST, "/logout");
            put(&mut request, name, b"\xff");
            client.send(request).await.assert_ok();
            assert!(client.has_forgotten());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_comes_through_whatever_a_client_left_behind() {
    let world = World::new().await;
    for name in
        INFORMATION.into_iter().chain([ACCESS_COOKIE, REFRESH_COOKIE, "authorization", "st-refresh-token"])
    {
        for value in odd_values() {
            let mut client = world.browser();
            let mut request = client.request(Method::POST, "/login");
            *request.body_mut() = Body::from(r#"{"user":"alice"}"#);
            put(&mut request, name, &value);
            request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
            let answer = client.send(request).await;
            assert!(answer.assert_ok().access().is_some(), "{name}: {value:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_odd_credential_is_refused_or_passed_over_and_ends_nothing() {
    let world = World::new().await;
    let mut owner = world.login("alice").await;
    for name in [ACCESS_COOKIE, REFRESH_COOKIE, "authorization", "st-refresh-token"] {
        for value in odd_values() {
            for (method, path) in [
                (Method::GET, "/me"),
                (Method::GET, "/maybe"),
                (Method::POST, "/leave"),
                (Method::POST, "/logout"),
                (Method::POST, "/refresh"),
            ] {
                let mut request = world.browser().request(method, path);
                put(&mut request, name, &value);
                let answer = send(&world.app, request).await;
                if path == "/maybe" {
                    assert_eq!(answer.assert_ok().text(), "nobody", "{name}: {value:?}");
                } else {
                    answer.assert_refused(401, "unauthorised");
                }
                assert_eq!((answer.access(), answer.refresh_token()), (None, None), "{name}: {value:?}");
            }
        }
    }
    owner.get("/me").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn an_odd_anti_csrf_token_is_refused_and_nothing_is_cleared() {
    let world = World::with(|settings| settings.csrf(CsrfMode::Token)).await;
    let mut client = world.login("alice").await;
    let other = world.login("mallory").await.request(Method::POST, "/role").headers()["anti-csrf"].clone();
    for value in odd_values().into_iter().chain([other.as_bytes().to_vec()]) {
        for (path, reason) in [("/leave", "try_refresh_token"), ("/refresh", "unauthorised")] {
            let mut request = client.request(Method::POST, path);
            put(&mut request, "anti-csrf", &value);
            send(&world.app, request).await.assert_refused(401, reason).assert_keeps_tokens();
        }
    }
    client.get("/me").await.assert_ok();
    client.refresh().await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn no_body_is_read_of_what_needs_none() {
    let world = World::new().await;
    for path in ["/refresh", "/logout", "/leave"] {
        for length in [None, Some("1000000000")] {
            let mut client = world.login("alice").await;
            let mut request = client.request(Method::POST, path);
            let unread = futures_util::stream::once(async move { panic!("the body of {path} was read") });
            *request.body_mut() = Body::from_stream(unread.map(Ok::<String, std::io::Error>));
            if let Some(length) = length {
                request.headers_mut().insert("content-length", HeaderValue::from_static(length));
            }
            client.send(request).await.assert_ok();
        }
    }
}
