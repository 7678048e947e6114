//! The session system itself: what all clones of a `Sessions` share, and what is done with it.

mod fetch;
mod token_cache;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use futures_util::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::mpsc, time::timeout};

use self::token_cache::TokenCache;
use crate::{
    background,
    claims::ClaimSet,
    clock::{Clock, Timestamp},
    config::{Config, WhenBehind},
    error::{SessionError, StoreError},
    event::{Event, EventKind, EventSender},
    exchange::Flights,
    handle::SessionHandle,
    node_clock::NodeClock,
    revocation::{RevocationSet, Standing},
    rotation::{Access, Answer, Link},
    session::Accepted,
    sessions::{ClaimChange, NewSession, Tokens},
    store::{
        Change, Changed, Creation, DynStore, EndReason, Ended, Fingerprint, NewRow, Origin, Revocation, Row,
        Salt,
    },
    token::{
        AccessClaims, AccessError, AccessToken, Expected, Keys, MintError,
        access::{self, DEFAULT_TENANT},
        refresh,
    },
    transport::ascii,
};

/// What all clones of a [`Sessions`](crate::Sessions) share.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) store: Arc<dyn DynStore>,
    pub(crate) clock: NodeClock,
    pub(crate) revoked: RevocationSet,
    pub(crate) flights: Flights,
    cache: TokenCache,
    used: mpsc::Sender<(SessionHandle, u32)>,
    pub(crate) events: EventSender,
}

impl Engine {
    /// Starts the system on settings that were found to work.
    pub(crate) async fn start(
        config: Config,
        keys: Keys,
        store: Arc<dyn DynStore>,
        clock: Option<Clock>,
    ) -> Result<Arc<Self>, StoreError> {
        let (used, queue) = mpsc::channel(background::CONFIRM_QUEUE);
        let engine = Arc::new(Self {
            cache: TokenCache::new(config.cache_bytes),
            revoked: RevocationSet::new(config.access_retention(), config.born_at),
            clock: NodeClock::new(clock),
            events: EventSender::default(),
            flights: Flights::default(),
            used,
            config,
            keys,
            store,
        });
        background::start(&engine, queue).await?;
        Ok(engine)
    }
}

/// The way of an access token.
impl Engine {
    /// The session that an access token speaks of, if the token is valid; from the cache if it was seen before.
    ///
    /// `None` where it is no access token of ours by its form. Takes any bytes, because what is in the cache was text.
    pub(crate) fn accept(&self, token: &[u8]) -> Option<Result<Arc<Accepted>, SessionError>> {
        let now = self.clock.now();
        if let Some(accepted) = self.cached(token, now) {
            return Some(Ok(accepted));
        }
        let token = ascii(token)?;
        match self.verify(token, now) {
            Ok(claims) => {
                let accepted = Arc::new(Accepted::new(claims));
                self.cache.insert(token, Arc::clone(&accepted));
                Some(Ok(accepted))
            }
            Err(error) => access::looks_like_ours(&self.keys, token, now).then(|| {
                tracing::debug!(%error, "access token refused");
                Err(SessionError::TryRefreshToken)
            }),
        }
    }

    /// Whether a text is an access token of ours by its form, valid or not.
    pub(crate) fn is_access_token(&self, text: &str) -> bool {
        let now = self.clock.now();
        self.cached(text.as_bytes(), now).is_some() || access::looks_like_ours(&self.keys, text, now)
    }

    /// The session that a validly signed access token names, expired or not.
    pub(crate) fn named_session(&self, token: &str) -> Option<NamedSession> {
        let (claims, expired) = match self.verify(token, self.clock.now()) {
            Ok(claims) => (claims, false),
            Err(AccessError::Expired(claims)) => (*claims, true),
            Err(_) => return None,
        };
        Some(NamedSession {
            handle: claims.handle,
            issued_at: claims.issued_at(),
            user: claims.user,
            expired,
        })
    }

    fn cached(&self, token: &[u8], now: Timestamp) -> Option<Arc<Accepted>> {
        self.cache.get(token).filter(|accepted| now < self.good_until(&accepted.claims))
    }

    /// Until when a token is accepted. One that was made when access tokens lived longer is cut short, because the end of its
    /// session is remembered no longer than the tokens of today need.
    fn good_until(&self, claims: &AccessClaims) -> Timestamp {
        let longest = claims.issued_at().after(self.config.access_lifetime);
        claims.expires_at().min(longest).after(self.config.leeway)
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<AccessClaims, AccessError> {
        let expected = Expected {
            issuer: self.config.issuer.as_deref(),
            audience: self.config.audience.as_deref(),
            leeway: self.config.leeway,
        };
        let claims = access::verify(&self.keys, token, now, &expected)?.into_claims();
        if now < self.good_until(&claims) { Ok(claims) } else { Err(AccessError::Expired(Box::new(claims))) }
    }

    /// Whether the session of a valid access token was ended meanwhile, as far as this node knows.
    pub(crate) fn standing(&self, accepted: &Accepted) -> Standing {
        let claims = &accepted.claims;
        self.revoked.standing(claims.handle, &claims.user, claims.session_created)
    }

    /// Refuses to say that nothing was revoked where revocations may have been missed and the application wants to know.
    pub(crate) fn check_feed(&self) -> Result<(), SessionError> {
        let fails = self.config.when_behind == WhenBehind::FailClosed;
        if fails && self.revoked.behind() > self.config.feed_bound {
            return Err(StoreError::new("revocations may have been missed").into());
        }
        Ok(())
    }

    /// Notes, once a token, that a protected route accepted it; the store is told later.
    ///
    /// Generation 1 is told of too, because the session that a login replaces ends when the new one is first used.
    pub(crate) fn note_use(&self, accepted: &Accepted) {
        if accepted.first_use() && self.used.try_send(accepted.place()).is_err() {
            // The queue is full. The next use tells it; until then the tolerance is wider.
            accepted.forget_use();
        }
    }
}

/// Making and changing sessions.
impl Engine {
    pub(crate) async fn create(&self, new: &NewSession, client: Client) -> Result<Tokens, SessionError> {
        const ATTEMPTS: usize = 4;
        let claims = new.claims_json(self.clock.now())?;
        let data = new.data.clone().transpose()?;
        for _ in 0..ATTEMPTS {
            let handle = SessionHandle::from_bytes(random()?);
            let row = NewRow {
                handle,
                user: Arc::clone(&new.user),
                tenant: new.tenant.clone(),
                idle_lifetime: self.config.refresh_lifetime,
                absolute_lifetime: self.config.absolute_lifetime,
                grace: self.config.grace,
                salt: Salt(random()?),
                fingerprint: client.fingerprint,
                persistent: new.remember,
                origin: client.origin.clone(),
                replaces: client.replaced(&new.user),
                claims: claims.clone(),
                data: data.clone(),
                limit: self.config.limit,
            };
            // Before the store is asked, so that claims that don't fit leave no session behind.
            self.check_size(&row.clone().into_row(self.clock.now()))?;
            match self.in_time(self.store.create(row)).await? {
                Creation::Created(row) => {
                    let row = own(row, handle)?;
                    let link = row.chain.link();
                    let access = Access::Usual { generation: link.generation };
                    let tokens = self.tokens(&row, Answer { access, refresh: Some(link) }, row.created_at)?;
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

    /// The tokens that a session is answered with, as its row stands. Their life begins with the decision to give them, made
    /// at `now`, however late the store told of it.
    pub(crate) fn tokens(&self, row: &Row, answer: Answer, now: Timestamp) -> Result<Tokens, SessionError> {
        let expires_at = self.access_expiry(row, answer.access, now);
        let (token, claims) = self.mint(row, answer.access.generation(), now, expires_at)?;
        Ok(self.bundle(row, token, claims, answer.refresh))
    }

    /// An access token with the claims of the row in place of `presented`, and no longer lived: else whoever holds a token
    /// could go on without ever refreshing.
    pub(crate) fn reissue(&self, row: &Row, presented: &Accepted) -> Result<Tokens, SessionError> {
        let AccessClaims { generation, expires_at, .. } = presented.claims;
        let (token, claims) = self.mint(row, generation, self.clock.now(), expires_at)?;
        Ok(self.bundle(row, token, claims, None))
    }

    fn bundle(&self, row: &Row, access: AccessToken, claims: AccessClaims, refresh: Option<Link>) -> Tokens {
        Tokens {
            access,
            refresh: refresh.map(|link| refresh::issue(&self.keys, row.handle, link, &row.salt.0)),
            accepted: Arc::new(Accepted::new(claims)),
            session_expires_at: row.expires_at(),
            persistent: row.persistent,
        }
    }

    /// When an access token made now expires, in seconds since the Unix epoch: never after its session.
    fn access_expiry(&self, row: &Row, access: Access, now: Timestamp) -> u64 {
        let lifetime = match access {
            Access::Usual { .. } => self.config.access_lifetime - self.jitter(row.handle),
            Access::Short { .. } => self.config.grace.short_access(self.config.access_lifetime),
        };
        (now.as_secs() + lifetime.as_secs().max(1)).min(row.expires_at().as_secs())
    }

    fn mint(
        &self,
        row: &Row,
        generation: u32,
        now: Timestamp,
        expires_at: u64,
    ) -> Result<(AccessToken, AccessClaims), SessionError> {
        let claims = self.access_claims(row, generation, now, expires_at)?;
        let token = access::mint(&self.keys, &claims, now).map_err(unmintable)?;
        Ok((token, claims))
    }

    fn access_claims(
        &self,
        row: &Row,
        generation: u32,
        now: Timestamp,
        expires_at: u64,
    ) -> Result<AccessClaims, SessionError> {
        Ok(AccessClaims {
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
        })
    }

    /// Refuses a row whose claims would not fit into every access token of its future: one with the largest numbers.
    fn check_size(&self, row: &Row) -> Result<(), SessionError> {
        const LATE: u64 = 99_999_999_999;
        let now = self.clock.now();
        let claims = self.access_claims(row, u32::MAX, now, LATE)?;
        access::check_mintable(&self.keys, &claims, now).map_err(unmintable)
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
                Changed::Done(row) => return own(row, handle).map(Some),
                Changed::Conflict(newer) => row = own(newer, handle)?,
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
            self.new_claims(row, &claims)
        };
        self.change(handle, &mut step).await
    }

    /// What no token can carry is refused before it is stored.
    fn new_claims(&self, row: &Row, claims: &ClaimSet) -> Result<Change, SessionError> {
        let changed = Row { claims: write_claims(claims), ..row.clone() };
        self.check_size(&changed)?;
        Ok(Change::Claims(changed.claims))
    }

    pub(crate) async fn live_row(&self, handle: SessionHandle) -> Result<Option<Row>, SessionError> {
        Ok(self.row(handle).await?.filter(|row| row.is_live(self.clock.now())))
    }

    /// The row of a session, live or not.
    pub(crate) async fn row(&self, handle: SessionHandle) -> Result<Option<Row>, SessionError> {
        self.in_time(self.store.read(handle)).await?.map(|row| own(row, handle)).transpose()
    }
}

/// Ending sessions.
impl Engine {
    pub(crate) async fn end(&self, handle: SessionHandle, reason: EndReason) -> Result<bool, SessionError> {
        let ended = self.in_time(self.store.revoke(handle, reason)).await?;
        if ended {
            self.revoked.insert_session(handle, reason == EndReason::Replaced, self.clock.now());
        }
        Ok(ended)
    }

    pub(crate) async fn end_all(
        &self,
        user: Arc<str>,
        except: Option<SessionHandle>,
    ) -> Result<usize, SessionError> {
        let ended =
            self.in_time(self.store.revoke_all(Arc::clone(&user), except, EndReason::Revoked)).await?;
        let now = self.clock.now();
        for handle in &ended {
            self.revoked.insert_session(*handle, false, now);
        }
        Ok(ended.len())
    }

    /// Takes an end from the store's feed: into the set, and, if it is news, to the subscribers.
    pub(crate) fn take_end(&self, revocation: &Revocation) {
        if !self.revoked.insert(revocation) {
            return;
        }
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
        self.events.send(event);
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
        result.map_err(unavailable)
    }
}

/// What a login request tells of the client.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) origin: Option<Box<Origin>>,
    pub(crate) carried: Option<NamedSession>,
}

/// The session that a validly signed access token names.
pub(crate) struct NamedSession {
    pub(crate) handle: SessionHandle,
    pub(crate) issued_at: Timestamp,
    user: Box<str>,
    expired: bool,
}

impl Client {
    /// The session that a new one of `user` replaces. A token that has expired proves little: whoever picked one up must not
    /// end another user's session with it.
    fn replaced(&self, user: &str) -> Option<SessionHandle> {
        let carried = self.carried.as_ref()?;
        (!carried.expired || *carried.user == *user).then_some(carried.handle)
    }
}

fn unmintable(error: MintError) -> SessionError {
    match error {
        MintError::ReservedClaim { .. } | MintError::TooLarge { .. } => {
            SessionError::misconfigured(error.to_string())
        }
        other => SessionError::misconfigured(format!("no access token could be made: {other}")),
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], SessionError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| SessionError::misconfigured("the system gives no random numbers"))?;
    Ok(bytes)
}

/// The row, if it is that of the session asked for: on a connection whose last request was cancelled, it may be another's.
fn own(row: Row, handle: SessionHandle) -> Result<Row, SessionError> {
    if row.handle == handle { Ok(row) } else { Err(foreign_row()) }
}

pub(crate) fn foreign_row() -> SessionError {
    unavailable(StoreError::new("the store answered with another session's row"))
}

/// Tells the log what the client is not told.
fn unavailable(error: StoreError) -> SessionError {
    tracing::error!(%error, "the session store is unavailable");
    SessionError::StoreUnavailable(error)
}

pub(crate) fn read_claims(row: &Row) -> Result<ClaimSet, SessionError> {
    let Some(text) = row.claims.as_deref() else { return Ok(ClaimSet::default()) };
    let unreadable = |error| {
        unavailable(StoreError::new(format!("the claims of session {} are unreadable: {error}", row.handle)))
    };
    serde_json::from_str(text).map(ClaimSet::from_map).map_err(unreadable)
}

pub(crate) fn write_claims(claims: &ClaimSet) -> Option<Box<str>> {
    (!claims.is_empty()).then(|| claims.to_json())
}

pub(crate) fn read_data<T: DeserializeOwned>(row: &Row) -> Result<Option<T>, SessionError> {
    let unreadable = |error| {
        SessionError::misconfigured(format!(
            "the data of session {} is not of type {}: {error}",
            row.handle,
            std::any::type_name::<T>()
        ))
    };
    row.data.as_deref().map(|text| serde_json::from_str(text).map_err(unreadable)).transpose()
}

pub(crate) fn write_data<T: Serialize>(data: &T) -> Result<Box<str>, SessionError> {
    serde_json::to_string(data).map(String::into_boxed_str).map_err(|error| {
        SessionError::misconfigured(format!("the session data can't be written as JSON: {error}"))
    })
}
