//! Protected routes and sessions for axum.

pub mod claims;
pub mod clock;
pub mod config;
pub mod error;
pub mod event;
pub mod handle;
pub mod rotation;
pub mod session;
pub mod sessions;
pub mod store;
pub mod token;

mod background;
mod exchange;
mod guard;
mod node_clock;
mod revocation;
mod route;
mod transport;

pub use claims::{Claim, ClaimFailure, ClaimSet, Requirement};
pub use clock::{Clock, Timestamp};
pub use config::{BuildError, SessionsBuilder, WhenBehind};
pub use error::{SessionError, StoreError};
pub use event::{Event, EventKind, Events};
pub use guard::{SessionArgument, Theft, TheftAnswer};
pub use handle::{InvalidSessionHandle, SessionHandle};
pub use rotation::{Grace, TheftKind};
pub use route::{Method, RouteInfo, Routes, kind::RouteKind};
pub use session::{Login, Session};
pub use session_macros::{login_endpoint, logout_endpoint, protected, public, refresh_endpoint, routes};
pub use sessions::{NewSession, SessionInfo, Sessions, Tokens};
pub use store::{BeyondLimit, EndReason, MemoryStore, SessionStore};
pub use token::{Algorithm, Jwks, KeyRing, SigningAlgorithm};
pub use transport::{CsrfMode, InvalidTransport, SameSite, Transport};

#[doc(hidden)]
pub mod __private {
    pub use crate::{
        Requirement,
        guard::{Guard, ResponseFuture, respond, theft_answer},
        route::{
            Endpoint, GuardOptions, Method, Mount, RouteInfo, RouteSpec, TheftHook, Unlisted, Verdict,
            capacity, kind, mount, routes, verdicts,
        },
    };
}
