//! A WebSocket that ends with the session.

use std::time::Duration;

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseCode, CloseFrame, Message, WebSocket, close_code},
    },
    response::Response,
};
use session_runtime::{Session, protected};
use tokio::time::timeout;

use crate::connections::{Connections, End};

/// A code of our own (RFC 6455, section 7.4.2), so that the page can tell "log in again" from a network that failed.
const SESSION_ENDED: CloseCode = 4401;

/// How long a client may take to read the close frame and to answer it.
const PATIENCE: Duration = Duration::from_secs(5);

const LONGEST_MESSAGE: usize = 4 << 10;

/// Sends back what it is sent, until the session ends.
///
/// The guard sees the opening like any request, and refuses a page of another origin. The access token may expire meanwhile: the
/// client refreshes beside the socket.
#[protected(GET "/ws")]
pub(crate) async fn ws(
    session: Session,
    State(connections): State<Connections>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let end = connections.end_of(&session);
    upgrade
        .max_message_size(LONGEST_MESSAGE)
        .on_upgrade(async move |socket| connections.wait_for(serve(socket, end)).await)
}

async fn serve(mut socket: WebSocket, end: impl Future<Output = End>) {
    let end = tokio::select! {
        () = echo(&mut socket) => return,
        end = end => end,
    };
    // Whoever does not read keeps nobody waiting.
    let _ = timeout(PATIENCE, close(socket, end)).await;
}

/// Goes on until the client leaves.
async fn echo(socket: &mut WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Says why, and waits for the answer: a connection that is dropped with messages unread may take the close frame with it.
async fn close(mut socket: WebSocket, end: End) {
    let code = match end {
        End::Session => SESSION_ENDED,
        End::Server => close_code::AWAY,
    };
    let frame = CloseFrame { code, reason: end.reason().into() };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}
