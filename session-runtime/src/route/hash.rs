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

    const fn of_text(text: &str) -> Self {
        let mut hash = Self::EMPTY;
        let mut at = 0;
        while at < text.len() {
            hash = hash.push(text.as_bytes()[at] as u64);
            at += 1;
        }
        hash
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

    /// The hashes of a path that the router takes to the letter.
    pub const fn literal(value: u64, power: u64) -> Self {
        let hash = Hash { value, power };
        Self { text: hash, tokens: hash, wilds: &[] }
    }

    /// The hashes of `/`.
    pub(super) const SLASH: Self = Self { text: Self::SLASH_ALONE, tokens: Self::SLASH_ALONE, wilds: &[] };

    /// The hashes of `/{*rest}`.
    pub(super) const SLASH_REST: Self = Self {
        text: Hash::of_text("/{*rest}"),
        tokens: Self::SLASH_ALONE.push(Token::CATCH_ALL.code()),
        wilds: &[Wild { before: Self::SLASH_ALONE, is_catch_all: true }],
    };

    const SLASH_ALONE: Hash = Hash::of_text("/");

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
        Self { text: Hash::of_text(path), tokens: hash, wilds: wilds.leak() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_of_a_service_are_those_of_its_paths() {
        for (path, constant) in [("", Hashes::EMPTY), ("/", Hashes::SLASH), ("/{*rest}", Hashes::SLASH_REST)]
        {
            assert_eq!(format!("{:?}", Hashes::of(path)), format!("{constant:?}"), "{path}");
        }
    }
}
