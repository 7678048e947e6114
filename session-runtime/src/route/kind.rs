//! The kinds of endpoints, one for each attribute.

use std::fmt;

use axum::extract::FromRef;

use super::Protection;
use crate::Sessions;

/// What an attribute makes of its handler.
#[doc(hidden)]
pub trait Kind: sealed::Sealed + 'static {
    /// This kind as a value.
    const KIND: RouteKind;
}

/// A router state that gives the endpoints of a kind what they need.
///
/// Handlers behind a session need [`Sessions`]; [`#[public]`](crate::public) handlers need nothing.
#[diagnostic::on_unimplemented(
    message = "the router's state `{S}` holds no `Sessions`",
    label = "this handler needs a session",
    note = "add `sessions: Sessions` to `{S}` and derive `FromRef` for it"
)]
pub trait Accepts<S> {
    /// `S`.
    type State;
}

impl<S> Accepts<S> for Public {
    type State = S;
}

/// What a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RouteKind {
    /// Needs a session.
    Protected,
    /// Takes a session where there is one.
    Optional,
    /// Creates sessions.
    Login,
    /// Rotates refresh tokens.
    Refresh,
    /// Ends a session.
    Logout,
    /// Open to everyone.
    Public,
}

impl RouteKind {
    /// The kind in one lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Optional => "optional",
            Self::Login => "login",
            Self::Refresh => "refresh",
            Self::Logout => "logout",
            Self::Public => "public",
        }
    }

    /// Whether a client of this route comes to hold tokens that only a refresh can renew.
    pub(super) const fn needs_refresh(self) -> bool {
        matches!(self, Self::Protected | Self::Optional | Self::Login)
    }
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $value:ident,)*) => {$(
        $(#[$doc])*
        #[doc(hidden)]
        #[derive(Debug)]
        pub enum $kind {}

        impl sealed::Sealed for $kind {}

        impl Kind for $kind {
            const KIND: RouteKind = RouteKind::$value;
        }

        impl Protection for $kind {
            type Kind = Self;
            type Functions = ();
        }
    )*};
}

macro_rules! accepts_states_with_sessions {
    ($($kind:ident)*) => {$(
        #[diagnostic::do_not_recommend]
        impl<S> Accepts<S> for $kind
        where
            Sessions: FromRef<S>,
        {
            type State = S;
        }
    )*};
}

kinds! {
    /// `#[protected]`
    Required = Protected,
    /// `#[protected(optional)]`
    Optional = Optional,
    /// `#[login_endpoint]`
    Login = Login,
    /// `#[refresh_endpoint]`
    Refresh = Refresh,
    /// `#[logout_endpoint]`
    Logout = Logout,
    /// `#[public]`
    Public = Public,
}

accepts_states_with_sessions! { Required Optional Login Refresh Logout }

mod sealed {
    #[allow(unnameable_types)]
    pub trait Sealed {}
}
