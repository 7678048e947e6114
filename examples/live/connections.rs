//! What outlives its request: why it ends, and that the server waits for it to.

use session_runtime::Session;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The long-lived connections of this server.
#[derive(Clone, Default)]
pub(crate) struct Connections {
    stopping: CancellationToken,
    sockets: TaskTracker,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The session was revoked, on whatever node, or expired without a refresh: the user has to log in.
    Session,
    /// The server stops: the client may connect again, to another node.
    Server,
}

impl End {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Session => "session ended",
            Self::Server => "server stops",
        }
    }
}

impl Connections {
    /// Waits until a connection of `session` has to end.
    pub(crate) fn end_of(&self, session: &Session) -> impl Future<Output = End> + Send + use<> {
        let (ended, stopping) = (session.ended(), self.stopping.clone());
        async move {
            tokio::select! {
                () = ended => End::Session,
                () = stopping.cancelled() => End::Server,
            }
        }
    }

    /// Has the server wait for what becomes of a socket: once upgraded it is no request any more, for which it would wait by
    /// itself.
    pub(crate) fn wait_for<F: Future>(&self, socket: F) -> impl Future<Output = F::Output> + use<F> {
        self.sockets.track_future(socket)
    }

    /// Ends every connection, and waits until the sockets have said so.
    pub(crate) async fn end_all(&self) {
        self.stopping.cancel();
        self.sockets.close();
        self.sockets.wait().await;
    }
}
