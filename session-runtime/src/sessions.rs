//! The session system as an application holds it.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use aws_lc_rs::rand;
use futures_util::future::BoxFuture;
use quick_cache::{Weighter, sync::Cache};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::{
    sync::{broadcast, mpsc},
    time::timeout,
};

use crate::{
    background,
    claims::{Claim, ClaimSet},
    clock::{Clock, Timestamp},
    config::{Config, SessionsBuilder},
    error::{SessionError, StoreError},
    event::{Event, EventKind, Events},
    exchange::{Flights, Refreshed, Refusal},
    handle::SessionHandle,
    node_clock::NodeClock,
    revocation::{RevocationSet, Standing},
    rotation::{Access, Answer, Link},
    session::{Accepted, Session},
    store::{
        Change, Changed, Creation, DynStore, EndReason, Ended, Fingerprint, NewRow, Origin, Revocation, Row,
        Salt, SessionStore,
    },
    token::{
        AccessClaims, AccessError, AccessToken, Expected, Jwks, Keys, MintError, Opened, RefreshToken,
        access::{self, DEFAULT_TENANT},
        refresh,
    },
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
pub struct Sessions(Arc<Core>);

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
        let (used, queue) = mpsc::channel(background::CONFIRM_QUEUE);
        let core = Arc::new(Core {
            cache: Cache::with_weighter(
                (config.cache_bytes / TokenWeight::TYPICAL) as usize,
                config.cache_bytes,
                TokenWeight,
            ),
            revoked: RevocationSet::new(config.access_retention()),
            clock: NodeClock::new(clock),
            events: broadcast::Sender::new(Events::CAPACITY),
            flights: Flights::default(),
            used,
            config,
            keys,
            store,
        });
        background::start(&core, queue).await?;
        Ok(Self(core))
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
        let accepted = self.0.accept(access_token)?;
        match self.0.standing(&accepted) {
            Standing::Live => {}
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
    /// [`SessionError::Unauthorised`], [`SessionError::TokenTheft`], [`SessionError::StoreUnavailable`].
    pub async fn refresh(&self, refresh_token: &str) -> Result<Tokens, SessionError> {
        let opened = refresh::open(&self.0.keys, refresh_token).map_err(|_| SessionError::Unauthorised)?;
        let refreshed =
            self.exchange(opened, [Fingerprint::default()].into()).await.map_err(Refusal::into_error)?;
        Ok(refreshed.tokens.clone())
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
        Events::new(self.0.events.subscribe())
    }

    /// How long ago this node last knew of every revocation; for a health check.
    pub fn feed_age(&self) -> Duration {
        self.0.revoked.behind()
    }

    pub(crate) fn core(&self) -> &Core {
        &self.0
    }

    pub(crate) async fn exchange(
        &self,
        token: Opened,
        by: Arc<[Fingerprint]>,
    ) -> Result<Arc<Refreshed>, Refusal> {
        self.0.exchange(token, by).await
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
    user: Arc<str>,
    tenant: Option<Arc<str>>,
    remember: bool,
    claims: Vec<Result<ClaimChange, SessionError>>,
    data: Option<Result<Box<str>, SessionError>>,
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

    fn claims_json(&self, now: Timestamp) -> Result<Option<Box<str>>, SessionError> {
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

    fn carry_out(self, claims: &mut ClaimSet, now: Timestamp) {
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

/// What a login request tells of the client.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) origin: Option<Box<Origin>>,
    pub(crate) replaces: Option<SessionHandle>,
}

/// What all clones of a [`Sessions`] share.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) store: Arc<dyn DynStore>,
    pub(crate) clock: NodeClock,
    pub(crate) revoked: RevocationSet,
    pub(crate) flights: Flights,
    cache: Cache<Box<str>, Arc<Accepted>, TokenWeight>,
    used: mpsc::Sender<(SessionHandle, u32)>,
    events: broadcast::Sender<Event>,
}

/// The way of an access token.
impl Core {
    /// The session that an access token speaks of, if the token is valid; from the cache if it was seen before.
    pub(crate) fn accept(&self, token: &str) -> Result<Arc<Accepted>, SessionError> {
        let now = self.clock.now();
        if let Some(accepted) = self.cached(token, now) {
            return Ok(accepted);
        }
        match self.verify(token, now) {
            Ok(claims) => {
                let accepted = Arc::new(Accepted::new(claims));
                self.cache.insert(token.into(), Arc::clone(&accepted));
                Ok(accepted)
            }
            Err(error) => {
                tracing::debug!(%error, "access token refused");
                Err(SessionError::TryRefreshToken)
            }
        }
    }

    /// Whether a text is an access token of ours by its form, valid or not.
    pub(crate) fn is_access_token(&self, text: &str) -> bool {
        let now = self.clock.now();
        self.cached(text, now).is_some() || access::looks_like_ours(&self.keys, text, now)
    }

    /// The session that a validly signed access token names, expired or not.
    pub(crate) fn named_session(&self, token: &str) -> Option<SessionHandle> {
        match self.verify(token, self.clock.now()) {
            Ok(claims) => Some(claims.handle),
            Err(AccessError::Expired(claims)) => Some(claims.handle),
            Err(_) => None,
        }
    }

    fn cached(&self, token: &str, now: Timestamp) -> Option<Arc<Accepted>> {
        let accepted = self.cache.get(token)?;
        (now < accepted.claims.expires_at().after(self.config.leeway)).then_some(accepted)
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<AccessClaims, AccessError> {
        let expected = Expected {
            issuer: self.config.issuer.as_deref(),
            audience: self.config.audience.as_deref(),
            leeway: self.config.leeway,
        };
        access::verify(&self.keys, token, now, &expected).map(access::Verified::into_claims)
    }

    /// Whether the session of a valid access token was ended meanwhile, as far as this node knows.
    pub(crate) fn standing(&self, accepted: &Accepted) -> Standing {
        let claims = &accepted.claims;
        self.revoked.standing(claims.handle, &claims.user, claims.session_created)
    }

    /// Notes, once a token, that a protected route accepted it; the store is told later.
    ///
    /// Generation 1 is told of too, because the session that a login replaces ends when the new one is first used.
    pub(crate) fn note_use(&self, accepted: &Accepted) {
        if accepted.first_use() {
            // A full queue loses the note: that only widens the tolerance.
            let _ = self.used.try_send((accepted.claims.handle, accepted.claims.generation));
        }
    }
}

/// Making and changing sessions.
impl Core {
    pub(crate) async fn create(&self, new: &NewSession, client: Client) -> Result<Tokens, SessionError> {
        const ATTEMPTS: usize = 4;
        let claims = new.claims_json(self.clock.now())?;
        let data = new.data.clone().transpose()?;
        for _ in 0..ATTEMPTS {
            let row = NewRow {
                handle: SessionHandle::from_bytes(random()?),
                user: Arc::clone(&new.user),
                tenant: new.tenant.clone(),
                idle_lifetime: self.config.refresh_lifetime,
                absolute_lifetime: self.config.absolute_lifetime,
                grace: self.config.grace,
                salt: Salt(random()?),
                fingerprint: client.fingerprint,
                persistent: new.remember,
                origin: client.origin.clone(),
                replaces: client.replaces,
                claims: claims.clone(),
                data: data.clone(),
                limit: self.config.limit,
            };
            // Before the store is asked, so that claims that don't fit leave no session behind.
            self.check_fit(&row.clone().into_row(self.clock.now()))?;
            match self.in_time(self.store.create(row)).await? {
                Creation::Created(row) => {
                    let link = row.chain.link();
                    let access = Access::Usual { generation: link.generation };
                    let tokens = self.tokens(&row, Answer { access, refresh: Some(link) })?;
                    self.tell(row.created_at, &row, EventKind::Created);
                    return Ok(tokens);
                }
                Creation::LimitReached => return Err(SessionError::TooManySessions),
                Creation::HandleTaken => {
                    tracing::warn!("a new session handle was taken already; trying another")
                }
            }
        }
        Err(SessionError::misconfigured(
            "every new session handle was taken already: the random generator repeats itself",
        ))
    }

    /// The tokens that a session is answered with, as its row stands.
    pub(crate) fn tokens(&self, row: &Row, answer: Answer) -> Result<Tokens, SessionError> {
        let expires_at = self.access_expiry(row, answer.access);
        let (token, claims) = self.mint(row, answer.access.generation(), expires_at)?;
        Ok(self.bundle(row, token, claims, answer.refresh))
    }

    /// An access token with the claims of the row in place of `presented`, and no longer lived: else whoever holds a token
    /// could go on without ever refreshing.
    pub(crate) fn reissue(&self, row: &Row, presented: &Accepted) -> Result<Tokens, SessionError> {
        let AccessClaims { generation, expires_at, .. } = presented.claims;
        let (token, claims) = self.mint(row, generation, expires_at)?;
        Ok(self.bundle(row, token, claims, None))
    }

    fn bundle(&self, row: &Row, access: AccessToken, claims: AccessClaims, refresh: Option<Link>) -> Tokens {
        Tokens {
            access,
            refresh: refresh.map(|link| {
                refresh::issue(&self.keys, row.handle, link.generation, link.parent, &row.salt.0)
            }),
            accepted: Arc::new(Accepted::new(claims)),
            session_expires_at: row.expires_at(),
            persistent: row.persistent,
        }
    }

    /// Whether an access token can carry the claims of the row, now and after any number of refreshes.
    fn check_fit(&self, row: &Row) -> Result<(), SessionError> {
        /// With as many digits as any time that a token will ever name.
        const ANY_TIME: u64 = 9_999_999_999;
        self.mint(row, u32::MAX, ANY_TIME).map(drop)
    }

    /// When an access token made now expires, in seconds since the Unix epoch: never after its session.
    fn access_expiry(&self, row: &Row, access: Access) -> u64 {
        let lifetime = match access {
            Access::Usual { .. } => self.config.access_lifetime - self.jitter(row.handle),
            Access::Short { .. } => self.config.grace.short_access(self.config.access_lifetime),
        };
        (self.clock.now().as_secs() + lifetime.as_secs().max(1)).min(row.expires_at().as_secs())
    }

    fn mint(
        &self,
        row: &Row,
        generation: u32,
        expires_at: u64,
    ) -> Result<(AccessToken, AccessClaims), SessionError> {
        let now = self.clock.now();
        let claims = AccessClaims {
            user: (&*row.user).into(),
            issued_at: now.as_secs(),
            expires_at,
            handle: row.handle,
            tenant: row.tenant.as_deref().unwrap_or(DEFAULT_TENANT).into(),
            auth_time: row.authenticated_at.as_secs(),
            generation,
            session_created: row.created_at,
            issuer: self.config.issuer.as_deref().map(Into::into),
            audience: self.config.audience.as_deref().map(Into::into),
            claims: read_claims(row)?.into_map(),
        };
        let token = access::mint(&self.keys, &claims, now).map_err(|error| match error {
            MintError::ReservedClaim { .. } | MintError::TooLarge { .. } => {
                SessionError::misconfigured(error.to_string())
            }
            other => SessionError::misconfigured(format!("no access token could be made: {other}")),
        })?;
        Ok((token, claims))
    }

    /// By how much the access tokens of a session are shorter lived than configured; the same for all of them.
    fn jitter(&self, handle: SessionHandle) -> Duration {
        let part = f64::from(handle.as_bytes()[0]) / 256.0;
        Duration::from_secs(self.config.access_lifetime.mul_f64(self.config.access_jitter * part).as_secs())
    }

    /// Changes a session by compare-and-set. Returns its row after the change; `None` if there is no such session.
    pub(crate) async fn change(
        &self,
        handle: SessionHandle,
        step: &mut (dyn FnMut(&Row) -> Result<Change, SessionError> + Send),
    ) -> Result<Option<Row>, SessionError> {
        let Some(mut row) = self.live_row(handle).await? else { return Ok(None) };
        loop {
            let change = step(&row)?;
            match self.in_time(self.store.update(handle, row.version, change)).await? {
                Changed::Done(row) => return Ok(Some(row)),
                Changed::Conflict(newer) => row = newer,
                Changed::Gone => return Ok(None),
            }
        }
    }

    pub(crate) async fn change_claims(
        &self,
        handle: SessionHandle,
        change: &ClaimChange,
    ) -> Result<Option<Row>, SessionError> {
        let mut step = |row: &Row| {
            let mut claims = read_claims(row)?;
            change.clone().carry_out(&mut claims, self.clock.now());
            let changed = Row { claims: write_claims(&claims), ..row.clone() };
            // What no token can carry is refused before it is stored.
            self.check_fit(&changed)?;
            Ok(Change::Claims(changed.claims))
        };
        self.change(handle, &mut step).await
    }

    pub(crate) async fn live_row(&self, handle: SessionHandle) -> Result<Option<Row>, SessionError> {
        let row = self.in_time(self.store.read(handle)).await?;
        Ok(row.filter(|row| row.handle == handle && row.is_live(self.clock.now())))
    }
}

/// Ending sessions.
impl Core {
    pub(crate) async fn end(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, SessionError> {
        let ended = self.in_time(self.store.revoke(handle, reason)).await?;
        if ended {
            self.revoked.insert_session(handle, reason == EndReason::Replaced, self.clock.now());
        }
        Ok(ended)
    }

    async fn end_all(&self, user: Arc<str>, except: Option<SessionHandle>) -> Result<usize, SessionError> {
        let ended =
            self.in_time(self.store.revoke_all(Arc::clone(&user), except, EndReason::Revoked)).await?;
        let now = self.clock.now();
        for handle in &ended {
            self.revoked.insert_session(*handle, false, now);
        }
        Ok(ended.len())
    }

    /// Takes an end from the store's feed: into the set, and to the subscribers.
    pub(crate) fn take_end(&self, revocation: &Revocation) {
        self.revoked.insert(revocation);
        if let Revocation::Session { handle, user, ended: Ended { at, reason } } = revocation {
            let kind = match *reason {
                EndReason::Theft { kind, issued_to, reused_by } => {
                    tracing::warn!(user = &**user, session = %handle, ?kind, "refresh token theft: the session was ended");
                    EventKind::Theft { kind, issued_to, reused_by }
                }
                reason => EventKind::Revoked { reason },
            };
            self.send(Event { at: *at, user: Arc::clone(user), handle: *handle, kind });
        }
    }

    pub(crate) fn tell(&self, at: Timestamp, row: &Row, kind: EventKind) {
        self.send(Event { at, user: Arc::clone(&row.user), handle: row.handle, kind });
    }

    pub(crate) fn send(&self, event: Event) {
        tracing::debug!(session = %event.handle, kind = ?event.kind, "session event");
        // Fails exactly when nobody listens.
        let _ = self.events.send(event);
    }

    /// Waits for an operation of the store, for as long as configured. A failure is logged here, once.
    pub(crate) async fn in_time<T>(
        &self,
        operation: BoxFuture<'_, Result<T, StoreError>>,
    ) -> Result<T, SessionError> {
        let result = match timeout(self.config.store_timeout, operation).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::new(format!("no answer within {:?}", self.config.store_timeout))),
        };
        result.map_err(|error| {
            tracing::error!(%error, "the session store is unavailable");
            SessionError::StoreUnavailable(error)
        })
    }
}

/// How much memory an entry of the token cache takes, roughly.
#[derive(Clone)]
struct TokenWeight;

impl TokenWeight {
    const TYPICAL: u64 = 1024;
}

impl Weighter<Box<str>, Arc<Accepted>> for TokenWeight {
    fn weight(&self, token: &Box<str>, _: &Arc<Accepted>) -> u64 {
        // The claims are the token's payload once more, unpacked.
        token.len() as u64 * 2 + 256
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], SessionError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| SessionError::misconfigured("the system gives no random numbers"))?;
    Ok(bytes)
}

fn read_claims(row: &Row) -> Result<ClaimSet, SessionError> {
    let Some(text) = row.claims.as_deref() else { return Ok(ClaimSet::default()) };
    let unreadable =
        |error| StoreError::new(format!("the claims of session {} are unreadable: {error}", row.handle));
    Ok(serde_json::from_str(text).map(ClaimSet::from_map).map_err(unreadable)?)
}

fn write_claims(claims: &ClaimSet) -> Option<Box<str>> {
    (!claims.is_empty()).then(|| claims.to_json())
}

fn read_data<T: DeserializeOwned>(row: &Row) -> Result<Option<T>, SessionError> {
    let unreadable = |error| {
        SessionError::misconfigured(format!(
            "the data of session {} is not of type {}: {error}",
            row.handle,
            std::any::type_name::<T>()
        ))
    };
    row.data.as_deref().map(|text| serde_json::from_str(text).map_err(unreadable)).transpose()
}

fn write_data<T: Serialize>(data: &T) -> Result<Box<str>, SessionError> {
    serde_json::value::to_raw_value(data).map(|json: Box<RawValue>| json.get().into()).map_err(|error| {
        SessionError::misconfigured(format!("the session data can't be written as JSON: {error}"))
    })
}
