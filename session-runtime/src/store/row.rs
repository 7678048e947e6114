//! What a store keeps of a session, and the steps that change it.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use crate::{
    clock::Timestamp,
    handle::SessionHandle,
    rotation::{self, Chain, Confirmation, Decision, Grace, Presented, Standing, TheftKind, Why},
    token::Proof,
};

/// One session, as a store keeps it: constant in size but for the claims and the data.
///
/// The steps that change it are methods here ([`Exchange::step`], [`Row::confirm`], [`Row::end`], [`Row::change`]), so
/// that a store only has to run one of them where nothing else can change the row, and to keep the result.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// The session's name; the primary key.
    pub handle: SessionHandle,
    /// Whose session it is.
    pub user: Arc<str>,
    /// The tenant, if the application has several.
    pub tenant: Option<Arc<str>>,
    /// When the session was made, by the store's clock.
    pub created_at: Timestamp,
    /// When the user last authenticated. A refresh never changes it.
    pub authenticated_at: Timestamp,
    /// The session ends at this time unless it is refreshed before.
    pub idle_expires_at: Timestamp,
    /// The session ends at this time whatever happens; [`Timestamp::MAX`] if it has no absolute lifetime.
    pub absolute_expires_at: Timestamp,
    /// How far a rotation moves `idle_expires_at` ahead, in milliseconds.
    pub idle_lifetime_ms: u64,
    /// The state of the refresh-token rotation.
    pub chain: Chain,
    /// The secret half of the row: no refresh token can be made without it, nor from it alone.
    pub salt: Salt,
    /// The client that rotated last.
    pub fingerprint: Fingerprint,
    /// Counts the [changes](Change), for compare-and-set.
    pub version: u32,
    /// Whether cookies outlive the browser ("remember me").
    pub persistent: bool,
    /// Where the session was made; for a list of devices.
    pub origin: Option<Box<Origin>>,
    /// The session that the login request carried; it ends when this one is first used.
    pub replaces: Option<Box<SessionHandle>>,
    /// The application's claims, a JSON object as text.
    pub claims: Option<Box<str>>,
    /// The application's data, JSON as text.
    pub data: Option<Box<str>>,
    /// When and how the session ended, if it has. Once set, nothing changes the row any more.
    pub ended: Option<Box<Ended>>,
}

impl Row {
    /// When the session expires: the earlier of the idle and the absolute expiry.
    pub fn expires_at(&self) -> Timestamp {
        self.idle_expires_at.min(self.absolute_expires_at)
    }

    /// Whether the session can still be used: it has neither ended nor expired.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now < self.expires_at()
    }

    /// When the session was last refreshed; when it was made, if never.
    pub fn refreshed_at(&self) -> Timestamp {
        self.chain.rotated_at.max(self.created_at)
    }

    fn standing(&self) -> Standing {
        Standing { chain: self.chain.clone(), ended: self.ended.is_some(), expires_at: self.expires_at() }
    }

    /// Notes that an access token of `generation` was accepted: see [`rotation::confirm`].
    ///
    /// Sets `used_at`, or ends the session where the generation belongs to a dead branch. Returns whether the row changed.
    pub fn confirm(&mut self, generation: u32, now: Timestamp) -> bool {
        match rotation::confirm(Some(&self.standing()), generation, now) {
            Confirmation::Nothing => false,
            Confirmation::Used(chain) => {
                self.chain = chain;
                true
            }
            Confirmation::Theft(kind) => {
                let reason = EndReason::Theft { kind, issued_to: self.fingerprint, reused_by: None };
                self.end(reason, now)
            }
        }
    }

    /// Ends the session. Returns whether it was live until now: an ended session stays as it ended.
    pub fn end(&mut self, reason: EndReason, now: Timestamp) -> bool {
        let live = self.is_live(now);
        if live {
            self.ended = Some(Box::new(Ended { at: now, reason }));
        }
        live
    }

    /// Makes `change` if the row's version is still `version` and the session is live.
    pub fn change(&mut self, version: u32, change: &Change, now: Timestamp) -> Changed {
        if !self.is_live(now) {
            return Changed::Gone;
        }
        if self.version != version {
            return Changed::Conflict(self.clone());
        }
        match change {
            Change::Claims(claims) => self.claims.clone_from(claims),
            Change::Data(data) => self.data.clone_from(data),
            Change::Authenticated => self.authenticated_at = now,
        }
        self.version = self.version.wrapping_add(1);
        Changed::Done(self.clone())
    }

    /// Whether the row may be deleted: it has expired, or it ended so long ago that no access token of it is alive.
    pub fn is_dead(&self, now: Timestamp, retention: Duration) -> bool {
        match &self.ended {
            Some(ended) => ended.at.after(retention) <= now,
            None => self.expires_at() <= now,
        }
    }
}

/// A session about to be made; the store adds the time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewRow {
    /// See [`Row::handle`].
    pub handle: SessionHandle,
    /// See [`Row::user`].
    pub user: Arc<str>,
    /// See [`Row::tenant`].
    pub tenant: Option<Arc<str>>,
    /// The session ends after so long without a refresh.
    pub idle_lifetime: Duration,
    /// The session ends after so long, refreshed or not.
    pub absolute_lifetime: Option<Duration>,
    /// The grace of the rotation, from which the first generation's age follows.
    pub grace: Grace,
    /// See [`Row::salt`].
    pub salt: Salt,
    /// See [`Row::fingerprint`].
    pub fingerprint: Fingerprint,
    /// See [`Row::persistent`].
    pub persistent: bool,
    /// See [`Row::origin`].
    pub origin: Option<Box<Origin>>,
    /// See [`Row::replaces`].
    pub replaces: Option<SessionHandle>,
    /// See [`Row::claims`].
    pub claims: Option<Box<str>>,
    /// See [`Row::data`].
    pub data: Option<Box<str>>,
    /// How many sessions the user may have, this one included.
    pub limit: Option<SessionLimit>,
}

impl NewRow {
    /// A session of a user, of which nothing is special, for a test of a store: 100 days without a refresh, the default grace.
    pub fn new(handle: SessionHandle, user: impl Into<Arc<str>>, salt: Salt) -> Self {
        Self {
            handle,
            user: user.into(),
            tenant: None,
            idle_lifetime: Duration::from_secs(100 * 24 * 60 * 60),
            absolute_lifetime: None,
            grace: Grace::default(),
            salt,
            fingerprint: Fingerprint::default(),
            persistent: true,
            origin: None,
            replaces: None,
            claims: None,
            data: None,
            limit: None,
        }
    }

    /// The row of the session, made at `now`.
    pub fn into_row(self, now: Timestamp) -> Row {
        Row {
            handle: self.handle,
            user: self.user,
            tenant: self.tenant,
            created_at: now,
            authenticated_at: now,
            idle_expires_at: now.after(self.idle_lifetime),
            absolute_expires_at: self
                .absolute_lifetime
                .map_or(Timestamp::MAX, |lifetime| now.after(lifetime)),
            idle_lifetime_ms: u64::try_from(self.idle_lifetime.as_millis()).unwrap_or(u64::MAX),
            chain: Chain::begin(now, self.grace),
            salt: self.salt,
            fingerprint: self.fingerprint,
            version: 0,
            persistent: self.persistent,
            origin: self.origin,
            replaces: self.replaces.map(Box::new),
            claims: self.claims,
            data: self.data,
            ended: None,
        }
    }
}

/// How many sessions a user may have at once, and what happens to one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimit {
    /// The number of live sessions; at least 1.
    pub max: u32,
    /// What a login beyond it does.
    pub beyond: BeyondLimit,
}

/// What a login does when the user has as many sessions as allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BeyondLimit {
    /// It ends the user's oldest session.
    #[default]
    EvictOldest,
    /// It is refused with [`SessionError::TooManySessions`](crate::SessionError::TooManySessions).
    Refuse,
}

/// One presentation of a refresh token.
#[derive(Clone)]
pub struct Exchange {
    handle: SessionHandle,
    presented: Presented,
    grace: Grace,
    by: Arc<[Fingerprint]>,
    proof: Proof,
}

impl Exchange {
    /// A presentation of a token of the session `handle`, with its nonce if it has one, by the client `by`: its fingerprint under
    /// each of the operator's keys, the newest first.
    ///
    /// `proof` tells whether the token was made with the row's salt.
    pub fn new(
        handle: SessionHandle,
        presented: Presented,
        grace: Grace,
        by: impl Into<Arc<[Fingerprint]>>,
        proof: Proof,
    ) -> Self {
        Self { handle, presented, grace, by: by.into(), proof }
    }

    /// The session that the token names.
    pub fn handle(&self) -> SessionHandle {
        self.handle
    }

    /// Whether the token is presented by the client `fingerprint`.
    pub fn is_by(&self, fingerprint: Fingerprint) -> bool {
        self.by.contains(&fingerprint)
    }

    /// The token's place in its chain, and the nonce that came with it.
    pub fn presented(&self) -> Presented {
        self.presented
    }

    /// The grace under which it is decided.
    pub fn grace(&self) -> Grace {
        self.grace
    }

    /// What the row's salt has to fit.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The client that presents it, as a row keeps it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.by.first().copied().unwrap_or_default()
    }

    /// Decides, and carries the decision out on the row: the step that a store makes atomic.
    ///
    /// `now` is the store's time inside that step. Nothing was changed where the decision is one of `Unauthorised`,
    /// `NonceMissing`, `Late`, `Replay` and `Quiet`.
    pub fn step(&self, row: Option<&mut Row>, now: Timestamp) -> Decision {
        let Some(row) = row.filter(|row| row.handle == self.handle && self.proof.fits(&row.salt.0)) else {
            return Decision::Unauthorised(Why::Unknown);
        };
        let decision = rotation::decide(Some(&row.standing()), self.presented, now, self.grace);
        match &decision {
            Decision::Rotate(chain) | Decision::Reissue(chain) | Decision::RollForward(chain) => {
                row.chain = chain.clone();
                row.fingerprint = self.fingerprint();
                row.idle_expires_at = now.after(Duration::from_millis(row.idle_lifetime_ms));
            }
            Decision::Keep(chain) => row.chain = chain.clone(),
            Decision::Theft { kind, .. } => {
                let (issued_to, reused_by) = (row.fingerprint, Some(self.fingerprint()));
                row.end(EndReason::Theft { kind: *kind, issued_to, reused_by }, now);
            }
            Decision::Unauthorised(_)
            | Decision::NonceMissing
            | Decision::Late(_)
            | Decision::Replay { .. }
            | Decision::Quiet(_) => {}
        }
        decision
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("handle", &self.handle)
            .field("presented", &self.presented)
            .finish_non_exhaustive()
    }
}

/// A change of a session that leaves its rotation alone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// New claims, all of them.
    Claims(Option<Box<str>>),
    /// New data.
    Data(Option<Box<str>>),
    /// The user has authenticated again: [`Row::authenticated_at`] is now.
    Authenticated,
}

/// What became of a [`Change`].
#[derive(Clone, Debug)]
pub enum Changed {
    /// It was made; this is the row now.
    Done(Row),
    /// Somebody else changed the row first; this is the row now.
    Conflict(Row),
    /// There is no such session, or it has ended.
    Gone,
}

/// When and how a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The store's time at the end.
    pub at: Timestamp,
    /// Why.
    pub reason: EndReason,
}

/// Why a session ended before it expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// A request of the session's own ended it: the user logged out.
    Logout,
    /// The application, or the user from another device, revoked it.
    Revoked,
    /// A later login of the same client took its place.
    Replaced,
    /// The user had more sessions than allowed, and it was the oldest.
    Evicted,
    /// A refresh token of it was stolen.
    Theft {
        /// What gave the theft away.
        kind: TheftKind,
        /// The client that the current token was issued to.
        issued_to: Fingerprint,
        /// The client that reused a token; unknown where an access token of a dead branch gave it away.
        reused_by: Option<Fingerprint>,
    },
}

impl EndReason {
    /// Whether only a client that had the session's tokens can have ended it so.
    pub fn shows_use(self) -> bool {
        matches!(self, Self::Logout | Self::Replaced)
    }
}

/// Where a session was made, as far as the login request told. Neither part can be relied on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The address of the connection's other end: a proxy's, where there is one.
    pub address: Option<IpAddr>,
    /// The `User-Agent` header.
    pub user_agent: Option<Box<str>>,
}

/// The random bytes of a row. Half of what makes a refresh token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(
    /// The bytes; a secret.
    pub [u8; 32],
);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// A keyed hash of what a client shows of itself. It tells clients apart; it does not tell who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint(
    /// The hash.
    pub [u8; 16],
);
