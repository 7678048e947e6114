//! A stream of server-sent events that ends with the session.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt as _, stream};
use session_runtime::{Session, protected};
use tokio::time::{MissedTickBehavior, interval};

use crate::connections::Connections;

const PACE: Duration = Duration::from_secs(1);

/// Counts the seconds, until the session ends.
///
/// The last event says why: a browser that merely sees the stream end connects again by itself.
#[protected(GET "/events")]
pub(crate) async fn events(
    session: Session,
    State(connections): State<Connections>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let end = connections.end_of(&session);
    let (say_why, why) = tokio::sync::oneshot::channel();
    let ticks = seconds().take_until(async move {
        // Fails where the stream is gone.
        let _ = say_why.send(end.await);
    });
    let ticks = ticks.map(|second| Event::default().event("tick").data(second.to_string()));
    let farewell = stream::once(why)
        .filter_map(|end| async move { Some(Event::default().event("end").data(end.ok()?.reason())) });
    Sse::new(ticks.chain(farewell).map(Ok)).keep_alive(KeepAlive::default())
}

fn seconds() -> impl Stream<Item = u64> {
    let mut clock = interval(PACE);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    stream::unfold((clock, 0), async |(mut clock, second)| {
        clock.tick().await;
        Some((second, (clock, second + 1)))
    })
}
