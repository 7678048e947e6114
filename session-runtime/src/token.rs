//! Tokens and the keys under them.
//!
//! An operator gives one secret, or a [`KeyRing`] of them; everything else is derived from it ([`Keys`]), so that every
//! node agrees without a word and nothing secret is stored.
//!
//! | | access token | refresh token |
//! |---|---|---|
//! | form | JWT, `typ: at+jwt` ([`access`]) | 77 or 93 bytes, base64url ([`refresh`]) |
//! | proves itself by | a signature, or a MAC with HS256 | two MACs, one of them salted by the session's row |
//! | asks the store | never | after its first MAC was found right |
//!
//! Tokens, secrets and keys print as `[REDACTED]`.

pub mod access;
mod base64url;
pub mod derived;
pub mod key_ring;
pub mod keys;
pub(crate) mod nonce;
pub mod refresh;
mod signing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;

use std::fmt;

pub use access::{AccessClaims, AccessError, AccessToken, Expected, MintError, Verified};
pub use key_ring::{KeyRing, KeyRingError, Secret, Weakness};
pub use keys::{Epochs, EpochsError, Keys};
pub use refresh::{MalformedRefreshToken, Opened, Proof, RefreshToken};
pub use signing::{Algorithm, Jwk, Jwks, Rs256, Rs256Error, SigningAlgorithm};

const REDACTED: &str = "[REDACTED]";

fn redacted(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(REDACTED)
}
