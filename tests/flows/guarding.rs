//! The guard is in the handler: no way of mounting and no spelling of a path leads around it.

use axum::{
    Router,
    http::Method,
    routing::{get, post},
};
use serde_json::Value;
use session_runtime::{RouteKind, Sessions};
use tests::hidden::Log;

use crate::{
    app::{PREFIXED_ROUTES, ROUTES, SDK_ROUTES, by_hand, me},
    client::REFRESH_COOKIE,
    world::World,
};

/// Other spellings of a path, the path itself first.
fn spellings(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches('/');
    vec![
        path.to_owned(),
        format!("{path}/"),
        format!("/{path}"),
        format!("/.{path}"),
        format!("/x/..{path}"),
        format!("/%2F{inner}"),
        format!("/{}", inner.replace('/', "%2F")),
        format!("/%{:02X}{}", inner.as_bytes()[0], &inner[1..]),
        path.to_uppercase(),
        format!("{path}?session=1"),
        format!("{path};jsessionid=1"),
        format!("{path}%00"),
        format!("http://localhost{path}"),
    ]
}

/// Asks every route in every spelling with every method, without any token. Returns the routes that served it.
async fn open_routes(world: &World, prefix: &str) -> Vec<&'static str> {
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    let mut open = Vec::new();
    for route in ROUTES.iter() {
        for path in spellings(&format!("{prefix}{}", route.path())) {
            for method in methods {
                let mut client = world.browser();
                let answer = client.call(method.parse().unwrap(), &path).await;
                assert!(answer.status.as_u16() < 500, "{method} {path}: {}", answer.status);
                if answer.status.is_success() && !open.contains(&route.handler()) {
                    open.push(route.handler());
                }
            }
        }
    }
    open
}

fn named(handlers: &[&str], kinds: &[RouteKind]) -> bool {
    let expected = ROUTES.iter().filter(|route| kinds.contains(&route.kind())).map(|route| route.handler());
    expected.eq(handlers.iter().copied())
}

const OPEN: [RouteKind; 2] = [RouteKind::Public, RouteKind::Optional];

#[tokio::test(start_paused = true)]
async fn a_crawl_without_a_token_finds_only_what_is_public() {
    let world = World::new().await;
    let open = open_routes(&world, "").await;
    assert!(named(&open, &OPEN), "{open:?}");
    assert_eq!(world.store.rows(), 0, "and made no session");
}

#[tokio::test(start_paused = true)]
async fn no_way_of_mounting_leads_around_the_guard() {
    let world = World::new().await;
    let routes = || ROUTES.router(world.state());
    let other = || Router::new().route("/other", get(async || "other"));
    for app in [
        other().merge(routes()),
        other().fallback_service(routes()),
        Router::new().merge(other().merge(routes())),
    ] {
        let open = open_routes(&world.behind(app), "").await;
        assert!(named(&open, &OPEN), "{open:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_mounted_by_hand_is_guarded() {
    let world = World::new().await;
    let app = Router::new()
        .route("/one", get(by_hand))
        .route("/two", post(by_hand))
        .route("/three", get(me))
        .nest("/deep", Router::new().route("/four", get(by_hand)))
        .fallback(by_hand)
        .with_state(world.state());
    let client = world.login("alice").await;
    let mounted = world.behind(app.clone());
    for (method, path) in
        [("GET", "/one"), ("POST", "/two"), ("GET", "/three"), ("GET", "/deep/four"), ("PUT", "/x")]
    {
        let method: Method = method.parse().unwrap();
        mounted.browser().call(method.clone(), path).await.assert_refused(401, "unauthorised");
        client.clone().at(app.clone()).call(method, path).await.assert_ok();
    }
}

#[tokio::test(start_paused = true)]
async fn head_is_guarded_as_get_is() {
    let world = World::new().await;
    let mut client = world.login("alice").await;
    client.call(Method::HEAD, "/me").await.assert_ok();
    world.browser().call(Method::HEAD, "/me").await.assert_refused(401, "unauthorised");
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_never_reaches_the_body_of_the_handler() {
    let world = World::new().await;
    let mut anonymous = world.browser();
    // The body is no JSON string, which the handler's own extractor would answer with 422.
    anonymous.post("/note", &Value::Null).await.assert_refused(401, "unauthorised");
    let mut client = world.login("alice").await;
    assert_eq!(client.post("/note", &Value::Null).await.status, 422);
}

#[tokio::test(start_paused = true)]
async fn a_prefix_in_the_table_is_in_every_path() {
    let world = World::with(|settings| settings.routes(&PREFIXED_ROUTES)).await;
    let world = world.behind(PREFIXED_ROUTES.router(world.state()));
    let mut client = world.browser();
    let login = client.post("/api/login", &serde_json::json!({ "user": "alice" })).await;
    assert_eq!(login.assert_ok().cookie(REFRESH_COOKIE).unwrap().attribute("Path"), Some("/api/refresh"));
    client.get("/api/me").await.assert_ok();
    world.advance(crate::world::ACCESS);
    client.post("/api/refresh", &Value::Null).await.assert_ok();
    client.post("/api/logout", &Value::Null).await.assert_ok();
    assert!(client.has_forgotten());
}

#[tokio::test(start_paused = true)]
async fn nesting_that_the_table_does_not_know_is_said_at_the_first_login_and_refresh() {
    let world = World::new().await;
    let client = world.login("alice").await;
    let nested = world.behind(Router::new().nest("/api", ROUTES.router(world.state())));
    let rows = world.store.rows();
    for (path, own) in [("/api/login", "/login"), ("/api/refresh", "/refresh")] {
        let log = Log::of_this_thread();
        let mut client = client.clone().at(nested.app.clone());
        let answer = client.post(path, &serde_json::json!({ "user": "alice" })).await;
        answer.assert_refused(500, "misconfigured").assert_keeps_tokens();
        assert_eq!(answer.json(), serde_json::json!({ "message": "internal server error" }));
        let text = log.text();
        let line = text.lines().find(|line| line.contains("ERROR")).expect("a line in the log");
        assert!(line.contains(&format!("{path:?}")) && line.contains(&format!("{own:?}")), "{line}");
    }
    assert_eq!(world.store.rows(), rows, "no session was made");
    client.clone().at(nested.app.clone()).get("/api/me").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn what_a_proxy_strips_or_a_service_rewrites_is_no_nesting() {
    let world = World::with(|settings| settings.public_prefix("/gw")).await;
    world.login("alice").await.get("/me").await.assert_ok();
    // Nested below the root, and merged, the paths stay as the table says.
    let merged = world.behind(Router::new().merge(ROUTES.router(world.state())));
    merged.login("alice").await.get("/me").await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn without_a_table_the_refresh_endpoint_answers_where_the_settings_say() {
    let store = session_runtime::MemoryStore::new();
    let sessions = Sessions::builder(store).refresh_path("/auth/session/refresh").build().await.unwrap();
    let app = SDK_ROUTES.router(crate::app::App { sessions });
    let mut client = crate::client::Client::new(app);
    let login = client.login("alice").await;
    let cookie = login.assert_ok().cookie(REFRESH_COOKIE).unwrap();
    assert_eq!(cookie.attribute("Path"), Some("/auth/session/refresh"));
    client.post("/auth/session/refresh", &Value::Null).await.assert_ok();
}
