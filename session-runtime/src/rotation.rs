//! The refresh protocol: what to do with a refresh token that was presented.
//!
//! [`decide`] and [`confirm`] are pure: no I/O, no clock, no randomness. Every store carries out their verdicts in one
//! atomic step, and the model checker explores the same two functions.
//!
//! A session has one row of constant size. Its [`Chain`] counts the refresh tokens issued (`r`, the current
//! generation) and names the one that was exchanged for the current one (`q`, its parent). No history is kept, so no
//! clean-up can take from the detection what it needs. With `p` the generation presented and G the [`Grace`]:
//!
//! | # | when | decision | because |
//! |---|---|---|---|
//! | 1 | no row, ended or expired | [`Unauthorised`] | there is nothing to refresh |
//! | 2 | `p > r` | [`RollForward`] | the MACs prove that we issued it: the store lost a write |
//! | 3 | `p = r`, another parent | [`Theft`] | two lines reached one generation |
//! | 4 | `p = r`, until 3G after the rotation | [`Keep`] | answers that carry `p` may be under way; a successor now could be overtaken by them |
//! | 5 | `p = r`, later | [`Rotate`] | the ordinary rotation |
//! | 6 | `p = q`, `r` used, until G after its first use | [`Late`] | another tab's request, sent before `r` arrived |
//! | 7 | `p = q`, `r` used, later | [`Theft`] | who used `r` no longer sends `q` |
//! | 8 | `p = q`, `r` unused, until G after the rotation | [`Replay`] | a lost answer or a second tab: the same successor again |
//! | 9 | `p = q`, `r` unused, until 3G after the rotation | [`Quiet`] | `r` may be arriving: neither repeat nor replace it |
//! | 10 | `p = q`, `r` unused, later | [`Reissue`] | the answer was lost; its token is dead from now on |
//! | 11 | any other `p < r`; `p = q`, another parent | [`Theft`] | superseded twice, or of a dead branch |
//!
//! Every "until" includes its last millisecond. What this rests on: no message of an honest client outlives G, and the
//! client keeps a token that it has used or sent. Then an honest client never meets [`Theft`], and the holder of a
//! copied token can't take turns with the owner. A store that loses its last writes, less than 3G of them, changes neither: two
//! branches may reach one generation then, and the row tells its current token, and its parent, from the twin on the other
//! branch by who their parents are.
//!
//! # Bound clients
//!
//! What the table can't do is tell a client that repeats itself from a thief who acts within G of it. A client that can keep a
//! little state makes the difference: with each refresh it sends a random *nonce* of its own, in the header
//! `st-nonce: <generation>.<nonce>`. The first exchange with a nonce binds the session. From then on a copied token is of no use
//! without the nonces, and no answer has to arrive within G.
//!
//! The chain keeps a hash of the nonce that came with the exchange that made the current generation, and of the one before.
//! Tokens of the generation that the first such exchange made, and later, are *bound*. Of a bound token:
//!
//! | # | when | decision | because |
//! |---|---|---|---|
//! | 12 | it comes without a nonce | [`NonceMissing`] | the client can't show that it is the one |
//! | | `p > r`, `p = r` | rules 2 to 5 | |
//! | 13 | `p = q`, the nonce that made `r` | [`Replay`] | the same client, however late |
//! | 14 | `p = q`, another nonce | [`Theft`] | two clients have one token |
//! | 15 | `p` the parent of `q`, the nonce that made `q` | [`Replay`] | the same client, later still |
//! | 11 | any other `p < r` | [`Theft`] | |
//!
//! - Only [`Rotate`] and [`Reissue`] bind; a [`Keep`] never does, so that nobody binds a token that another holds.
//! - Older tokens follow rules 6 to 11, with one difference: without a nonce they are answered [`Quiet`] where rule 8 says
//!   [`Replay`], because a bound successor would be of no use. A [`Reissue`] for an older token without a nonce unbinds. So a thief
//!   who binds a session first is found by its owner, who sends no nonces, as any other.
//! - Refresh tokens carry the hash of the nonce that made them, so that [`RollForward`] restores it.
//!
//! What the client has to keep to:
//!
//! - A nonce is 22 to 64 characters of `A`–`Z`, `a`–`z`, `0`–`9`, `-` and `_`: at least 128 bits from a cryptographic generator,
//!   in base64url. It has one nonce for each generation of each session, and sends it with every refresh of that generation,
//!   from whatever tab.
//! - It writes the nonce durably *before* the request. It keeps the nonces of the latest three generations, because an answer that
//!   is late may set it back to an older token.
//! - The generation stands before the nonce in decimal. It is the claim `generation` of the access token, `up.generation` in the
//!   front token. If the refresh token that arrives is of another generation, the answer is 409 and nothing has changed. Either
//!   another tab has refreshed meanwhile, and the client reads its state again; or its page was killed between the cookies and the
//!   front token of an answer, and it sends the nonce of the generation after.
//! - Every message that carries a bound token of generation g is through before generation g + 2 is made. Nothing else is
//!   assumed of delays, as long as all tabs send nonces; where only some do, the premise of G stands.
//!
//! Hazard: a client that loses its nonces but keeps its refresh token, and repeats an exchange with a new nonce, looks like a
//! thief. Store both in the same place or the nonces in the safer one.
//!
//! RFC 9700, section 4.14.2, asks for rotation and reuse detection; the tolerance of rules 4 and 6 to 10 is what keeps
//! them from logging honest users out.
//!
//! [`NonceMissing`]: Decision::NonceMissing
//! [`Unauthorised`]: Decision::Unauthorised
//! [`RollForward`]: Decision::RollForward
//! [`Theft`]: Decision::Theft
//! [`Keep`]: Decision::Keep
//! [`Rotate`]: Decision::Rotate
//! [`Late`]: Decision::Late
//! [`Replay`]: Decision::Replay
//! [`Quiet`]: Decision::Quiet
//! [`Reissue`]: Decision::Reissue
//!
//! ```
//! use std::time::Duration;
//! use session_runtime::Timestamp;
//! use session_runtime::rotation::{Chain, Decision, Grace, Standing, decide};
//!
//! let grace = Grace::default();
//! let login = Timestamp::from_secs(1_700_000_000);
//! let row = Standing { chain: Chain::begin(login, grace), ended: false, expires_at: Timestamp::MAX };
//! let first = row.chain.link();
//!
//! let an_hour_later = login.after(Duration::from_secs(3600));
//! let Decision::Rotate(chain) = decide(Some(&row), first.into(), an_hour_later, grace) else { panic!("rule 5") };
//! assert_eq!((chain.generation, chain.parent), (2, 1));
//!
//! // The answer was lost. The retry is given the same successor.
//! let row = Standing { chain: chain.clone(), ..row };
//! let retry = decide(Some(&row), first.into(), an_hour_later.after(Duration::from_secs(2)), grace);
//! assert_eq!(retry.answer().and_then(|answer| answer.refresh), Some(chain.link()));
//! assert_eq!(retry, Decision::Replay { chain, rule: 8 });
//! ```

use std::{fmt, time::Duration};

use crate::Timestamp;

/// What to do with the refresh token that `presented` describes, whose MACs were found valid.
///
/// `standing` is the session's row, `None` where there is none; `now` is the store's clock, read in the atomic step
/// that also writes [`Decision::chain`] or, for [`Decision::Theft`], ends the session. Deciding on a row read earlier
/// than the write brings ended sessions back.
pub fn decide(standing: Option<&Standing>, presented: Presented, now: Timestamp, grace: Grace) -> Decision {
    let chain = match living(standing, now) {
        Ok(chain) => chain,
        Err(why) => return Decision::Unauthorised(why),
    };
    let link = presented.link;
    let is_bound = chain.binds(link);
    if is_bound && presented.nonce.is_none() {
        Decision::NonceMissing
    } else if link.generation > chain.generation {
        Decision::RollForward(chain.restored(link, now))
    } else if link.generation == chain.generation {
        decide_current(chain, presented, now, grace)
    } else if chain.is_of_dead_branch(link) {
        Decision::Theft { kind: TheftKind::Fork, rule: 11 }
    } else if is_bound {
        decide_bound(chain, presented)
    } else if chain.is_parent(link.generation) {
        decide_predecessor(chain, presented, now, grace)
    } else {
        Decision::Theft { kind: TheftKind::Fork, rule: 11 }
    }
}

/// What an access token of `generation`, accepted by a protected route, tells about the session's chain.
///
/// It is the second way for a refresh token to count as used, and the way a dead branch is found out between two
/// refreshes. Only generations above 1 are worth asking about. Losing a call is harmless: it widens the tolerance.
/// As with [`decide`], the row must be read and written in one atomic step, and `now` is the store's clock.
pub fn confirm(standing: Option<&Standing>, generation: u32, now: Timestamp) -> Confirmation {
    let Ok(chain) = living(standing, now) else { return Confirmation::Nothing };
    if generation == chain.generation && chain.used_at.is_none() {
        Confirmation::Used(chain.used(now))
    } else if chain.parent < generation && generation < chain.generation {
        Confirmation::Theft(TheftKind::DeadBranch)
    } else {
        Confirmation::Nothing
    }
}

/// A session's line of refresh tokens, as its row keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    /// How many refresh tokens were issued, the current one included; 1 at the login.
    pub generation: u32,
    /// The generation that was exchanged for the current one; 0 where none was.
    pub parent: u32,
    /// The generation that was exchanged for the parent; 0 where none was, or where a lost write took the knowledge of it.
    pub grandparent: u32,
    /// When the current generation was issued; 2G before the login for the first one.
    pub rotated_at: Timestamp,
    /// When the current generation was first seen used, by refresh token or by access token.
    pub used_at: Option<Timestamp>,
    /// The nonces of a bound client; `None` for a client that sends none.
    pub binding: Option<Box<Binding>>,
}

impl Chain {
    /// The chain of a session made at `created`.
    ///
    /// Its rotation counts as 2G old: a refresh within G of the login, while copies of the login's answer may still
    /// be under way, keeps the token; the next one rotates.
    pub fn begin(created: Timestamp, grace: Grace) -> Self {
        let age = grace.window().saturating_mul(2);
        Self {
            generation: 1,
            parent: 0,
            grandparent: 0,
            rotated_at: created.before(age),
            used_at: None,
            binding: None,
        }
    }

    /// The current refresh token's place in the chain.
    pub fn link(&self) -> Link {
        Link { generation: self.generation, parent: self.parent, nonce: self.nonce() }
    }

    /// The chain as it was before the store lost the write that made `link`. What a token does not tell of its parent, the row
    /// knows, because a lost write takes one generation at most.
    fn restored(&self, link: Link, now: Timestamp) -> Self {
        let (grandparent, parent_nonce) = match link.parent {
            parent if parent == self.generation => (self.parent, self.nonce()),
            parent if parent == self.parent => (self.grandparent, self.parent_nonce()),
            _ => (0, None),
        };
        let since = self.bound_since().unwrap_or(link.generation);
        let binding = link.nonce.map(|nonce| Box::new(Binding { since, nonce, parent_nonce }));
        Self {
            generation: link.generation,
            parent: link.parent,
            grandparent,
            rotated_at: now,
            used_at: Some(now),
            binding,
        }
    }

    fn used(&self, now: Timestamp) -> Self {
        Self { used_at: self.used_at.or(Some(now)), ..self.clone() }
    }

    /// The chain after the current token was exchanged; `None` at the last number.
    fn rotated(&self, nonce: Option<NonceHash>, now: Timestamp) -> Option<Self> {
        self.extended(self.generation, self.parent, nonce, self.nonce(), now)
    }

    /// The chain after the parent was exchanged again; `None` at the last number.
    fn reissued(&self, nonce: Option<NonceHash>, now: Timestamp) -> Option<Self> {
        self.extended(self.parent, self.grandparent, nonce, self.parent_nonce(), now)
    }

    fn extended(
        &self,
        parent: u32,
        grandparent: u32,
        nonce: Option<NonceHash>,
        parent_nonce: Option<NonceHash>,
        now: Timestamp,
    ) -> Option<Self> {
        let generation = self.generation.checked_add(1)?;
        let since = self.bound_since().unwrap_or(generation);
        let binding = nonce.map(|nonce| Box::new(Binding { since, nonce, parent_nonce }));
        Some(Self { generation, parent, grandparent, rotated_at: now, used_at: None, binding })
    }

    fn is_parent(&self, generation: u32) -> bool {
        self.parent != 0 && self.parent == generation
    }

    /// Whether the token has the parent's generation, but not its parent.
    fn is_of_dead_branch(&self, link: Link) -> bool {
        self.is_parent(link.generation) && self.grandparent != 0 && link.parent != self.grandparent
    }

    /// Whether a token must come with a nonce. One that the row does not know of yet says so itself.
    fn binds(&self, link: Link) -> bool {
        match self.bound_since() {
            _ if link.generation > self.generation => link.nonce.is_some(),
            Some(since) => link.generation >= since,
            None => false,
        }
    }

    fn bound_since(&self) -> Option<u32> {
        self.binding.as_ref().map(|binding| binding.since)
    }

    fn nonce(&self) -> Option<NonceHash> {
        self.binding.as_ref().map(|binding| binding.nonce)
    }

    fn parent_nonce(&self) -> Option<NonceHash> {
        self.binding.as_ref().and_then(|binding| binding.parent_nonce)
    }
}

/// What binds a session to the client that keeps its nonces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The generation that the first exchange with a nonce made. Tokens of this generation and later need a nonce.
    pub since: u32,
    /// The nonce of the exchange that made the current generation.
    pub nonce: NonceHash,
    /// The nonce of the exchange that made the parent; `None` where it had none.
    pub parent_nonce: Option<NonceHash>,
}

/// A hash of the nonce that a bound client sends with a refresh token.
///
/// The nonce has at least 128 random bits, so the hash is no secret: it stands in the row and in the token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NonceHash(
    /// The hash.
    pub [u8; 16],
);

impl fmt::Debug for NonceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A refresh token's place in its chain: its generation, and the generation that was exchanged for it.
///
/// Both stand in the token under its MACs. The pair, not the generation alone, names a token: lines that parted may
/// reach the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// The token's generation, 1 or more.
    pub generation: u32,
    /// The generation that was exchanged for it; 0 for a login's token.
    pub parent: u32,
    /// The nonce of that exchange; `None` for a token that needs none.
    pub nonce: Option<NonceHash>,
}

/// A refresh token that is presented, and the nonce that comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Presented {
    /// The token's place in its chain.
    pub link: Link,
    /// The client's nonce for the token's generation; `None` if it sent none.
    pub nonce: Option<NonceHash>,
}

/// A token that comes without a nonce.
impl From<Link> for Presented {
    fn from(link: Link) -> Self {
        Self { link, nonce: None }
    }
}

/// What a decision needs to know of a session's row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The line of refresh tokens.
    pub chain: Chain,
    /// Whether the session was ended, by logout, revocation or theft. It never becomes `false` again.
    pub ended: bool,
    /// The earlier of idle and absolute expiry. The session is expired from this very millisecond on.
    pub expires_at: Timestamp,
}

/// G: the longest that a message of an honest client is assumed to be under way, queueing and store time included.
///
/// The default is 10 s; fractions of a millisecond are dropped. A longer grace tolerates slower networks, and gives a
/// thief who acts right behind the owner more time to share the session unnoticed. A shorter one takes a message that
/// outlives it for theft and logs an honest user out.
///
/// Zero is the strict mode, for clients that never have two refreshes under way and never repeat one: a lost answer is
/// reissued at once, a predecessor is theft as soon as its successor was used. It gives up the promise that honest
/// clients are never logged out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grace(Duration);

impl Grace {
    /// No tolerance at all; see the hazard above.
    pub const STRICT: Self = Self(Duration::ZERO);

    const STRICT_SHORT_ACCESS: Duration = Duration::from_secs(30);

    /// A grace of `window`.
    pub const fn new(window: Duration) -> Self {
        Self(window)
    }

    /// G itself: how long a rotation is replayed, and how long a predecessor is tolerated once its successor was used.
    pub const fn window(self) -> Duration {
        self.0
    }

    /// 3G: how long after a rotation the current token is kept rather than rotated again.
    pub const fn floor(self) -> Duration {
        self.0.saturating_mul(3)
    }

    /// 3G: how long after a rotation its unused successor may be arriving and is not replaced.
    pub const fn quiet(self) -> Duration {
        self.0.saturating_mul(3)
    }

    /// The lifetime of a short access token where `usual` is the ordinary one: 3G, or 30 s in strict mode, and never more
    /// than `usual`.
    pub fn short_access(self, usual: Duration) -> Duration {
        let short = if self.0.is_zero() { Self::STRICT_SHORT_ACCESS } else { self.quiet() };
        short.min(usual)
    }
}

impl Default for Grace {
    fn default() -> Self {
        Self(Duration::from_secs(10))
    }
}

/// The verdict of [`decide`].
///
/// A chain inside is the session's chain as it stands after the decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Rule 1. There is no session to refresh.
    Unauthorised(Why),
    /// Rule 2. The row is brought forward to the token; the client keeps it.
    RollForward(Chain),
    /// Rule 12. A bound session's token came without a nonce. The client is refused, and nothing changes.
    NonceMissing,
    /// Rules 3, 7, 11 and 14. The session ends, in the same atomic step.
    Theft {
        /// What gave it away.
        kind: TheftKind,
        /// The number of the rule that found it.
        rule: u8,
    },
    /// Rule 4. The client keeps its token, which now counts as used.
    ///
    /// Also where a chain has reached generation [`u32::MAX`], which takes thousands of years: it no longer rotates.
    Keep(Chain),
    /// Rule 5. A new generation.
    Rotate(Chain),
    /// Rule 6. A short access token, nothing else, no write.
    Late(Chain),
    /// Rules 8, 13 and 15. The successor that was issued before, no write.
    Replay {
        /// The chain, unchanged.
        chain: Chain,
        /// The number of the rule that allows it.
        rule: u8,
    },
    /// Rule 9, and rule 8 where the successor is bound and the client sent no nonce. A short access token, nothing else, no write.
    Quiet(Chain),
    /// Rule 10. A new successor of the same parent; the one that got lost is dead.
    Reissue(Chain),
}

impl Decision {
    /// The number of the rule in the module's table, for a log or a timeline.
    pub fn rule(&self) -> u8 {
        match self {
            Self::Unauthorised(_) => 1,
            Self::RollForward(_) => 2,
            Self::Theft { rule, .. } | Self::Replay { rule, .. } => *rule,
            Self::Keep(_) => 4,
            Self::Rotate(_) => 5,
            Self::Late(_) => 6,
            Self::NonceMissing => 12,
            Self::Quiet(_) => 9,
            Self::Reissue(_) => 10,
        }
    }

    /// What to write to the row's chain; `None` where the decision leaves the chain as it is.
    ///
    /// A [`Keep`](Self::Keep) of a token that was seen used before gives the chain unchanged.
    pub fn chain(&self) -> Option<&Chain> {
        match self {
            Self::RollForward(chain) | Self::Keep(chain) | Self::Rotate(chain) | Self::Reissue(chain) => {
                Some(chain)
            }
            Self::Unauthorised(_)
            | Self::NonceMissing
            | Self::Theft { .. }
            | Self::Late(_)
            | Self::Replay { .. }
            | Self::Quiet(_) => None,
        }
    }

    /// What the client is sent; `None` where it is refused.
    pub fn answer(&self) -> Option<Answer> {
        match self {
            Self::Unauthorised(_) | Self::NonceMissing | Self::Theft { .. } => None,
            Self::RollForward(chain) | Self::Keep(chain) => Some(Answer::kept(chain)),
            Self::Rotate(chain) | Self::Replay { chain, .. } | Self::Reissue(chain) => {
                Some(Answer::successor(chain))
            }
            Self::Late(chain) | Self::Quiet(chain) => Some(Answer::short(chain)),
        }
    }
}

/// Why there is no session to refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The store has no such session.
    Unknown,
    /// It was ended: by logout, revocation or theft.
    Ended,
    /// Its idle or absolute lifetime is over.
    Expired,
}

/// How a theft showed itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TheftKind {
    /// A refresh token outside the chain: superseded twice, or on a branch that parted from it. Rules 3 and 11.
    Fork,
    /// The predecessor of the current token, with another nonce than the one that it was exchanged with. Rule 14.
    OtherNonce,
    /// The predecessor of a token that had been in use for longer than the grace. Rule 7.
    Superseded,
    /// An access token of a branch that a later [`Decision::Reissue`] had declared dead; found by [`confirm`].
    DeadBranch,
}

/// The tokens that a client is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The refresh token to send. `None`: the client keeps its own, and no refresh cookie or header is sent.
    pub refresh: Option<Link>,
    /// The access token to send.
    pub access: Access,
}

impl Answer {
    fn kept(chain: &Chain) -> Self {
        Self { refresh: None, access: Access::Usual { generation: chain.generation } }
    }

    fn successor(chain: &Chain) -> Self {
        Self { refresh: Some(chain.link()), access: Access::Usual { generation: chain.generation } }
    }

    fn short(chain: &Chain) -> Self {
        Self { refresh: None, access: Access::Short { generation: chain.parent } }
    }
}

/// The lifetime and the generation of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// With the usual lifetime.
    Usual {
        /// The generation that the token carries: the current one.
        generation: u32,
    },
    /// With [`Grace::short_access`], because its holder may not be the one who got the current refresh token.
    Short {
        /// The generation that the token carries: the parent, so that it never confirms the current one.
        generation: u32,
    },
}

impl Access {
    /// The generation that the token carries.
    pub fn generation(self) -> u32 {
        match self {
            Self::Usual { generation } | Self::Short { generation } => generation,
        }
    }
}

/// The verdict of [`confirm`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Confirmation {
    /// The row stays as it is.
    Nothing,
    /// The current generation is in use from now on: the chain to write.
    Used(Chain),
    /// An access token of a dead branch is in use. The session ends, in the same atomic step.
    Theft(TheftKind),
}

fn living(standing: Option<&Standing>, now: Timestamp) -> Result<&Chain, Why> {
    match standing {
        None => Err(Why::Unknown),
        Some(row) if row.ended => Err(Why::Ended),
        Some(row) if now >= row.expires_at => Err(Why::Expired),
        Some(row) => Ok(&row.chain),
    }
}

fn decide_current(chain: &Chain, presented: Presented, now: Timestamp, grace: Grace) -> Decision {
    if presented.link.parent != chain.parent {
        return Decision::Theft { kind: TheftKind::Fork, rule: 3 };
    }
    let keep = || Decision::Keep(chain.used(now));
    if now <= chain.rotated_at.after(grace.floor()) {
        return keep();
    }
    chain.rotated(presented.nonce, now).map_or_else(keep, Decision::Rotate)
}

fn decide_predecessor(chain: &Chain, presented: Presented, now: Timestamp, grace: Grace) -> Decision {
    // Without a nonce, a bound successor would be of no use.
    let can_use_successor = chain.binding.is_none() || presented.nonce.is_some();
    let replay = || Decision::Replay { chain: chain.clone(), rule: 8 };
    match chain.used_at {
        Some(used_at) if now <= used_at.after(grace.window()) => Decision::Late(chain.clone()),
        Some(_) => Decision::Theft { kind: TheftKind::Superseded, rule: 7 },
        None if now <= chain.rotated_at.after(grace.window()) && can_use_successor => replay(),
        None if now <= chain.rotated_at.after(grace.quiet()) => Decision::Quiet(chain.clone()),
        // At the last number there is no other successor to give than the one that got lost.
        None => chain.reissued(presented.nonce, now).map_or_else(replay, Decision::Reissue),
    }
}

fn decide_bound(chain: &Chain, presented: Presented) -> Decision {
    let generation = presented.link.generation;
    let replay = |rule| Decision::Replay { chain: chain.clone(), rule };
    if chain.is_parent(generation) {
        match presented.nonce == chain.nonce() {
            true => replay(13),
            false => Decision::Theft { kind: TheftKind::OtherNonce, rule: 14 },
        }
    } else if generation == chain.grandparent && presented.nonce == chain.parent_nonce() {
        replay(15)
    } else {
        Decision::Theft { kind: TheftKind::Fork, rule: 11 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const G: u64 = 10_000;
    const ROTATED: u64 = 1_700_000_000_000;
    const USED: u64 = ROTATED + 5_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn link(generation: u32, parent: u32) -> Link {
        Link { generation, parent, nonce: None }
    }

    fn unused(generation: u32, parent: u32) -> Chain {
        Chain { generation, parent, grandparent: 0, rotated_at: at(ROTATED), used_at: None, binding: None }
    }

    fn used(generation: u32, parent: u32) -> Chain {
        unused(generation, parent).used(at(USED))
    }

    fn row(chain: Chain) -> Standing {
        Standing { chain, ended: false, expires_at: Timestamp::MAX }
    }

    fn decided(chain: Chain, presented: Link, now: u64) -> Decision {
        decide(Some(&row(chain)), presented.into(), at(now), Grace::default())
    }

    fn decided_strictly(chain: Chain, presented: Link, now: u64) -> Decision {
        decide(Some(&row(chain)), presented.into(), at(now), Grace::STRICT)
    }

    fn assert_answer(decision: Decision, refresh: Option<Link>, access: Access) {
        assert_eq!(decision.answer(), Some(Answer { refresh, access }));
    }

    fn assert_theft(decision: Decision, kind: TheftKind, rule: u8) {
        assert_eq!(decision, Decision::Theft { kind, rule });
        assert_eq!((decision.rule(), decision.chain(), decision.answer()), (rule, None, None));
    }

    #[test]
    fn rule_1_refuses_what_is_unknown_ended_or_expired() {
        let living = Standing { chain: unused(2, 1), ended: false, expires_at: at(ROTATED + 100) };
        let ended = Standing { ended: true, ..living.clone() };
        let verdict =
            |standing: Option<&Standing>, now| decide(standing, link(2, 1).into(), at(now), Grace::default());
        assert_eq!(verdict(None, ROTATED), Decision::Unauthorised(Why::Unknown));
        assert_eq!(verdict(Some(&ended), ROTATED), Decision::Unauthorised(Why::Ended));
        assert_eq!(verdict(Some(&ended), ROTATED + 100), Decision::Unauthorised(Why::Ended));
        assert_eq!(verdict(Some(&living), ROTATED + 99).rule(), 4);
        assert_eq!(verdict(Some(&living), ROTATED + 100), Decision::Unauthorised(Why::Expired));
        let refused = verdict(None, ROTATED);
        assert_eq!((refused.rule(), refused.chain(), refused.answer()), (1, None, None));
    }

    #[test]
    fn rule_1_comes_before_any_theft() {
        let ended = Standing { chain: used(5, 4), ended: true, expires_at: Timestamp::MAX };
        for presented in [link(6, 5), link(5, 3), link(4, 3), link(2, 1)] {
            let decision = decide(Some(&ended), presented.into(), at(USED + 10 * G), Grace::default());
            assert_eq!(decision, Decision::Unauthorised(Why::Ended));
        }
    }

    #[test]
    fn rule_2_rolls_forward_to_what_the_token_says() {
        let now = ROTATED + 1;
        let restored = Chain { rotated_at: at(now), ..unused(4, 2) }.used(at(now));
        let decision = decided(unused(3, 2), link(4, 2), now);
        assert_eq!(decision, Decision::RollForward(restored.clone()));
        assert_eq!((decision.rule(), decision.chain()), (2, Some(&restored)));
        assert_answer(decision, None, Access::Usual { generation: 4 });
    }

    #[test]
    fn rule_3_finds_another_line_at_the_same_generation() {
        assert_theft(decided(unused(3, 1), link(3, 2), ROTATED), TheftKind::Fork, 3);
        assert_theft(decided(used(3, 2), link(3, 1), USED + 10 * G), TheftKind::Fork, 3);
    }

    #[test]
    fn rule_4_keeps_the_current_token_through_the_floor() {
        for now in [ROTATED - 1, ROTATED, ROTATED + G, ROTATED + 3 * G] {
            let kept = Chain { used_at: Some(at(now)), ..unused(2, 1) };
            let decision = decided(unused(2, 1), link(2, 1), now);
            assert_eq!(decision, Decision::Keep(kept.clone()));
            assert_eq!((decision.rule(), decision.chain()), (4, Some(&kept)));
            assert_answer(decision, None, Access::Usual { generation: 2 });
        }
    }

    #[test]
    fn rule_4_remembers_the_first_use() {
        assert_eq!(decided(used(2, 1), link(2, 1), USED + 1), Decision::Keep(used(2, 1)));
    }

    #[test]
    fn rule_5_rotates_right_after_the_floor() {
        let now = ROTATED + 3 * G + 1;
        let next = Chain { grandparent: 1, rotated_at: at(now), ..unused(3, 2) };
        for chain in [unused(2, 1), used(2, 1)] {
            let decision = decided(chain, link(2, 1), now);
            assert_eq!(decision, Decision::Rotate(next.clone()));
            assert_eq!((decision.rule(), decision.chain()), (5, Some(&next)));
            assert_answer(decision, Some(link(3, 2)), Access::Usual { generation: 3 });
        }
    }

    #[test]
    fn rule_6_tolerates_a_late_predecessor_through_the_grace() {
        for now in [USED, USED + G] {
            let decision = decided(used(2, 1), link(1, 0), now);
            assert_eq!(decision, Decision::Late(used(2, 1)));
            assert_eq!((decision.rule(), decision.chain()), (6, None));
            assert_answer(decision, None, Access::Short { generation: 1 });
        }
    }

    #[test]
    fn rule_7_takes_a_superseded_token_for_theft_right_after_the_grace() {
        assert_theft(decided(used(2, 1), link(1, 0), USED + G + 1), TheftKind::Superseded, 7);
    }

    #[test]
    fn rule_8_gives_the_same_successor_through_the_grace() {
        for now in [ROTATED, ROTATED + G] {
            let decision = decided(unused(2, 1), link(1, 0), now);
            assert_eq!(decision, Decision::Replay { chain: unused(2, 1), rule: 8 });
            assert_eq!((decision.rule(), decision.chain()), (8, None));
            assert_answer(decision, Some(link(2, 1)), Access::Usual { generation: 2 });
        }
    }

    #[test]
    fn rule_9_is_quiet_from_the_grace_to_three_times_it() {
        for now in [ROTATED + G + 1, ROTATED + 3 * G] {
            let decision = decided(unused(2, 1), link(1, 0), now);
            assert_eq!(decision, Decision::Quiet(unused(2, 1)));
            assert_eq!((decision.rule(), decision.chain()), (9, None));
            assert_answer(decision, None, Access::Short { generation: 1 });
        }
    }

    #[test]
    fn rule_10_replaces_the_lost_successor_right_after_the_quiet() {
        let now = ROTATED + 3 * G + 1;
        let next = Chain { rotated_at: at(now), ..unused(3, 1) };
        let decision = decided(unused(2, 1), link(1, 0), now);
        assert_eq!(decision, Decision::Reissue(next.clone()));
        assert_eq!((decision.rule(), decision.chain()), (10, Some(&next)));
        assert_answer(decision, Some(link(3, 1)), Access::Usual { generation: 3 });
    }

    #[test]
    fn rule_11_takes_anything_older_and_any_dead_branch_for_theft() {
        assert_theft(decided(unused(3, 2), link(1, 0), ROTATED), TheftKind::Fork, 11);
        assert_theft(decided(unused(3, 1), link(2, 1), ROTATED), TheftKind::Fork, 11);
        assert_theft(decided(used(1, 0), link(0, 0), ROTATED), TheftKind::Fork, 11);
    }

    const OLDEST: NonceHash = NonceHash([1; 16]);
    const PREVIOUS: NonceHash = NonceHash([2; 16]);
    const LATEST: NonceHash = NonceHash([3; 16]);
    const OTHER: NonceHash = NonceHash([9; 16]);

    /// Generation 5 of 4 of 3, bound since 3: made with the latest nonce, and generation 4 with the previous one.
    fn bound() -> Chain {
        let binding = Binding { since: 3, nonce: LATEST, parent_nonce: Some(PREVIOUS) };
        Chain { grandparent: 3, binding: Some(Box::new(binding)), ..unused(5, 4) }
    }

    /// Generation 2 of 1, which the first exchange with a nonce has just made.
    fn just_bound() -> Chain {
        let binding = Binding { since: 2, nonce: LATEST, parent_nonce: None };
        Chain { binding: Some(Box::new(binding)), ..unused(2, 1) }
    }

    fn with(nonce: NonceHash, generation: u32, parent: u32) -> Presented {
        Presented { link: link(generation, parent), nonce: Some(nonce) }
    }

    fn decided_with(chain: &Chain, presented: impl Into<Presented>, now: u64) -> Decision {
        decide(Some(&row(chain.clone())), presented.into(), at(now), Grace::default())
    }

    fn binding_of(decision: &Decision) -> Option<Binding> {
        decision.chain().expect("the chain is written").binding.as_deref().copied()
    }

    #[test]
    fn rule_11_tells_the_parent_from_its_twin_on_another_branch() {
        let chain = Chain { grandparent: 2, ..unused(4, 3) };
        assert_eq!(decided(chain.clone(), link(3, 2), ROTATED).rule(), 8);
        assert_theft(decided(chain.clone(), link(3, 1), ROTATED), TheftKind::Fork, 11);
        let unknown = Chain { grandparent: 0, ..chain };
        assert_eq!(decided(unknown, link(3, 1), ROTATED).rule(), 8);
    }

    #[test]
    fn rule_2_restores_the_parents_parent_from_the_row() {
        let row = Chain { grandparent: 1, ..unused(3, 2) };
        let grandparent = |token| decided(row.clone(), token, ROTATED).chain().map(|chain| chain.grandparent);
        assert_eq!(grandparent(link(4, 3)), Some(2), "the lost write was a rotation");
        assert_eq!(grandparent(link(4, 2)), Some(1), "the lost write was a reissue");
        assert_eq!(grandparent(link(6, 5)), Some(0), "more was lost than the row can tell");
    }

    #[test]
    fn rule_2_restores_the_binding_from_the_token() {
        let token = |parent| Link { nonce: Some(OTHER), ..link(6, parent) };
        let present = |parent| Presented { link: token(parent), nonce: Some(OLDEST) };
        let restored = |chain: &Chain, parent| binding_of(&decided_with(chain, present(parent), ROTATED));
        let rotated = Binding { since: 3, nonce: OTHER, parent_nonce: Some(LATEST) };
        assert_eq!(restored(&bound(), 5), Some(rotated));
        let reissued = Binding { parent_nonce: Some(PREVIOUS), ..rotated };
        assert_eq!(restored(&bound(), 4), Some(reissued));
        let first = Binding { since: 6, nonce: OTHER, parent_nonce: None };
        assert_eq!(restored(&unused(5, 4), 5), Some(first), "the lost write was the one that bound");
        let decision = decided_with(&bound(), link(6, 5), ROTATED);
        assert_eq!(
            (decision.rule(), binding_of(&decision)),
            (2, None),
            "the lost write was the one that unbound"
        );
    }

    #[test]
    fn rule_12_refuses_bound_tokens_without_a_nonce_and_changes_nothing() {
        let unknown_yet = Link { nonce: Some(OTHER), ..link(6, 5) };
        for presented in [unknown_yet, link(5, 4), link(5, 3), link(4, 3), link(4, 1), link(3, 2)] {
            for now in [ROTATED, ROTATED + 10 * G] {
                let decision = decided_with(&bound(), presented, now);
                assert_eq!(decision, Decision::NonceMissing);
                assert_eq!((decision.rule(), decision.chain(), decision.answer()), (12, None, None));
            }
        }
    }

    #[test]
    fn rule_13_gives_the_same_client_the_same_successor_after_any_delay() {
        let used = bound().used(at(USED));
        for chain in [bound(), used] {
            for now in [ROTATED, USED + G + 1, USED + 1_000_000 * G] {
                let decision = decided_with(&chain, with(LATEST, 4, 3), now);
                assert_eq!(decision, Decision::Replay { chain: chain.clone(), rule: 13 });
                assert_eq!((decision.rule(), decision.chain()), (13, None));
                assert_answer(decision, Some(chain.link()), Access::Usual { generation: 5 });
            }
        }
    }

    #[test]
    fn rule_14_finds_another_client_at_once() {
        for nonce in [OTHER, PREVIOUS] {
            for now in [ROTATED, ROTATED + 10 * G] {
                assert_theft(decided_with(&bound(), with(nonce, 4, 3), now), TheftKind::OtherNonce, 14);
            }
        }
    }

    #[test]
    fn rule_15_recognises_the_client_one_exchange_further_back() {
        let decision = decided_with(&bound(), with(PREVIOUS, 3, 2), USED + 10 * G);
        assert_eq!(decision, Decision::Replay { chain: bound(), rule: 15 });
        for nonce in [LATEST, OTHER] {
            assert_theft(decided_with(&bound(), with(nonce, 3, 2), ROTATED), TheftKind::Fork, 11);
        }
        let forgotten = Binding { parent_nonce: None, ..*bound().binding.unwrap() };
        let chain = Chain { binding: Some(Box::new(forgotten)), ..bound() };
        assert_theft(decided_with(&chain, with(PREVIOUS, 3, 2), ROTATED), TheftKind::Fork, 11);
    }

    #[test]
    fn rule_11_takes_bound_tokens_that_are_older_still_for_theft() {
        let binding = Binding { since: 1, nonce: LATEST, parent_nonce: Some(PREVIOUS) };
        let chain = Chain { binding: Some(Box::new(binding)), ..bound() };
        for nonce in [OLDEST, PREVIOUS, LATEST] {
            assert_theft(decided_with(&chain, with(nonce, 2, 1), ROTATED), TheftKind::Fork, 11);
            assert_theft(decided_with(&chain, with(nonce, 4, 2), ROTATED), TheftKind::Fork, 11);
        }
    }

    #[test]
    fn rules_3_to_5_hold_for_bound_tokens() {
        assert_theft(decided_with(&bound(), with(OTHER, 5, 3), ROTATED), TheftKind::Fork, 3);
        assert_eq!(decided_with(&bound(), with(OTHER, 5, 4), ROTATED + 3 * G).rule(), 4);
        let rotated = decided_with(&bound(), with(OTHER, 5, 4), ROTATED + 3 * G + 1);
        let shifted = Binding { since: 3, nonce: OTHER, parent_nonce: Some(LATEST) };
        assert_eq!((rotated.rule(), binding_of(&rotated)), (5, Some(shifted)));
        let chain = rotated.chain().unwrap();
        assert_eq!((chain.generation, chain.parent, chain.grandparent), (6, 5, 4));
        assert_eq!(chain.link(), Link { nonce: Some(OTHER), ..link(6, 5) });
    }

    #[test]
    fn the_first_exchange_with_a_nonce_binds_what_it_makes_and_a_keep_binds_nothing() {
        let kept = decided_with(&unused(2, 1), with(LATEST, 2, 1), ROTATED);
        assert_eq!((kept.rule(), binding_of(&kept)), (4, None));
        let late = ROTATED + 3 * G + 1;
        let rotated = decided_with(&unused(2, 1), with(LATEST, 2, 1), late);
        let first = Binding { since: 3, nonce: LATEST, parent_nonce: None };
        assert_eq!((rotated.rule(), binding_of(&rotated)), (5, Some(first)));
        let reissued = decided_with(&unused(2, 1), with(LATEST, 1, 0), late);
        assert_eq!((reissued.rule(), binding_of(&reissued)), (10, Some(first)));
    }

    #[test]
    fn older_tokens_follow_the_usual_rules_but_are_given_no_bound_successor_without_a_nonce() {
        let older =
            |nonce, now| decided_with(&just_bound(), Presented { link: link(1, 0), nonce }, now).rule();
        for now in [ROTATED, ROTATED + G] {
            assert_eq!((older(Some(LATEST), now), older(None, now)), (8, 9));
        }
        for nonce in [Some(LATEST), Some(OTHER), None] {
            assert_eq!((older(nonce, ROTATED + G + 1), older(nonce, ROTATED + 3 * G)), (9, 9));
            assert_eq!(older(nonce, ROTATED + 3 * G + 1), 10);
        }
        let used = just_bound().used(at(USED));
        assert_eq!(decided_with(&used, link(1, 0), USED + G).rule(), 6);
        assert_theft(decided_with(&used, link(1, 0), USED + G + 1), TheftKind::Superseded, 7);
        assert_theft(decided_with(&used, with(LATEST, 1, 0), USED + G + 1), TheftKind::Superseded, 7);
    }

    #[test]
    fn an_older_token_without_a_nonce_unbinds_and_kills_the_bound_branch() {
        let unbound = decided_with(&just_bound(), link(1, 0), ROTATED + 3 * G + 1);
        assert_eq!((unbound.rule(), binding_of(&unbound)), (10, None));
        let chain = unbound.chain().unwrap();
        assert_eq!(chain.link(), link(3, 1));
        for presented in [with(LATEST, 2, 1), link(2, 1).into()] {
            assert_theft(decided_with(chain, presented, ROTATED + 4 * G), TheftKind::Fork, 11);
        }
        let rebound = decided_with(&just_bound(), with(OTHER, 1, 0), ROTATED + 3 * G + 1);
        let again = Binding { since: 2, nonce: OTHER, parent_nonce: None };
        assert_eq!(binding_of(&rebound), Some(again));
    }

    #[test]
    fn a_new_session_keeps_for_one_grace_and_then_rotates() {
        let chain = Chain::begin(at(ROTATED), Grace::default());
        assert_eq!((chain.generation, chain.parent, chain.used_at), (1, 0, None));
        assert_eq!(chain.rotated_at, at(ROTATED - 2 * G));
        assert_eq!(decided(chain.clone(), link(1, 0), ROTATED + G).rule(), 4);
        assert_eq!(decided(chain, link(1, 0), ROTATED + G + 1).rule(), 5);
    }

    #[test]
    fn strict_mode_tolerates_only_the_same_millisecond() {
        assert_eq!(decided_strictly(unused(2, 1), link(2, 1), ROTATED).rule(), 4);
        assert_eq!(decided_strictly(unused(2, 1), link(2, 1), ROTATED + 1).rule(), 5);
        assert_eq!(decided_strictly(used(2, 1), link(1, 0), USED).rule(), 6);
        assert_eq!(decided_strictly(used(2, 1), link(1, 0), USED + 1).rule(), 7);
        assert_eq!(decided_strictly(unused(2, 1), link(1, 0), ROTATED).rule(), 8);
        assert_eq!(decided_strictly(unused(2, 1), link(1, 0), ROTATED + 1).rule(), 10);
        assert_eq!(Chain::begin(at(ROTATED), Grace::STRICT).rotated_at, at(ROTATED));
    }

    #[test]
    fn the_last_generation_stays() {
        let last = unused(u32::MAX, u32::MAX - 1);
        let late = ROTATED + 10 * G;
        assert_eq!(decided(last.clone(), last.link(), late), Decision::Keep(last.used(at(late))));
        let predecessor = link(u32::MAX - 1, 7);
        assert_eq!(decided(last.clone(), predecessor, late), Decision::Replay { chain: last, rule: 8 });
    }

    #[test]
    fn times_at_the_end_of_the_scale_do_not_overflow() {
        let row = row(Chain { rotated_at: Timestamp::MAX, ..unused(2, 1) }.used(Timestamp::MAX));
        let endless = Grace::new(Duration::MAX);
        assert_eq!(decide(Some(&row), link(2, 1).into(), at(0), endless).rule(), 4);
        assert_eq!(decide(Some(&row), link(1, 0).into(), at(0), endless).rule(), 6);
        assert_eq!(Chain::begin(at(5), endless).rotated_at, at(0));
    }

    #[test]
    fn a_confirmation_counts_the_current_generation_as_used_once() {
        let now = at(USED);
        assert_eq!(confirm(Some(&row(unused(3, 1))), 3, now), Confirmation::Used(used(3, 1)));
        assert_eq!(confirm(Some(&row(used(3, 1))), 3, at(USED + 1)), Confirmation::Nothing);
    }

    #[test]
    fn a_confirmation_finds_a_dead_branch() {
        let now = at(ROTATED);
        for row in [unused(4, 1), used(4, 1)].map(row) {
            assert_eq!(confirm(Some(&row), 2, now), Confirmation::Theft(TheftKind::DeadBranch));
            assert_eq!(confirm(Some(&row), 3, now), Confirmation::Theft(TheftKind::DeadBranch));
        }
    }

    #[test]
    fn a_confirmation_of_the_parent_of_anything_older_or_newer_changes_nothing() {
        for generation in [0, 1, 2, 4] {
            assert_eq!(confirm(Some(&row(unused(3, 2))), generation, at(ROTATED)), Confirmation::Nothing);
        }
    }

    #[test]
    fn a_confirmation_never_touches_a_session_that_is_over() {
        let expired = Standing { expires_at: at(ROTATED), ..row(unused(3, 1)) };
        let ended = Standing { ended: true, ..row(unused(3, 1)) };
        for standing in [None, Some(&ended), Some(&expired)] {
            for generation in [2, 3] {
                assert_eq!(confirm(standing, generation, at(ROTATED)), Confirmation::Nothing);
            }
        }
    }

    #[test]
    fn the_windows_follow_from_the_grace() {
        let grace = Grace::default();
        assert_eq!(grace.window(), Duration::from_millis(G));
        assert_eq!(grace.floor(), Duration::from_millis(3 * G));
        assert_eq!(grace.quiet(), Duration::from_millis(3 * G));
    }

    #[test]
    fn a_short_access_token_never_outlives_a_usual_one() {
        let hour = Duration::from_secs(3600);
        let brief = Duration::from_secs(20);
        assert_eq!(Grace::default().short_access(hour), Duration::from_secs(30));
        assert_eq!(Grace::default().short_access(brief), brief);
        assert_eq!(Grace::STRICT.short_access(hour), Duration::from_secs(30));
        assert_eq!(Grace::STRICT.short_access(brief), brief);
        assert_eq!(Grace::new(Duration::from_secs(20)).short_access(hour), Duration::from_secs(60));
    }
}
