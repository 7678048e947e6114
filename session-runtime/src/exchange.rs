//! The way of a refresh token: one call of the store for all who present it at once, carried through to its end.

use std::sync::Arc;

use dashmap::DashMap;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use crate::{
    engine::{self, Engine},
    error::{NonceProblem, SessionError, StoreError},
    event::EventKind,
    rotation::{Decision, NonceHash, Presented, TheftKind, Why},
    sessions::Tokens,
    store::{EndReason, Exchange, Fingerprint, Rotation, Row},
    token::{Opened, nonce::Nonce},
};

/// The answer to a refresh token that was accepted.
#[derive(Debug)]
pub(crate) struct Refreshed {
    pub(crate) tokens: Tokens,
}

/// The answer to a refresh token that was not.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) error: SessionError,
    /// Whether the client shall forget the tokens that it presented.
    pub(crate) clear: bool,
}

impl Refusal {
    pub(crate) fn clearing(error: SessionError) -> Self {
        Self { error, clear: true }
    }

    pub(crate) fn keeping(error: SessionError) -> Self {
        Self { error, clear: false }
    }

    pub(crate) fn into_error(self) -> SessionError {
        self.error
    }
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        Self::keeping(error)
    }
}

type Outcome = Result<Arc<Refreshed>, Refusal>;

/// A refresh token whose first MAC was found right, and what comes with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Presentation {
    pub(crate) token: Opened,
    /// The client's nonce for the token's generation.
    pub(crate) nonce: Option<NonceHash>,
    /// The client's fingerprint under each of the operator's keys, the newest first.
    pub(crate) by: Arc<[Fingerprint]>,
}

/// The exchanges under way in this process.
#[derive(Debug, Default)]
pub(crate) struct Flights(DashMap<Presentation, Shared<BoxFuture<'static, Outcome>>>);

impl Engine {
    /// Exchanges a refresh token.
    ///
    /// Who presents the same token and nonce from the same client while its exchange is under way gets the same answer. The
    /// exchange goes on when nobody waits for it any more, so that the store and the next answer agree.
    pub(crate) async fn exchange(self: &Arc<Self>, presented: Presentation) -> Outcome {
        let flight =
            self.flights.0.entry(presented.clone()).or_insert_with(|| self.depart(presented)).clone();
        flight.await
    }

    fn depart(self: &Arc<Self>, key: Presentation) -> Shared<BoxFuture<'static, Outcome>> {
        let engine = Arc::clone(self);
        let task = tokio::spawn(async move {
            let landing = Landing { engine: &engine, key: &key };
            let outcome = engine.carry_out(&key).await;
            drop(landing);
            outcome
        });
        let crashed = |_| {
            Err(Refusal::keeping(StoreError::new("the exchange of a refresh token was cut short").into()))
        };
        task.map(move |outcome| outcome.unwrap_or_else(crashed)).boxed().shared()
    }

    async fn carry_out(self: &Arc<Self>, Presentation { token, nonce, by }: &Presentation) -> Outcome {
        let presented = Presented { link: token.link(), nonce: *nonce };
        let Some(proof) = token.proof(&self.keys) else { return Err(unauthorised(Why::Unknown, None)) };
        let exchange = Exchange::new(token.handle(), presented, self.config.grace, Arc::clone(by), proof);
        let rotation = self.in_time(self.store.rotate(exchange)).await?;
        if rotation.row.as_ref().is_some_and(|row| row.handle != token.handle()) {
            return Err(engine::foreign_row().into());
        }
        self.tell_exchange(&rotation);
        match (&rotation.decision, &rotation.row) {
            (Decision::Unauthorised(why), row) => Err(unauthorised(*why, row.as_ref())),
            (Decision::NonceMissing, _) => {
                Err(Refusal::keeping(SessionError::NonceRefused(NonceProblem::Missing)))
            }
            (Decision::Theft { kind, .. }, Some(row)) => {
                self.revoked.insert_session(row.handle, false, rotation.now);
                Err(theft(*kind, row))
            }
            (decision, Some(row)) => {
                let Some(answer) = decision.answer() else { return Err(engine::foreign_row().into()) };
                let tokens = self.tokens(row, answer, rotation.now)?;
                Ok(Arc::new(Refreshed { tokens }))
            }
            _ => Err(engine::foreign_row().into()),
        }
    }

    fn tell_exchange(&self, rotation: &Rotation) {
        let Some(row) = &rotation.row else { return };
        let rule = rotation.decision.rule();
        let kind = match rotation.decision {
            // Its end comes through the feed.
            Decision::Theft { .. } | Decision::Unauthorised(_) | Decision::NonceMissing => return,
            Decision::RollForward(_) | Decision::Keep(_) | Decision::Rotate(_) | Decision::Reissue(_) => {
                EventKind::Refreshed { rule }
            }
            Decision::Late(_) | Decision::Replay { .. } | Decision::Quiet(_) => EventKind::Replayed { rule },
        };
        self.tell(rotation.now, row, kind);
        if rotation.other_client {
            self.tell(rotation.now, row, EventKind::OtherClient { rule });
        }
    }
}

/// Takes an exchange off the list, even if it panics.
struct Landing<'a> {
    engine: &'a Engine,
    key: &'a Presentation,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.engine.flights.0.remove(self.key);
    }
}

/// The hash of a nonce that came with a token, if it is meant for that token's generation.
pub(crate) fn nonce_for(token: &Opened, nonce: Option<Nonce<'_>>) -> Result<Option<NonceHash>, SessionError> {
    match nonce {
        Some(nonce) if nonce.generation != token.generation() => {
            Err(SessionError::NonceRefused(NonceProblem::OtherGeneration))
        }
        nonce => Ok(nonce.map(|nonce| nonce.hash(token.handle()))),
    }
}

fn unauthorised(why: Why, row: Option<&Row>) -> Refusal {
    let ended = row.and_then(|row| row.ended.as_deref());
    tracing::debug!(?why, "refresh token refused");
    match ended {
        // The client that logged in anew has newer tokens already; clearing would take those.
        Some(ended) if ended.reason == EndReason::Replaced => Refusal::keeping(SessionError::Unauthorised),
        _ => Refusal::clearing(SessionError::Unauthorised),
    }
}

fn theft(kind: TheftKind, row: &Row) -> Refusal {
    Refusal::clearing(SessionError::TokenTheft {
        user_id: Arc::clone(&row.user),
        session_handle: row.handle,
        kind,
    })
}
