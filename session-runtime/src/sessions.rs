//! The session system as an application holds it.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    claims::{Claim, ClaimSet},
    clock::{Clock, Timestamp},
    config::{Config, SessionsBuilder},
    engine::{Client, Engine, read_claims, read_data, write_claims, write_data},
    error::{NonceProblem, SessionError, StoreError},
    event::Events,
    exchange::{Presentation, Refreshed, Refusal, nonce_for},
    handle::SessionHandle,
    revocation::Standing,
    session::{Accepted, Session},
    shared::Shared,
    store::{Change, DynStore, EndReason, Fingerprint, Row, SessionStore},
    token::{AccessToken, Jwks, Keys, RefreshToken, access, nonce::Nonce, refresh},
    transport::Cors,
};

/// The session system: makes sessions, checks, refreshes, lists and ends them.
///
/// One concrete type, whatever the store; cloning is cheap. Applications keep it in their state. Annotated handlers use it by
/// themselves; its methods are for everything else: jobs, administration, protocols other than HTTP.
///
/// ```
/// use session_runtime::{MemoryStore, NewSession, Sessions};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sessions = Sessions::builder(MemoryStore::new()).refresh_path("/refresh").build().await?;
///
/// let tokens = sessions.create(&NewSession::new("alice")).await?;
/// let session = sessions.verify(tokens.access().expose())?;
/// assert_eq!(session.user_id(), "alice");
///
/// sessions.revoke(session.handle()).await?;
/// assert!(sessions.verify(tokens.access().expose()).is_err());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Sessions(Shared<Engine>);

impl Sessions {
    /// Begins to set up a session system on a store.
    pub fn builder<S: SessionStore>(store: S) -> SessionsBuilder {
        SessionsBuilder::new(store)
    }

    pub(crate) async fn start(
        config: Config,
        keys: Keys,
        store: Arc<dyn DynStore>,
        clock: Option<Clock>,
    ) -> Result<Self, StoreError> {
        Engine::start(config, keys, store, clock).await.map(|engine| Self(Shared::new(engine)))
    }

    /// Makes a session, without a request. In a handler, take a [`Login`](crate::Login) instead.
    ///
    /// # Errors
    ///
    /// [`SessionError::TooManySessions`], [`SessionError::StoreUnavailable`], and [`SessionError::Misconfigured`] where the
    /// claims can't be carried. No session is left behind.
    pub async fn create(&self, new: &NewSession) -> Result<Tokens, SessionError> {
        self.0.create(new, Client::default()).await
    }

    /// Checks an access token, without store I/O: its signature, its lifetime, and whether its session was revoked.
    ///
    /// The session that it returns belongs to no request, so claims set on it show in the next token only.
    ///
    /// # Errors
    ///
    /// [`SessionError::TryRefreshToken`] and [`SessionError::Unauthorised`].
    pub fn verify(&self, access_token: &str) -> Result<Session, SessionError> {
        let accepted =
            self.0.accept(access_token.as_bytes()).unwrap_or(Err(SessionError::TryRefreshToken))?;
        match self.0.standing(&accepted) {
            Standing::Live => self.0.check_feed()?,
            Standing::Replaced => return Err(SessionError::TryRefreshToken),
            Standing::Ended => return Err(SessionError::Unauthorised),
        }
        self.0.note_use(&accepted);
        Ok(Session::new(self.clone(), accepted))
    }

    /// Exchanges a refresh token.
    ///
    /// The exchange runs to its end even if the future is dropped. The tokens hold a refresh token only if the client shall
    /// take it in place of the one that it has.
    ///
    /// # Errors
    ///
    /// [`SessionError::Unauthorised`], [`SessionError::TokenTheft`], [`SessionError::StoreUnavailable`], and
    /// [`SessionError::NonceRefused`] where the session is bound.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Tokens, SessionError> {
        self.exchange_text(refresh_token, None).await
    }

    /// Exchanges a refresh token of a [bound client](mod@crate::rotation#bound-clients); `nonce` is what it would send in
    /// `st-nonce`.
    ///
    /// # Errors
    ///
    /// Those of [`refresh`](Self::refresh), and [`SessionError::NonceRefused`] where the nonce is malformed or of another
    /// generation.
    pub async fn refresh_bound(&self, refresh_token: &str, nonce: &str) -> Result<Tokens, SessionError> {
        let nonce = Nonce::read(nonce).ok_or(SessionError::NonceRefused(NonceProblem::Malformed))?;
        self.exchange_text(refresh_token, Some(nonce)).await
    }

    async fn exchange_text(&self, token: &str, nonce: Option<Nonce<'_>>) -> Result<Tokens, SessionError> {
        let token = refresh::open(&self.0.keys, token).map_err(|_| SessionError::Unauthorised)?;
        let nonce = nonce_for(&token, nonce)?;
        let presented = Presentation { token, nonce, by: [Fingerprint::default()].into() };
        let refreshed = self.exchange(presented).await.map_err(Refusal::into_error)?;
        Ok(refreshed.tokens.clone())
    }

    /// The layer that lets pages of the [allowed origins](SessionsBuilder::allowed_origins) use the session, for the whole
    /// router: `ROUTES.router(app).layer(sessions.cors())`.
    pub fn cors(&self) -> Cors {
        Cors::new(&self.0.config.csrf)
    }

    /// A session by its handle, unless it ended, expired or never was.
    pub async fn info(&self, handle: SessionHandle) -> Result<Option<SessionInfo>, SessionError> {
        Ok(self.0.live_row(handle).await?.map(|row| SessionInfo::of(&row)))
    }

    /// The live sessions of a user, the oldest first.
    pub async fn list(&self, user_id: &str) -> Result<Vec<SessionInfo>, SessionError> {
        let rows = self.0.in_time(self.0.store.list(user_id.into())).await?;
        Ok(rows.iter().map(SessionInfo::of).collect())
    }

    /// Ends a session. Returns whether it was live.
    ///
    /// Its refresh token is dead at once, its access tokens here at once and on other nodes as soon as they hear of it.
    pub async fn revoke(&self, handle: SessionHandle) -> Result<bool, SessionError> {
        self.0.end(handle, EndReason::Revoked).await
    }

    /// Ends several sessions. Returns how many of them were live. Where the store fails, some may have been ended; ending them
    /// again is safe.
    pub async fn revoke_many(&self, handles: &[SessionHandle]) -> Result<usize, SessionError> {
        let mut ended = 0;
        for handle in handles {
            ended += usize::from(self.0.end(*handle, EndReason::Revoked).await?);
        }
        Ok(ended)
    }

    /// Ends every session of a user but `keep`. Returns how many were live.
    pub async fn revoke_others(&self, user_id: &str, keep: SessionHandle) -> Result<usize, SessionError> {
        self.0.end_all(user_id.into(), Some(keep)).await
    }

    /// Ends every session of a user. Returns how many were live. Nothing made before survives it, whatever is in flight.
    pub async fn revoke_all(&self, user_id: &str) -> Result<usize, SessionError> {
        self.0.end_all(user_id.into(), None).await
    }

    /// The claims of a session, from the store. `None` if there is no such session.
    pub async fn claims(&self, handle: SessionHandle) -> Result<Option<ClaimSet>, SessionError> {
        self.0.live_row(handle).await?.map(|row| read_claims(&row)).transpose()
    }

    /// Sets a claim of a session. It shows in its next access token. Returns whether there is such a session.
    pub async fn set_claim<C: Claim>(
        &self,
        handle: SessionHandle,
        _: C,
        value: impl Into<C::Value>,
    ) -> Result<bool, SessionError> {
        let set = ClaimChange::set::<C>(value.into())?;
        Ok(self.0.change_claims(handle, &set).await?.is_some())
    }

    /// Removes a claim of a session. It is gone from its next access token. Returns whether there is such a session.
    pub async fn remove_claim<C: Claim>(&self, handle: SessionHandle, _: C) -> Result<bool, SessionError> {
        Ok(self.0.change_claims(handle, &ClaimChange::Remove(C::KEY)).await?.is_some())
    }

    /// The application's data of a session. `None` if there is no such session, or it has no data.
    ///
    /// # Errors
    ///
    /// [`SessionError::Misconfigured`] if the data there is no `T`.
    pub async fn data<T: DeserializeOwned>(&self, handle: SessionHandle) -> Result<Option<T>, SessionError> {
        self.0.live_row(handle).await?.and_then(|row| read_data(&row).transpose()).transpose()
    }

    /// Replaces the application's data of a session. Returns whether there is such a session.
    pub async fn set_data<T: Serialize>(
        &self,
        handle: SessionHandle,
        data: &T,
    ) -> Result<bool, SessionError> {
        let data = write_data(data)?;
        self.0.change(handle, &mut |_| Ok(Change::Data(Some(data.clone())))).await.map(|row| row.is_some())
    }

    /// Changes the application's data of a session: `change` gets what is there and returns what shall be.
    ///
    /// Concurrent changes lose nothing: where another one was faster, `change` is called again with the newer data. Returns
    /// whether there is such a session.
    pub async fn update_data<T: Serialize + DeserializeOwned>(
        &self,
        handle: SessionHandle,
        mut change: impl FnMut(Option<T>) -> T + Send,
    ) -> Result<bool, SessionError> {
        let mut step = |row: &Row| Ok(Change::Data(Some(write_data(&change(read_data(row)?))?)));
        self.0.change(handle, &mut step).await.map(|row| row.is_some())
    }

    /// The keys under which other services can verify our access tokens (RFC 7517), to be served as JSON with a
    /// `Cache-Control` of [`Jwks::max_age`]. Empty with HS256, whose key can't be shown.
    pub fn jwks(&self) -> Jwks {
        self.0.keys.jwks(self.0.clock.now())
    }

    /// What happens to sessions from now on.
    pub fn events(&self) -> Events {
        self.0.events.subscribe()
    }

    /// How long ago this node last knew of every revocation: a gauge, for a health check.
    ///
    /// While all is well it is two seconds at most. Beyond the bound of
    /// [`when_feed_is_behind`](SessionsBuilder::when_feed_is_behind) protected routes do as the policy there says. It is told by
    /// a clock that nobody sets, and the store is not asked.
    pub fn feed_age(&self) -> Duration {
        self.0.revoked.behind()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0
    }

    pub(crate) async fn exchange(&self, presented: Presentation) -> Result<Arc<Refreshed>, Refusal> {
        self.0.to_arc().exchange(presented).await
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// A session about to be made.
///
/// ```
/// # use session_runtime::{Claim, NewSession};
/// # #[derive(Clone, Copy)] struct Role;
/// # impl Claim for Role { const KEY: &'static str = "role"; type Value = String; }
/// let mut new = NewSession::new("alice");
/// new.claim(Role, "admin").remember(false);
/// ```
#[derive(Clone, Debug)]
pub struct NewSession {
    pub(crate) user: Arc<str>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) remember: bool,
    claims: Vec<Result<ClaimChange, SessionError>>,
    pub(crate) data: Option<Result<Box<str>, SessionError>>,
}

impl NewSession {
    /// A session of the user `user_id`, who has just been authenticated.
    pub fn new(user_id: impl AsRef<str>) -> Self {
        Self { user: user_id.as_ref().into(), tenant: None, remember: true, claims: Vec::new(), data: None }
    }

    /// Sets a claim, for the access tokens to carry.
    pub fn claim<C: Claim>(&mut self, _: C, value: impl Into<C::Value>) -> &mut Self {
        self.claims.push(ClaimChange::set::<C>(value.into()));
        self
    }

    /// Sets the application's data, which stays in the store.
    pub fn data<T: Serialize>(&mut self, data: &T) -> &mut Self {
        self.data = Some(write_data(data));
        self
    }

    /// Whether the session outlives the browser; if not, its cookies are deleted when the browser is closed. Default: it does.
    pub fn remember(&mut self, remember: bool) -> &mut Self {
        self.remember = remember;
        self
    }

    /// The user's tenant. Default: `public`.
    pub fn tenant(&mut self, tenant: impl AsRef<str>) -> &mut Self {
        self.tenant = Some(tenant.as_ref().into());
        self
    }

    pub(crate) fn claims_json(&self, now: Timestamp) -> Result<Option<Box<str>>, SessionError> {
        let mut claims = ClaimSet::default();
        for change in &self.claims {
            change.clone()?.carry_out(&mut claims, now);
        }
        Ok(write_claims(&claims))
    }
}

/// A change of one claim, checked as far as can be without the others.
#[derive(Clone, Debug)]
pub(crate) enum ClaimChange {
    Set(&'static str, serde_json::Value),
    Remove(&'static str),
}

impl ClaimChange {
    pub(crate) fn set<C: Claim>(value: C::Value) -> Result<Self, SessionError> {
        let key = C::KEY;
        if access::is_reserved(key) {
            let problem = format!("the claim name `{key}` is used by the token itself; choose another");
            return Err(SessionError::misconfigured(problem));
        }
        let value = serde_json::to_value(value).map_err(|error| {
            SessionError::misconfigured(format!(
                "the value of the claim `{key}` can't be written as JSON: {error}"
            ))
        })?;
        Ok(Self::Set(key, value))
    }

    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Set(key, _) | Self::Remove(key) => key,
        }
    }

    pub(crate) fn carry_out(self, claims: &mut ClaimSet, now: Timestamp) {
        match self {
            Self::Set(key, value) => claims.set(key, value, now),
            Self::Remove(key) => claims.remove(key),
        }
    }
}

/// The tokens of a session, as a client has to be given them. They print as `[REDACTED]`.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub(crate) access: AccessToken,
    pub(crate) refresh: Option<RefreshToken>,
    pub(crate) accepted: Arc<Accepted>,
    pub(crate) session_expires_at: Timestamp,
    pub(crate) persistent: bool,
}

impl Tokens {
    /// The access token.
    pub fn access(&self) -> &AccessToken {
        &self.access
    }

    /// The refresh token; `None` if the client shall keep the one that it has.
    pub fn refresh(&self) -> Option<&RefreshToken> {
        self.refresh.as_ref()
    }

    /// When the access token expires.
    pub fn access_expires_at(&self) -> Timestamp {
        self.accepted.claims.expires_at()
    }

    /// When the session expires unless it is refreshed before.
    pub fn session_expires_at(&self) -> Timestamp {
        self.session_expires_at
    }

    /// The session.
    pub fn handle(&self) -> SessionHandle {
        self.accepted.claims.handle
    }
}

/// A session as a list of devices shows it. Holds no token material.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its name.
    pub handle: SessionHandle,
    /// Whose it is.
    pub user_id: Arc<str>,
    /// The tenant, if it has one.
    pub tenant: Option<Arc<str>>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at: Timestamp,
    /// When the user last authenticated, likewise.
    pub authenticated_at: Timestamp,
    /// When it was last refreshed, likewise; when it was made, if never.
    pub refreshed_at: Timestamp,
    /// When it expires unless it is refreshed before, likewise.
    pub expires_at: Timestamp,
    /// The address of the connection that made it.
    pub address: Option<IpAddr>,
    /// The `User-Agent` that made it.
    pub user_agent: Option<Box<str>>,
}

impl SessionInfo {
    fn of(row: &Row) -> Self {
        let origin = row.origin.as_deref().cloned().unwrap_or_default();
        Self {
            handle: row.handle,
            user_id: Arc::clone(&row.user),
            tenant: row.tenant.clone(),
            created_at: row.created_at,
            authenticated_at: row.authenticated_at,
            refreshed_at: row.refreshed_at(),
            expires_at: row.expires_at(),
            address: origin.address,
            user_agent: origin.user_agent,
        }
    }
}
