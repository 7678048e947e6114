//! The page: plain HTML, CSS and JavaScript, built into the program.

use axum::{
    http::{
        HeaderName,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{Html, IntoResponse},
};
use session_runtime::public;

/// Nothing of another origin, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

/// So that a newer build of the program shows at once.
const FRESH: (HeaderName, &str) = (CACHE_CONTROL, "no-cache");

#[public(GET "/")]
pub(crate) async fn index() -> impl IntoResponse {
    ([(CONTENT_SECURITY_POLICY, POLICY), FRESH], Html(include_str!("page/index.html")))
}

#[public(GET "/live.js")]
pub(crate) async fn script() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8"), FRESH], include_str!("page/live.js"))
}

#[public(GET "/live.css")]
pub(crate) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), FRESH], include_str!("page/live.css"))
}
