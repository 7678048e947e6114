//! Explores the refresh protocol: every behaviour of the real `decide` and `confirm`, within bounds, to exhaustion.
//!
//! A store, an honest client and, in some scenarios, a thief run against each other in discrete time. Everything that
//! can happen next is tried, in every order. The functions under test are those of `session_runtime::rotation`, called
//! with rows and times that stand for the model's; nothing of the protocol is written a second time here.
//!
//! What the model assumes, and all that it assumes:
//! - **The client** has one cookie jar for all its tabs. Any tab may refresh at any moment, however often, or use the
//!   access token. An answer's tokens overwrite the jar's, blindly, in whatever order the answers arrive. The client
//!   never forgets a token otherwise.
//! - **The network** loses, duplicates and reorders messages. A refresh and its answer are under way for G at most each.
//!   Requests to protected routes, with the confirmations that nodes queue for them, may take for ever.
//! - **The server** handles a message in one atomic step. A crash before it is a lost request, a crash after it a
//!   lost answer.
//! - **The store** may lose its latest writes again and again: everything since a moment less than 3G ago. What it never
//!   loses is the login itself and that a session was ended.
//! - **A bound client** has a nonce for each generation, the same in all tabs. Where all of them send it, messages that carry a
//!   bound token take as long as they like, but before a generation is made, those that carry the last but one are through.
//! - **The thief** copies the client's tokens once, at any moment. It keeps all it has ever got, presents any of it at any
//!   time, and its messages take no time, which it can always make up for by waiting.
//!
//! Bounds: the messages of the client under way at once, and the length of G in ticks. Within them `EXHAUSTIVE=1 cargo test`
//! explores everything, to exhaustion, in two minutes. Without that they are narrower, and it stops at a number of steps.
//!
//! `world` holds the state and what makes it finite, `model` the steps, `properties` what must hold, `seeded` the faults
//! that must be found out.

mod model;
mod properties;
mod protocol;
mod seeded;
mod world;

use std::{collections::BTreeSet, time::Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::{
    model::Rotation,
    properties::{IDEMPOTENCE, MONOTONE, NO_FALSE_ALARM, ONE_LIVE_BRANCH, SURE_DETECTION},
    protocol::Protocol,
    world::{GRACE, Nonces},
};

/// Whether it was built with `EXHAUSTIVE` set.
const FULL: bool = option_env!("EXHAUSTIVE").is_some();

/// An honest client, and a store that loses writes.
const HONEST: Rotation = Rotation {
    protocol: Protocol::REAL,
    slots: if FULL { 3 } else { 2 },
    depth: if FULL { usize::MAX } else { 24 },
    life: GRACE,
    losses: true,
    logout: false,
    thief: false,
    nonces: Nonces::None,
    thiefs_nonces: false,
    reached: &[2, 4, 5, 6, 8, 9, 10],
};

/// An honest client that logs out with refreshes under way.
const LOGOUT: Rotation = Rotation { losses: false, logout: true, reached: &[1, 4, 5, 6, 8, 9, 10], ..HONEST };

/// A client whose tokens were copied.
const THIEF: Rotation =
    Rotation { losses: false, thief: true, reached: &[1, 4, 5, 6, 7, 8, 9, 10, 11], ..HONEST };

/// A client whose tokens were copied, and a store that loses writes.
///
/// Two branches may reach one generation here. The row tells the current token from its twin (rule 3), and its parent from the
/// parent's twin (rule 11).
const THIEF_AND_LOSSES: Rotation =
    Rotation { slots: 1, losses: true, reached: &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], ..THIEF };

/// A bound client, whose messages may take very long, and a store that loses writes.
const BOUND: Rotation = Rotation {
    depth: if FULL { usize::MAX } else { 34 },
    nonces: Nonces::All,
    reached: &[2, 4, 5, 6, 8, 9, 10, 13, 15],
    ..HONEST
};

/// A client some of whose tabs send nonces. Its messages take no longer than any other's.
const MIXED: Rotation = Rotation {
    slots: 2,
    losses: false,
    nonces: Nonces::Some,
    reached: &[4, 5, 6, 8, 9, 10, 12, 13],
    ..HONEST
};

/// The same, and a store that loses writes.
const MIXED_AND_LOSSES: Rotation =
    Rotation { slots: 1, losses: true, reached: &[2, 4, 5, 8, 9, 10, 12], ..MIXED };

/// A client that sends no nonces, and a thief who does.
const HIJACKED: Rotation =
    Rotation { slots: 1, thiefs_nonces: true, reached: &[1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], ..THIEF };

/// A bound client whose tokens were copied, but not its nonces.
const BOUND_VICTIM: Rotation = Rotation {
    slots: 1,
    nonces: Nonces::All,
    thiefs_nonces: true,
    reached: &[1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    ..THIEF
};

#[test]
fn an_honest_client_meets_no_false_alarm_whatever_the_store_loses() {
    explore("honest client, lost writes", HONEST);
}

#[test]
fn a_session_that_was_logged_out_stays_so() {
    explore("honest client, logout", LOGOUT);
}

#[test]
fn a_thief_and_its_victim_can_not_take_turns() {
    explore("thief", THIEF);
}

#[test]
fn a_thief_is_found_out_even_where_the_store_loses_writes() {
    explore("thief, lost writes", THIEF_AND_LOSSES);
}

#[test]
fn a_bound_client_meets_no_false_alarm_however_long_its_messages_take() {
    explore("bound client, lost writes", BOUND);
}

#[test]
fn a_client_that_binds_in_some_tabs_meets_no_false_alarm() {
    explore("mixed tabs", MIXED);
    explore("mixed tabs, lost writes", MIXED_AND_LOSSES);
}

#[test]
fn a_thief_who_binds_first_is_found_out_by_a_victim_without_nonces() {
    explore("hijacker who binds", HIJACKED);
}

#[test]
fn a_thief_of_bound_tokens_is_found_out_within_the_grace() {
    explore("thief, bound client", BOUND_VICTIM);
}

#[test]
fn a_message_that_outlives_the_grace_is_what_the_premises_exclude() {
    refute("messages outliving the grace", Rotation { life: GRACE + 1, ..HONEST }, NO_FALSE_ALARM);
}

#[test]
fn a_missing_floor_is_found_out() {
    refute("without the floor", with(HONEST, seeded::WITHOUT_FLOOR), NO_FALSE_ALARM);
}

#[test]
fn a_missing_late_rule_is_found_out() {
    refute("without `Late`", with(HONEST, seeded::WITHOUT_LATE), NO_FALSE_ALARM);
}

#[test]
fn a_missing_quiet_phase_is_found_out() {
    refute("without `Quiet`", with(HONEST, seeded::WITHOUT_QUIET), NO_FALSE_ALARM);
}

#[test]
fn a_missing_replay_is_found_out() {
    refute("without `Replay`", with(HONEST, seeded::WITHOUT_REPLAY), IDEMPOTENCE);
}

#[test]
fn a_reissue_taken_for_theft_is_found_out() {
    refute("`Reissue` taken for theft", with(HONEST, seeded::REISSUE_AS_THEFT), NO_FALSE_ALARM);
}

#[test]
fn a_missing_roll_forward_is_found_out() {
    refute("without `RollForward`", with(HONEST, seeded::WITHOUT_ROLL_FORWARD), NO_FALSE_ALARM);
}

#[test]
fn a_guessed_parent_is_found_out() {
    refute("`RollForward` with a guessed parent", with(HONEST, seeded::GUESSED_PARENT), NO_FALSE_ALARM);
}

#[test]
fn an_unconditional_confirm_is_found_out() {
    refute("unconditional `confirm`", with(HONEST, seeded::UNCONDITIONAL_CONFIRM), NO_FALSE_ALARM);
}

#[test]
fn a_confirm_that_revives_an_ended_session_is_found_out() {
    refute("`confirm` of an ended session", with(LOGOUT, seeded::REVIVING_CONFIRM), MONOTONE);
}

#[test]
fn a_new_session_that_rotates_at_once_is_found_out() {
    refute("a new session rotates at once", with(HONEST, seeded::ROTATES_AT_ONCE), NO_FALSE_ALARM);
}

#[test]
fn a_missing_fork_detection_is_found_out() {
    refute("fork detection off", with(THIEF, seeded::WITHOUT_FORK_DETECTION), SURE_DETECTION);
}

#[test]
fn a_dead_branch_left_alive_is_found_out() {
    refute("fork detection off, lookahead", with(THIEF, seeded::WITHOUT_FORK_DETECTION), ONE_LIVE_BRANCH);
}

#[test]
fn a_superseded_token_that_is_tolerated_is_found_out() {
    refute("superseded tokens tolerated", with(THIEF, seeded::SUPERSEDED_TOLERATED), SURE_DETECTION);
}

#[test]
fn a_confirm_that_overlooks_dead_branches_is_found_out() {
    refute("`confirm` without theft", with(THIEF, seeded::CONFIRM_WITHOUT_THEFT), SURE_DETECTION);
}

#[test]
fn a_parent_that_is_ignored_is_found_out() {
    refute("parent ignored", with(THIEF_AND_LOSSES, seeded::PARENT_IGNORED), SURE_DETECTION);
}

#[test]
fn a_parents_twin_that_is_tolerated_is_found_out() {
    refute("parent's twin", with(THIEF_AND_LOSSES, seeded::PARENTS_TWIN_TOLERATED), SURE_DETECTION);
}

#[test]
fn a_keep_that_binds_is_found_out() {
    refute("`Keep` binds", with(HIJACKED, seeded::KEEP_BINDS), SURE_DETECTION);
}

#[test]
fn a_roll_forward_that_forgets_the_nonce_is_found_out() {
    refute("`RollForward` forgets", with(BOUND, seeded::FORGETFUL_ROLL_FORWARD), NO_FALSE_ALARM);
}

#[test]
fn a_missing_grandparent_is_found_out() {
    let bound = Rotation { slots: 2, ..BOUND };
    refute("without grandparent", with(bound, seeded::WITHOUT_GRANDPARENT), NO_FALSE_ALARM);
}

#[test]
fn nonces_asked_for_with_older_tokens_are_found_out() {
    refute("older tokens need nonces", with(HIJACKED, seeded::OLDER_NEED_NONCES), SURE_DETECTION);
}

#[test]
fn a_bound_successor_given_to_who_sends_no_nonce_is_found_out() {
    refute("bound successor replayed", with(HIJACKED, seeded::BOUND_SUCCESSOR_REPLAYED), SURE_DETECTION);
}

#[test]
fn another_nonce_that_is_tolerated_is_found_out() {
    refute("other nonce tolerated", with(BOUND_VICTIM, seeded::OTHER_NONCE_TOLERATED), SURE_DETECTION);
}

#[test]
fn a_compare_and_set_split_in_two_is_found_out() {
    refute("split in two, logout", with(LOGOUT, seeded::SPLIT_IN_TWO), MONOTONE);
    refute("split in two, thief", with(THIEF, seeded::SPLIT_IN_TWO), MONOTONE);
}

const fn with(scenario: Rotation, protocol: Protocol) -> Rotation {
    Rotation { protocol, ..scenario }
}

/// Visits every state; each property must hold in all of them, and each listed rule must be met.
fn explore(name: &str, model: Rotation) {
    let started = Instant::now();
    let checker = model.checker().threads(2).target_max_depth(model.depth).spawn_bfs().join();
    println!("{name}: {} states, {:.1?}", checker.unique_state_count(), started.elapsed());
    let found = checker.discoveries();
    for property in model.properties() {
        match (property.expectation, found.get(property.name)) {
            (Expectation::Always, Some(path)) => {
                path.clone().into_vec().iter().for_each(|(world, step)| println!("{world:?}\n  {step:?}"));
                panic!("{name}: {:?} is broken, by the steps above", property.name);
            }
            (Expectation::Sometimes, None) => panic!("{name}: never seen: {}", property.name),
            _ => {}
        }
    }
}

/// Looks for a counterexample to `property`, which must exist.
fn refute(name: &str, model: Rotation, property: &'static str) {
    let started = Instant::now();
    let found = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = model.checker().finish_when(found).spawn_bfs().join();
    let path = checker.discovery(property);
    let states = checker.unique_state_count();
    let Some(path) = path else { panic!("{name}: no counterexample to {property:?} in {states} states") };
    let steps = path.into_actions().len();
    println!("{name}: {property:?} broken in {steps} steps; {states} states, {:.1?}", started.elapsed());
}
