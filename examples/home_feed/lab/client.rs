//! Clients that are no browser of the visitor's: a thief, and a phone.

use axum::{
    Router,
    body::Body,
    http::{
        HeaderMap, Method, Request,
        header::{CONTENT_TYPE, COOKIE, USER_AGENT},
    },
    response::Response,
};
use tower::ServiceExt as _;

use super::tokens::{ACCESS_COOKIE, REFRESH_COOKIE, cookies_set};

/// A client with a jar of its own.
#[derive(Clone)]
pub(super) struct OtherClient {
    by: PlayedBy,
    user_agent: &'static str,
    refresh: Option<String>,
    access: Option<String>,
}

/// Marks a request that a client of the laboratory makes.
#[derive(Clone, Copy)]
pub(super) struct PlayedBy(pub(super) &'static str);

impl OtherClient {
    pub(super) fn thief(refresh_token: String) -> Self {
        Self { by: PlayedBy("thief"), user_agent: "Thief/1.0", refresh: Some(refresh_token), access: None }
    }

    pub(super) fn phone() -> Self {
        Self { by: PlayedBy("phone"), user_agent: "Phone/1.0", refresh: None, access: None }
    }

    pub(super) async fn ask(&mut self, app: Router, method: Method, path: &str, body: String) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(COOKIE, self.cookies(path))
            .header(USER_AGENT, self.user_agent)
            .header("rid", "session")
            .header(CONTENT_TYPE, "application/json")
            .extension(self.by)
            .body(Body::from(body))
            .expect("a method, a path and headers of ours make a request");
        let Ok(answer) = app.oneshot(request).await;
        self.take(answer.headers());
        answer
    }

    /// The one token that matters at `path`.
    fn cookies(&self, path: &str) -> String {
        let (name, token) =
            if path == "/refresh" { (REFRESH_COOKIE, &self.refresh) } else { (ACCESS_COOKIE, &self.access) };
        token.as_ref().map(|token| format!("{name}={token}")).unwrap_or_default()
    }

    /// Takes new tokens. It does not forget any when told to: it is no browser, and means no good.
    fn take(&mut self, headers: &HeaderMap) {
        for (name, value) in cookies_set(headers) {
            match name {
                ACCESS_COOKIE => self.access = Some(value.to_owned()),
                REFRESH_COOKIE => self.refresh = Some(value.to_owned()),
                _ => {}
            }
        }
    }
}
