//! Hashes of paths, made by the attributes: hashing all bytes of a large table would take the compiler seconds.

use super::tokens::{Token, Tokens};

const BASE: u64 = 0x2545_f491_4f6c_dd1d;

/// A polynomial of tokens, modulo 2⁶⁴.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Hash {
    /// Its value at a fixed base.
    pub value: u64,
    /// The base to the power of the number of tokens.
    pub power: u64,
}

impl Hash {
    /// The hash of nothing.
    pub const EMPTY: Self = Self { value: 0, power: 1 };

    /// The hash of what `prefix` is of, and then of what this is of.
    pub(super) const fn after(self, prefix: Self) -> Self {
        Self {
            value: prefix.value.wrapping_mul(self.power).wrapping_add(self.value),
            power: prefix.power.wrapping_mul(self.power),
        }
    }

    const fn push(self, token: u64) -> Self {
        Self {
            value: self.value.wrapping_mul(BASE).wrapping_add(token + 1),
            power: self.power.wrapping_mul(BASE),
        }
    }
}

/// The hashes of a path.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Hashes {
    /// Of the path as it is written.
    pub text: Hash,
    /// Of the path as the router takes it.
    pub tokens: Hash,
    /// The captures and catch-alls.
    pub wilds: &'static [Wild],
}

/// A capture or a catch-all.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Wild {
    /// The hash of the tokens before it.
    pub before: Hash,
    /// Whether it is a catch-all.
    pub is_catch_all: bool,
}

impl Hashes {
    /// The hashes of an empty path.
    pub const EMPTY: Self = Self { text: Hash::EMPTY, tokens: Hash::EMPTY, wilds: &[] };

    /// The hashes of `path`, as an attribute makes them. Leaks memory: for tests.
    pub(super) fn of(path: &str) -> Self {
        let mut tokens = Tokens::new("", path);
        let mut hash = Hash::EMPTY;
        let mut wilds = Vec::new();
        while let Some(token) = tokens.next() {
            if token.is_wild() {
                wilds.push(Wild { before: hash, is_catch_all: token.is(Token::CATCH_ALL) });
            }
            hash = hash.push(token.code());
        }
        let text = path.bytes().map(u64::from).fold(Hash::EMPTY, Hash::push);
        Self { text, tokens: hash, wilds: wilds.leak() }
    }
}
