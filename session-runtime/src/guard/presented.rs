//! The tokens that a request presents.

use std::sync::Arc;

use axum::http::{HeaderMap, header::COOKIE, request::Parts};

use super::check_csrf_of_refresh;
use crate::{
    engine::{Engine, NamedSession},
    error::{NonceProblem, SessionError},
    exchange::{Refusal, nonce_for},
    handle::SessionHandle,
    rotation::NonceHash,
    session::Accepted,
    token::{Opened, nonce::Nonce, refresh},
    transport::{
        Transport, cookie,
        header::{self, Bearer},
    },
};

/// How many cookies of one name are looked at. A browser holds few, one for each path and domain that was ever used; more
/// would have us check signatures at an attacker's will.
const MAX_COOKIES_OF_A_NAME: usize = 8;

/// The access token that a request presents.
pub(super) struct Presented {
    pub(super) accepted: Result<Arc<Accepted>, SessionError>,
    pub(super) transport: Transport,
    /// Whether it came in one of several cookies of the same name.
    pub(super) several: bool,
    /// Whether the request carries tokens by the other transport too.
    pub(super) both: bool,
}

impl Presented {
    /// The token in `Authorization`, else the best of those in cookies. What has not the form of our tokens is not ours.
    /// With `only`, the other transport is not looked at.
    pub(super) fn find(
        engine: &Engine,
        headers: &HeaderMap,
        only: Option<Transport>,
    ) -> Result<Option<Self>, Refusal> {
        let bearer = match only {
            Some(Transport::Cookie) => Bearer::None,
            Some(Transport::Header) | None => header::bearer(headers),
        };
        let mut found = Self::in_header(engine, headers, bearer)?;
        if found.is_none() && only != Some(Transport::Header) {
            found = Self::in_cookies(engine, headers, bearer);
        }
        Ok(found.map(|found| Self { both: found.both && only.is_none(), ..found }))
    }

    fn in_header(engine: &Engine, headers: &HeaderMap, bearer: Bearer<'_>) -> Result<Option<Self>, Refusal> {
        let token = match bearer {
            Bearer::One(token) => token,
            Bearer::Ambiguous => return Err(SessionError::Unauthorised.into()),
            Bearer::None => return Ok(None),
        };
        Ok(engine.accept(token.as_bytes()).map(|accepted| {
            let both = carries_cookies(engine, headers);
            Self { accepted, transport: Transport::Header, several: false, both }
        }))
    }

    fn in_cookies(engine: &Engine, headers: &HeaderMap, bearer: Bearer<'_>) -> Option<Self> {
        let name = &engine.config.cookies.access_name;
        let cookies = cookie::raw_values(headers, name).take(MAX_COOKIES_OF_A_NAME);
        let mut cookies = cookies.filter_map(|token| engine.accept(token));
        let accepted = cookies.next()?;
        let both = carries_in_headers(engine, headers, bearer);
        let mut found = Self { accepted, transport: Transport::Cookie, several: false, both };
        for accepted in cookies {
            found.several = true;
            found.accepted = newer(found.accepted, accepted);
        }
        Some(found)
    }
}

fn newer(
    one: Result<Arc<Accepted>, SessionError>,
    other: Result<Arc<Accepted>, SessionError>,
) -> Result<Arc<Accepted>, SessionError> {
    match (one, other) {
        (Ok(one), Ok(other)) if other.claims.issued_at > one.claims.issued_at => Ok(other),
        (Ok(one), _) => Ok(one),
        (Err(_), other) => other,
    }
}

fn access_cookies<'a>(engine: &'a Engine, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
    cookie::values(headers, &engine.config.cookies.access_name)
        .take(MAX_COOKIES_OF_A_NAME)
        .filter(|token| engine.is_access_token(token))
}

/// The session that the request's access token names, expired or not: that of `Authorization`, else the latest of those in
/// cookies. An older one may be left from before the cookies' domain changed.
pub(super) fn named_session(engine: &Engine, headers: &HeaderMap) -> Option<NamedSession> {
    let bearer = match header::bearer(headers) {
        Bearer::One(token) if engine.is_access_token(token) => engine.named_session(token),
        Bearer::One(_) | Bearer::None | Bearer::Ambiguous => None,
    };
    let cookies = access_cookies(engine, headers).filter_map(|token| engine.named_session(token));
    bearer.or_else(|| cookies.max_by_key(|named| named.issued_at))
}

/// Whether the request carries tokens of a session by `transport`, valid or not.
pub(super) fn carries(engine: &Engine, headers: &HeaderMap, transport: Transport) -> bool {
    match transport {
        Transport::Cookie => carries_cookies(engine, headers),
        Transport::Header => carries_in_headers(engine, headers, header::bearer(headers)),
    }
}

fn carries_cookies(engine: &Engine, headers: &HeaderMap) -> bool {
    let cookies = &engine.config.cookies;
    let carries = |name| cookie::values(headers, name).next().is_some();
    headers.contains_key(COOKIE) && (carries(&cookies.access_name) || carries(&cookies.refresh_name))
}

fn carries_in_headers(engine: &Engine, headers: &HeaderMap, bearer: Bearer<'_>) -> bool {
    match (header::refresh_header(headers), bearer) {
        (Bearer::None, Bearer::One(token)) => {
            engine.is_access_token(token) || refresh::open(&engine.keys, token).is_ok()
        }
        (Bearer::None, Bearer::None | Bearer::Ambiguous) => false,
        (Bearer::One(_) | Bearer::Ambiguous, _) => true,
    }
}

/// The refresh token that a request presents, its first MAC found right.
pub(super) struct FoundRefreshToken {
    pub(super) token: Opened,
    /// The hash of the nonce that comes with it.
    pub(super) nonce: Option<NonceHash>,
    pub(super) transport: Transport,
    pub(super) several: bool,
}

/// CSRF first, where a cookie could be the token; then the token of a header, else the best of those in cookies; then its
/// nonce.
pub(super) fn find_refresh_token(
    engine: &Engine,
    parts: &Parts,
) -> Result<FoundRefreshToken, (Transport, Refusal)> {
    let found = find_token(engine, parts)?;
    let nonce = read_nonce(&parts.headers)
        .and_then(|nonce| nonce_for(&found.token, nonce))
        .map_err(|error| (found.transport, Refusal::keeping(error)))?;
    Ok(FoundRefreshToken { nonce, ..found })
}

fn read_nonce(headers: &HeaderMap) -> Result<Option<Nonce<'_>>, SessionError> {
    let mut values = headers.get_all(header::NONCE).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().ok(),
        (Some(_), Some(_)) => None,
    };
    value.and_then(Nonce::read).map(Some).ok_or(SessionError::NonceRefused(NonceProblem::Malformed))
}

fn find_token(engine: &Engine, parts: &Parts) -> Result<FoundRefreshToken, (Transport, Refusal)> {
    let headers = &parts.headers;
    let invalid = |transport| (transport, Refusal::clearing(SessionError::Unauthorised));
    let open = |text: &str| refresh::open(&engine.keys, text).ok();

    let in_header = match (header::refresh_header(headers), header::bearer(headers)) {
        (Bearer::One(text), _) => Some(open(text).ok_or_else(|| invalid(Transport::Header))?),
        (Bearer::Ambiguous, _) | (Bearer::None, Bearer::Ambiguous) => return Err(invalid(Transport::Header)),
        (Bearer::None, Bearer::One(text)) => open(text),
        (Bearer::None, Bearer::None) => None,
    };
    if let Some(token) = in_header {
        return Ok(FoundRefreshToken { token, nonce: None, transport: Transport::Header, several: false });
    }

    let cookies = cookie::values(headers, &engine.config.cookies.refresh_name);
    let cookies: Vec<&str> = cookies.take(MAX_COOKIES_OF_A_NAME).collect();
    if cookies.is_empty() {
        // Nothing to clear: a login in another tab may just be setting cookies.
        let junk = matches!(header::bearer(headers), Bearer::One(text) if !engine.is_access_token(text));
        let refusal = if junk { Refusal::clearing } else { Refusal::keeping };
        let transport = if junk { Transport::Header } else { engine.config.transport };
        return Err((transport, refusal(SessionError::Unauthorised)));
    }
    let named = named_session(engine, headers).map(|named| named.handle);
    let best = best_of(cookies.iter().filter_map(|text| open(text)), named);
    check_csrf_of_refresh(engine, parts, best.as_ref().map(Opened::handle))
        .map_err(|error| (Transport::Cookie, Refusal::keeping(error)))?;
    let token = best.ok_or_else(|| invalid(Transport::Cookie))?;
    Ok(FoundRefreshToken { token, nonce: None, transport: Transport::Cookie, several: cookies.len() > 1 })
}

/// Of several refresh tokens, the newest of the session that the access token names, else of the first session.
///
/// Generations of different sessions say nothing about each other. An older generation of the same session is a stale copy,
/// which must not be presented: it would look like theft.
fn best_of(tokens: impl Iterator<Item = Opened>, named: Option<SessionHandle>) -> Option<Opened> {
    let mut newest: Vec<Opened> = Vec::new();
    for token in tokens {
        match newest.iter_mut().find(|known| known.handle() == token.handle()) {
            Some(known) if token.generation() > known.generation() => *known = token,
            Some(_) => {}
            None => newest.push(token),
        }
    }
    let preferred = newest.iter().position(|token| Some(token.handle()) == named).unwrap_or(0);
    (!newest.is_empty()).then(|| newest.swap_remove(preferred))
}
