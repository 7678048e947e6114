//! The state: a store, a client, the messages between them, and a thief.
//!
//! States that no future can tell apart are made equal by [`World::canonical`], so that their number is finite:
//! - times are ages, capped one tick beyond the last bound that looks at them;
//! - generations are numbered anew, in order, with neighbours staying neighbours and wider gaps closed to two. The
//!   protocol compares generations and counts one up, nothing else;
//! - what can no longer have an effect is dropped: the parent of a token older than every row's parent (but in an answer,
//!   where it shows what the token succeeds), the grandparent of a row of whose parent there is no token, an access token older
//!   than every row's parent;
//! - a nonce is whose it is: each actor has one for each generation, and only those of one generation are ever compared.

use session_runtime::{
    Timestamp,
    rotation::{Binding, Chain, Link, NonceHash, Presented, Standing},
};

use crate::FULL;

/// G, in ticks.
pub(crate) const GRACE: u8 = if FULL { 3 } else { 1 };
/// 3G, in ticks.
pub(crate) const FLOOR: u8 = 3 * GRACE;
/// The present moment; a tick is a millisecond, and the past is what ages.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000);

/// Ticks since something happened.
pub(crate) type Age = u8;
/// A generation as renumbered; 0 stands for none.
pub(crate) type Generation = u8;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) row: Row,
    /// The row as a failover would bring it back.
    pub(crate) durable: Row,
    /// The age of the oldest write that a failover would lose.
    pub(crate) unsynced: Option<Age>,
    /// A write that was decided on and not carried out yet; only where the step is split in two.
    pub(crate) pending: Option<Pending>,
    pub(crate) jar: Jar,
    pub(crate) wire: Wire,
    pub(crate) thief: Thief,
    pub(crate) lead: Lead,
    pub(crate) broken: Option<Promise>,
}

/// A promise that a step was seen to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Promise {
    NoFalseAlarm,
    SureDetection,
    Monotone,
}

/// Which of a client's refreshes come with a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nonces {
    None,
    All,
    /// Some tabs send one, others don't.
    Some,
}

impl Nonces {
    pub(crate) fn choices(self) -> &'static [bool] {
        match self {
            Self::None => &[false],
            Self::All => &[true],
            Self::Some => &[false, true],
        }
    }
}

impl World {
    /// Right after a login, whose answer is under way.
    pub(crate) fn after_login(chain: &Chain) -> Self {
        let row = Row::of(chain, false);
        let login = Message::Answer { refresh: Some(row.token()), access: row.generation, age: Some(0) };
        Self {
            row,
            durable: row,
            unsynced: None,
            pending: None,
            jar: Jar::default(),
            wire: Wire::default().with(login),
            thief: Thief::default(),
            lead: Lead::default(),
            broken: None,
        }
    }

    pub(crate) fn write(&mut self, row: Row) {
        if row.generation > self.row.generation {
            self.wire.forget_overtaken_by(row.generation);
        }
        if self.row != row {
            self.row = row;
            self.unsynced = self.unsynced.or(Some(0));
        }
    }

    /// Ends the session. Losing this write is outside the promises, so it is durable at once.
    pub(crate) fn end(&mut self) {
        self.row.ended = true;
        self.sync();
    }

    /// Whether who is ahead can be told and matters.
    pub(crate) fn is_watched(&self) -> bool {
        self.thief.is_active() && !self.row.ended && !self.lead.lost_sight
    }

    pub(crate) fn sync(&mut self) {
        self.durable = self.row;
        self.unsynced = None;
    }

    pub(crate) fn lose(&mut self) {
        self.row = self.durable;
        self.unsynced = None;
    }

    /// One tick of everything; messages beyond `life` are gone, and writes become durable before they are 3G old.
    pub(crate) fn tick(&mut self, life: Age) {
        self.row.tick();
        self.durable.tick();
        self.unsynced = self.unsynced.map(|age| age + 1);
        if self.unsynced.is_some_and(|age| age >= FLOOR) {
            self.sync();
        }
        self.pending = self.pending.take().and_then(|pending| pending.aged(life));
        self.wire.tick(life);
        self.lead.tick();
    }

    pub(crate) fn canonical(mut self, losses: bool) -> Self {
        if !losses || self.row == self.durable {
            self.sync();
        }
        self.forget_what_has_no_effect();
        self.renumber();
        self.wire.0.sort_unstable();
        self.wire.0.dedup();
        self.thief.tokens.sort_unstable();
        self
    }

    fn forget_what_has_no_effect(&mut self) {
        self.forget_grandparents();
        self.forget_who_parents_are();
        let oldest_parent = self.row.parent.min(self.durable.parent);
        if self.row.ended && self.pending.is_none() {
            self.row.rotated = 0;
            self.row.used = None;
            self.durable = self.row;
            self.lead = Lead::default();
        }
        self.jar.access = if self.jar.access < oldest_parent { 0 } else { self.jar.access };
        self.jar.refresh.iter_mut().for_each(|token| token.forget_parent_below(oldest_parent));
        let oldest_row = self.row.generation.min(self.durable.generation);
        self.thief.tokens.iter_mut().for_each(|token| {
            token.forget_parent_below(oldest_parent);
            token.nonce = token.nonce.filter(|_| token.generation > oldest_row);
        });
        self.thief.forget(&self.row, &self.durable);
        self.wire.0.retain_mut(|message| match message {
            Message::Refresh { token, .. } => {
                token.forget_parent_below(oldest_parent);
                token.nonce = token.nonce.filter(|_| token.generation > oldest_row);
                true
            }
            Message::Answer { refresh, access, .. } => {
                *access = if *access < oldest_parent { 0 } else { *access };
                refresh.is_some() || *access != 0
            }
            Message::Access { generation } => *generation >= oldest_parent,
        });
    }

    /// A row's grandparent matters only to who presents a token of the parent's generation, or of the grandparent's own.
    fn forget_grandparents(&mut self) {
        let mut tokens = 0u64;
        self.each_token(&mut |token| tokens |= 1 << token.generation);
        for row in [&mut self.row, &mut self.durable] {
            let matters =
                tokens >> row.parent & 1 == 1 || row.since != 0 && tokens >> row.grandparent & 1 == 1;
            if !matters {
                (row.grandparent, row.parent_nonce) = (0, None);
            }
        }
    }

    /// Of a token that may be a row's parent, and of nothing more, it matters whether it is: not who its own parent was. Where it is,
    /// that is taken for the generation before.
    fn forget_who_parents_are(&mut self) {
        let rows = [self.row, self.durable];
        let oldest_row = self.row.generation.min(self.durable.generation);
        let verdict = |token: &Token| {
            let mut verdicts = rows
                .iter()
                .filter(|row| token.generation == row.parent && token.generation < oldest_row)
                .map(|row| token.parent == row.grandparent);
            let first = verdicts.next()?;
            Some(verdicts.all(|other| other == first).then_some(first))
        };
        let is_plain = |row: &Row| row.since == 0 && row.parent < oldest_row;
        let mut agreed = rows.iter().all(is_plain);
        self.each_token(&mut |token| agreed &= verdict(token) != Some(None));
        let mut answers = self.wire.0.iter().filter_map(|message| match message {
            Message::Answer { refresh, .. } => refresh.as_ref(),
            _ => None,
        });
        if !agreed || answers.any(|token| verdict(token) == Some(Some(false))) {
            return;
        }
        self.each_token_mut(&mut |token| match verdict(token) {
            Some(Some(true)) => token.parent = token.generation - 1,
            Some(_) => token.parent = 0,
            None => {}
        });
        for row in [&mut self.row, &mut self.durable] {
            if row.grandparent != 0 {
                row.grandparent = row.parent - 1;
            }
        }
    }

    fn each_token_mut(&mut self, visit: &mut impl FnMut(&mut Token)) {
        self.jar.refresh.iter_mut().for_each(&mut *visit);
        self.thief.tokens.iter_mut().for_each(&mut *visit);
        for message in &mut self.wire.0 {
            match message {
                Message::Refresh { token, .. } | Message::Answer { refresh: Some(token), .. } => visit(token),
                Message::Answer { refresh: None, .. } | Message::Access { .. } => {}
            }
        }
    }

    fn each_token(&self, visit: &mut impl FnMut(&Token)) {
        self.jar.refresh.iter().for_each(&mut *visit);
        self.thief.tokens.iter().for_each(&mut *visit);
        self.wire.0.iter().filter_map(Message::token).for_each(|token| visit(&token));
    }

    /// Whether a row lost sight of who its parent's parent was, while it may still be asked.
    pub(crate) fn has_lost_lineage(&self) -> bool {
        let mut asked = false;
        self.each_token(&mut |token| asked |= token.generation == self.row.parent);
        asked && self.row.parent > 1 && self.row.grandparent == 0
    }

    fn renumber(&mut self) {
        let mut referenced = 0;
        self.each_generation(&mut |generation| referenced |= 1u64 << *generation);
        // Where all are bound, it doesn't matter since when.
        let oldest = Generation::try_from((referenced & !1).trailing_zeros()).unwrap_or(0);
        for row in [&mut self.row, &mut self.durable] {
            row.since = if row.since == 0 { 0 } else { row.since.max(oldest) };
            referenced |= 1 << row.since;
        }
        let numbers = renumbered(referenced);
        self.each_generation(&mut |generation| *generation = numbers[usize::from(*generation)]);
        for row in [&mut self.row, &mut self.durable] {
            row.since = numbers[usize::from(row.since)];
        }
    }

    fn each_generation(&mut self, visit: &mut impl FnMut(&mut Generation)) {
        self.row.each_generation(visit);
        self.durable.each_generation(visit);
        if let Some(pending) = &mut self.pending {
            pending.row.each_generation(visit);
            pending.refresh.iter_mut().for_each(|token| token.each_generation(visit));
            visit(&mut pending.access);
        }
        self.jar.refresh.iter_mut().for_each(|token| token.each_generation(visit));
        visit(&mut self.jar.access);
        for message in &mut self.wire.0 {
            match message {
                Message::Refresh { token, .. } => token.each_generation(visit),
                Message::Answer { refresh, access, .. } => {
                    refresh.iter_mut().for_each(|token| token.each_generation(visit));
                    visit(access);
                }
                Message::Access { generation } => visit(generation),
            }
        }
        self.thief.tokens.iter_mut().for_each(|token| token.each_generation(visit));
        self.thief.accesses.iter_mut().for_each(visit);
    }
}

/// A session's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) generation: Generation,
    pub(crate) parent: Generation,
    pub(crate) rotated: Age,
    pub(crate) used: Option<Age>,
    pub(crate) ended: bool,
    pub(crate) grandparent: Generation,
    /// Since which generation the session is bound; 0 where it is not.
    pub(crate) since: Generation,
    /// Whose nonce came with the exchange that made the current generation.
    pub(crate) nonce: Option<Actor>,
    /// Whose nonce came with the exchange that made the parent.
    pub(crate) parent_nonce: Option<Actor>,
}

impl Row {
    pub(crate) fn of(chain: &Chain, ended: bool) -> Self {
        let age = |at: Timestamp, cap: Age| {
            let millis = NOW.since(at).as_millis();
            Age::try_from(millis).map_or(cap, |age| age.min(cap))
        };
        Self {
            generation: small(chain.generation),
            parent: small(chain.parent),
            rotated: age(chain.rotated_at, FLOOR + 1),
            used: chain.used_at.map(|at| age(at, GRACE + 1)),
            ended,
            grandparent: small(chain.grandparent),
            since: chain.binding.as_ref().map_or(0, |binding| small(binding.since)),
            nonce: chain.binding.as_ref().map(|binding| Actor::of(binding.nonce)),
            parent_nonce: chain.binding.as_ref().and_then(|binding| binding.parent_nonce.map(Actor::of)),
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        let at = |age: Age| Timestamp::from_millis(NOW.as_millis() - u64::from(age));
        let chain = Chain {
            generation: self.generation.into(),
            parent: self.parent.into(),
            grandparent: self.grandparent.into(),
            rotated_at: at(self.rotated),
            used_at: self.used.map(at),
            binding: self.nonce.map(|nonce| {
                Box::new(Binding {
                    since: self.since.into(),
                    nonce: nonce.nonce_for(self.parent),
                    parent_nonce: self.parent_nonce.map(|nonce| nonce.nonce_for(self.grandparent)),
                })
            }),
        };
        Standing { chain, ended: self.ended, expires_at: Timestamp::MAX }
    }

    pub(crate) fn token(&self) -> Token {
        Token { generation: self.generation, parent: self.parent, nonce: self.nonce }
    }

    /// Whether `token` stands on a branch that a later rotation left behind.
    pub(crate) fn has_left_behind(&self, token: Token) -> bool {
        let twin = token.generation == self.generation && token.parent != self.parent;
        let parents_twin =
            token.generation == self.parent && self.grandparent != 0 && token.parent != self.grandparent;
        self.has_dead(token.generation) || twin || parents_twin
    }

    /// Whether the bound `token` was exchanged, with a nonce of another's than `actor`.
    pub(crate) fn was_exchanged_by_another(&self, token: Token, actor: Actor) -> bool {
        let by_another = |nonce: Option<Actor>| nonce.is_some_and(|nonce| nonce != actor);
        self.has_bound(token.generation)
            && (token.generation == self.parent && by_another(self.nonce)
                || token.generation == self.grandparent && by_another(self.parent_nonce))
    }

    pub(crate) fn has_bound(&self, generation: Generation) -> bool {
        self.since != 0 && generation >= self.since
    }

    pub(crate) fn has_dead(&self, generation: Generation) -> bool {
        self.parent < generation && generation < self.generation
    }

    fn tick(&mut self) {
        self.rotated = (self.rotated + 1).min(FLOOR + 1);
        self.used = self.used.map(|age| (age + 1).min(GRACE + 1));
    }

    fn each_generation(&mut self, visit: &mut impl FnMut(&mut Generation)) {
        visit(&mut self.generation);
        visit(&mut self.parent);
        visit(&mut self.grandparent);
    }
}

/// A refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token {
    pub(crate) generation: Generation,
    pub(crate) parent: Generation,
    /// Whose nonce came with the exchange that made it.
    pub(crate) nonce: Option<Actor>,
}

impl Token {
    pub(crate) fn link(self) -> Link {
        let nonce = self.nonce.map(|by| by.nonce_for(self.parent));
        Link { generation: self.generation.into(), parent: self.parent.into(), nonce }
    }

    /// The token, with a nonce if it comes `with` somebody's.
    pub(crate) fn presented(self, with: Option<Actor>) -> Presented {
        Presented { link: self.link(), nonce: with.map(|by| by.nonce_for(self.generation)) }
    }

    /// Whether both stand at one place of the chain.
    pub(crate) fn is_at(self, other: Self) -> bool {
        (self.generation, self.parent) == (other.generation, other.parent)
    }

    fn forget_parent_below(&mut self, oldest_parent: Generation) {
        if self.generation < oldest_parent {
            self.parent = 0;
        }
    }

    fn each_generation(&mut self, visit: &mut impl FnMut(&mut Generation)) {
        visit(&mut self.generation);
        visit(&mut self.parent);
    }
}

impl From<Link> for Token {
    fn from(link: Link) -> Self {
        let (generation, parent) = (small(link.generation), small(link.parent));
        Self { generation, parent, nonce: link.nonce.map(Actor::of) }
    }
}

/// What all tabs of the honest client share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Jar {
    pub(crate) refresh: Option<Token>,
    pub(crate) access: Generation,
}

/// A write that was decided on a row that may have changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    pub(crate) row: Row,
    pub(crate) refresh: Option<Token>,
    pub(crate) access: Generation,
    pub(crate) age: Age,
}

impl Pending {
    fn aged(mut self, life: Age) -> Option<Self> {
        self.row.tick();
        self.age += 1;
        (self.age <= life).then_some(self)
    }
}

/// A message of the honest client, or an answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Message {
    Refresh {
        token: Token,
        /// Whether it comes with the client's nonce.
        nonce: bool,
        age: Option<Age>,
    },
    Answer {
        refresh: Option<Token>,
        access: Generation,
        /// None where it may take for ever.
        age: Option<Age>,
    },
    /// A request to a protected route, or the confirmation queued for it. It may take for ever.
    Access { generation: Generation },
}

impl Message {
    fn aged(self, life: Age) -> Option<Self> {
        match self {
            Self::Refresh { token, nonce, age: Some(age) } => {
                (age < life).then_some(Self::Refresh { token, nonce, age: Some(age + 1) })
            }
            Self::Answer { refresh, access, age: Some(age) } => {
                (age < life).then_some(Self::Answer { refresh, access, age: Some(age + 1) })
            }
            Self::Refresh { .. } | Self::Answer { .. } | Self::Access { .. } => Some(self),
        }
    }

    fn token(&self) -> Option<Token> {
        match *self {
            Self::Refresh { token, .. } => Some(token),
            Self::Answer { refresh, .. } => refresh,
            Self::Access { .. } => None,
        }
    }

    /// The generation that a message carries which may take for ever.
    fn generation_of_bound(&self) -> Option<Generation> {
        match *self {
            Self::Refresh { token, age: None, .. } => Some(token.generation),
            Self::Answer { refresh, access, age: None } => {
                Some(refresh.map_or(access, |token| token.generation))
            }
            Self::Refresh { .. } | Self::Answer { .. } | Self::Access { .. } => None,
        }
    }
}

/// The messages under way: a set, since delivering one doesn't have to remove it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Wire(pub(crate) Vec<Message>);

impl Wire {
    pub(crate) fn with(mut self, message: Message) -> Self {
        self.add(message);
        self
    }

    pub(crate) fn add(&mut self, message: Message) {
        if !self.0.contains(&message) {
            self.0.push(message);
        }
    }

    /// The premise of a bound client: before `generation` is made, all is through that carries the last but one.
    fn forget_overtaken_by(&mut self, generation: Generation) {
        self.0.retain(|message| message.generation_of_bound().is_none_or(|carried| carried + 2 > generation));
    }

    fn tick(&mut self, life: Age) {
        self.0 = self.0.iter().filter_map(|message| message.aged(life)).collect();
    }
}

/// What the thief holds: nothing until it copied the client's tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Thief {
    pub(crate) tokens: Vec<Token>,
    pub(crate) accesses: Vec<Generation>,
}

impl Thief {
    pub(crate) fn is_active(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Of refresh tokens that no row knows, one is as good as another; so it is with access tokens of dead branches.
    fn forget(&mut self, row: &Row, durable: &Row) {
        let known = |token: &Token| {
            [row, durable].iter().any(|row| {
                let is_parent = token.generation == row.parent && !row.has_left_behind(*token);
                let is_grandparent = row.since != 0 && token.generation == row.grandparent;
                token.is_at(row.token()) || is_parent || is_grandparent
            })
        };
        self.tokens.sort_unstable();
        self.tokens.dedup();
        let newest_unknown = self.tokens.iter().rfind(|token| !known(token)).copied();
        self.tokens.retain(|token| known(token) || Some(*token) == newest_unknown);

        let current =
            |generation: Generation| generation == row.generation || generation == durable.generation;
        let oldest_parent = row.parent.min(durable.parent);
        self.accesses.retain(|generation| *generation > oldest_parent);
        self.accesses.sort_unstable();
        self.accesses.dedup();
        let newest_dead = self.accesses.iter().rfind(|generation| !current(**generation)).copied();
        self.accesses.retain(|generation| current(*generation) || Some(*generation) == newest_dead);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Actor {
    Victim,
    Thief,
}

impl Actor {
    fn of(nonce: NonceHash) -> Self {
        match nonce.0[0] {
            1 => Self::Victim,
            _ => Self::Thief,
        }
    }

    pub(crate) fn nonce_for(self, generation: Generation) -> NonceHash {
        let mut hash = [0; 16];
        hash[0] = match self {
            Self::Victim => 1,
            Self::Thief => 2,
        };
        hash[1] = generation;
        NonceHash(hash)
    }
}

/// Who has the newest token, as an observer of requests and answers sees it; knows nothing of the protocol's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lead {
    victim_was_sent: bool,
    thief_was_sent: bool,
    /// Who used a token that the other was never sent, and the time since the first such use.
    ahead: Option<(Actor, Age)>,
    /// Whether the store lost a write. Two tokens may have one generation then, so that what was sent says too
    /// little, and the observer makes no claim.
    lost_sight: bool,
}

impl Lead {
    /// The thief copied the client's token, which is the newest, or is not.
    pub(crate) fn copied(&mut self, newest: bool) {
        *self = Self { thief_was_sent: newest && !self.lost_sight, ..*self };
    }

    /// A new token was made for `actor` alone.
    pub(crate) fn made_for(&mut self, actor: Actor) {
        self.victim_was_sent = actor == Actor::Victim;
        self.thief_was_sent = actor == Actor::Thief;
        self.ahead = self.ahead.filter(|(ahead, _)| *ahead == actor);
    }

    /// `actor` was sent the newest token, or turns out to have it.
    pub(crate) fn sent_to(&mut self, actor: Actor) {
        match actor {
            Actor::Victim => self.victim_was_sent = true,
            Actor::Thief => self.thief_was_sent = true,
        }
        self.ahead = self.ahead.filter(|(ahead, _)| *ahead == actor);
    }

    /// `actor` used the newest token.
    pub(crate) fn used_by(&mut self, actor: Actor) {
        let other_was_sent = match actor {
            Actor::Victim => self.thief_was_sent,
            Actor::Thief => self.victim_was_sent,
        };
        if !other_was_sent {
            self.ahead = self.ahead.or(Some((actor, 0)));
        }
    }

    /// The store lost a write.
    pub(crate) fn lose_sight(&mut self) {
        *self = Self { lost_sight: true, ..Self::default() };
    }

    /// Whether the other used a token that `actor` was never sent, longer than the grace ago.
    pub(crate) fn has_overtaken(&self, actor: Actor) -> bool {
        self.ahead.is_some_and(|(ahead, age)| ahead != actor && age > GRACE)
    }

    fn tick(&mut self) {
        self.ahead = self.ahead.map(|(actor, age)| (actor, (age + 1).min(GRACE + 1)));
    }
}

impl Default for Lead {
    fn default() -> Self {
        Self { victim_was_sent: true, thief_was_sent: false, ahead: None, lost_sight: false }
    }
}

/// The new number of every generation in `referenced`, a set of bits.
fn renumbered(referenced: u64) -> [Generation; 64] {
    let mut numbers = [0; 64];
    let (mut last, mut next) = (0, 0);
    for generation in (1..64).filter(|generation| referenced >> generation & 1 == 1) {
        next += (generation - last).min(2);
        numbers[generation as usize] = next;
        last = generation;
    }
    numbers
}

fn small(generation: u32) -> Generation {
    Generation::try_from(generation).expect("renumbered generations are small")
}
