//! Which tokens were given out, as seen in the answers that carried them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use axum::http::{
    HeaderMap, HeaderName,
    header::{COOKIE, SET_COOKIE},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use session_runtime::{SessionHandle, Timestamp};

use crate::journal::{TokenKind, TokenNote};

pub(super) const ACCESS_COOKIE: &str = "sAccessToken";
pub(super) const REFRESH_COOKIE: &str = "sRefreshToken";

const FRONT_TOKEN: HeaderName = HeaderName::from_static("front-token");

/// How many tokens are remembered.
const REMEMBERED: usize = 2000;

/// The tokens that were given out, by their text: whoever presents one that is not among them is not noted.
#[derive(Default)]
pub(super) struct Tokens {
    known: HashMap<String, Issued>,
    oldest_first: VecDeque<String>,
    /// The refresh token that the browser of each session has.
    in_browsers: HashMap<SessionHandle, (String, u32)>,
}

/// A token that was given out.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) user: Arc<str>,
    pub(super) session: SessionHandle,
    pub(super) note: TokenNote,
}

impl Tokens {
    /// The token that a request presents: the refresh token where it has one, else the access token.
    pub(super) fn presented(&self, headers: &HeaderMap) -> Option<Issued> {
        let named = |name| cookies_sent(headers).find(move |cookie| cookie.0 == name);
        [REFRESH_COOKIE, ACCESS_COOKIE]
            .into_iter()
            .filter_map(named)
            .find_map(|(_, value)| self.known.get(value))
            .cloned()
    }

    /// Remembers the tokens that an answer gives out.
    pub(super) fn learn(&mut self, headers: &HeaderMap, now: Timestamp) -> Vec<Issued> {
        let Some(front) = front_token(headers) else { return Vec::new() };
        let issued = cookies_set(headers).filter_map(|(name, text)| {
            let (token, expires_at) = match name {
                ACCESS_COOKIE => (TokenKind::Access, Some(front.ate)),
                REFRESH_COOKIE => (TokenKind::Refresh, None),
                _ => return None,
            };
            let note = TokenNote { token, generation: front.up.generation, issued_at: now, expires_at };
            let issued = Issued { user: Arc::clone(&front.uid), session: front.up.session_handle, note };
            Some((text.to_owned(), issued))
        });
        issued.map(|(text, issued)| self.remember(text, issued)).collect()
    }

    /// Notes that an answer reached the browser.
    pub(super) fn delivered(&mut self, headers: &HeaderMap) {
        for (_, text) in cookies_set(headers).filter(|(name, _)| *name == REFRESH_COOKIE) {
            if let Some(issued) = self.known.get(text) {
                self.in_browsers.insert(issued.session, (text.to_owned(), issued.note.generation));
            }
        }
    }

    /// The refresh token that the browser of a session has, and its generation.
    pub(super) fn in_the_browser(&self, session: SessionHandle) -> Option<(String, u32)> {
        self.in_browsers.get(&session).cloned()
    }

    fn remember(&mut self, text: String, issued: Issued) -> Issued {
        // A replayed successor is the same token: it keeps the time of its first issue.
        if let Some(known) = self.known.get(&text) {
            return known.clone();
        }
        if self.oldest_first.len() == REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
            && let Some(forgotten) = self.known.remove(&oldest)
            && self.in_browsers.get(&forgotten.session).is_some_and(|(text, _)| *text == oldest)
        {
            self.in_browsers.remove(&forgotten.session);
        }
        self.oldest_first.push_back(text.clone());
        self.known.insert(text, issued.clone());
        issued
    }
}

/// The cookies that an answer sets, those that it removes left out.
pub(super) fn cookies_set(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let all = headers.get_all(SET_COOKIE).into_iter().filter_map(|cookie| cookie.to_str().ok());
    let pairs = all.filter_map(|cookie| cookie.split(';').next()?.split_once('='));
    pairs.filter(|(_, value)| !value.is_empty())
}

fn cookies_sent(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let all = headers.get_all(COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    all.flat_map(|cookies| cookies.split("; ")).filter_map(|cookie| cookie.split_once('='))
}

/// What the answer tells the page's scripts of the access token.
#[derive(Deserialize)]
struct FrontToken {
    uid: Arc<str>,
    ate: Timestamp,
    up: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    session_handle: SessionHandle,
    generation: u32,
}

fn front_token(headers: &HeaderMap) -> Option<FrontToken> {
    let json = STANDARD.decode(headers.get(FRONT_TOKEN)?).ok()?;
    serde_json::from_slice(&json).ok()
}
