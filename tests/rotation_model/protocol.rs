//! The functions under test, exchangeable for versions with a fault.

use session_runtime::{
    Timestamp,
    rotation::{self, Chain, Confirmation, Decision, Grace, Presented, Standing},
};

/// What the model's store runs.
#[derive(Clone, Copy)]
pub(crate) struct Protocol {
    pub(crate) begin: fn(Timestamp, Grace) -> Chain,
    pub(crate) decide: fn(Option<&Standing>, Presented, Timestamp, Grace) -> Decision,
    pub(crate) confirm: fn(Option<&Standing>, u32, Timestamp) -> Confirmation,
    /// Whether reading, deciding and writing are one step.
    pub(crate) atomic: bool,
}

impl Protocol {
    pub(crate) const REAL: Self =
        Self { begin: Chain::begin, decide: rotation::decide, confirm: rotation::confirm, atomic: true };
}
