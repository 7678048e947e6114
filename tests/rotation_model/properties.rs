//! What must hold in every state, and what must be reached at all.

use std::time::Duration;

use session_runtime::{
    Timestamp,
    rotation::{Decision, Link, NonceHash, Presented, Standing},
};
use stateright::Property;

use crate::{
    model::Rotation,
    world::{Actor, FLOOR, GRACE, Message, NOW, Promise, Row, Token, World},
};

pub(crate) const NO_FALSE_ALARM: &str = "no false alarm";
pub(crate) const SURE_DETECTION: &str = "sure detection";
pub(crate) const ONE_LIVE_BRANCH: &str = "one live branch";
pub(crate) const IDEMPOTENCE: &str = "idempotence";
pub(crate) const MONOTONE: &str = "monotone";
const KNOWN_LINEAGE: &str = "known lineage";

/// The nonce of somebody who is neither the victim nor the thief.
const STRANGERS: NonceHash = NonceHash([0xff; 16]);

pub(crate) fn of(model: &Rotation) -> Vec<Property<Rotation>> {
    let mut properties = vec![
        Property::always(NO_FALSE_ALARM, |_, world: &World| world.broken != Some(Promise::NoFalseAlarm)),
        Property::always(SURE_DETECTION, |_, world: &World| world.broken != Some(Promise::SureDetection)),
        Property::always(ONE_LIVE_BRANCH, one_branch_lives),
        Property::always(IDEMPOTENCE, repetition_changes_nothing),
        Property::always(MONOTONE, |_, world: &World| world.broken != Some(Promise::Monotone)),
        Property::always(KNOWN_LINEAGE, |_, world: &World| !world.has_lost_lineage()),
    ];
    properties.extend(model.reached.iter().map(|rule| reached(*rule)));
    properties
}

/// Whichever of the current token and its predecessor acts first kills the other.
fn one_branch_lives(model: &Rotation, world: &World) -> bool {
    let row = world.row;
    if row.ended || row.parent == 0 {
        return true;
    }
    let is_bound = row.since != 0;
    let current = row.token().presented(is_bound.then_some(Actor::Victim));
    let link = Link { generation: row.parent.into(), parent: row.grandparent.into(), nonce: None };
    let predecessor = Presented { link, nonce: is_bound.then_some(STRANGERS) };
    moments_from(NOW).into_iter().all(|moment| {
        current_kills_predecessor(model, &row.standing(), current, predecessor, moment)
            && predecessor_kills_current(model, &row.standing(), current, predecessor, moment)
    })
}

/// Once the current token was presented, its predecessor is theft, when the grace for what is under way is over.
fn current_kills_predecessor(
    model: &Rotation,
    row: &Standing,
    current: Presented,
    predecessor: Presented,
    moment: Timestamp,
) -> bool {
    let (decision, then) = act(model, row, current, moment);
    let [_, after_grace, much_later] = moments_from(moment);
    matches!(decision, Decision::Keep(_) | Decision::Rotate(_))
        && [after_grace, much_later].into_iter().all(|at| is_theft(model, &then, predecessor, at))
}

/// Once the predecessor was given another successor, the lost one is theft, at once; after theft none is alive.
fn predecessor_kills_current(
    model: &Rotation,
    row: &Standing,
    current: Presented,
    predecessor: Presented,
    moment: Timestamp,
) -> bool {
    match act(model, row, predecessor, moment) {
        (Decision::Reissue(_), then) => {
            moments_from(moment).into_iter().all(|at| is_theft(model, &then, current, at))
        }
        (Decision::Theft { .. }, then) => {
            moments_from(moment).into_iter().all(|at| act(model, &then, current, at).0.answer().is_none())
        }
        _ => true,
    }
}

fn moments_from(start: Timestamp) -> [Timestamp; 3] {
    [0, GRACE + 1, FLOOR + 1].map(|ticks| start.after(Duration::from_millis(ticks.into())))
}

/// A token presented again within the grace yields the successor that it yielded before; and no two successors of one
/// token are ever under way.
fn repetition_changes_nothing(model: &Rotation, world: &World) -> bool {
    let choices = model.nonces.choices();
    let of_the_jar = world.jar.refresh.iter().flat_map(|token| choices.iter().map(|nonce| (*token, *nonce)));
    presented_by_the_client(world)
        .chain(of_the_jar)
        .all(|(token, nonce)| yields_one_successor(model, &world.row, token, nonce))
        && successors(world)
            .all(|one| successors(world).all(|other| one.parent != other.parent || one.is_at(other)))
}

fn yields_one_successor(model: &Rotation, row: &Row, token: Token, nonce: bool) -> bool {
    let presented = token.presented(nonce.then_some(Actor::Victim));
    let (first, then) = act(model, &row.standing(), presented, NOW);
    let (Decision::Rotate(_) | Decision::Reissue(_)) = first else { return true };
    let much_later = row.has_bound(token.generation).then_some(NOW.after(Duration::from_secs(1)));
    [NOW, NOW.after(Rotation::GRACE.window())].into_iter().chain(much_later).all(|at| {
        let (second, unchanged) = act(model, &then, presented, at);
        second.answer() == first.answer() && unchanged == then
    })
}

fn presented_by_the_client(world: &World) -> impl Iterator<Item = (Token, bool)> {
    world.wire.0.iter().filter_map(|message| match message {
        Message::Refresh { token, nonce, .. } => Some((*token, *nonce)),
        _ => None,
    })
}

fn successors(world: &World) -> impl Iterator<Item = Token> {
    world.wire.0.iter().filter_map(|message| match message {
        Message::Answer { refresh, .. } => *refresh,
        _ => None,
    })
}

fn act(model: &Rotation, standing: &Standing, presented: Presented, now: Timestamp) -> (Decision, Standing) {
    let decision = (model.protocol.decide)(Some(standing), presented, now, Rotation::GRACE);
    let chain = decision.chain().unwrap_or(&standing.chain).clone();
    let ended = standing.ended || matches!(decision, Decision::Theft { .. });
    (decision, Standing { chain, ended, ..*standing })
}

fn is_theft(model: &Rotation, standing: &Standing, presented: Presented, now: Timestamp) -> bool {
    matches!(act(model, standing, presented, now).0, Decision::Theft { .. })
}

fn reached(rule: u8) -> Property<Rotation> {
    match rule {
        1 => Property::sometimes("rule 1 is reached", decides_by::<1>),
        2 => Property::sometimes("rule 2 is reached", decides_by::<2>),
        3 => Property::sometimes("rule 3 is reached", decides_by::<3>),
        4 => Property::sometimes("rule 4 is reached", decides_by::<4>),
        5 => Property::sometimes("rule 5 is reached", decides_by::<5>),
        6 => Property::sometimes("rule 6 is reached", decides_by::<6>),
        7 => Property::sometimes("rule 7 is reached", decides_by::<7>),
        8 => Property::sometimes("rule 8 is reached", decides_by::<8>),
        9 => Property::sometimes("rule 9 is reached", decides_by::<9>),
        10 => Property::sometimes("rule 10 is reached", decides_by::<10>),
        11 => Property::sometimes("rule 11 is reached", decides_by::<11>),
        12 => Property::sometimes("rule 12 is reached", decides_by::<12>),
        13 => Property::sometimes("rule 13 is reached", decides_by::<13>),
        14 => Property::sometimes("rule 14 is reached", decides_by::<14>),
        15 => Property::sometimes("rule 15 is reached", decides_by::<15>),
        _ => panic!("there is no rule {rule}"),
    }
}

/// Whether a refresh token that may arrive in this very state would be decided on by `RULE`.
fn decides_by<const RULE: u8>(model: &Rotation, world: &World) -> bool {
    let decides = |token, nonce| model.decide(&world.row, token, nonce).rule() == RULE;
    presented_by_the_client(world).any(|(token, nonce)| decides(token, nonce.then_some(Actor::Victim)))
        || world
            .thief
            .tokens
            .iter()
            .any(|token| decides(*token, None) || model.thiefs_nonces && decides(*token, Some(Actor::Thief)))
}
