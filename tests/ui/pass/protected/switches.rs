#![deny(warnings)]

use axum::{
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use session_runtime::{
    Claim, RefusedRequest, Routes, Session, Sessions, all, any, not, protected, refresh_endpoint, routes,
};

struct Role;

impl Claim for Role {
    const KEY: &'static str = "role";
    type Value = Vec<String>;
}

struct Verified;

impl Claim for Verified {
    const KEY: &'static str = "verified";
    const MAX_AGE: Option<std::time::Duration> = Some(std::time::Duration::from_secs(60));
    type Value = bool;
}

#[protected(GET "/combined", require = [any([Role.includes("a"), all([not(Verified.is_true()), Role.excludes("b")])])])]
async fn combined(_: Session) {}

#[protected(GET "/lists", require = [Role.includes_any(["a", "b"]), Role.includes_all(vec!["c".to_owned()])])]
async fn lists(_: Session) {}

#[protected(GET "/only", require_only = [Verified.is(false)])]
async fn only(_: Session) {}

#[protected(POST "/nothing", require_only = [], csrf = dangerously_off, transport = cookie)]
async fn nothing(_: Session) {}

#[protected(GET "/header", optional, transport = header)]
async fn header(_: Option<Session>) {}

#[protected(GET "/redirect", on_refused = redirect)]
async fn page(_: Session) {}

#[protected(GET "/status", on_refused = status)]
async fn other_page() {}

#[protected(GET "/response", optional, on_refused = response)]
async fn third_page(_: Option<Session>) {}

async fn redirect(refused: RefusedRequest) -> Redirect {
    Redirect::to(&format!("/login?then={}", refused.uri))
}

async fn status(_: RefusedRequest) -> (StatusCode, &'static str) {
    (StatusCode::UNAUTHORIZED, "log in")
}

async fn response(refused: RefusedRequest) -> Option<Response> {
    (refused.method == "GET").then(|| "log in".into_response())
}

#[refresh_endpoint(POST "/refresh")]
async fn refresh(_: Session) {}

static ROUTES: Routes<Sessions> =
    routes![refresh, combined, lists, only, nothing, header, page, other_page, third_page];

fn main() {
    let _: fn(Sessions) -> axum::Router = |sessions| ROUTES.router(sessions);
}
