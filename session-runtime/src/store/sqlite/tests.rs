//! What the kit does not ask of every store.
