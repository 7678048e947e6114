//! What a client keeps between requests.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use ::cookie::Cookie;
use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Request,
        header::{AUTHORIZATION, COOKIE, SET_COOKIE},
    },
};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::TestSite;
use crate::{
    clock::Timestamp,
    engine::random,
    handle::SessionHandle,
    transport::{front_token, header},
};

/// Cookies (RFC 6265bis, section 5), and the tokens of header mode.
///
/// Every request goes to the one host, as from a page of its own over HTTPS, so the attributes `Domain`, `Secure` and
/// `SameSite` keep no cookie back.
#[derive(Default)]
pub(super) struct Jar {
    cookies: Vec<Kept>,
    access: Option<String>,
    refresh: Option<String>,
    anti_csrf: Option<String>,
    /// By session and generation.
    nonces: BTreeMap<(SessionHandle, u32), String>,
}

/// Where the session's cookies are, by the application's settings.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    access_name: &'a str,
    refresh_name: &'a str,
    /// The path of the refresh endpoint as the application is asked for it.
    refresh_path: &'a str,
    /// What a reverse proxy takes off a path.
    prefix: &'a str,
}

#[derive(Clone)]
struct Kept {
    name: String,
    value: String,
    domain: Option<String>,
    path: String,
    /// `None` where the cookie ends with the browser.
    expires_at: Option<Timestamp>,
}

impl<'a> Places<'a> {
    pub(super) fn of(site: &'a TestSite) -> Self {
        let config = &site.sessions.engine().config;
        let refresh_path = config.placement.refresh.as_str();
        Self {
            access_name: &config.cookies.access_name,
            refresh_name: &config.cookies.refresh_name,
            refresh_path,
            prefix: config.cookies.refresh_path.strip_suffix(refresh_path).unwrap_or_default(),
        }
    }
}

impl Jar {
    /// Gives a request what goes with it.
    pub(super) fn attach(&self, request: &mut Request<Body>, places: Places<'_>) {
        let path = request.uri().path();
        let cookies = self.cookies_for(&format!("{}{path}", places.prefix));
        let bearer = if path == places.refresh_path { &self.refresh } else { &self.access };
        let bearer = bearer.as_ref().map(|token| format!("Bearer {token}"));
        let headers =
            [(COOKIE, cookies), (AUTHORIZATION, bearer), (header::ANTI_CSRF, self.anti_csrf.clone())];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
        request.headers_mut().extend(headers.map(|(name, value)| (name, sendable(&value))));
    }

    /// Keeps what an answer to a request for `path` says to keep.
    pub(super) fn take(&mut self, path: &str, headers: &HeaderMap, places: Places<'_>, now: Timestamp) {
        let default_path = format!("{}{}", places.prefix, default_path(path));
        for cookie in headers.get_all(SET_COOKIE).iter().filter_map(read) {
            self.keep(Kept::new(&cookie, &default_path, now));
        }
        self.expire(now);
        if headers.get(header::FRONT_TOKEN).is_some_and(|value| *value == front_token::REMOVE) {
            self.anti_csrf = None;
        }
        let tokens = [
            (header::ACCESS_TOKEN, &mut self.access),
            (header::REFRESH_TOKEN, &mut self.refresh),
            (header::ANTI_CSRF, &mut self.anti_csrf),
        ];
        for (name, token) in tokens {
            if let Some(said) = said(headers, &name) {
                *token = Some(said).filter(|said| !said.is_empty());
            }
        }
    }

    /// Drops what no browser would still have.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.cookies.retain(|cookie| cookie.expires_at.is_none_or(|expires_at| now < expires_at));
    }

    pub(super) fn close_browser(&mut self) {
        self.cookies.retain(|cookie| cookie.expires_at.is_some());
    }

    pub(super) fn access_token(&self, places: Places<'_>) -> Option<&str> {
        self.access.as_deref().or_else(|| self.cookie(places.access_name))
    }

    pub(super) fn refresh_token(&self, places: Places<'_>) -> Option<&str> {
        self.refresh.as_deref().or_else(|| self.cookie(places.refresh_name))
    }

    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value.as_str())
    }

    pub(super) fn copy_of_access(&self, places: Places<'_>) -> Self {
        let (cookies, anti_csrf) = (self.cookies_called(places.access_name), self.anti_csrf.clone());
        Self { cookies, access: self.access.clone(), anti_csrf, ..Self::default() }
    }

    pub(super) fn copy_of_refresh(&self, places: Places<'_>) -> Self {
        let (cookies, anti_csrf) = (self.cookies_called(places.refresh_name), self.anti_csrf.clone());
        Self { cookies, refresh: self.refresh.clone(), anti_csrf, ..Self::default() }
    }

    /// The nonce for a generation of a session, made when it is first asked for.
    pub(super) fn nonce(&mut self, handle: SessionHandle, generation: u32) -> &str {
        self.nonces.entry((handle, generation)).or_insert_with(new_nonce)
    }

    fn cookies_called(&self, name: &str) -> Vec<Kept> {
        self.cookies.iter().filter(|cookie| cookie.name == name).cloned().collect()
    }

    fn keep(&mut self, cookie: Kept) {
        self.cookies.retain(|known| !known.is_replaced_by(&cookie));
        self.cookies.push(cookie);
    }

    /// The `Cookie` header for a path, as the browser sees the path; longer paths first.
    fn cookies_for(&self, path: &str) -> Option<String> {
        let mut cookies: Vec<_> = self.cookies.iter().filter(|cookie| cookie.is_sent_to(path)).collect();
        cookies.sort_by_key(|cookie| Reverse(cookie.path.len()));
        let pairs: Vec<_> =
            cookies.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

impl Kept {
    fn new(cookie: &Cookie<'_>, default_path: &str, now: Timestamp) -> Self {
        let path = cookie.path().filter(|path| path.starts_with('/')).unwrap_or(default_path);
        Self {
            name: cookie.name().to_owned(),
            value: cookie.value().to_owned(),
            domain: cookie.domain().map(str::to_ascii_lowercase),
            path: path.to_owned(),
            expires_at: expiry(cookie, now),
        }
    }

    fn is_replaced_by(&self, other: &Self) -> bool {
        (&self.name, &self.domain, &self.path) == (&other.name, &other.domain, &other.path)
    }

    /// RFC 6265bis, section 5.1.4.
    fn is_sent_to(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.path.as_str());
        rest.is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'))
    }
}

fn new_nonce() -> String {
    let random: [u8; 32] = random().expect("the system gives random numbers");
    BASE64_URL_SAFE_NO_PAD.encode(random)
}

fn read(value: &HeaderValue) -> Option<Cookie<'_>> {
    Cookie::parse(value.to_str().ok()?).ok()
}

/// `Max-Age` goes before `Expires`.
fn expiry(cookie: &Cookie<'_>, now: Timestamp) -> Option<Timestamp> {
    let since_epoch = |seconds: i64| Timestamp::from_secs(seconds.max(0).unsigned_abs());
    match cookie.max_age() {
        Some(age) => Some(now.after(Duration::try_from(age).unwrap_or_default())),
        None => cookie.expires_datetime().map(|at| since_epoch(at.unix_timestamp())),
    }
}

/// RFC 6265bis, section 5.1.4.
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(last) => &path[..last],
    }
}

fn said(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// What was received can be sent.
fn sendable(text: &str) -> HeaderValue {
    header::secret(text).expect("what came in a header fits into one")
}
