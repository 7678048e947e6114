//! The session's own headers, and the standard ones that a session has a say in.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, AsHeaderName, CACHE_CONTROL, Entry, InvalidHeaderValue,
        VARY,
    },
};

use super::{Transport, ascii};

/// The access token, on responses in header mode.
pub(crate) const ACCESS_TOKEN: HeaderName = HeaderName::from_static("st-access-token");
/// The refresh token, on responses in header mode; accepted on a refresh too.
pub(crate) const REFRESH_TOKEN: HeaderName = HeaderName::from_static("st-refresh-token");
/// What the page's scripts may know of the session.
pub(crate) const FRONT_TOKEN: HeaderName = HeaderName::from_static("front-token");
/// The token of [`CsrfMode::Token`](super::CsrfMode::Token), both ways.
pub(crate) const ANTI_CSRF: HeaderName = HeaderName::from_static("anti-csrf");
/// The [`Transport`] that a client asks for.
pub(crate) const AUTH_MODE: HeaderName = HeaderName::from_static("st-auth-mode");
/// The nonce of a bound client, on a refresh: `<generation>.<nonce>`. See the
/// [bound clients](mod@crate::rotation#bound-clients) of the rotation.
pub(crate) const NONCE: HeaderName = HeaderName::from_static("st-nonce");
/// The part of the client's library that made the request.
pub(crate) const RID: HeaderName = HeaderName::from_static("rid");
/// The protocol versions that a client understands.
pub(crate) const FDI_VERSION: HeaderName = HeaderName::from_static("fdi-version");

/// The value that makes a client forget what a header told it before.
pub(crate) const EMPTY: HeaderValue = HeaderValue::from_static("");

/// The bearer tokens that a request presents in one header.
///
/// Has no `Debug`: it holds a token.
#[derive(Clone, Copy)]
pub(crate) enum Bearer<'a> {
    /// None.
    None,
    /// This one; not empty, not yet looked at.
    One(&'a str),
    /// More than one. Two readers of such a request may choose differently, so neither token counts.
    Ambiguous,
}

/// The token of `Authorization: Bearer` (RFC 6750, section 2.1); the scheme's case does not matter.
///
/// Other schemes are the application's affair and ignored.
pub(crate) fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    only_one(headers.get_all(AUTHORIZATION).iter().filter_map(|value| credentials(value.as_bytes())))
}

/// The token of `st-refresh-token`.
pub(crate) fn refresh_header(headers: &HeaderMap) -> Bearer<'_> {
    only_one(headers.get_all(REFRESH_TOKEN).iter().map(|value| value.as_bytes().trim_ascii()))
}

/// The transport that the client asks for; `None` if it names none, an unknown one, or more than one.
pub(crate) fn auth_mode(headers: &HeaderMap) -> Option<Transport> {
    single(headers, AUTH_MODE)?.to_str().ok()?.parse().ok()
}

/// The value of a header that is there exactly once.
pub(super) fn single(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// A header value that logs don't show and HTTP/2 doesn't index.
///
/// # Errors
///
/// If `text` has a byte that no header can carry.
pub(crate) fn secret(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Lets scripts of other origins read the headers called `names`.
///
/// Each name that `Access-Control-Expose-Headers` does not list yet is added at its end; what is there stays
/// as it is. So does `*`, beside which the names are listed all the same: on a request with credentials a
/// browser takes `*` for the name of a header (Fetch standard, "CORS protocol and credentials").
pub(crate) fn expose<'a>(headers: &mut HeaderMap, names: impl IntoIterator<Item = &'a HeaderName>) {
    let mut list = join(headers, &ACCESS_CONTROL_EXPOSE_HEADERS);
    let present = list.len();
    for name in names {
        if !lists(&list, name.as_str()) {
            push(&mut list, name.as_str().as_bytes());
        }
    }
    if list.len() == present {
        return;
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(list) {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, value);
    }
}

/// Tells caches that the response depends on `Cookie` and `Authorization` (RFC 9110, section 12.5.5).
///
/// Adds what `Vary` does not list yet; does nothing beside `*`, which covers everything.
pub(crate) fn vary(headers: &mut HeaderMap) {
    let mut present = match headers.entry(VARY) {
        Entry::Occupied(present) => present,
        Entry::Vacant(vacant) => {
            vacant.insert(HeaderValue::from_static("Cookie, Authorization"));
            return;
        }
    };
    let listed = |name| present.iter().any(|value| lists(value.as_bytes(), name));
    let missing = match (listed("*"), listed("cookie"), listed("authorization")) {
        (true, _, _) | (_, true, true) => return,
        (_, false, false) => "Cookie, Authorization",
        (_, false, true) => "Cookie",
        (_, true, false) => "Authorization",
    };
    present.append(HeaderValue::from_static(missing));
}

/// Keeps the response out of every cache (RFC 9111, section 5.2.2.5), whatever its handler said.
pub(crate) fn no_store(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// What follows the scheme, if the scheme is `Bearer` and something follows.
fn credentials(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at(value.iter().position(|&byte| byte == b' ')?);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| rest.trim_ascii())
}

fn only_one<'a>(mut presented: impl Iterator<Item = &'a [u8]>) -> Bearer<'a> {
    let Some(token) = presented.next() else { return Bearer::None };
    if presented.next().is_some() {
        return Bearer::Ambiguous;
    }
    match ascii(token) {
        Some(token) if !token.is_empty() => Bearer::One(token),
        _ => Bearer::None,
    }
}

/// All values of a list header as one (RFC 9110, section 5.3).
fn join(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let mut list = Vec::new();
    for value in headers.get_all(name) {
        push(&mut list, value.as_bytes());
    }
    list
}

fn push(list: &mut Vec<u8>, item: &[u8]) {
    if !list.is_empty() && !item.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(item);
}

fn lists(list: &[u8], name: &str) -> bool {
    list.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&[u8]]) -> HeaderMap {
        let values = values.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value).unwrap()));
        let mut headers = HeaderMap::new();
        values.for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    fn line(headers: &HeaderMap, name: HeaderName) -> String {
        let values: Vec<_> = headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        values.join(" | ")
    }

    #[test]
    fn one_bearer_token_is_found_whatever_the_case_of_its_scheme() {
        for value in ["Bearer abc.def", "bearer abc.def", "BEARER abc.def", "Bearer   abc.def  "] {
            let headers = headers(AUTHORIZATION, &[b"Basic dTpw", value.as_bytes()]);
            assert!(matches!(bearer(&headers), Bearer::One("abc.def")), "{value}");
        }
    }

    #[test]
    fn what_is_no_bearer_token_is_ignored() {
        let cases: [&[&[u8]]; 8] = [
            &[],
            &[b"Basic dTpw"],
            &[b"Bearer"],
            &[b"Bearer "],
            &[b"Bearerabc"],
            &[b"Bearer\tabc"],
            &[b"XBearer abc"],
            &[b"Bearer \xe2\x98\x83"],
        ];
        for values in cases {
            assert!(matches!(bearer(&headers(AUTHORIZATION, values)), Bearer::None), "{values:?}");
        }
    }

    #[test]
    fn two_bearer_tokens_are_ambiguous_even_when_equal_or_broken() {
        for second in [&b"Bearer two"[..], b"bearer one", b"Bearer \xff"] {
            let headers = headers(AUTHORIZATION, &[b"Bearer one", second]);
            assert!(matches!(bearer(&headers), Bearer::Ambiguous), "{second:?}");
        }
    }

    #[test]
    fn the_refresh_header_is_read_whole() {
        assert!(matches!(refresh_header(&headers(REFRESH_TOKEN, &[b"r1"])), Bearer::One("r1")));
        assert!(matches!(refresh_header(&headers(REFRESH_TOKEN, &[b""])), Bearer::None));
        assert!(matches!(refresh_header(&headers(REFRESH_TOKEN, &[b"\xff"])), Bearer::None));
        assert!(matches!(refresh_header(&headers(REFRESH_TOKEN, &[b"r1", b"r2"])), Bearer::Ambiguous));
        assert!(matches!(refresh_header(&HeaderMap::new()), Bearer::None));
    }

    #[test]
    fn the_auth_mode_is_what_the_client_asks_for() {
        let asked = |values: &[&[u8]]| auth_mode(&headers(AUTH_MODE, values));
        assert_eq!(asked(&[b"cookie"]), Some(Transport::Cookie));
        assert_eq!(asked(&[b"Header"]), Some(Transport::Header));
        assert_eq!(asked(&[b"any"]), None);
        assert_eq!(asked(&[b"\xff"]), None);
        assert_eq!(asked(&[b"header", b"cookie"]), None);
        assert_eq!(asked(&[]), None);
    }

    #[test]
    fn exposing_adds_what_is_missing_and_keeps_what_is_there() {
        let exposed = |before: &[&[u8]]| {
            let mut headers = headers(ACCESS_CONTROL_EXPOSE_HEADERS, before);
            expose(&mut headers, &[FRONT_TOKEN, ANTI_CSRF]);
            line(&headers, ACCESS_CONTROL_EXPOSE_HEADERS)
        };
        assert_eq!(exposed(&[]), "front-token, anti-csrf");
        assert_eq!(exposed(&[b""]), "front-token, anti-csrf");
        assert_eq!(exposed(&[b"*"]), "*, front-token, anti-csrf");
        assert_eq!(exposed(&[b"X-Total,Front-Token"]), "X-Total,Front-Token, anti-csrf");
        assert_eq!(exposed(&[b"X-Total", b"X-Page"]), "X-Total, X-Page, front-token, anti-csrf");
        assert_eq!(exposed(&[b"ANTI-CSRF", b"front-token"]), "ANTI-CSRF | front-token");
        assert_eq!(exposed(&[b"x-front-token"]), "x-front-token, front-token, anti-csrf");
    }

    #[test]
    fn exposing_keeps_bytes_that_are_no_text() {
        let mut headers = headers(ACCESS_CONTROL_EXPOSE_HEADERS, &[b"x-\xff"]);
        expose(&mut headers, &[FRONT_TOKEN]);
        assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS].as_bytes(), b"x-\xff, front-token");
    }

    #[test]
    fn exposing_one_name_twice_lists_it_once() {
        let mut headers = HeaderMap::new();
        expose(&mut headers, &[FRONT_TOKEN, FRONT_TOKEN]);
        assert_eq!(line(&headers, ACCESS_CONTROL_EXPOSE_HEADERS), "front-token");
    }

    #[test]
    fn vary_adds_what_is_missing() {
        let varied = |before: &[&[u8]]| {
            let mut headers = headers(VARY, before);
            vary(&mut headers);
            line(&headers, VARY)
        };
        assert_eq!(varied(&[]), "Cookie, Authorization");
        assert_eq!(varied(&[b"*"]), "*");
        assert_eq!(varied(&[b"Origin"]), "Origin | Cookie, Authorization");
        assert_eq!(varied(&[b"origin, COOKIE"]), "origin, COOKIE | Authorization");
        assert_eq!(varied(&[b"authorization"]), "authorization | Cookie");
        assert_eq!(varied(&[b"Cookie", b"Authorization"]), "Cookie | Authorization");
    }

    #[test]
    fn no_store_replaces_every_other_word_on_caching() {
        let mut headers = headers(CACHE_CONTROL, &[b"public, max-age=600", b"immutable"]);
        no_store(&mut headers);
        assert_eq!(line(&headers, CACHE_CONTROL), "no-store");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let value = secret("token-bytes").unwrap();
        assert!(!format!("{value:?}").contains("token"));
        assert!(secret("line\nbreak").is_err());
    }
}
