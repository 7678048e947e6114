//! Protected routes and sessions for axum.

pub mod clock;
pub mod handle;
pub mod token;

pub use clock::{Clock, Timestamp};
pub use handle::{InvalidSessionHandle, SessionHandle};
