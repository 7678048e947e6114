//! How tokens cross the network: cookies, headers, the front token, and the defence against cross-site
//! requests.
//!
//! Everything here is a function of headers and settings: no I/O, no clock, no key.

pub(crate) mod cookie;
pub(crate) mod cors;
pub(crate) mod csrf;
pub(crate) mod front_token;
pub(crate) mod header;

use std::{fmt, str::FromStr, time::Duration};

use axum::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{InvalidHeaderValue, SET_COOKIE},
};

use self::cookie::CookieConfig;
pub use self::{cookie::SameSite, cors::Cors, csrf::CsrfMode};

/// How a session's tokens travel between client and server.
///
/// A client asks for one when its session is made, with `st-auth-mode: cookie` or `st-auth-mode: header`.
/// Later answers use the one that the presented token came by.
///
/// ```
/// use session_runtime::Transport;
///
/// assert_eq!("header".parse(), Ok(Transport::Header));
/// assert_eq!(Transport::default().to_string(), "cookie");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `HttpOnly` cookies, out of reach of scripts; the default. Needs a defence against cross-site requests,
    /// see [`CsrfMode`].
    #[default]
    Cookie,
    /// `Authorization: Bearer` on requests, `st-access-token` and `st-refresh-token` on responses.
    ///
    /// For native applications and for browsers that refuse third-party cookies. The client stores the tokens
    /// itself, so a script injected into the page can read them.
    Header,
}

impl Transport {
    /// The transport that this is not.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Cookie => Self::Header,
            Self::Header => Self::Cookie,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cookie => "cookie",
            Self::Header => "header",
        })
    }
}

/// The text names no transport: it is neither `cookie` nor `header`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a transport: `cookie` or `header` expected")]
pub struct InvalidTransport;

/// Reads `cookie` or `header`, in upper or lower case.
impl FromStr for Transport {
    type Err = InvalidTransport;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            _ if text.eq_ignore_ascii_case("cookie") => Ok(Self::Cookie),
            _ if text.eq_ignore_ascii_case("header") => Ok(Self::Header),
            _ => Err(InvalidTransport),
        }
    }
}

/// What a response says about one thing that the client keeps.
#[derive(Clone, Copy, Default)]
pub(crate) enum Change<T> {
    /// Nothing: the client keeps what it has, and no cookie or header is sent.
    #[default]
    Keep,
    /// The client shall have this from now on.
    Set(T),
    /// The client shall forget it.
    Clear,
}

/// A refresh token on its way out.
#[derive(Clone, Copy)]
pub(crate) struct Issued<'a> {
    /// The token.
    pub(crate) token: &'a str,
    /// How long it can still be used.
    pub(crate) lifetime: Duration,
}

/// Everything that one response tells the client about its session.
///
/// Has no `Debug`: it holds tokens.
#[derive(Clone)]
pub(crate) struct Outgoing<'a> {
    /// How the tokens below travel.
    pub(crate) transport: Transport,
    /// The access token.
    pub(crate) access: Change<&'a str>,
    /// The refresh token.
    pub(crate) refresh: Change<Issued<'a>>,
    /// What the page's scripts may know of the session, from [`front_token::encode`].
    pub(crate) front_token: Change<HeaderValue>,
    /// The anti-CSRF token of [`CsrfMode::Token`].
    pub(crate) anti_csrf: Change<&'a str>,
    /// Whether cookies survive the end of the browser session.
    pub(crate) persistent: bool,
    /// Whether the client shall forget the tokens that it has by the other transport.
    pub(crate) clear_other: bool,
    /// Whether cookies of the [older domains and paths](CookieConfig::older_domains) are removed. They always
    /// are when the current ones are.
    pub(crate) expire_older: bool,
}

impl<'a> Outgoing<'a> {
    /// A response that changes nothing, the beginning of any other.
    pub(crate) fn keep(transport: Transport) -> Self {
        Self {
            transport,
            access: Change::Keep,
            refresh: Change::Keep,
            front_token: Change::Keep,
            anti_csrf: Change::Keep,
            persistent: true,
            clear_other: false,
            expire_older: false,
        }
    }

    /// A response that ends the session at the client.
    ///
    /// The anti-CSRF token needs no word of its own: clients drop it with the front token.
    pub(crate) fn clear(transport: Transport) -> Self {
        Self {
            access: Change::Clear,
            refresh: Change::Clear,
            front_token: Change::Clear,
            ..Self::keep(transport)
        }
    }

    /// Writes all of it into the headers of a response, and nothing at all if any part of it is refused.
    ///
    /// Cookies are added to those that are there. Headers replace their namesakes and are listed in
    /// `Access-Control-Expose-Headers`. A response that changes anything is `Cache-Control: no-store`.
    ///
    /// # Errors
    ///
    /// A token that fits no cookie or header; see [`TransportError`].
    pub(crate) fn apply(self, config: &CookieConfig, headers: &mut HeaderMap) -> Result<(), TransportError> {
        let mut staged = Staged::default();
        // Removals come first: a client that takes a cookie without `Domain` and one with it for the same
        // keeps the cookie that comes last.
        if self.expire_older || self.clears_cookies() {
            staged.cookies.extend(config.remove_older()?);
        }
        if self.clear_other {
            staged.clear(self.transport.other(), config)?;
        }
        match self.transport {
            Transport::Cookie => self.stage_cookies(config, &mut staged)?,
            Transport::Header => self.stage_headers(&mut staged)?,
        }
        self.stage_companions(&mut staged)?;
        staged.write(headers);
        Ok(())
    }

    fn clears_cookies(&self) -> bool {
        match self.transport {
            Transport::Cookie => {
                matches!(self.access, Change::Clear) || matches!(self.refresh, Change::Clear)
            }
            Transport::Header => self.clear_other,
        }
    }

    fn stage_cookies(&self, config: &CookieConfig, staged: &mut Staged) -> Result<(), TransportError> {
        match self.access {
            Change::Keep => {}
            Change::Set(token) => staged.cookies.push(config.access(token, self.persistent)?),
            Change::Clear => staged.cookies.push(config.remove_access()?),
        }
        match self.refresh {
            Change::Keep => {}
            Change::Set(Issued { token, lifetime }) => {
                staged.cookies.push(config.refresh(token, self.persistent.then_some(lifetime))?);
            }
            Change::Clear => staged.cookies.push(config.remove_refresh()?),
        }
        Ok(())
    }

    fn stage_headers(&self, staged: &mut Staged) -> Result<(), TransportError> {
        let refresh = match self.refresh {
            Change::Keep => Change::Keep,
            Change::Set(issued) => Change::Set(issued.token),
            Change::Clear => Change::Clear,
        };
        staged.secret(header::ACCESS_TOKEN, self.access)?;
        staged.secret(header::REFRESH_TOKEN, refresh)
    }

    fn stage_companions(self, staged: &mut Staged) -> Result<(), TransportError> {
        match self.front_token {
            Change::Keep => {}
            Change::Set(value) => staged.fields.push((header::FRONT_TOKEN, value)),
            Change::Clear => staged.fields.push((header::FRONT_TOKEN, front_token::REMOVE)),
        }
        staged.secret(header::ANTI_CSRF, self.anti_csrf)
    }
}

/// Why a token can't be sent. Holds nothing of the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TransportError {
    /// Browsers drop a cookie whose name and value are longer than this together (RFC 6265bis, section 5.6),
    /// without a word to anyone.
    #[error(
        "cookie `{name}` would take {bytes} bytes, browsers keep at most {}; put less into the claims",
        cookie::MAX_BYTES
    )]
    CookieTooLarge {
        /// The cookie's name.
        name: String,
        /// The length of name and value together.
        bytes: usize,
    },
    /// The value has a character that no cookie can carry (RFC 6265, section 4.1.1, `cookie-octet`).
    #[error("the value of cookie `{name}` has a character that cookies can't carry")]
    CookieValue {
        /// The cookie's name.
        name: String,
    },
    /// The value has a byte that no header can carry.
    #[error("a session header can't carry its value")]
    HeaderValue(#[from] InvalidHeaderValue),
    /// The payload of the access token is not JSON.
    #[error("the payload of the access token is not JSON")]
    Payload(#[from] serde_json::Error),
}

/// What [`Outgoing::apply`] is about to write, complete before the first header is touched.
#[derive(Default)]
struct Staged {
    cookies: Vec<HeaderValue>,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Staged {
    fn clear(&mut self, transport: Transport, config: &CookieConfig) -> Result<(), TransportError> {
        match transport {
            Transport::Cookie => self.cookies.extend([config.remove_access()?, config.remove_refresh()?]),
            Transport::Header => {
                self.fields.push((header::ACCESS_TOKEN, header::EMPTY));
                self.fields.push((header::REFRESH_TOKEN, header::EMPTY));
            }
        }
        Ok(())
    }

    /// Clients forget a value when it comes empty; a missing header would leave it as it is.
    fn secret(&mut self, name: HeaderName, change: Change<&str>) -> Result<(), TransportError> {
        match change {
            Change::Keep => {}
            Change::Set(text) => self.fields.push((name, header::secret(text)?)),
            Change::Clear => self.fields.push((name, header::EMPTY)),
        }
        Ok(())
    }

    fn write(self, headers: &mut HeaderMap) {
        if self.cookies.is_empty() && self.fields.is_empty() {
            return;
        }
        header::expose(headers, self.fields.iter().map(|(name, _)| name));
        for (name, value) in self.fields {
            headers.insert(name, value);
        }
        for cookie in self.cookies {
            headers.append(SET_COOKIE, cookie);
        }
        header::no_store(headers);
    }
}

/// The bytes as text, if they are ASCII.
pub(crate) fn ascii(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok().filter(|text| text.is_ascii())
}

#[cfg(test)]
mod tests {
    use axum::http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL};

    use super::*;

    const GONE: &str = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";

    fn config() -> CookieConfig {
        CookieConfig { older_domains: vec![Some("old.example".into())], ..CookieConfig::new("/refresh") }
    }

    fn rotated(transport: Transport) -> Outgoing<'static> {
        Outgoing {
            access: Change::Set("a1"),
            refresh: Change::Set(Issued { token: "r1", lifetime: Duration::from_secs(60) }),
            front_token: Change::Set(HeaderValue::from_static("f1")),
            ..Outgoing::keep(transport)
        }
    }

    fn applied(outgoing: Outgoing<'_>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        outgoing.apply(&config(), &mut headers).unwrap();
        headers
    }

    fn cookies(headers: &HeaderMap) -> Vec<&str> {
        headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// Name and value of each header that is no cookie, in order of the names.
    fn fields(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let fields = headers.iter().filter(|(name, _)| *name != SET_COOKIE);
        let mut fields: Vec<_> =
            fields.map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        fields.sort();
        fields
    }

    #[test]
    fn a_transport_reads_what_it_writes() {
        for transport in [Transport::Cookie, Transport::Header] {
            assert_eq!(transport.to_string().parse(), Ok(transport));
            assert_eq!(transport.to_string().to_uppercase().parse(), Ok(transport));
            assert_eq!(transport.other().other(), transport);
            assert_ne!(transport.other(), transport);
        }
        for text in ["", "any", "cookies", " cookie"] {
            assert_eq!(text.parse::<Transport>(), Err(InvalidTransport));
        }
    }

    #[test]
    fn a_rotation_in_cookie_mode_sets_both_cookies_and_the_front_token() {
        let headers = applied(rotated(Transport::Cookie));
        assert_eq!(
            cookies(&headers),
            [
                "sAccessToken=a1; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=34560000",
                "sRefreshToken=r1; HttpOnly; SameSite=Lax; Secure; Path=/refresh; Max-Age=60",
            ]
        );
        assert_eq!(
            fields(&headers),
            [
                ("access-control-expose-headers", "front-token"),
                ("cache-control", "no-store"),
                ("front-token", "f1"),
            ]
        );
    }

    #[test]
    fn a_rotation_in_header_mode_sets_headers_and_no_cookie() {
        let headers = applied(Outgoing { anti_csrf: Change::Set("c1"), ..rotated(Transport::Header) });
        assert_eq!(cookies(&headers), [""; 0]);
        assert_eq!(
            fields(&headers),
            [
                (
                    "access-control-expose-headers",
                    "st-access-token, st-refresh-token, front-token, anti-csrf"
                ),
                ("anti-csrf", "c1"),
                ("cache-control", "no-store"),
                ("front-token", "f1"),
                ("st-access-token", "a1"),
                ("st-refresh-token", "r1"),
            ]
        );
    }

    #[test]
    fn an_answer_that_keeps_the_refresh_token_says_nothing_of_it() {
        let kept = |transport| Outgoing { refresh: Change::Keep, ..rotated(transport) };
        let headers = applied(kept(Transport::Cookie));
        assert_eq!(cookies(&headers).len(), 1);
        assert!(cookies(&headers)[0].starts_with("sAccessToken=a1;"));
        assert!(!applied(kept(Transport::Header)).contains_key(header::REFRESH_TOKEN));
    }

    #[test]
    fn a_session_that_is_not_remembered_gets_session_cookies() {
        let headers = applied(Outgoing { persistent: false, ..rotated(Transport::Cookie) });
        assert_eq!(cookies(&headers).len(), 2);
        assert!(cookies(&headers).iter().all(|cookie| !cookie.contains("Max-Age")));
    }

    #[test]
    fn clearing_in_cookie_mode_removes_the_cookies_older_ones_too() {
        let headers = applied(Outgoing::clear(Transport::Cookie));
        let attributes = "HttpOnly; SameSite=Lax; Secure";
        assert_eq!(
            cookies(&headers),
            [
                format!("sAccessToken=; {attributes}; Path=/; Domain=old.example; {GONE}"),
                format!("sRefreshToken=; {attributes}; Path=/refresh; Domain=old.example; {GONE}"),
                format!("sAccessToken=; {attributes}; Path=/; {GONE}"),
                format!("sRefreshToken=; {attributes}; Path=/refresh; {GONE}"),
            ]
        );
        assert_eq!(
            fields(&headers),
            [
                ("access-control-expose-headers", "front-token"),
                ("cache-control", "no-store"),
                ("front-token", "remove"),
            ]
        );
    }

    #[test]
    fn clearing_in_header_mode_sends_empty_headers() {
        let headers = applied(Outgoing::clear(Transport::Header));
        assert_eq!(cookies(&headers), [""; 0]);
        assert_eq!(
            fields(&headers),
            [
                ("access-control-expose-headers", "st-access-token, st-refresh-token, front-token"),
                ("cache-control", "no-store"),
                ("front-token", "remove"),
                ("st-access-token", ""),
                ("st-refresh-token", ""),
            ]
        );
    }

    #[test]
    fn the_other_transport_is_cleared_beside_the_new_tokens() {
        let headers = applied(Outgoing { clear_other: true, ..rotated(Transport::Header) });
        assert_eq!(headers[header::ACCESS_TOKEN], "a1");
        assert_eq!(headers[header::REFRESH_TOKEN], "r1");
        assert_eq!(cookies(&headers).len(), 4);
        assert!(cookies(&headers).iter().all(|cookie| cookie.ends_with(GONE)));

        let headers = applied(Outgoing { clear_other: true, ..rotated(Transport::Cookie) });
        assert_eq!(headers[header::ACCESS_TOKEN], "");
        assert_eq!(headers[header::REFRESH_TOKEN], "");
        assert_eq!(cookies(&headers).len(), 2);
        assert!(cookies(&headers).iter().all(|cookie| !cookie.ends_with(GONE)));
    }

    #[test]
    fn both_transports_are_cleared_at_once() {
        for transport in [Transport::Cookie, Transport::Header] {
            let headers = applied(Outgoing { clear_other: true, ..Outgoing::clear(transport) });
            assert_eq!(headers[header::ACCESS_TOKEN], "");
            assert_eq!(headers[header::REFRESH_TOKEN], "");
            assert_eq!(headers[header::FRONT_TOKEN], "remove");
            assert_eq!(cookies(&headers).len(), 4);
        }
    }

    #[test]
    fn older_cookies_are_removed_before_new_ones_are_set() {
        let headers = applied(Outgoing { expire_older: true, ..rotated(Transport::Cookie) });
        let removals: Vec<_> = cookies(&headers).iter().map(|cookie| cookie.ends_with(GONE)).collect();
        assert_eq!(removals, [true, true, false, false]);
    }

    #[test]
    fn an_answer_that_changes_nothing_writes_nothing() {
        assert_eq!(applied(Outgoing::keep(Transport::Cookie)), HeaderMap::new());
        assert_eq!(applied(Outgoing::keep(Transport::Header)), HeaderMap::new());
    }

    #[test]
    fn what_the_handler_wrote_stays_but_for_its_caching() {
        let mut headers = HeaderMap::new();
        headers.insert(SET_COOKIE, HeaderValue::from_static("theme=dark"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("X-Total"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
        rotated(Transport::Cookie).apply(&config(), &mut headers).unwrap();
        assert_eq!(cookies(&headers)[0], "theme=dark");
        assert_eq!(cookies(&headers).len(), 3);
        assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], "X-Total, front-token");
        assert_eq!(headers[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn a_part_that_is_refused_leaves_the_response_as_it_was() {
        let huge = "x".repeat(cookie::MAX_BYTES);
        let cookie = Outgoing {
            refresh: Change::Set(Issued { token: &huge, lifetime: Duration::from_secs(60) }),
            expire_older: true,
            ..rotated(Transport::Cookie)
        };
        let header = Outgoing { anti_csrf: Change::Set("line\nbreak"), ..rotated(Transport::Header) };
        for outgoing in [cookie, header] {
            let mut headers = HeaderMap::new();
            assert!(outgoing.apply(&config(), &mut headers).is_err());
            assert_eq!(headers, HeaderMap::new());
        }
    }

    #[test]
    fn no_token_is_shown_by_the_headers_or_an_error() {
        for transport in [Transport::Cookie, Transport::Header] {
            let outgoing = Outgoing {
                access: Change::Set("secret-access"),
                refresh: Change::Set(Issued { token: "secret-refresh", lifetime: Duration::from_secs(60) }),
                anti_csrf: Change::Set("secret-csrf"),
                ..Outgoing::keep(transport)
            };
            let shown = format!("{:?}", applied(outgoing));
            assert!(!shown.contains("secret"), "{shown}");
        }
        for token in ["secret;token", &"secret".repeat(1000)] {
            let outgoing = Outgoing { access: Change::Set(token), ..Outgoing::keep(Transport::Cookie) };
            let error = outgoing.apply(&config(), &mut HeaderMap::new()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }
}
