//! The methods that axum routes.

use std::fmt;

use axum::routing::MethodFilter;

macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident,)*) => {
        /// The method of a route (RFC 9110, section 9; `PATCH`: RFC 5789).
        #[allow(clippy::upper_case_acronyms)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method {$(
            $(#[$doc])*
            $method,
        )*}

        impl Method {
            /// The method as it stands in a request.
            pub const fn as_str(self) -> &'static str {
                match self {$(
                    Self::$method => stringify!($method),
                )*}
            }
        }

        impl From<Method> for MethodFilter {
            fn from(method: Method) -> Self {
                match method {$(
                    Method::$method => Self::$method,
                )*}
            }
        }
    };
}

methods! {
    /// Reads. axum answers `HEAD` with it too.
    GET,
    /// Does what the resource decides.
    POST,
    /// Replaces.
    PUT,
    /// Changes a part.
    PATCH,
    /// Removes.
    DELETE,
    /// Reads without a body.
    HEAD,
    /// Asks what is possible.
    OPTIONS,
    /// Echoes.
    TRACE,
    /// Opens a tunnel.
    CONNECT,
}

impl Method {
    pub(super) const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
