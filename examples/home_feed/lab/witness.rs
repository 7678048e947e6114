//! The middleware that sees every request and its answer.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::CACHE_CONTROL},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use session_runtime::{SessionError, Timestamp};

use super::{Bench, client::PlayedBy, tokens::Issued};
use crate::journal::{Exchange, What};

/// The header in which a page says which tab it is.
const TAB: &str = "x-tab";

/// Notes the request and its answer, and loses the answer where that was asked for.
pub(super) async fn watch(State(bench): State<Arc<Bench>>, request: Request, next: Next) -> Response {
    if is_of_the_page(request.uri().path()) {
        return next.run(request).await;
    }
    let asked = Asked::of(&bench, &request);
    let answer = next.run(request).await;
    bench.conclude(asked, answer)
}

/// What makes the page itself work is no part of what it shows.
fn is_of_the_page(path: &str) -> bool {
    path == "/" || path == "/events" || path.starts_with("/page/") || path.starts_with("/lab/")
}

/// A request that is under way.
struct Asked {
    at: Timestamp,
    played: bool,
    by: String,
    method: String,
    path: String,
    presented: Option<Issued>,
}

impl Asked {
    fn of(bench: &Bench, request: &Request) -> Self {
        let played = request.extensions().get::<PlayedBy>();
        Self {
            at: bench.journal.now(),
            played: played.is_some(),
            by: played.map_or_else(|| tab(request.headers()), |by| by.0.to_owned()),
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            presented: bench.desk().tokens.presented(request.headers()),
        }
    }
}

impl Bench {
    fn conclude(&self, asked: Asked, mut answer: Response) -> Response {
        let mut desk = self.desk();
        let issued = desk.tokens.learn(answer.headers(), asked.at);
        let Some(Issued { user, session, .. }) = issued.first().or(asked.presented.as_ref()).cloned() else {
            return answer;
        };
        let is_refresh = asked.path == "/refresh" && !asked.played;
        let lost = is_refresh && answer.status().is_success() && desk.to_lose.remove(&session);
        if !asked.played && !lost {
            desk.tokens.delivered(answer.headers());
        }
        drop(desk);

        let exchange = Exchange {
            by: asked.by,
            method: asked.method,
            path: asked.path,
            status: answer.status().as_u16(),
            reason: reason(answer.headers()),
            presented: asked.presented.map(|token| token.note),
            issued: issued.iter().map(|token| token.note).collect(),
            lost,
        };
        let note = self.journal.note(asked.at, user, session, What::Request(exchange));
        if lost {
            return lost_on_the_way();
        }
        answer.extensions_mut().insert(note);
        answer
    }
}

/// What a client sees whose answer got lost between the server and a proxy: nothing of it, its tokens included.
fn lost_on_the_way() -> Response {
    let message = json!({ "message": "the answer was lost on its way" });
    (StatusCode::GATEWAY_TIMEOUT, [(CACHE_CONTROL, "no-store")], Json(message)).into_response()
}

fn tab(headers: &HeaderMap) -> String {
    let number: Option<u16> =
        headers.get(TAB).and_then(|tab| tab.to_str().ok()).and_then(|tab| tab.parse().ok());
    number.map_or_else(|| "another client".to_owned(), |number| format!("tab {number}"))
}

fn reason(headers: &HeaderMap) -> Option<String> {
    headers.get(SessionError::REASON_HEADER)?.to_str().ok().map(str::to_owned)
}
