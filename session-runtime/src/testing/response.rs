use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, response::Parts},
};
use serde::de::DeserializeOwned;

use crate::error::SessionError;

/// The answer to a [`TestRequest`](super::TestRequest), its body read to the end.
#[derive(Clone, Debug)]
#[must_use = "an answer that nobody looks at shows nothing"]
pub struct TestResponse {
    /// What was asked.
    line: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl TestResponse {
    pub(super) fn new(line: String, parts: Parts, body: Bytes) -> Self {
        Self { line, status: parts.status, headers: parts.headers, body }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The value of a header; `None` if it is missing, or no ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Why the session was refused, as [`SessionError`] lists it: `try_refresh_token`, `unauthorised`, …; `None` if it was not.
    pub fn reason(&self) -> Option<&str> {
        self.header(SessionError::REASON_HEADER.as_str())
    }

    /// The body.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// The body as text.
    ///
    /// # Panics
    ///
    /// If it is no UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap_or_else(|error| panic!("{}: no text: {error}", self.shown()))
    }

    /// The body, read as JSON.
    ///
    /// # Panics
    ///
    /// If it is no JSON of a `T`.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{}: {error}", self.shown()))
    }

    /// Checks that the status is one of success, 200 to 299.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn assert_ok(&self) -> &Self {
        assert!(self.status.is_success(), "{}", self.shown());
        self
    }

    /// Checks the status.
    ///
    /// # Panics
    ///
    /// If it is another.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert!(self.status == status, "{}; {status} was expected", self.shown());
        self
    }

    /// Checks that the session was refused for `reason`, as [`SessionError`] lists it: `try_refresh_token`, `unauthorised`,
    /// `token_theft`, `invalid_claim`, `csrf`, `too_many_sessions`, `store_unavailable`. Its status is that of the settings.
    ///
    /// # Panics
    ///
    /// If it was not, or for another reason. A 401 of the application's own is no refusal of the session.
    #[track_caller]
    pub fn assert_refused(&self, reason: &str) -> &Self {
        assert!(self.reason() == Some(reason), "{}; a refusal for `{reason}` was expected", self.shown());
        self
    }

    /// Question and answer, for the message of an assertion that failed.
    fn shown(&self) -> String {
        let Self { line, status, body, .. } = self;
        let reason = self.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("`{line}` was answered {status}{reason}: {}", String::from_utf8_lossy(body))
    }
}
