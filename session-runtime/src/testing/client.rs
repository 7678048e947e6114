use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Extension, Router,
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request,
        header::{HOST, USER_AGENT},
    },
    routing::post,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::{
    TestRequest, TestSite,
    jar::{Jar, Places},
};
use crate::{
    handle::SessionHandle,
    login_endpoint,
    session::Login,
    sessions::NewSession,
    token::refresh,
    transport::{Transport, header},
};

/// A client with a cookie jar: a browser whose pages use the official SDK, or, in header mode, an app that keeps its tokens.
///
/// From [`TestSite::browser`], [`TestSite::login_as`] and [`TestSite::login_with`]. It takes from every answer what the answer
/// says to take: cookies, those of the application's own included, and the tokens of header mode. Requests carry
/// `Sec-Fetch-Site: same-origin` and `rid`, so that every defence against cross-site requests lets them pass;
/// [`with_header`](Self::with_header) and [`without_header`](Self::without_header) make other clients of it.
pub struct TestClient {
    site: TestSite,
    jar: Arc<Mutex<Jar>>,
    /// Sent with every request.
    headers: HeaderMap,
    /// Whether it sends a nonce with every refresh.
    is_bound: bool,
}

impl TestClient {
    pub(super) fn browser(site: TestSite) -> Self {
        let headers = [
            (HOST, HeaderValue::from_static("app.example.com")),
            (USER_AGENT, HeaderValue::from_static("TestBrowser/1.0")),
            (HeaderName::from_static("sec-fetch-site"), HeaderValue::from_static("same-origin")),
            (header::RID, HeaderValue::from_static("anti-csrf")),
        ];
        Self { site, jar: Arc::default(), headers: headers.into_iter().collect(), is_bound: false }
    }

    /// Asks for its tokens in headers from now on, as an app does that is no browser. To be said before the login.
    pub fn in_header_mode(self) -> Self {
        self.with_header(header::AUTH_MODE.as_str(), &Transport::Header.to_string())
    }

    /// Sends a nonce with every refresh from now on, as a [bound client](mod@crate::rotation#bound-clients) does. The nonces are in
    /// the jar, one for each generation; a thief has others.
    pub fn bound(self) -> Self {
        Self { is_bound: true, ..self }
    }

    /// Sends a header with every request from now on, in place of one of that name.
    ///
    /// # Panics
    ///
    /// If it is no header.
    #[track_caller]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let (name, value) = read_header(name, value);
        self.headers.insert(name, value);
        self
    }

    /// No longer sends a header.
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// The same client, with the same jar, talking to another node.
    pub fn at(&self, site: &TestSite) -> Self {
        Self {
            site: site.clone(),
            jar: Arc::clone(&self.jar),
            headers: self.headers.clone(),
            is_bound: self.is_bound,
        }
    }

    /// A request of `GET`, to be awaited.
    #[track_caller]
    pub fn get(&self, path: &str) -> TestRequest {
        self.request(Method::GET, path)
    }

    /// A request of `POST`, to be awaited.
    #[track_caller]
    pub fn post(&self, path: &str) -> TestRequest {
        self.request(Method::POST, path)
    }

    /// A request of `PUT`, to be awaited.
    #[track_caller]
    pub fn put(&self, path: &str) -> TestRequest {
        self.request(Method::PUT, path)
    }

    /// A request of `PATCH`, to be awaited.
    #[track_caller]
    pub fn patch(&self, path: &str) -> TestRequest {
        self.request(Method::PATCH, path)
    }

    /// A request of `DELETE`, to be awaited.
    #[track_caller]
    pub fn delete(&self, path: &str) -> TestRequest {
        self.request(Method::DELETE, path)
    }

    /// A request to `path`, query included, with the cookies and tokens that this client has now.
    ///
    /// # Panics
    ///
    /// If `path` is none.
    #[track_caller]
    pub fn request(&self, method: Method, path: &str) -> TestRequest {
        self.request_of(self.site.app.clone(), method, path)
    }

    /// The request by which an expired access token is exchanged, to the path of the refresh endpoint.
    pub fn refresh(&self) -> TestRequest {
        let path = &self.site.sessions.engine().config.placement.refresh;
        let refresh = self.request(Method::POST, path).header(header::RID.as_str(), "session");
        match self.nonce().filter(|_| self.is_bound) {
            Some(nonce) => refresh.header(header::NONCE.as_str(), &nonce),
            None => refresh,
        }
    }

    /// The request by which a session of the user `user_id` is made, without the application's own login.
    ///
    /// It is answered by an endpoint of the kit's, behind a guard like any other: a session that the client has is replaced,
    /// limits hold, and the answer carries the tokens as the settings say.
    pub fn login_as(&self, user_id: &str) -> TestRequest {
        self.login_with(&NewSession::new(user_id))
    }

    /// As [`login_as`](Self::login_as), with claims, data, a tenant.
    pub fn login_with(&self, new: &NewSession) -> TestRequest {
        #[expect(
            clippy::disallowed_methods,
            reason = "one handler, of the kit's own, at a path that no table has"
        )]
        let app = Router::new().route("/", post(log_in)).with_state(self.site.sessions.clone());
        self.request_of(app.layer(Extension(new.clone())), Method::POST, "/")
    }

    /// A second tab of the same browser: it shares the jar.
    pub fn second_tab(&self) -> Self {
        self.at(&self.site)
    }

    /// Somebody who has a copy of the refresh token, and of nothing else but what it takes to present it.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn steal_refresh(&self) -> Self {
        assert!(self.refresh_token().is_some(), "there is no refresh token to steal");
        self.thief_with(|jar, places| jar.copy_of_refresh(places))
    }

    /// Somebody who has a copy of the access token.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn steal_access(&self) -> Self {
        assert!(self.access_token().is_some(), "there is no access token to steal");
        self.thief_with(|jar, places| jar.copy_of_access(places))
    }

    /// Closes the browser, and with it drops the cookies that end then: those of a session made with `remember(false)`.
    pub fn close_browser(&self) {
        self.jar().close_browser();
    }

    /// The access token that this client has, expired or not.
    pub fn access_token(&self) -> Option<String> {
        self.jar().access_token(self.places()).map(str::to_owned)
    }

    /// The refresh token that this client has.
    pub fn refresh_token(&self) -> Option<String> {
        self.jar().refresh_token(self.places()).map(str::to_owned)
    }

    /// The value of a cookie that this client has.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.jar().cookie(name).map(str::to_owned)
    }

    /// The session that the access token names, live or not.
    ///
    /// # Panics
    ///
    /// Without an access token.
    #[track_caller]
    pub fn handle(&self) -> SessionHandle {
        let token = self.access_token().expect("the client has an access token");
        handle_in(&token).expect("the access token names a session")
    }

    /// Checks that the client holds a session: a refresh token.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[track_caller]
    pub fn assert_logged_in(&self) -> &Self {
        assert!(self.refresh_token().is_some(), "the client has no refresh token");
        self
    }

    /// Checks that the client was told to forget its session: it has neither an access token nor a refresh token.
    ///
    /// # Panics
    ///
    /// If it has one.
    #[track_caller]
    pub fn assert_logged_out(&self) -> &Self {
        assert!(self.access_token().is_none(), "the client still has an access token");
        assert!(self.refresh_token().is_none(), "the client still has a refresh token");
        self
    }

    #[track_caller]
    fn request_of(&self, app: Router, method: Method, path: &str) -> TestRequest {
        let uri = path.parse().unwrap_or_else(|error| panic!("`{path}` is no path: {error}"));
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        self.jar().attach(&mut request, self.places());
        TestRequest::new(self.site.clone(), app, Arc::clone(&self.jar), request)
    }

    fn thief_with(&self, copy: impl FnOnce(&mut Jar, Places<'_>) -> Jar) -> Self {
        let jar = copy(&mut self.jar(), self.places());
        let thief = Self { jar: Arc::new(Mutex::new(jar)), is_bound: false, ..self.at(&self.site) };
        thief.with_header(USER_AGENT.as_str(), "Thief/1.0").without_header("sec-fetch-site")
    }

    /// The nonce for the refresh token that this client has.
    fn nonce(&self) -> Option<String> {
        let keys = &self.site.sessions.engine().keys;
        let token = refresh::open(keys, &self.refresh_token()?).ok()?;
        let mut jar = self.jar();
        let nonce = jar.nonce(token.handle(), token.generation());
        Some(format!("{}.{nonce}", token.generation()))
    }

    fn places(&self) -> Places<'_> {
        Places::of(&self.site)
    }

    /// The jar, without what has expired.
    fn jar(&self) -> MutexGuard<'_, Jar> {
        let mut jar = self.jar.lock().unwrap_or_else(PoisonError::into_inner);
        jar.expire(self.site.clock.now());
        jar
    }
}

/// Shows no tokens.
impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient").field("headers", &self.headers).finish_non_exhaustive()
    }
}

/// Makes whatever session the test asks for.
#[login_endpoint]
async fn log_in(mut login: Login, Extension(new): Extension<NewSession>) {
    *login.create("") = new;
}

#[track_caller]
pub(super) fn read_header(name: &str, value: &str) -> (HeaderName, HeaderValue) {
    let read_name = name.parse().unwrap_or_else(|error| panic!("`{name}` is no header name: {error}"));
    let value = value.parse().unwrap_or_else(|error| panic!("no value of the header `{name}`: {error}"));
    (read_name, value)
}

fn handle_in(access_token: &str) -> Option<SessionHandle> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(access_token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    claims["sessionHandle"].as_str()?.parse().ok()
}
