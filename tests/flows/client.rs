//! A client that behaves as a browser with the official SDK does: a cookie jar, or the tokens of header mode.

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE},
    },
};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::Value;
use session_runtime::SessionHandle;
use tower::ServiceExt as _;

pub(crate) const ACCESS_COOKIE: &str = "sAccessToken";
pub(crate) const REFRESH_COOKIE: &str = "sRefreshToken";

/// A clone is a second tab before either has heard an answer, a client whose answer gets lost, or a thief.
#[derive(Clone)]
pub(crate) struct Client {
    app: Router,
    pub(crate) jar: Vec<SetCookie>,
    /// The tokens of header mode.
    pub(crate) access: Option<String>,
    pub(crate) refresh: Option<String>,
    anti_csrf: Option<String>,
    /// Sent with every request.
    headers: HeaderMap,
}

impl Client {
    /// A browser on a page of the application's own.
    pub(crate) fn new(app: Router) -> Self {
        let client = Self {
            app,
            jar: Vec::new(),
            access: None,
            refresh: None,
            anti_csrf: None,
            headers: HeaderMap::new(),
        };
        client.with("sec-fetch-site", "same-origin").with("user-agent", "Test/1.0")
    }

    /// Sends a header with every request from now on.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header value");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// No longer sends a header.
    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.headers.remove(name);
        self
    }

    /// Sends to another application, or another node, from now on.
    pub(crate) fn at(self, app: Router) -> Self {
        Self { app, ..self }
    }

    /// Has the tokens sent in headers.
    pub(crate) fn in_header_mode(self) -> Self {
        self.with("st-auth-mode", "header")
    }

    pub(crate) async fn login(&mut self, user: &str) -> Answer {
        self.post("/login", &serde_json::json!({ "user": user })).await
    }

    pub(crate) async fn refresh(&mut self) -> Answer {
        self.call(Method::POST, "/refresh").await
    }

    pub(crate) async fn logout(&mut self) -> Answer {
        self.call(Method::POST, "/logout").await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.call(Method::GET, path).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Answer {
        let mut request = self.request(Method::POST, path);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Body::from(body.to_string());
        self.send(request).await
    }

    pub(crate) async fn call(&mut self, method: Method, path: &str) -> Answer {
        let request = self.request(method, path);
        self.send(request).await
    }

    /// A request as this client would make it now.
    pub(crate) fn request(&self, method: Method, path: &str) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("a path");
        let headers = request.headers_mut();
        headers.insert("host", HeaderValue::from_static("app.example.com"));
        headers.extend(self.headers.clone());
        let cookies = self.jar.iter().filter(|cookie| cookie.is_sent_to(path)).map(SetCookie::pair);
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        if !cookies.is_empty() {
            headers.insert(COOKIE, HeaderValue::from_str(&cookies).expect("a cookie header"));
        }
        let bearer = if path.ends_with("/refresh") { &self.refresh } else { &self.access };
        if let Some(token) = bearer {
            headers
                .insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).expect("a token"));
        }
        if let Some(token) = &self.anti_csrf {
            headers.insert("anti-csrf", HeaderValue::from_str(token).expect("a token"));
        }
        request
    }

    /// Sends any request, and keeps what the answer says to keep.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Answer {
        let answer = send(&self.app, request).await;
        self.take(&answer);
        answer
    }

    /// The session that the access token names.
    pub(crate) fn handle(&self) -> SessionHandle {
        let payload = payload_of(&self.access_token());
        payload["sessionHandle"].as_str().expect("a handle").parse().expect("a handle")
    }

    pub(crate) fn access_token(&self) -> String {
        self.access.clone().or_else(|| self.cookie(ACCESS_COOKIE)).expect("an access token")
    }

    pub(crate) fn refresh_token(&self) -> String {
        self.refresh.clone().or_else(|| self.cookie(REFRESH_COOKIE)).expect("a refresh token")
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.jar.iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value.clone())
    }

    /// Puts a value in the place of a cookie that is there.
    pub(crate) fn set_cookie(&mut self, name: &str, value: &str) {
        let cookie = self.jar.iter_mut().find(|cookie| cookie.name == name).expect("the cookie is there");
        cookie.value = value.to_owned();
    }

    /// Whether nothing is left of any session.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.jar.is_empty() && self.access.is_none() && self.refresh.is_none()
    }

    fn take(&mut self, answer: &Answer) {
        for cookie in answer.cookies() {
            self.jar.retain(|known| !known.is_replaced_by(&cookie));
            if cookie.attribute("Max-Age") != Some("0") {
                self.jar.push(cookie);
            }
        }
        let said =
            |name| answer.header(name).map(|value| Some(value.to_owned()).filter(|value| !value.is_empty()));
        if let Some(token) = said("st-access-token") {
            self.access = token;
        }
        if let Some(token) = said("st-refresh-token") {
            self.refresh = token;
        }
        if let Some(token) = said("anti-csrf") {
            self.anti_csrf = token;
        }
    }
}

/// Sends a request as it is.
pub(crate) async fn send(app: &Router, request: Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.expect("a router never fails");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a whole body");
    Answer { status: parts.status, headers: parts.headers, body }
}

/// The payload of an access token, unverified.
pub(crate) fn payload_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three segments");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn assert_ok(&self) -> &Self {
        assert!(self.status.is_success(), "{} {}", self.status, self.text());
        self
    }

    /// The status and the `session-error` header.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, reason: &str) -> &Self {
        assert_eq!(
            (self.status.as_u16(), self.header("session-error")),
            (status, Some(reason)),
            "{}",
            self.text()
        );
        self
    }

    /// The client is told neither of new tokens nor to forget those that it has.
    #[track_caller]
    pub(crate) fn assert_keeps_tokens(&self) -> &Self {
        for name in ["set-cookie", "front-token", "st-access-token", "st-refresh-token", "anti-csrf"] {
            assert_eq!(self.header(name), None, "{name}");
        }
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn cookies(&self) -> Vec<SetCookie> {
        self.headers.get_all(SET_COOKIE).iter().map(SetCookie::read).collect()
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<SetCookie> {
        self.cookies().into_iter().find(|cookie| cookie.name == name)
    }

    /// The names of the cookies that are set, and the names of those that are removed.
    pub(crate) fn cookie_names(&self) -> (Vec<String>, Vec<String>) {
        let (removed, set): (Vec<_>, Vec<_>) =
            self.cookies().into_iter().partition(|cookie| cookie.attribute("Max-Age") == Some("0"));
        let names = |cookies: Vec<SetCookie>| cookies.into_iter().map(|cookie| cookie.name).collect();
        (names(set), names(removed))
    }

    /// The refresh token on this answer, by cookie or header.
    pub(crate) fn refresh_token(&self) -> Option<String> {
        let cookie = self.cookie(REFRESH_COOKIE).map(|cookie| cookie.value);
        cookie
            .or_else(|| self.header("st-refresh-token").map(str::to_owned))
            .filter(|token| !token.is_empty())
    }

    /// The payload of the access token on this answer, by cookie or header.
    pub(crate) fn access(&self) -> Option<Value> {
        let cookie = self.cookie(ACCESS_COOKIE).map(|cookie| cookie.value);
        let token = cookie.or_else(|| self.header("st-access-token").map(str::to_owned));
        token.filter(|token| !token.is_empty()).map(|token| payload_of(&token))
    }

    /// For how many seconds the access token on this answer lives.
    #[track_caller]
    pub(crate) fn access_lifetime(&self) -> u64 {
        let access = self.access().expect("an access token on this answer");
        access["exp"].as_u64().expect("exp") - access["iat"].as_u64().expect("iat")
    }

    pub(crate) fn front_token(&self) -> Value {
        let front = self.header("front-token").expect("a front token");
        serde_json::from_slice(&BASE64_STANDARD.decode(front).expect("padded base64")).expect("JSON")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A `Set-Cookie` header.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SetCookie {
    pub(crate) name: String,
    pub(crate) value: String,
    attributes: Vec<(String, String)>,
}

impl SetCookie {
    fn read(value: &HeaderValue) -> Self {
        let mut parts = value.to_str().expect("ASCII").split("; ").map(|part| match part.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (part.to_owned(), String::new()),
        });
        let (name, value) = parts.next().expect("a cookie");
        Self { name, value, attributes: parts.collect() }
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn pair(&self) -> String {
        format!("{}={}", self.name, self.value)
    }

    fn path(&self) -> &str {
        self.attribute("Path").unwrap_or("/")
    }

    /// RFC 6265, section 5.1.4.
    fn is_sent_to(&self, path: &str) -> bool {
        let own = self.path();
        let below = path.strip_prefix(own);
        below.is_some_and(|rest| rest.is_empty() || own.ends_with('/') || rest.starts_with('/'))
    }

    /// A browser replaces a cookie only by one of the same name, path and domain.
    fn is_replaced_by(&self, other: &Self) -> bool {
        (&self.name, self.path(), self.attribute("Domain"))
            == (&other.name, other.path(), other.attribute("Domain"))
    }
}
