//! What a browser keeps.

use axum::http::{HeaderMap, header::SET_COOKIE};
use cookie_store::CookieStore;
use url::Url;

pub(super) const REFRESH_COOKIE: &str = "sRefreshToken";

/// The cookies of one browser, for all of its tabs.
#[derive(Default)]
pub(super) struct Jar(CookieStore);

impl Jar {
    /// A refresh token that came from elsewhere, and nothing else.
    pub(super) fn with_refresh_token(token: &str, path: &str) -> Self {
        let mut jar = Self::default();
        let cookie = format!("{REFRESH_COOKIE}={token}; Path={path}");
        jar.0.parse(&cookie, &url(path)).expect("what was received can be kept");
        jar
    }

    /// The `Cookie` header of a request for a path.
    pub(super) fn cookies_for(&self, path: &str) -> String {
        let url = url(path);
        let cookies = self.0.get_request_values(&url).map(|(name, value)| format!("{name}={value}"));
        cookies.collect::<Vec<_>>().join("; ")
    }

    /// The refresh token, as it goes to the path of the refresh endpoint.
    pub(super) fn refresh_token(&self, path: &str) -> Option<String> {
        let url = url(path);
        let mut cookies = self.0.get_request_values(&url);
        cookies.find(|(name, _)| *name == REFRESH_COOKIE).map(|(_, value)| value.to_owned())
    }

    /// Keeps, and removes, what an answer to a request for a path says.
    pub(super) fn take(&mut self, path: &str, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().expect("a cookie is text");
            // A removal of what is not there is no success.
            let _ = self.0.parse(cookie, &url(path));
        }
    }
}

/// Cookies know no ports, so all nodes are one host to a browser.
fn url(path: &str) -> Url {
    Url::parse(&format!("http://127.0.0.1{path}")).expect("a path")
}
