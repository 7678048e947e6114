//! What happens to sessions, as a stream that an application can follow.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    clock::Timestamp,
    handle::SessionHandle,
    rotation::TheftKind,
    store::{EndReason, Fingerprint},
};

/// Something that happened to a session.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// When, by the store's clock.
    pub at: Timestamp,
    /// Whose session.
    pub user: Arc<str>,
    /// Which session.
    pub handle: SessionHandle,
    /// What.
    pub kind: EventKind,
}

/// What happened to a session.
///
/// Ends ([`Theft`](Self::Theft), [`Revoked`](Self::Revoked)) come from the store's feed, so every node tells of every end, at
/// least once. The others are told by the node that made them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// It was made by a login.
    Created,
    /// It was refreshed.
    Refreshed {
        /// The rule of the [rotation](crate::rotation) that decided: 2, 4, 5 or 10.
        rule: u8,
    },
    /// A refresh token that had been exchanged before was presented again, in a way that an honest client may.
    Replayed {
        /// The rule of the [rotation](crate::rotation) that decided: 6, 8, 9, 13 or 15.
        rule: u8,
    },
    /// A refresh token was accepted from another client than the one that rotated last. It may be an update of the browser;
    /// it may be a thief who acts within the grace.
    OtherClient {
        /// The rule of the [rotation](crate::rotation) that decided: 2, 4, 5, 6, 8, 9, 10, 13 or 15.
        rule: u8,
    },
    /// A theft was found, and the session ended.
    Theft {
        /// What gave the theft away.
        kind: TheftKind,
        /// The client that the current token was issued to.
        issued_to: Fingerprint,
        /// The client that reused a token, if one did.
        reused_by: Option<Fingerprint>,
    },
    /// It was ended otherwise.
    Revoked {
        /// How.
        reason: EndReason,
    },
    /// It expired; told when its row is deleted.
    Expired,
}

/// The events of all sessions from the moment of subscription on.
///
/// A subscriber that is more than a thousand events behind misses the oldest of them. Ends are kept apart, so that other events,
/// which clients can cause at will, don't push a theft out.
#[derive(Debug)]
pub struct Events {
    ends: broadcast::Receiver<Event>,
    others: broadcast::Receiver<Event>,
}

impl Events {
    /// The next event; `None` once the session system is gone. Ends come before other events that wait.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let received = tokio::select! {
                biased;
                end = self.ends.recv() => end,
                other = self.others.recv() => other,
            };
            match received {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "session events were missed by a slow subscriber");
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// Where events are told.
#[derive(Debug)]
pub(crate) struct EventSender {
    ends: broadcast::Sender<Event>,
    others: broadcast::Sender<Event>,
}

impl EventSender {
    /// How many events are kept for a subscriber that is behind.
    const CAPACITY: usize = 1024;

    pub(crate) fn subscribe(&self) -> Events {
        Events { ends: self.ends.subscribe(), others: self.others.subscribe() }
    }

    pub(crate) fn send(&self, event: Event) {
        let channel = match event.kind {
            EventKind::Theft { .. } | EventKind::Revoked { .. } => &self.ends,
            _ => &self.others,
        };
        // Fails exactly when nobody listens.
        let _ = channel.send(event);
    }
}

impl Default for EventSender {
    fn default() -> Self {
        Self { ends: broadcast::Sender::new(Self::CAPACITY), others: broadcast::Sender::new(Self::CAPACITY) }
    }
}
