//! Tables of other crates, over other states, and services that know nothing of sessions, in one table.

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::FromRef,
    http::{Method, Request, Response, StatusCode, header},
    response::Redirect,
};
use session_runtime::{
    Claim as _, MemoryStore, RefusedRequest, Routes, Session, Sessions, protected, requirement, routes,
};
use tests::{Library, Role};
use tower::{Service, ServiceExt as _, service_fn};

#[derive(Clone, FromRef)]
struct App {
    sessions: Sessions,
    library: Library,
}

static ROUTES: Routes<App> = routes![
    home,
    "/auth" => [..tests::AUTH],
    "/api" => ["/admin" => [..tests::ADMIN]],
    "/assets" => public_service(assets, reason = "static files"),
    switched,
    "/pages" => protected_service(
        assets,
        require_only = [],
        max_auth_age = "1h",
        check = store,
        csrf = dangerously_off,
        transport = cookie,
        on_refused = to_login,
    ),
];

#[protected(GET "/")]
async fn home(session: Session) -> String {
    session.user_id().to_owned()
}

#[protected(
    GET "/switched",
    require_only = [Role.includes("a"), hours::open, Role.includes("b")],
    transport = header,
    on_refused = to_login,
)]
async fn switched() {}

mod hours {
    use super::*;

    #[requirement]
    pub(super) fn open(_: &Session) -> bool {
        true
    }
}

async fn to_login(_: RefusedRequest) -> Redirect {
    Redirect::to("/login")
}

/// What a crate for static files would give.
fn assets(
    _: &App,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ use<> {
    service_fn(async |request: Request<Body>| Ok(Response::new(request.uri().to_string().into())))
}

async fn app() -> (App, Router) {
    let sessions = Sessions::builder(MemoryStore::new()).routes(&ROUTES).build().await.unwrap();
    let library = Library { sessions: sessions.clone(), greeting: "hello from the library" };
    let app = App { sessions, library };
    (app.clone(), ROUTES.router(app))
}

async fn send(app: &Router, method: Method, path: &str, token: &str, body: &str) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path).header("st-auth-mode", "header");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    app.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
}

async fn get(app: &Router, path: &str, token: &str) -> (StatusCode, String) {
    let answer = send(app, Method::GET, path, token, "").await;
    let status = answer.status();
    (status, text(answer).await)
}

async fn text(answer: Response<Body>) -> String {
    String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().into()).unwrap()
}

/// Logs in, and gives the access token and the refresh token.
async fn login(app: &Router, user: &str) -> [String; 2] {
    let answer = send(app, Method::POST, "/auth/login", "", user).await;
    assert_eq!(answer.status(), StatusCode::OK);
    ["st-access-token", "st-refresh-token"].map(|name| answer.headers()[name].to_str().unwrap().to_owned())
}

#[tokio::test]
async fn included_routes_answer_at_their_full_paths_with_their_own_state() {
    let (_, app) = app().await;
    let [access, _] = login(&app, "ann").await;
    assert_eq!(get(&app, "/", &access).await, (StatusCode::OK, "ann".into()));
    assert_eq!(get(&app, "/api/admin", "").await, (StatusCode::OK, "hello from the library".into()));
    assert_eq!(get(&app, "/api/admin/users/7", &access).await, (StatusCode::OK, "ann".into()));
    assert_eq!(get(&app, "/api/admin/users/7", "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&app, "/users/7", &access).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_included_refresh_endpoint_refreshes_where_its_cookie_is_sent() {
    let (_, app) = app().await;
    assert_eq!(ROUTES.refresh_path().as_deref(), Some("/auth/refresh"));
    let request = Request::post("/auth/login").body(Body::from("ann")).unwrap();
    let answer = app.clone().oneshot(request).await.unwrap();
    let cookies: Vec<_> = answer.headers().get_all(header::SET_COOKIE).iter().collect();
    let is_there = |cookie: &&&header::HeaderValue| cookie.to_str().unwrap().contains("Path=/auth/refresh");
    assert_eq!(cookies.iter().filter(is_there).count(), 1, "{cookies:?}");

    let [_, refresh] = login(&app, "ann").await;
    let answer = send(&app, Method::POST, "/auth/refresh", &refresh, "").await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_included_login_at_another_path_than_the_table_says_fails_at_once() {
    let (_, app) = app().await;
    let nested = Router::new().nest("/v1", app);
    let answer = send(&nested, Method::POST, "/v1/auth/login", "", "ann").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_protected_service_is_reached_with_a_session_alone() {
    let (_, app) = app().await;
    let [admin, _] = login(&app, "admin").await;
    let [ann, _] = login(&app, "ann").await;
    for (rest, seen) in [("", "/"), ("/", "/"), ("/deep/er", "/deep/er"), ("/x?y=z", "/x?y=z")] {
        let path = format!("/api/admin/old{rest}");
        let (status, body) = get(&app, &path, &admin).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, &*format!("admin {seen} of {path}")));
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
            let method: Method = method.parse().unwrap();
            let answer = send(&app, method.clone(), &path, "", "").await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path} without a session");
            assert!(answer.headers().contains_key("session-error"), "{method} {path}");
            let answer = send(&app, method.clone(), &path, &ann, "").await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method} {path} without the role");
        }
    }
}

#[tokio::test]
async fn a_protected_service_is_closed_by_a_function_that_is_asked_with_the_state_of_its_table() {
    let (_, app) = app().await;
    let [admin, _] = login(&app, "admin").await;
    let (status, body) = get(&app, "/api/admin/old/closed", &admin).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains(r#""id":"is_open""#), "{body}");
}

#[tokio::test]
async fn a_protected_service_has_the_switches_of_a_route() {
    let (_, app) = app().await;
    let [ann, _] = login(&app, "ann").await;
    let answer = send(&app, Method::GET, "/pages/x", &ann, "").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "a token in a header is not seen");
    assert_eq!(answer.headers()[header::LOCATION], "/login");

    let cookie = format!("sAccessToken={ann}");
    let from_elsewhere = Request::post("/pages/x")
        .header(header::COOKIE, cookie)
        .header("sec-fetch-site", "cross-site")
        .body(Body::empty())
        .unwrap();
    let answer = app.oneshot(from_elsewhere).await.unwrap();
    assert_eq!((answer.status(), text(answer).await), (StatusCode::OK, "/x".into()));
}

#[tokio::test]
async fn what_a_protected_service_changes_of_its_session_is_told_to_the_client() {
    let (_, app) = app().await;
    let [admin, _] = login(&app, "admin").await;
    let answer = send(&app, Method::GET, "/api/admin/old/leave", &admin, "").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["front-token"], "remove");
    assert_eq!(get(&app, "/api/admin/old", &admin).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_public_service_is_reached_by_everyone_below_its_prefix_only() {
    let (_, app) = app().await;
    assert_eq!(get(&app, "/assets/logo.svg", "").await, (StatusCode::OK, "/logo.svg".into()));
    assert_eq!(get(&app, "/assets", "").await, (StatusCode::OK, "/".into()));
    assert_eq!(get(&app, "/assetsx", "").await.0, StatusCode::NOT_FOUND);
}

#[test]
fn the_manifest_shows_included_routes_and_services() {
    let manifest = ROUTES.manifest();
    assert_eq!(
        manifest.to_string(),
        "\
METHOD  PATH                    PROTECTION         HANDLER                CHECKS
GET     /                       protected          composition::home
GET     /api/admin              public             tests::index
ANY     /api/admin/old/{*rest}  protected service  echo                   require = [is_open, Role.includes(\"admin\")]
GET     /api/admin/users/{id}   protected          tests::user
ANY     /assets/{*rest}         public service     assets                 reason = \"static files\"
POST    /auth/login             login              tests::login
POST    /auth/refresh           refresh            tests::refresh
ANY     /pages/{*rest}          protected service  assets                 require_only = [], max_auth_age = \"1h\", \
            check = store, csrf = dangerously_off, transport = cookie, on_refused = to_login
GET     /switched               protected          composition::switched  require_only = [Role.includes(\"a\"), \
            hours::open, Role.includes(\"b\")], transport = header, on_refused = to_login
"
    );
    assert_eq!(manifest.iter().len(), ROUTES.iter().count());
}
