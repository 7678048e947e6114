//! What a handler may take as its first argument.

use crate::{
    error::SessionError,
    route::kind::{self, Kind},
    session::{Login, Session},
};

/// What a handler of kind `K` may take as its first argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what this attribute gives to its handler",
    label = "not a session",
    note = "the first argument is `Session`, `Option<Session>` with `optional`, `Login` in a login, or a `Result` of \
            a session with `SessionError`"
)]
pub trait SessionArgument<K: Kind>: Sized + Send {
    /// Makes the argument of what was found, or refuses the request.
    #[doc(hidden)]
    fn take(outcome: Outcome) -> Result<Self, SessionError>;
}

/// What a guard found.
#[doc(hidden)]
#[derive(Debug)]
pub enum Outcome {
    /// A session.
    Session(Session),
    /// No session, and nothing that was meant to be one.
    Anonymous,
    /// A login in progress.
    Login(Box<Login>),
    /// A reason not to serve the request.
    Refused(SessionError),
}

impl Outcome {
    fn session(self) -> Result<Session, SessionError> {
        match self {
            Self::Session(session) => Ok(session),
            Self::Refused(error) => Err(error),
            Self::Anonymous | Self::Login(_) => Err(SessionError::Unauthorised),
        }
    }

    fn session_if_any(self) -> Result<Option<Session>, SessionError> {
        match self {
            // A session that is known to be over is none; the guard has the client forget it.
            Self::Anonymous | Self::Refused(SessionError::Unauthorised) => Ok(None),
            other => other.session().map(Some),
        }
    }
}

macro_rules! session_arguments {
    ($($argument:ty: $($kind:ident)|+ = $take:expr;)+) => {$($(
        #[diagnostic::do_not_recommend]
        impl SessionArgument<kind::$kind> for $argument {
            fn take(outcome: Outcome) -> Result<Self, SessionError> {
                $take(outcome)
            }
        }
    )+)+};
}

session_arguments! {
    Session: Required | Refresh | Logout = Outcome::session;
    Result<Session, SessionError>: Required | Refresh | Logout = |outcome: Outcome| Ok(outcome.session());
    Option<Session>: Optional = Outcome::session_if_any;
    Result<Option<Session>, SessionError>: Optional = |outcome: Outcome| Ok(outcome.session_if_any());
    Login: Login = |outcome| match outcome {
        Outcome::Login(login) => Ok(*login),
        Outcome::Refused(error) => Err(error),
        Outcome::Session(_) | Outcome::Anonymous => Err(SessionError::Unauthorised),
    };
}
