//! What happened to each user's sessions, for the page to draw.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use session_runtime::{Clock, EndReason, EventKind, SessionHandle, Sessions, TheftKind, Timestamp};
use tokio::sync::broadcast::{self, error::RecvError};

/// How many notes are kept for a page that is opened later.
const KEPT: usize = 500;

/// The notes of all users.
#[derive(Clone)]
pub(crate) struct Journal {
    clock: Clock,
    pages: Arc<Mutex<Pages>>,
}

struct Pages {
    next_id: u64,
    kept: VecDeque<Note>,
    /// `None` once the server stops.
    live: Option<broadcast::Sender<Note>>,
}

/// Something that happened to a session.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Note {
    pub(crate) id: u64,
    at: Timestamp,
    #[serde(skip)]
    user: Arc<str>,
    session: SessionHandle,
    #[serde(flatten)]
    what: What,
}

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(crate) enum What {
    /// What the session system decided.
    Decision(Decision),
    /// What a client asked, and what it was answered.
    Request(Exchange),
    /// A refresh token was copied.
    Stolen { generation: u32 },
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Decision {
    decision: &'static str,
    /// The rule of the rotation that decided, where one did.
    rule: Option<u8>,
    /// How a theft showed itself, or why a session was ended.
    because: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Exchange {
    pub(crate) by: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    /// Why the session was refused, if it was.
    pub(crate) reason: Option<String>,
    pub(crate) presented: Option<TokenNote>,
    pub(crate) issued: Vec<TokenNote>,
    /// Whether the answer was kept from the client.
    pub(crate) lost: bool,
}

/// A token without its text.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenNote {
    pub(crate) token: TokenKind,
    pub(crate) generation: u32,
    pub(crate) issued_at: Timestamp,
    /// `None` for a refresh token, which is spent long before it expires.
    pub(crate) expires_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum TokenKind {
    Access,
    Refresh,
}

impl Journal {
    /// Begins to note what `sessions` tells of.
    pub(crate) fn start(sessions: &Sessions, clock: Clock) -> Self {
        let live = Some(broadcast::Sender::new(KEPT));
        let pages = Pages { next_id: 1, kept: VecDeque::new(), live };
        let journal = Self { clock, pages: Arc::new(Mutex::new(pages)) };
        let mut events = sessions.events();
        let author = journal.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Some(decision) = Decision::of(&event.kind) {
                    author.note(event.at, event.user, event.handle, What::Decision(decision));
                }
            }
        });
        journal
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn note(&self, at: Timestamp, user: Arc<str>, session: SessionHandle, what: What) -> Note {
        let mut pages = self.pages();
        let note = Note { id: pages.next_id, at, user, session, what };
        pages.next_id += 1;
        if pages.kept.len() == KEPT {
            pages.kept.pop_front();
        }
        pages.kept.push_back(note.clone());
        if let Some(live) = &pages.live {
            // Fails exactly when nobody listens.
            let _ = live.send(note.clone());
        }
        note
    }

    /// The notes of a user after the one with the id `after`: first those that are kept, then those to come.
    pub(crate) fn follow(&self, user: &str, after: u64) -> impl Stream<Item = Note> + Send + use<> {
        let (kept, live) = {
            let pages = self.pages();
            let kept: Vec<_> = pages.kept.iter().filter(|note| note.id > after).cloned().collect();
            (kept, pages.live.as_ref().map(broadcast::Sender::subscribe))
        };
        let live = stream::unfold(live, |live| async {
            let mut live = live?;
            loop {
                match live.recv().await {
                    Ok(note) => return Some((note, Some(live))),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        let user = user.to_owned();
        stream::iter(kept).chain(live).filter(move |note| std::future::ready(*note.user == user))
    }

    /// Ends every stream, so that the server can stop.
    pub(crate) fn close(&self) {
        self.pages().live = None;
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Decision {
    fn of(event: &EventKind) -> Option<Self> {
        let decision = |decision| Self { decision, ..Self::default() };
        let by_rule = |name, rule| Self { rule: Some(rule), ..decision(name) };
        let because = |name, because| Self { because: Some(because), ..decision(name) };
        Some(match event {
            EventKind::Created => decision("created"),
            EventKind::Refreshed { rule } => by_rule("refreshed", *rule),
            EventKind::Replayed { rule } => by_rule("replayed", *rule),
            EventKind::OtherClient { rule } => by_rule("otherClient", *rule),
            EventKind::Theft { kind, .. } => because("theft", name_of_theft(*kind)),
            EventKind::Revoked { reason } => because("ended", name_of_end(*reason)),
            EventKind::Expired => decision("expired"),
            _ => return None,
        })
    }
}

fn name_of_theft(kind: TheftKind) -> &'static str {
    match kind {
        TheftKind::Fork => "fork",
        TheftKind::Superseded => "superseded",
        TheftKind::DeadBranch => "deadBranch",
        TheftKind::OtherNonce => "otherNonce",
        _ => "other",
    }
}

fn name_of_end(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Logout => "logout",
        EndReason::Revoked => "revoked",
        EndReason::Replaced => "replaced",
        EndReason::Evicted => "evicted",
        EndReason::Theft { .. } => "theft",
        _ => "other",
    }
}
