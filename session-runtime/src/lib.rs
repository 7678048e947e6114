//! Protected routes and sessions for axum.

pub mod clock;
pub mod handle;
#[cfg_attr(not(test), expect(dead_code, reason = "the guard, which is to call it, is not there yet"))]
pub(crate) mod transport;

pub use clock::{Clock, Timestamp};
pub use handle::{InvalidSessionHandle, SessionHandle};
pub use transport::{CsrfMode, InvalidTransport, SameSite, Transport};
