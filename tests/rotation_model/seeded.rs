//! Versions of the protocol with one fault each. The model must find every one of them out.

use session_runtime::{
    Timestamp,
    rotation::{
        Binding, Chain, Confirmation, Decision, Grace, Presented, Standing, TheftKind, Why, confirm, decide,
    },
};

use crate::protocol::Protocol;

const REAL: Protocol = Protocol::REAL;

pub(crate) const WITHOUT_FLOOR: Protocol = Protocol { decide: without_floor, ..REAL };
pub(crate) const WITHOUT_LATE: Protocol = Protocol { decide: without_late, ..REAL };
pub(crate) const WITHOUT_QUIET: Protocol = Protocol { decide: without_quiet, ..REAL };
pub(crate) const REISSUE_AS_THEFT: Protocol = Protocol { decide: reissue_as_theft, ..REAL };
pub(crate) const WITHOUT_ROLL_FORWARD: Protocol = Protocol { decide: without_roll_forward, ..REAL };
pub(crate) const GUESSED_PARENT: Protocol = Protocol { decide: guessed_parent, ..REAL };
pub(crate) const WITHOUT_REPLAY: Protocol = Protocol { decide: without_replay, ..REAL };
pub(crate) const WITHOUT_FORK_DETECTION: Protocol = Protocol { decide: without_fork_detection, ..REAL };
pub(crate) const SUPERSEDED_TOLERATED: Protocol = Protocol { decide: superseded_tolerated, ..REAL };
pub(crate) const PARENT_IGNORED: Protocol = Protocol { decide: parent_ignored, ..REAL };
pub(crate) const UNCONDITIONAL_CONFIRM: Protocol = Protocol { confirm: unconditional_confirm, ..REAL };
pub(crate) const REVIVING_CONFIRM: Protocol = Protocol { confirm: reviving_confirm, ..REAL };
pub(crate) const CONFIRM_WITHOUT_THEFT: Protocol = Protocol { confirm: confirm_without_theft, ..REAL };
pub(crate) const KEEP_BINDS: Protocol = Protocol { decide: keep_binds, ..REAL };
pub(crate) const FORGETFUL_ROLL_FORWARD: Protocol = Protocol { decide: forgetful_roll_forward, ..REAL };
pub(crate) const WITHOUT_GRANDPARENT: Protocol = Protocol { decide: without_grandparent, ..REAL };
pub(crate) const OLDER_NEED_NONCES: Protocol = Protocol { decide: older_need_nonces, ..REAL };
pub(crate) const BOUND_SUCCESSOR_REPLAYED: Protocol = Protocol { decide: bound_successor_replayed, ..REAL };
pub(crate) const OTHER_NONCE_TOLERATED: Protocol = Protocol { decide: other_nonce_tolerated, ..REAL };
pub(crate) const PARENTS_TWIN_TOLERATED: Protocol = Protocol { decide: parents_twin_tolerated, ..REAL };
pub(crate) const ROTATES_AT_ONCE: Protocol = Protocol { begin: begin_long_ago, ..REAL };
pub(crate) const SPLIT_IN_TWO: Protocol = Protocol { atomic: false, ..REAL };

fn without_floor(row: Option<&Standing>, presented: Presented, now: Timestamp, grace: Grace) -> Decision {
    match decide(row, presented, now, grace) {
        Decision::Keep(chain) => Decision::Rotate(successor(&chain, chain.generation, now)),
        other => other,
    }
}

fn without_late(row: Option<&Standing>, presented: Presented, now: Timestamp, grace: Grace) -> Decision {
    match decide(row, presented, now, grace) {
        Decision::Late(_) => Decision::Theft { kind: TheftKind::Superseded, rule: 7 },
        other => other,
    }
}

fn without_quiet(row: Option<&Standing>, presented: Presented, now: Timestamp, grace: Grace) -> Decision {
    match decide(row, presented, now, grace) {
        Decision::Quiet(chain) => Decision::Reissue(successor(&chain, chain.parent, now)),
        other => other,
    }
}

fn reissue_as_theft(row: Option<&Standing>, presented: Presented, now: Timestamp, grace: Grace) -> Decision {
    match decide(row, presented, now, grace) {
        Decision::Reissue(_) => Decision::Theft { kind: TheftKind::Superseded, rule: 7 },
        other => other,
    }
}

fn without_roll_forward(
    row: Option<&Standing>,
    presented: Presented,
    now: Timestamp,
    grace: Grace,
) -> Decision {
    match decide(row, presented, now, grace) {
        Decision::RollForward(_) => Decision::Unauthorised(Why::Unknown),
        other => other,
    }
}

fn guessed_parent(row: Option<&Standing>, presented: Presented, now: Timestamp, grace: Grace) -> Decision {
    match decide(row, presented, now, grace) {
        Decision::RollForward(chain) => {
            Decision::RollForward(Chain { parent: chain.generation - 1, ..chain })
        }
        other => other,
    }
}

fn without_replay(row: Option<&Standing>, presented: Presented, now: Timestamp, grace: Grace) -> Decision {
    match decide(row, presented, now, grace) {
        Decision::Replay { chain, .. } => Decision::Reissue(successor(&chain, chain.parent, now)),
        other => other,
    }
}

fn without_fork_detection(
    row: Option<&Standing>,
    presented: Presented,
    now: Timestamp,
    grace: Grace,
) -> Decision {
    match decide(row, presented, now, grace) {
        Decision::Theft { rule: 11, .. } => Decision::Unauthorised(Why::Unknown),
        other => other,
    }
}

fn superseded_tolerated(
    row: Option<&Standing>,
    presented: Presented,
    now: Timestamp,
    grace: Grace,
) -> Decision {
    match (decide(row, presented, now, grace), row) {
        (Decision::Theft { rule: 7, .. }, Some(row)) => Decision::Late(row.chain.clone()),
        (other, _) => other,
    }
}

fn parent_ignored(row: Option<&Standing>, presented: Presented, now: Timestamp, grace: Grace) -> Decision {
    match (decide(row, presented, now, grace), row) {
        (Decision::Theft { rule: 3, .. }, Some(row)) => {
            decide(Some(row), row.chain.link().into(), now, grace)
        }
        (other, _) => other,
    }
}

fn unconditional_confirm(row: Option<&Standing>, generation: u32, now: Timestamp) -> Confirmation {
    match (confirm(row, generation, now), row) {
        (Confirmation::Nothing, Some(row)) if !row.ended && row.chain.used_at.is_none() => {
            Confirmation::Used(Chain { used_at: Some(now), ..row.chain.clone() })
        }
        (other, _) => other,
    }
}

fn reviving_confirm(row: Option<&Standing>, generation: u32, now: Timestamp) -> Confirmation {
    let living = row.map(|row| Standing { ended: false, ..row.clone() });
    confirm(living.as_ref(), generation, now)
}

fn confirm_without_theft(row: Option<&Standing>, generation: u32, now: Timestamp) -> Confirmation {
    match confirm(row, generation, now) {
        Confirmation::Theft(_) => Confirmation::Nothing,
        other => other,
    }
}

fn begin_long_ago(created: Timestamp, grace: Grace) -> Chain {
    let chain = Chain::begin(created, grace);
    Chain { rotated_at: chain.rotated_at.before(grace.floor()), ..chain }
}

fn keep_binds(row: Option<&Standing>, presented: Presented, now: Timestamp, grace: Grace) -> Decision {
    match decide(row, presented, now, grace) {
        Decision::Keep(chain) if chain.binding.is_none() => {
            let since = chain.generation;
            let binding = presented.nonce.map(|nonce| Box::new(Binding { since, nonce, parent_nonce: None }));
            Decision::Keep(Chain { binding, ..chain })
        }
        other => other,
    }
}

fn forgetful_roll_forward(
    row: Option<&Standing>,
    presented: Presented,
    now: Timestamp,
    grace: Grace,
) -> Decision {
    match decide(row, presented, now, grace) {
        Decision::RollForward(chain) => Decision::RollForward(Chain { binding: None, ..chain }),
        other => other,
    }
}

fn without_grandparent(
    row: Option<&Standing>,
    presented: Presented,
    now: Timestamp,
    grace: Grace,
) -> Decision {
    match decide(row, presented, now, grace) {
        Decision::Replay { rule: 15, .. } => Decision::Theft { kind: TheftKind::Fork, rule: 11 },
        other => other,
    }
}

fn older_need_nonces(row: Option<&Standing>, presented: Presented, now: Timestamp, grace: Grace) -> Decision {
    let bound = row.is_some_and(|row| !row.ended && row.chain.binding.is_some());
    match presented.nonce {
        None if bound => Decision::NonceMissing,
        _ => decide(row, presented, now, grace),
    }
}

fn bound_successor_replayed(
    row: Option<&Standing>,
    presented: Presented,
    now: Timestamp,
    grace: Grace,
) -> Decision {
    match decide(row, presented, now, grace) {
        Decision::Quiet(chain) if now <= chain.rotated_at.after(grace.window()) => {
            Decision::Replay { chain, rule: 8 }
        }
        other => other,
    }
}

fn other_nonce_tolerated(
    row: Option<&Standing>,
    presented: Presented,
    now: Timestamp,
    grace: Grace,
) -> Decision {
    match (decide(row, presented, now, grace), row) {
        (Decision::Theft { rule: 14, .. }, Some(row)) => {
            Decision::Replay { chain: row.chain.clone(), rule: 13 }
        }
        (other, _) => other,
    }
}

fn parents_twin_tolerated(
    row: Option<&Standing>,
    presented: Presented,
    now: Timestamp,
    grace: Grace,
) -> Decision {
    let blind = row.map(|row| Standing { chain: Chain { grandparent: 0, ..row.chain.clone() }, ..*row });
    match (decide(row, presented, now, grace), row) {
        (Decision::Theft { rule: 11, .. }, Some(row)) if presented.link.generation == row.chain.parent => {
            decide(blind.as_ref(), presented, now, grace)
        }
        (other, _) => other,
    }
}

fn successor(chain: &Chain, parent: u32, now: Timestamp) -> Chain {
    let grandparent = if parent == chain.generation { chain.parent } else { chain.grandparent };
    Chain {
        generation: chain.generation + 1,
        parent,
        grandparent,
        rotated_at: now,
        used_at: None,
        binding: None,
    }
}
