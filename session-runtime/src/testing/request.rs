use std::{
    fmt,
    future::IntoFuture,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderValue, Request, header::CONTENT_TYPE},
};
use futures_util::{FutureExt as _, future::BoxFuture};
use serde::Serialize;
use tower::ServiceExt as _;

use super::{
    TestResponse, TestSite,
    client::read_header,
    jar::{Jar, Places},
};

/// A request of a [`TestClient`](super::TestClient), with the cookies and tokens that the client had when it was made.
///
/// Awaiting it sends it and has the client take what the answer says to take. What is never awaited never reaches the server.
#[must_use = "a request is sent by awaiting it"]
pub struct TestRequest {
    site: TestSite,
    app: Router,
    jar: Arc<Mutex<Jar>>,
    request: Request<Body>,
}

impl TestRequest {
    pub(super) fn new(site: TestSite, app: Router, jar: Arc<Mutex<Jar>>, request: Request<Body>) -> Self {
        Self { site, app, jar, request }
    }

    /// Sends a header with it, in place of one of that name.
    ///
    /// # Panics
    ///
    /// If it is no header.
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let (name, value) = read_header(name, value);
        self.request.headers_mut().insert(name, value);
        self
    }

    /// Sends a body with it.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    /// Sends `value` with it, as JSON.
    ///
    /// # Panics
    ///
    /// If `value` can't be written as JSON.
    #[track_caller]
    pub fn json(mut self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_else(|error| panic!("no JSON: {error}"));
        self.request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body(body)
    }

    /// The request itself, to be looked at, changed or sent by other means.
    pub fn into_http(self) -> Request<Body> {
        self.request
    }

    /// Sends it; the answer gets lost on its way. The server has done its work, the client learns nothing of it.
    pub async fn lose_response(self) {
        let Self { site, app, request, .. } = self;
        let _ = exchange(&site, app, request).await;
    }

    /// Sends it, and has the client take what the answer says to take. The same as awaiting it.
    pub async fn send(self) -> TestResponse {
        let Self { site, app, jar, request } = self;
        let path = request.uri().path().to_owned();
        let response = exchange(&site, app, request).await;
        let mut jar = jar.lock().unwrap_or_else(PoisonError::into_inner);
        jar.take(&path, response.headers(), Places::of(&site), site.clock.now());
        response
    }
}

impl IntoFuture for TestRequest {
    type Output = TestResponse;
    type IntoFuture = BoxFuture<'static, TestResponse>;

    fn into_future(self) -> Self::IntoFuture {
        self.send().boxed()
    }
}

/// Shows no tokens.
impl fmt::Debug for TestRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.request.method(), self.request.uri())
    }
}

async fn exchange(site: &TestSite, app: Router, request: Request<Body>) -> TestResponse {
    let line = format!("{} {}", request.method(), request.uri());
    site.settle().await;
    let Ok(response) = app.oneshot(request).await;
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_else(|error| panic!("`{line}`: {error}"));
    site.settle().await;
    TestResponse::new(line, parts, body)
}
