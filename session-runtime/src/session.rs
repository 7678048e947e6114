//! What a handler holds: the session of its request, or the login in progress.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::time::sleep;

use crate::{
    claims::{Claim, ClaimSet, Requirement},
    clock::Timestamp,
    engine::read_claims,
    error::SessionError,
    handle::SessionHandle,
    revocation::Standing,
    sessions::{ClaimChange, NewSession, Sessions, Tokens},
    shared::Shared,
    store::{Change, EndReason, Row},
    token::AccessClaims,
};

/// The session of a request: proof that somebody is logged in, and what is known of them.
///
/// It is the first argument of an annotated handler, and nothing else makes one of a request: it has no `FromRequestParts`,
/// so a handler that asks for one without an attribute does not compile. What it tells comes from the access token, without
/// store I/O. What it changes is in the store when the call returns, and on the response of this request.
///
/// Cloning is cheap, and a clone may outlive the request. A change made after the response was sent shows in the client's next
/// token.
#[derive(Clone)]
pub struct Session(Shared<Held>);

struct Held {
    sessions: Sessions,
    accepted: Arc<Accepted>,
    changes: Mutex<Changes>,
}

/// What a handler changed that the response has to tell the client.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) ended: bool,
    pub(crate) tokens: Option<Tokens>,
}

impl Session {
    pub(crate) fn new(sessions: Sessions, accepted: Arc<Accepted>) -> Self {
        Self(Shared::new(Arc::new(Held { sessions, accepted, changes: Mutex::default() })))
    }

    /// Whose session it is.
    pub fn user_id(&self) -> &str {
        &self.0.accepted.claims.user
    }

    /// The name of the session.
    pub fn handle(&self) -> SessionHandle {
        self.0.accepted.claims.handle
    }

    /// The user's tenant; `public` unless the login set one.
    pub fn tenant(&self) -> &str {
        &self.0.accepted.claims.tenant
    }

    /// When the session was made.
    pub fn created_at(&self) -> Timestamp {
        self.0.accepted.claims.session_created
    }

    /// When the user last authenticated, to the second. A refresh does not change it,
    /// [`reauthenticated`](Self::reauthenticated) does.
    pub fn authenticated_at(&self) -> Timestamp {
        self.current().claims.auth_time()
    }

    /// When the access token of this request was made, to the second.
    pub fn issued_at(&self) -> Timestamp {
        self.current().claims.issued_at()
    }

    /// When the access token of this request expires. The session itself lives longer.
    pub fn access_expires_at(&self) -> Timestamp {
        self.current().claims.expires_at()
    }

    /// The value of a claim; `None` if the session has none, or none of this type.
    pub fn claim<C: Claim>(&self, claim: C) -> Option<C::Value> {
        self.current().application.get(claim)
    }

    /// All claims.
    pub fn claims(&self) -> ClaimSet {
        self.current().application.clone()
    }

    /// Sets a claim, and sends the client an access token with it on this response.
    ///
    /// # Errors
    ///
    /// [`SessionError::Unauthorised`] if the session has ended, [`SessionError::StoreUnavailable`], and
    /// [`SessionError::Misconfigured`] where no token can carry the claim; then nothing was changed.
    pub async fn set_claim<C: Claim>(&self, _: C, value: impl Into<C::Value>) -> Result<(), SessionError> {
        let set = ClaimChange::set::<C>(value.into())?;
        self.change_claims(&set).await
    }

    /// Removes a claim, and sends the client an access token without it on this response.
    ///
    /// # Errors
    ///
    /// As [`set_claim`](Self::set_claim).
    pub async fn remove_claim<C: Claim>(&self, _: C) -> Result<(), SessionError> {
        self.change_claims(&ClaimChange::Remove(C::KEY)).await
    }

    async fn change_claims(&self, change: &ClaimChange) -> Result<(), SessionError> {
        let engine = self.0.sessions.engine();
        let row = engine.change_claims(self.handle(), change).await?.ok_or(SessionError::Unauthorised)?;
        self.reissue(&row)
    }

    /// Notes that the user has just proven again who they are, and sends the client an access token that says so on this
    /// response: routes with a [`max_auth_age`](crate::protected) serve it again. The token expires when the one of this
    /// request does.
    ///
    /// To be called only after the proof: the password, a passkey, a code. It is the session that counts as freshly
    /// authenticated, whoever holds its tokens, a thief included; where that matters, ask for the proof with the very request
    /// that needs it.
    ///
    /// ```
    /// # use axum::{Json, http::StatusCode};
    /// # use session_runtime::{Session, SessionError, protected};
    /// # async fn is_password_of(user: &str, password: &str) -> bool { true }
    /// #[protected(POST "/confirm-password")]
    /// async fn confirm_password(session: Session, Json(password): Json<String>) -> Result<StatusCode, SessionError> {
    ///     if !is_password_of(session.user_id(), &password).await {
    ///         return Ok(StatusCode::FORBIDDEN);
    ///     }
    ///     session.reauthenticated().await?;
    ///     Ok(StatusCode::NO_CONTENT)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SessionError::Unauthorised`] if the session has ended, [`SessionError::StoreUnavailable`].
    pub async fn reauthenticated(&self) -> Result<(), SessionError> {
        let engine = self.0.sessions.engine();
        let changed = engine.change(self.handle(), &mut |_| Ok(Change::Authenticated)).await?;
        self.reissue(&changed.ok_or(SessionError::Unauthorised)?)
    }

    /// Fetches the claims that `required` needs and that the token lacks or has too old, as far as they have sources.
    pub(crate) async fn renew_claims(
        &self,
        required: &[&Requirement],
        now: Timestamp,
    ) -> Result<(), SessionError> {
        let engine = self.0.sessions.engine();
        let row = engine.renew_claims(self.presented(), required, now).await?;
        let row = row.ok_or(SessionError::Unauthorised)?;
        if read_claims(&row)? == self.0.accepted.application { Ok(()) } else { self.reissue(&row) }
    }

    fn reissue(&self, row: &Row) -> Result<(), SessionError> {
        let tokens = self.0.sessions.engine().reissue(row, &self.0.accepted)?;
        self.changes().tokens = Some(tokens);
        Ok(())
    }

    /// The application's data of this session, from the store; `None` if it has none.
    ///
    /// # Errors
    ///
    /// [`SessionError::StoreUnavailable`], and [`SessionError::Misconfigured`] if the data there is no `T`.
    pub async fn data<T: DeserializeOwned>(&self) -> Result<Option<T>, SessionError> {
        self.0.sessions.data(self.handle()).await
    }

    /// Replaces the application's data of this session.
    ///
    /// # Errors
    ///
    /// [`SessionError::Unauthorised`] if the session has ended, [`SessionError::StoreUnavailable`].
    pub async fn set_data<T: Serialize>(&self, data: &T) -> Result<(), SessionError> {
        self.found(self.0.sessions.set_data(self.handle(), data).await?)
    }

    /// Changes the application's data of this session; see [`Sessions::update_data`].
    ///
    /// # Errors
    ///
    /// [`SessionError::Unauthorised`] if the session has ended, [`SessionError::StoreUnavailable`].
    pub async fn update_data<T: Serialize + DeserializeOwned>(
        &self,
        change: impl FnMut(Option<T>) -> T + Send,
    ) -> Result<(), SessionError> {
        self.found(self.0.sessions.update_data(self.handle(), change).await?)
    }

    fn found(&self, found: bool) -> Result<(), SessionError> {
        if found { Ok(()) } else { Err(SessionError::Unauthorised) }
    }

    /// Ends the session, and has the client forget its tokens on this response.
    ///
    /// # Errors
    ///
    /// [`SessionError::StoreUnavailable`]; then the session may or may not have ended.
    pub async fn revoke(&self) -> Result<(), SessionError> {
        self.0.sessions.engine().end(self.handle(), EndReason::Logout).await?;
        self.changes().ended = true;
        Ok(())
    }

    /// Waits until the session has ended: revoked, on whatever node, replaced by a newer login, or expired without a refresh.
    ///
    /// For WebSocket and SSE handlers, which outlive the access token that they began with. The access token's own expiry
    /// does not end the wait; the client refreshes beside it, and the wait moves with the session. What the handler knows of
    /// the session stays that of its beginning: a claim that changes does not show in [`claim`](Self::claim).
    ///
    /// Waiting costs no store I/O but a look once in the lifetime of an access token, so that the session's end is found even
    /// by a node that was cut off from the feed for so long that it can't catch up. While the store does not answer, the wait
    /// goes on.
    ///
    /// The opening of a WebSocket is guarded like any request, and counts as unsafe though it is a `GET`: with a session that
    /// came by cookie, another site's page can't open one (see [`CsrfMode`](crate::CsrfMode)).
    ///
    /// ```
    /// # use axum::{extract::{WebSocketUpgrade, ws::{CloseFrame, Message, WebSocket}}, response::Response};
    /// # use session_runtime::{Session, protected};
    /// # async fn talk(socket: &mut WebSocket) {}
    /// #[protected(GET "/ws")]
    /// async fn ws(session: Session, upgrade: WebSocketUpgrade) -> Response {
    ///     let ended = session.ended();
    ///     upgrade.on_upgrade(async move |mut socket| {
    ///         tokio::select! {
    ///             () = talk(&mut socket) => return,
    ///             () = ended => {}
    ///         }
    ///         let frame = CloseFrame { code: 4401, reason: "session ended".into() };
    ///         let _ = socket.send(Message::Close(Some(frame))).await;
    ///     })
    /// }
    /// ```
    ///
    /// Hazard: a server that stops gracefully waits for its streams, and cuts its sockets off: end both by a signal of your own,
    /// beside this one. The example `live` does.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let session = self.clone();
        async move {
            // Its access token can't outlive the session, so until then only a revocation can end it.
            let mut look_at = session.access_expires_at();
            loop {
                let engine = session.0.sessions.engine();
                let revoked = engine.revoked.end_of(session.handle());
                let revoked = revoked.notified();
                if engine.standing(&session.0.accepted) != Standing::Live {
                    return;
                }
                tokio::select! {
                    () = revoked => {}
                    () = engine.clock.sleep_until(look_at) => match engine.live_row(session.handle()).await {
                        Ok(Some(row)) => {
                            let again = engine.clock.now().after(engine.revoked.retention());
                            look_at = row.expires_at().min(again);
                        }
                        Ok(None) => return,
                        Err(_) => sleep(Duration::from_secs(1)).await,
                    },
                }
            }
        }
    }

    /// What the response has to tell the client.
    pub(crate) fn take_changes(&self) -> Changes {
        std::mem::take(&mut *self.changes())
    }

    /// What the access token says that the request presented.
    pub(crate) fn presented(&self) -> &Accepted {
        &self.0.accepted
    }

    /// What the access token says; the one that was presented, until a change makes another.
    pub(crate) fn current(&self) -> Arc<Accepted> {
        let changed = self.changes().tokens.as_ref().map(|tokens| Arc::clone(&tokens.accepted));
        changed.unwrap_or_else(|| Arc::clone(&self.0.accepted))
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.0.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows the session and its user, no claims and no tokens.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("user_id", &self.user_id())
            .field("handle", &self.handle())
            .finish_non_exhaustive()
    }
}

/// A login in progress: the first argument of a handler with [`#[login_endpoint]`](crate::login_endpoint).
///
/// [`create`](Self::create) only notes down what the session shall be. It is made, and its tokens are sent, after the handler
/// has returned a response below 400; if the handler fails, there is nothing to undo. If the store fails then, the answer is
/// 503.
#[derive(Debug)]
pub struct Login {
    staged: Option<NewSession>,
    slot: Shared<Mutex<Option<NewSession>>>,
}

impl Login {
    pub(crate) fn new() -> (Self, StagedLogin) {
        let slot: Shared<_> = Shared::new(Arc::<Mutex<_>>::default());
        (Self { staged: None, slot: slot.clone() }, StagedLogin(slot))
    }

    /// Notes down a session of the user `user_id`, whose password or other proof the handler has checked.
    ///
    /// What it returns adds claims, data and more. A second call takes the place of the first.
    pub fn create(&mut self, user_id: impl AsRef<str>) -> &mut NewSession {
        self.staged.insert(NewSession::new(user_id))
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = self.staged.take();
    }
}

/// Where a [`Login`] leaves what it noted down.
#[derive(Debug)]
pub(crate) struct StagedLogin(Shared<Mutex<Option<NewSession>>>);

impl StagedLogin {
    pub(crate) fn take(&self) -> Option<NewSession> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An access token's content after every check of the token itself.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) claims: AccessClaims,
    pub(crate) application: ClaimSet,
    used: AtomicBool,
}

impl Accepted {
    pub(crate) fn new(mut claims: AccessClaims) -> Self {
        let application = ClaimSet::from_map(std::mem::take(&mut claims.claims));
        Self { claims, application, used: AtomicBool::new(false) }
    }

    /// Whether this is the first time that it is asked.
    pub(crate) fn first_use(&self) -> bool {
        !self.used.load(Ordering::Relaxed) && !self.used.swap(true, Ordering::Relaxed)
    }

    /// Has the next use count as the first.
    pub(crate) fn forget_use(&self) {
        self.used.store(false, Ordering::Relaxed);
    }

    /// The session and the generation that the token belongs to.
    pub(crate) fn place(&self) -> (SessionHandle, u32) {
        (self.claims.handle, self.claims.generation)
    }
}
