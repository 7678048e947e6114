//! HTTP as a browser speaks it, and what an answer means.

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{
        HeaderMap, Method, Request, StatusCode,
        header::{CONTENT_TYPE, COOKIE, RETRY_AFTER, USER_AGENT},
    },
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use session_runtime::SessionError;

/// What an answer means to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Served,
    /// "try refresh token".
    Expired,
    /// The session has ended, for theft or otherwise.
    LoggedOut,
    /// 503, and when to come again.
    Unavailable,
    /// The request may have arrived or not.
    Unanswered,
    /// Nothing that the protocol knows.
    Wrong,
}

/// Connections to all nodes, kept alive between requests.
pub(super) struct Wire(Client<HttpConnector, Body>);

pub(super) struct Message<'a> {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) agent: &'a str,
    pub(super) cookies: String,
    pub(super) body: Option<Value>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Bytes,
}

impl Wire {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// The whole answer; nothing, if the connection was refused or broke.
    pub(super) async fn send(&self, message: Message<'_>) -> Option<Answer> {
        let mut request = Request::builder()
            .method(message.method)
            .uri(message.url)
            .header(USER_AGENT, message.agent)
            .header("sec-fetch-site", "same-origin")
            .header("rid", "session");
        if !message.cookies.is_empty() {
            request = request.header(COOKIE, message.cookies);
        }
        let body = match message.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body).expect("a request");
        let (parts, body) = self.0.request(request).await.ok()?.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await.ok()?;
        Some(Answer { status: parts.status, headers: parts.headers, body })
    }
}

impl Answer {
    pub(super) fn verdict(&self) -> Verdict {
        match (self.status, self.reason()) {
            (StatusCode::OK, _) => Verdict::Served,
            (StatusCode::UNAUTHORIZED, "try_refresh_token") => Verdict::Expired,
            (StatusCode::UNAUTHORIZED, "unauthorised" | "token_theft") => Verdict::LoggedOut,
            (StatusCode::SERVICE_UNAVAILABLE, _) if self.headers.contains_key(RETRY_AFTER) => {
                Verdict::Unavailable
            }
            _ => Verdict::Wrong,
        }
    }

    /// Whom it names.
    pub(super) fn user(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        body["user"].as_str().map(str::to_owned)
    }

    /// The status, and the reason of a refusal.
    pub(super) fn summary(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.reason()).trim_end().to_owned()
    }

    fn reason(&self) -> &str {
        let reason = self.headers.get(SessionError::REASON_HEADER);
        reason.and_then(|reason| reason.to_str().ok()).unwrap_or_default()
    }
}
