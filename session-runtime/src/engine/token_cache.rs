//! The access tokens that were found valid, so that the next request with one of them costs no signature check.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use quick_cache::{Equivalent, Weighter, sync::Cache};

use crate::session::Accepted;

/// What valid tokens say, the rarely used dropped first.
///
/// Only tokens whose signature is right may be put in: see [`Token`].
pub(super) struct TokenCache(Cache<Token<Box<[u8]>>, Arc<Accepted>, Weight>);

impl TokenCache {
    pub(super) fn new(bytes: u64) -> Self {
        Self(Cache::with_weighter((bytes / Weight::TYPICAL) as usize, bytes, Weight))
    }

    pub(super) fn get(&self, token: &[u8]) -> Option<Arc<Accepted>> {
        self.0.get(&Token(token))
    }

    pub(super) fn insert(&self, token: &str, accepted: Arc<Accepted>) {
        self.0.insert(Token(token.as_bytes().into()), accepted);
    }
}

/// A token as a key: compared as a whole, hashed by the end of its signature alone, which is as good as random.
///
/// Nobody but the holder of the signing key can make two valid tokens that end alike, so nobody can flood one place of the
/// cache; and the hasher is seeded anew in each process.
struct Token<T>(T);

impl<T: AsRef<[u8]>> Token<T> {
    fn end_of_signature(&self) -> &[u8] {
        const LEN: usize = 16;
        let token = self.0.as_ref();
        token.last_chunk::<LEN>().map_or(token, |end| end)
    }
}

impl<T: AsRef<[u8]>> Hash for Token<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.end_of_signature());
    }
}

impl PartialEq for Token<Box<[u8]>> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Token<Box<[u8]>> {}

impl Equivalent<Token<Box<[u8]>>> for Token<&[u8]> {
    fn equivalent(&self, key: &Token<Box<[u8]>>) -> bool {
        *self.0 == *key.0
    }
}

/// How much memory an entry takes, roughly.
#[derive(Clone)]
struct Weight;

impl Weight {
    const TYPICAL: u64 = 1024;
}

impl Weighter<Token<Box<[u8]>>, Arc<Accepted>> for Weight {
    fn weight(&self, token: &Token<Box<[u8]>>, _: &Arc<Accepted>) -> u64 {
        // The claims are the token's payload once more, unpacked.
        token.0.len() as u64 * 2 + 256
    }
}
