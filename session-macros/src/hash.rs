//! The hashes by which the table of routes finds conflicts at compile time.
//!
//! They are polynomials, so that the hash of a prefix and that of a path give the hash of both. The runtime's
//! `route/hash.rs` has the other half, and computes the same for its tests.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

const BASE: u64 = 0x2545_f491_4f6c_dd1d;
const CAPTURE: u64 = 256;
const CATCH_ALL: u64 = 257;

#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Hash {
    value: u64,
    power: u64,
}

impl Hash {
    const EMPTY: Self = Self { value: 0, power: 1 };

    /// The hash of a text as it is.
    pub(crate) fn of_text(text: &str) -> Self {
        text.bytes().map(u64::from).fold(Self::EMPTY, Self::push)
    }

    fn push(self, token: u64) -> Self {
        Self {
            value: self.value.wrapping_mul(BASE).wrapping_add(token + 1),
            power: self.power.wrapping_mul(BASE),
        }
    }
}

impl ToTokens for Hash {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { value, power } = self;
        tokens.extend(quote!(::session_runtime::__private::Hash { value: #value, power: #power }));
    }
}

/// The hashes of a valid path.
pub(crate) struct Hashes {
    text: Hash,
    tokens: Hash,
    wilds: Vec<Wild>,
}

/// A capture or a catch-all, by what stands before it.
struct Wild {
    before: Hash,
    is_catch_all: bool,
}

impl Hashes {
    pub(crate) fn of(path: &str) -> Self {
        let mut hashes = Self { text: Hash::of_text(path), tokens: Hash::EMPTY, wilds: Vec::new() };
        let mut rest = path.as_bytes();
        while let [byte, following @ ..] = rest {
            rest = match (byte, following) {
                (b'{', [b'{', after @ ..]) | (b'}', [b'}', after @ ..]) => {
                    hashes.tokens = hashes.tokens.push(u64::from(*byte));
                    after
                }
                (b'{', inside) => {
                    hashes.push_wild(inside.starts_with(b"*"));
                    let end = inside.iter().position(|byte| *byte == b'}');
                    end.map_or(&[][..], |end| &inside[end + 1..])
                }
                _ => {
                    hashes.tokens = hashes.tokens.push(u64::from(*byte));
                    following
                }
            };
        }
        hashes
    }

    fn push_wild(&mut self, is_catch_all: bool) {
        self.wilds.push(Wild { before: self.tokens, is_catch_all });
        self.tokens = self.tokens.push(if is_catch_all { CATCH_ALL } else { CAPTURE });
    }
}

impl ToTokens for Hashes {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { text, tokens: path, wilds } = self;
        let hashes = quote!(::session_runtime::__private::Hashes);
        if wilds.is_empty() && path == text {
            let Hash { value, power } = text;
            return tokens.extend(quote!(#hashes::literal(#value, #power)));
        }
        let wilds = wilds.iter().map(|Wild { before, is_catch_all }| {
            quote!(::session_runtime::__private::Wild { before: #before, is_catch_all: #is_catch_all })
        });
        tokens.extend(quote!(#hashes { text: #text, tokens: #path, wilds: &[#(#wilds),*] }));
    }
}
