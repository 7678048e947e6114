//! Protected routes and sessions for axum.

pub mod clock;
pub mod handle;

pub use clock::{Clock, Timestamp};
pub use handle::{InvalidSessionHandle, SessionHandle};
