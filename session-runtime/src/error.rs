//! What can go wrong, and how a caller is told.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{claims::ClaimFailure, handle::SessionHandle, rotation::TheftKind};

/// Why a request has no session.
///
/// A handler whose first argument is `Result<Session, SessionError>` receives it; for every other handler the refusal is
/// answered with the status, body and headers below, and the handler does not run.
///
/// | variant | status | `message` in the body | `session-error` header |
/// |---|---|---|---|
/// | [`TryRefreshToken`](Self::TryRefreshToken) | 401, or as configured | `try refresh token` | `try_refresh_token` |
/// | [`Unauthorised`](Self::Unauthorised) | the same | `unauthorised` | `unauthorised` |
/// | [`TokenTheft`](Self::TokenTheft) | the same | `token theft detected` | `token_theft` |
/// | [`InvalidClaims`](Self::InvalidClaims) | 403, or as configured | `invalid claim` | `invalid_claim` |
/// | [`CsrfRejected`](Self::CsrfRejected) | 403 | `cross-site request refused` | `csrf` |
/// | [`TooManySessions`](Self::TooManySessions) | 409 | `too many sessions` | `too_many_sessions` |
/// | [`NonceRefused`](Self::NonceRefused) | 409, or 400 for a malformed one | as [`NonceProblem`] says | `nonce_required`, `nonce_generation`, `nonce_malformed` |
/// | [`StoreUnavailable`](Self::StoreUnavailable) | 503 | `session store unavailable` | `store_unavailable` |
/// | [`ClaimUnavailable`](Self::ClaimUnavailable) | 503 | `claim unavailable` | `claim_unavailable` |
/// | [`Misconfigured`](Self::Misconfigured) | 500 | `internal server error` | `misconfigured` |
///
/// The 401 and 403 of the first five also carry `WWW-Authenticate` (RFC 6750 §3, RFC 9470 §3), so that a client can tell
/// "refresh and retry" from "log in again" from a 401 of the application's own.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The access token has expired, or was not signed by a key that is live: the client should refresh and retry.
    #[error("try refresh token")]
    TryRefreshToken,

    /// There is no session: no token came, or its session has ended.
    #[error("unauthorised")]
    Unauthorised,

    /// A refresh token was used that only a copy of the client's can explain. The session has been ended.
    #[error("token theft detected")]
    TokenTheft {
        /// Whose session it was.
        user_id: Arc<str>,
        /// Which session it was.
        session_handle: SessionHandle,
        /// What gave the theft away.
        kind: TheftKind,
    },

    /// The session is valid but does not meet what the route requires.
    #[error("invalid claim")]
    InvalidClaims(
        /// Every requirement that is not met: those of the application, then those of the route in its order, with the
        /// functions last.
        Vec<ClaimFailure>,
    ),

    /// The request may have been made by another site in the user's name.
    #[error("cross-site request refused")]
    CsrfRejected,

    /// The user has as many sessions as allowed, and the application chose to refuse more.
    #[error("too many sessions")]
    TooManySessions,

    /// The refresh token of a bound client came without its nonce, or with one that does not go with it. Nothing was changed and
    /// nothing is cleared: the client should look up which generation it has, and refresh again with the nonce of that. See
    /// [bound clients](mod@crate::rotation#bound-clients).
    #[error("{0}")]
    NonceRefused(
        /// What is wrong with it.
        NonceProblem,
    ),

    /// The store did not answer, or failed. Nothing is known about the session, so nothing is cleared.
    #[error("session store unavailable")]
    StoreUnavailable(#[source] StoreError),

    /// A claim that the route requires had to be fetched, and its
    /// [source](crate::SessionsBuilder::claim_source) failed or did not answer. Nothing is cleared.
    #[error("claim unavailable")]
    ClaimUnavailable {
        /// The key of the claim.
        claim: &'static str,
        /// What the source said.
        source: Arc<dyn StdError + Send + Sync>,
    },

    /// The application is put together in a way that can't work; the message is for its log, not for the client.
    #[error("{0}")]
    Misconfigured(
        /// What is wrong and how to mend it.
        Arc<str>,
    ),
}

impl SessionError {
    /// The header that names the reason of a refusal, for machines.
    pub const REASON_HEADER: HeaderName = HeaderName::from_static("session-error");

    pub(crate) fn misconfigured(message: impl Into<Arc<str>>) -> Self {
        Self::Misconfigured(message.into())
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::TryRefreshToken => "try_refresh_token",
            Self::Unauthorised => "unauthorised",
            Self::TokenTheft { .. } => "token_theft",
            Self::InvalidClaims(_) => "invalid_claim",
            Self::CsrfRejected => "csrf",
            Self::TooManySessions => "too_many_sessions",
            Self::NonceRefused(NonceProblem::Missing) => "nonce_required",
            Self::NonceRefused(NonceProblem::OtherGeneration) => "nonce_generation",
            Self::NonceRefused(NonceProblem::Malformed) => "nonce_malformed",
            Self::StoreUnavailable(_) => "store_unavailable",
            Self::ClaimUnavailable { .. } => "claim_unavailable",
            Self::Misconfigured(_) => "misconfigured",
        }
    }

    pub(crate) fn status(&self, statuses: &Statuses) -> StatusCode {
        match self {
            Self::TryRefreshToken | Self::Unauthorised | Self::TokenTheft { .. } => statuses.expired,
            Self::InvalidClaims(_) => statuses.invalid_claim,
            Self::CsrfRejected => StatusCode::FORBIDDEN,
            Self::NonceRefused(NonceProblem::Malformed) => StatusCode::BAD_REQUEST,
            Self::TooManySessions | Self::NonceRefused(_) => StatusCode::CONFLICT,
            Self::StoreUnavailable(_) | Self::ClaimUnavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Misconfigured(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The challenge of RFC 6750 §3, or that of RFC 9470 §3 where the user has to authenticate again.
    fn challenge(&self) -> Option<HeaderValue> {
        let challenge = match self {
            Self::TryRefreshToken => {
                r#"Bearer realm="session", error="invalid_token", error_description="try refresh token""#
            }
            Self::Unauthorised => r#"Bearer realm="session""#,
            Self::TokenTheft { .. } => {
                r#"Bearer realm="session", error="invalid_token", error_description="token theft detected""#
            }
            Self::InvalidClaims(failures) => match failures.iter().find_map(ClaimFailure::max_auth_age) {
                Some(max_age) => {
                    let challenge = format!(
                        r#"Bearer realm="session", error="insufficient_user_authentication", error_description="re-authentication required", max_age="{max_age}""#
                    );
                    return HeaderValue::try_from(challenge).ok();
                }
                None => r#"Bearer realm="session", error="insufficient_scope""#,
            },
            Self::CsrfRejected => {
                r#"Bearer realm="session", error="invalid_request", error_description="cross-site request refused""#
            }
            Self::TooManySessions
            | Self::NonceRefused(_)
            | Self::StoreUnavailable(_)
            | Self::ClaimUnavailable { .. }
            | Self::Misconfigured(_) => return None,
        };
        Some(HeaderValue::from_static(challenge))
    }

    /// The answer to a refused request. Clearing of tokens is the guard's, which knows what the request carried.
    pub(crate) fn response(&self, statuses: &Statuses) -> Response {
        if let Self::Misconfigured(problem) = self {
            tracing::error!(
                problem = &**problem,
                "a session could not be served as the application is put together"
            );
        }
        let body = match self {
            Self::InvalidClaims(failures) => {
                json!({ "message": "invalid claim", "claimValidationErrors": failures })
            }
            Self::Misconfigured(_) => json!({ "message": "internal server error" }),
            other => json!({ "message": other.to_string() }),
        };
        let mut response = Json(body).into_response();
        self.configure(statuses, &mut response);
        let headers = response.headers_mut();
        headers.insert(Self::REASON_HEADER, HeaderValue::from_static(self.reason()));
        if let Some(challenge) = self.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }

    /// Gives the answer to a refused request what the settings say of it.
    pub(crate) fn configure(&self, statuses: &Statuses, response: &mut Response) {
        *response.status_mut() = self.status(statuses);
        if matches!(self, Self::StoreUnavailable(_) | Self::ClaimUnavailable { .. }) {
            let pause = HeaderValue::from(statuses.retry_after.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, pause);
        }
    }

    /// Tells the log what the client is not told.
    pub(crate) fn log_misconfiguration(&self) {
        if let Self::Misconfigured(problem) = self {
            tracing::error!(%problem, "the application can't work as it is put together");
        }
    }
}

/// What is wrong with the `st-nonce` header of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NonceProblem {
    /// There is none, and the session is bound to a client that sends one.
    #[error("nonce required")]
    Missing,
    /// It is made for another generation than that of the refresh token beside it. Another tab may have refreshed meanwhile.
    #[error("nonce of another generation")]
    OtherGeneration,
    /// It is not of the form `<generation>.<nonce>`, or there are several.
    #[error("malformed nonce")]
    Malformed,
}

/// The statuses of refusals, as configured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statuses {
    pub(crate) expired: StatusCode,
    pub(crate) invalid_claim: StatusCode,
    pub(crate) retry_after: Duration,
}

impl Default for Statuses {
    fn default() -> Self {
        Self {
            expired: StatusCode::UNAUTHORIZED,
            invalid_claim: StatusCode::FORBIDDEN,
            retry_after: Duration::from_secs(1),
        }
    }
}

/// Marks the response of a `SessionError` that a handler returned, so that the guard can give it the configured
/// status and `Retry-After`.
#[derive(Clone)]
pub(crate) struct Refused(pub(crate) SessionError);

/// The answer of the table above. Inside an annotated handler the guard adds the configured status and `Retry-After`.
impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        let mut response = self.response(&Statuses::default());
        response.extensions_mut().insert(Refused(self));
        response
    }
}

/// A store failed or did not answer in time. It says nothing about any session.
///
/// It reads as its [`cause`](Self::cause) does, and [`source`](StdError::source) is what has caused that. Whoever makes one sees to it
/// that its text tells all there is to know and no secret: it is logged.
///
/// ```
/// use std::io;
/// use session_runtime::StoreError;
///
/// let error = StoreError::new(io::Error::other("the disk is gone"));
/// assert_eq!(error.to_string(), "session store failed: the disk is gone");
/// assert!(error.cause().is::<io::Error>());
/// ```
#[derive(Clone)]
pub struct StoreError(Arc<dyn StdError + Send + Sync>);

impl StoreError {
    /// A failure with its cause.
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Arc::from(cause.into()))
    }

    /// What [`new`](Self::new) was given, such as a store's own error, to be downcast.
    pub fn cause(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreError").field(&self.0).finish()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session store failed: {}", self.0)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::StoreUnavailable(error)
    }
}
