//! What can happen: the steps of the client, the network, the store, and the thief.

use session_runtime::rotation::{Confirmation, Decision, Grace};
use stateright::{Model, Property};
use std::time::Duration;

use crate::{
    properties,
    protocol::Protocol,
    world::{Actor, Age, GRACE, Generation, Jar, Message, NOW, Nonces, Pending, Promise, Row, Token, World},
};

/// One world to explore: a protocol and what may go wrong around it.
#[derive(Clone, Copy)]
pub(crate) struct Rotation {
    pub(crate) protocol: Protocol,
    /// How many messages of the client and answers to it may be under way at once.
    pub(crate) slots: usize,
    /// How many steps the longest behaviours have that are explored.
    pub(crate) depth: usize,
    /// How many ticks a message may be under way.
    pub(crate) life: Age,
    /// Whether the store may lose its last writes.
    pub(crate) losses: bool,
    /// Whether the session may be logged out.
    pub(crate) logout: bool,
    /// Whether a thief may copy the client's tokens, once.
    pub(crate) thief: bool,
    /// Which of the client's refreshes come with a nonce.
    pub(crate) nonces: Nonces,
    /// Whether those of the thief may come with nonces of its own.
    pub(crate) thiefs_nonces: bool,
    /// The rules that refreshes are decided by in this world, each of which must be met.
    pub(crate) reached: &'static [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Tick,
    SendRefresh {
        nonce: bool,
    },
    SendAccess,
    /// The message arrives; where `again`, a duplicate of it stays under way.
    Deliver {
        message: Message,
        again: bool,
    },
    /// The message is lost, or the server crashes before it handled it.
    Drop(Message),
    CarryOutPending,
    /// Everything written becomes durable.
    Sync,
    /// A failover: what was not durable is gone.
    Lose,
    LogOut,
    Copy,
    ThiefRefreshes {
        token: Token,
        nonce: bool,
    },
    ThiefUses(Generation),
}

impl Rotation {
    pub(crate) const GRACE: Grace = Grace::new(Duration::from_millis(GRACE as u64));

    pub(crate) fn decide(&self, row: &Row, token: Token, nonce: Option<Actor>) -> Decision {
        (self.protocol.decide)(Some(&row.standing()), token.presented(nonce), NOW, Self::GRACE)
    }

    /// A refresh token reaches the store. Gives what is sent back.
    fn refresh(&self, world: &mut World, actor: Actor, token: Token, nonce: bool) -> Option<Sent> {
        let before = world.row;
        let decision = self.decide(&before, token, nonce.then_some(actor));
        if let Decision::NonceMissing = decision {
            self.judge_missing_nonce(world, actor);
            return None;
        }
        if world.is_watched() && token.is_at(before.token()) {
            world.lead.sent_to(actor);
            world.lead.used_by(actor);
        }
        let must_end = world.lead.has_overtaken(actor)
            || before.has_left_behind(token)
            || before.was_exchanged_by_another(token, actor);
        let answer = decision.answer().map(|answer| Sent {
            refresh: answer.refresh.map(Token::from),
            access: Generation::try_from(answer.access.generation())
                .expect("renumbered generations are small"),
        });
        if let Decision::Theft { .. } = decision {
            world.end();
        }
        let row = decision.chain().map_or(world.row, |chain| Row::of(chain, false));
        if row != before && !self.protocol.atomic && !world.row.ended {
            let Sent { refresh, access } = answer?;
            world.pending = Some(Pending { row, refresh, access, age: 0 });
            return None;
        }
        world.write(Row { ended: world.row.ended, ..row });
        self.keep_track(world, actor, before, &decision);
        self.judge_refusal(world, before, answer.is_none());
        if must_end && world.thief.is_active() && !world.row.ended {
            world.broken = Some(Promise::SureDetection);
        }
        answer
    }

    fn keep_track(&self, world: &mut World, actor: Actor, before: Row, decision: &Decision) {
        if !world.is_watched() {
            return;
        }
        match decision {
            Decision::Replay { .. } => world.lead.sent_to(actor),
            _ if !world.row.token().is_at(before.token()) => world.lead.made_for(actor),
            _ => {}
        }
    }

    /// A client that never sends a nonce is never asked for one: it would be locked out, and the thief unknown. One that always
    /// does is not asked either.
    fn judge_missing_nonce(&self, world: &mut World, actor: Actor) {
        if actor == Actor::Victim && self.nonces != Nonces::Some {
            world.broken = Some(match world.thief.is_active() {
                true => Promise::SureDetection,
                false => Promise::NoFalseAlarm,
            });
        }
    }

    /// Without a thief nobody is refused but those who logged out; and those who logged out stay refused.
    fn judge_refusal(&self, world: &mut World, before: Row, refused: bool) {
        if refused && !before.ended && !world.thief.is_active() {
            world.broken = Some(Promise::NoFalseAlarm);
        }
        if before.ended && !refused {
            world.broken = Some(Promise::Monotone);
        }
    }

    /// An access token's generation reaches the store.
    fn confirm(&self, world: &mut World, actor: Actor, generation: Generation) {
        let before = world.row;
        match (self.protocol.confirm)(Some(&before.standing()), generation.into(), NOW) {
            Confirmation::Nothing => {}
            Confirmation::Used(chain) => world.write(Row::of(&chain, false)),
            Confirmation::Theft(_) => {
                world.end();
                self.judge_refusal(world, before, true);
            }
        }
        if world.is_watched() && generation == before.generation {
            world.lead.used_by(actor);
        }
        if before.has_dead(generation) && world.thief.is_active() && !world.row.ended {
            world.broken = Some(Promise::SureDetection);
        }
    }

    fn deliver(&self, world: &mut World, message: Message) {
        match message {
            Message::Refresh { token, nonce, age } => {
                if let Some(Sent { refresh, access }) = self.refresh(world, Actor::Victim, token, nonce) {
                    world.wire.add(Message::Answer { refresh, access, age: age.map(|_| 0) });
                }
            }
            Message::Answer { refresh, access, .. } => {
                world.jar = Jar { refresh: refresh.or(world.jar.refresh), access };
            }
            Message::Access { generation } => self.confirm(world, Actor::Victim, generation),
        }
    }

    fn thief_refreshes(&self, world: &mut World, token: Token, nonce: bool) {
        if let Some(Sent { refresh, access }) = self.refresh(world, Actor::Thief, token, nonce) {
            world.thief.tokens.extend(refresh);
            world.thief.accesses.push(access);
        }
    }

    fn copy(world: &mut World) {
        let Jar { refresh, access } = world.jar;
        world.thief.tokens.extend(refresh);
        world.thief.accesses.push(access);
        world.lead.copied(refresh.is_some_and(|token| token.is_at(world.row.token())));
    }

    fn lose(&self, world: &mut World) {
        world.lose();
        if self.thief {
            world.lead.lose_sight();
        }
    }

    fn carry_out_pending(world: &mut World) {
        if let Some(Pending { row, refresh, access, .. }) = world.pending.take() {
            world.write(row);
            world.wire.add(Message::Answer { refresh, access, age: Some(0) });
        }
    }

    fn apply(&self, world: &mut World, step: Step) {
        match step {
            Step::Tick => world.tick(self.life),
            Step::SendRefresh { nonce } => {
                let token = world.jar.refresh.expect("sent only with a token");
                let may_take_for_ever = self.nonces == Nonces::All && token.nonce.is_some();
                world.wire.add(Message::Refresh { token, nonce, age: (!may_take_for_ever).then_some(0) });
            }
            Step::SendAccess => world.wire.add(Message::Access { generation: world.jar.access }),
            Step::Deliver { message, again } => {
                if !again {
                    world.wire.0.retain(|other| *other != message);
                }
                self.deliver(world, message);
            }
            Step::Drop(message) => world.wire.0.retain(|other| *other != message),
            Step::CarryOutPending => Self::carry_out_pending(world),
            Step::Sync => world.sync(),
            Step::Lose => self.lose(world),
            Step::LogOut => world.end(),
            Step::Copy => Self::copy(world),
            Step::ThiefRefreshes { token, nonce } => self.thief_refreshes(world, token, nonce),
            Step::ThiefUses(generation) => self.confirm(world, Actor::Thief, generation),
        }
    }

    fn steps_of_the_client(&self, world: &World, steps: &mut Vec<Step>) {
        if world.wire.0.len() < self.slots {
            if world.jar.refresh.is_some() {
                steps.extend(self.nonces.choices().iter().map(|nonce| Step::SendRefresh { nonce: *nonce }));
            }
            // Nodes confirm generations above 1 only.
            steps.extend((world.jar.access > 1).then_some(Step::SendAccess));
        }
        steps
            .extend((self.logout && !world.row.ended && world.jar.refresh.is_some()).then_some(Step::LogOut));
    }

    fn steps_of_the_network(&self, world: &World, steps: &mut Vec<Step>) {
        for &message in &world.wire.0 {
            let waits = world.pending.is_some() && matches!(message, Message::Refresh { .. });
            if !waits {
                steps.push(Step::Deliver { message, again: false });
                steps.push(Step::Deliver { message, again: true });
            }
            steps.push(Step::Drop(message));
        }
    }

    fn steps_of_the_store(&self, world: &World, steps: &mut Vec<Step>) {
        steps.extend(world.pending.map(|_| Step::CarryOutPending));
        if self.losses && world.unsynced.is_some() {
            steps.extend([Step::Sync, Step::Lose]);
        }
    }

    fn steps_of_the_thief(&self, world: &World, steps: &mut Vec<Step>) {
        let can_copy = self.thief && !world.thief.is_active() && world.jar.refresh.is_some();
        steps.extend(can_copy.then_some(Step::Copy));
        if world.pending.is_none() {
            for &token in &world.thief.tokens {
                steps.push(Step::ThiefRefreshes { token, nonce: false });
                steps.extend(self.thiefs_nonces.then_some(Step::ThiefRefreshes { token, nonce: true }));
            }
        }
        steps.extend(world.thief.accesses.iter().map(|generation| Step::ThiefUses(*generation)));
    }
}

impl Model for Rotation {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::after_login(&(self.protocol.begin)(NOW, Self::GRACE))]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.broken.is_some() {
            return;
        }
        steps.push(Step::Tick);
        self.steps_of_the_client(world, steps);
        self.steps_of_the_network(world, steps);
        self.steps_of_the_store(world, steps);
        self.steps_of_the_thief(world, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        self.apply(&mut next, step);
        if world.row.ended && !next.row.ended {
            next.broken = Some(Promise::Monotone);
        }
        let next = next.canonical(self.losses);
        (next.wire.0.len() <= self.slots && next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self)
    }
}

/// What an accepted refresh sends back.
#[derive(Clone, Copy)]
struct Sent {
    refresh: Option<Token>,
    access: Generation,
}
