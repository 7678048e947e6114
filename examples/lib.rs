//! What the programs share.

mod store;

pub use store::Place;
