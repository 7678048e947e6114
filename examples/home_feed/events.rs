//! The stream from which the page learns what the server decides.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::json;
use session_runtime::{Session, protected};
use tokio::time::sleep;

use crate::{handlers::Pace, journal::Journal};

/// How long the stream goes on after the session, to tell of its end and of the request that brought it.
const AFTERWORD: Duration = Duration::from_millis(300);

/// What happens to the user's sessions, as server-sent events. It ends with the session.
///
/// The access token of the request may expire meanwhile: the client refreshes beside the stream.
#[protected(GET "/events")]
pub(crate) async fn events(
    session: Session,
    State(journal): State<Journal>,
    State(pace): State<Pace>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let hello = json!({
        "now": journal.now(),
        "user": session.user_id(),
        "session": session.handle(),
        "accessLifetime": pace.access_lifetime.as_millis(),
        "grace": pace.grace.as_millis(),
        "lab": pace.lab,
    });
    let ended = session.ended();
    let notes = journal.follow(session.user_id(), last_seen(&headers)).take_until(async {
        ended.await;
        sleep(AFTERWORD).await;
    });
    let events = stream::once(async move { event("hello", &hello) })
        .chain(notes.map(|note| event("note", &json!(note)).id(note.id.to_string())))
        .chain(stream::once(async { Event::default().event("end").data("") }));
    Sse::new(events.map(Ok)).keep_alive(KeepAlive::default())
}

/// The last note that the page got before its connection broke.
fn last_seen(headers: &HeaderMap) -> u64 {
    let id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    id.and_then(|id| id.parse().ok()).unwrap_or(0)
}

fn event(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
