//! Refresh tokens: a session's handle and a place in its chain, under two MACs.
//!
//! | bytes | |
//! |---|---|
//! | 1 | version: 1 without a nonce, 2 with one. Another version may have other fields. |
//! | 4 | which secret of the key ring made the token |
//! | 16 | the session's handle |
//! | 4 | generation, big-endian |
//! | 4 | parent: the generation that was exchanged for this one, big-endian; 0 if none was |
//! | 16 | version 2 only: the hash of the nonce that came with that exchange |
//! | 16 | a MAC over all of the above with a key of the operator's alone, so that junk ends before the store is asked |
//! | 32 | SHA-256 over the row's salt and a MAC over all of the above, so that neither the key nor the store alone forges one: see [`Proof`] |
//!
//! All in base64url without padding: 103 characters, or 124 with a nonce.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{Context, SHA256},
    hmac,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64URL, Engine as _};

use super::{Keys, keys::PurposeKeys, redacted};
use crate::{
    SessionHandle,
    rotation::{Link, NonceHash},
};

const ID: usize = 1;
const HANDLE: usize = ID + 4;
const GENERATION: usize = HANDLE + 16;
const PARENT: usize = GENERATION + 4;
const NONCE: usize = PARENT + 4;
const NONCE_LEN: usize = 16;
const MAC_LEN: usize = 16;
const PROOF_LEN: usize = 32;

/// The length of the longest token, in bytes.
const MAX_LEN: usize = Version::Bound.len();

/// What a token's first byte says of the others.
#[derive(Clone, Copy)]
enum Version {
    /// Without a nonce.
    Plain = 1,
    /// With the nonce of a bound client.
    Bound = 2,
}

impl Version {
    fn of(byte: u8) -> Option<Self> {
        [Self::Plain, Self::Bound].into_iter().find(|version| *version as u8 == byte)
    }

    /// Where the first MAC begins.
    const fn mac(self) -> usize {
        match self {
            Self::Plain => NONCE,
            Self::Bound => NONCE + NONCE_LEN,
        }
    }

    const fn proof(self) -> usize {
        self.mac() + MAC_LEN
    }

    const fn len(self) -> usize {
        self.proof() + PROOF_LEN
    }
}

/// Makes the refresh token of a place in a session's chain, with the secret that signs; `salt` is the session row's.
///
/// It is a function of its arguments: any node issues the same token again, and none is stored. Under a key ring whose
/// first secret has changed, the same place gets another text, and both are good.
pub fn issue(keys: &Keys, handle: SessionHandle, link: Link, salt: &[u8; 32]) -> RefreshToken {
    let keys = &keys.purposes()[0];
    let mut bytes = [0; MAX_LEN];
    let version = match link.nonce {
        None => Version::Plain,
        Some(NonceHash(nonce)) => {
            bytes[NONCE..NONCE + NONCE_LEN].copy_from_slice(&nonce);
            Version::Bound
        }
    };
    bytes[0] = version as u8;
    bytes[ID..HANDLE].copy_from_slice(&keys.id);
    bytes[HANDLE..GENERATION].copy_from_slice(handle.as_bytes());
    bytes[GENERATION..PARENT].copy_from_slice(&link.generation.to_be_bytes());
    bytes[PARENT..NONCE].copy_from_slice(&link.parent.to_be_bytes());
    let (start, end) = (version.mac(), version.proof());
    let mac = mac(keys, &bytes[..start]);
    bytes[start..end].copy_from_slice(&mac);
    let proof = Proof::sealed(half(keys, &bytes[..end]), salt);
    bytes[end..version.len()].copy_from_slice(proof.whole());
    RefreshToken(BASE64URL.encode(&bytes[..version.len()]))
}

/// Reads a refresh token and checks all of it that can be checked without the session's row.
///
/// # Errors
///
/// When the text is no refresh token made with a secret of the ring. It doesn't say more.
pub fn open(keys: &Keys, text: &str) -> Result<Opened, MalformedRefreshToken> {
    let opened = decode(text).ok_or(MalformedRefreshToken)?;
    match opened.made_with(keys).any(|keys| opened.has_mac_of(keys)) {
        true => Ok(opened),
        false => Err(MalformedRefreshToken),
    }
}

/// A refresh token as it crosses the network. Whoever holds it can continue the session.
#[derive(Clone)]
pub struct RefreshToken(String);

impl RefreshToken {
    /// The token itself, for the response that carries it. Nothing else should see it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        redacted(f)
    }
}

/// A refresh token whose first MAC is right: the operator's key made it, as far as can be told without the row.
///
/// Equality and hash are of the whole token, so that it can key concurrent presentations of one; comparing takes
/// constant time.
#[derive(Clone, Copy)]
pub struct Opened {
    /// Filled up with zeros.
    bytes: [u8; MAX_LEN],
    version: Version,
}

impl Opened {
    /// The session that the token belongs to.
    pub fn handle(&self) -> SessionHandle {
        SessionHandle::from_bytes(self.field(HANDLE))
    }

    /// The token's generation.
    pub fn generation(&self) -> u32 {
        u32::from_be_bytes(self.field(GENERATION))
    }

    /// The token's place in its chain.
    pub fn link(&self) -> Link {
        let nonce = match self.version {
            Version::Plain => None,
            Version::Bound => Some(NonceHash(self.field(NONCE))),
        };
        Link { generation: self.generation(), parent: u32::from_be_bytes(self.field(PARENT)), nonce }
    }

    /// Whether the token was made for the row with this salt. Until then nothing that it says counts.
    pub fn proves(&self, keys: &Keys, salt: &[u8; 32]) -> bool {
        self.proof(keys).is_some_and(|proof| proof.fits(salt))
    }

    /// What the row's salt has to fit; `None` if the token was opened with other keys.
    pub fn proof(&self, keys: &Keys) -> Option<Proof> {
        let keys = self.made_with(keys).find(|keys| self.has_mac_of(keys))?;
        let at = self.version.proof();
        Some(Proof::new(half(keys, &self.bytes[..at]), self.field(at)))
    }

    /// The keys that the token names; two secrets may share a name by chance.
    fn made_with<'k>(&self, keys: &'k Keys) -> impl Iterator<Item = &'k PurposeKeys> + use<'k> {
        let id: [u8; 4] = self.field(ID);
        keys.purposes().iter().filter(move |keys| keys.id == id)
    }

    fn has_mac_of(&self, keys: &PurposeKeys) -> bool {
        let (start, end) = (self.version.mac(), self.version.proof());
        is_equal(&mac(keys, &self.bytes[..start]), &self.bytes[start..end])
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[at..at + N]);
        field
    }
}

impl PartialEq for Opened {
    fn eq(&self, other: &Self) -> bool {
        is_equal(&self.bytes, &other.bytes)
    }
}

impl Eq for Opened {}

impl Hash for Opened {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

/// Shows the session and the generations; nothing of the MACs.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("handle", &self.handle())
            .field("link", &self.link())
            .finish_non_exhaustive()
    }
}

/// What shows that a token was made for a session's row: SHA-256 over the row's [salt](crate::store::Row::salt) and then
/// [`half`](Self::half) is [`whole`](Self::whole).
///
/// A database can check this inside the statement that rotates, with nothing but the standard hash. The half is a MAC of the
/// operator's key over the token, which the salt alone does not give; and neither does it make a token, for the token has another
/// MAC beside it.
#[derive(Clone, Copy)]
pub struct Proof {
    half: [u8; PROOF_LEN],
    whole: [u8; PROOF_LEN],
}

impl Proof {
    /// A proof of its two parts.
    pub const fn new(half: [u8; 32], whole: [u8; 32]) -> Self {
        Self { half, whole }
    }

    /// The proof that fits `salt`.
    pub fn sealed(half: [u8; 32], salt: &[u8; 32]) -> Self {
        let mut seal = Context::new(&SHA256);
        seal.update(salt);
        seal.update(&half);
        let mut whole = [0; PROOF_LEN];
        whole.copy_from_slice(seal.finish().as_ref());
        Self { half, whole }
    }

    /// Whether the token was made for a row of this salt. Takes constant time.
    pub fn fits(&self, salt: &[u8; 32]) -> bool {
        is_equal(&Self::sealed(self.half, salt).whole, &self.whole)
    }

    /// What the node computes of the token with its key. A secret.
    pub fn half(&self) -> &[u8; 32] {
        &self.half
    }

    /// What the token says.
    pub fn whole(&self) -> &[u8; 32] {
        &self.whole
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        redacted(f)
    }
}

/// The text is no refresh token made with a secret of the key ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token of ours")]
pub struct MalformedRefreshToken;

fn decode(text: &str) -> Option<Opened> {
    // The decoder asks for room in whole groups of three bytes.
    let mut bytes = [0; MAX_LEN.next_multiple_of(3)];
    let len = BASE64URL.decode_slice(text, &mut bytes).ok()?;
    let version = Version::of(bytes[0]).filter(|version| version.len() == len)?;
    Some(Opened { bytes: *bytes.first_chunk()?, version })
}

fn mac(keys: &PurposeKeys, message: &[u8]) -> [u8; MAC_LEN] {
    let tag = hmac::sign(&keys.refresh_mac, message);
    let mut mac = [0; MAC_LEN];
    mac.copy_from_slice(&tag.as_ref()[..MAC_LEN]);
    mac
}

fn half(keys: &PurposeKeys, message: &[u8]) -> [u8; PROOF_LEN] {
    let mut half = [0; PROOF_LEN];
    half.copy_from_slice(hmac::sign(&keys.refresh_proof, message).as_ref());
    half
}

fn is_equal(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::token::{Epochs, KeyRing, Secret, SigningAlgorithm};

    const SALT: [u8; 32] = [7; 32];
    const HANDLE: SessionHandle = SessionHandle::from_bytes([0xa5; 16]);

    const NONCE_HASH: NonceHash = NonceHash([9; NONCE_LEN]);
    const PLAIN: Link = Link { generation: 3, parent: 2, nonce: None };
    const BOUND: Link = Link { nonce: Some(NONCE_HASH), ..PLAIN };
    /// One token of each version, with the length of its text.
    const EACH: [(Link, usize); 2] = [(PLAIN, 103), (BOUND, 124)];

    fn keys_of(ring: &KeyRing) -> Keys {
        Keys::new(ring, &SigningAlgorithm::EdDsa, Epochs::default())
    }

    fn keys() -> Keys {
        keys_of(&KeyRing::random())
    }

    fn random_secret() -> Secret {
        KeyRing::random().secrets()[0].clone()
    }

    fn issued(keys: &Keys, link: Link) -> Vec<u8> {
        BASE64URL.decode(issue(keys, HANDLE, link, &SALT).expose()).unwrap()
    }

    /// Reads bytes as a token, without looking at its MACs.
    fn read(bytes: &[u8]) -> Opened {
        decode(&BASE64URL.encode(bytes)).unwrap()
    }

    #[test]
    fn a_token_says_what_it_was_issued_with() {
        let keys = keys();
        for (generation, parent) in [(1, 0), (2, 1), (0x0102_0304, 0x0506_0708), (u32::MAX, u32::MAX)] {
            for (link, len) in EACH {
                let link = Link { generation, parent, ..link };
                let token = issue(&keys, HANDLE, link, &SALT);
                assert_eq!(token.expose().len(), len);
                let opened = open(&keys, token.expose()).unwrap();
                assert_eq!((opened.handle(), opened.generation(), opened.link()), (HANDLE, generation, link));
                assert!(opened.proves(&keys, &SALT));
            }
        }
    }

    #[test]
    fn any_node_issues_the_same_token_again() {
        let ring = KeyRing::random();
        for (link, _) in EACH {
            assert_eq!(issued(&keys_of(&ring), link), issued(&keys_of(&ring), link));
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let keys = keys();
        for (link, _) in EACH {
            let token = issued(&keys, link);
            for at in 0..token.len() * 8 {
                let mut forged = token.clone();
                forged[at / 8] ^= 1 << (at % 8);
                let accepted =
                    open(&keys, &BASE64URL.encode(forged)).is_ok_and(|opened| opened.proves(&keys, &SALT));
                assert!(!accepted, "bit {at}");
            }
        }
    }

    #[test]
    fn junk_ends_before_the_store_is_asked() {
        let keys = keys();
        for (link, _) in EACH {
            let token = issued(&keys, link);
            for at in 0..token.len() - PROOF_LEN {
                let mut forged = token.clone();
                forged[at] ^= 0xff;
                assert_eq!(open(&keys, &BASE64URL.encode(forged)), Err(MalformedRefreshToken), "byte {at}");
            }
        }
    }

    #[test]
    fn only_the_one_spelling_of_a_token_is_accepted() {
        let keys = keys();
        for (link, len) in EACH {
            let token = issue(&keys, HANDLE, link, &SALT);
            let token = token.expose();
            for cut in 0..len {
                assert!(open(&keys, &token[..cut]).is_err(), "{cut}");
            }
            let mut spellings = vec![
                format!("{token}="),
                format!(" {token}"),
                format!("{token}\n"),
                format!("{token}A"),
                "A".repeat(512),
            ];
            // The last of 103 characters has two bits that mean nothing.
            let (start, last) = token.split_at(len - 1);
            spellings.extend(
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= ."
                    .chars()
                    .filter(|other| !last.starts_with(*other))
                    .map(|other| format!("{start}{other}")),
            );
            for spelling in spellings {
                let accepted = open(&keys, &spelling).is_ok_and(|opened| opened.proves(&keys, &SALT));
                assert!(!accepted, "{}", spelling.len());
            }
        }
    }

    #[test]
    fn a_copy_of_the_key_without_the_salt_forges_nothing() {
        let keys = keys();
        for (link, _) in EACH {
            let forged = open(&keys, issue(&keys, HANDLE, link, &[0; 32]).expose()).unwrap();
            assert!(!forged.proves(&keys, &SALT));
        }
    }

    #[test]
    fn a_copy_of_the_key_without_the_salt_alters_no_token() {
        let keys = keys();
        for (link, _) in EACH {
            let token = issued(&keys, link);
            let (start, end) = (read(&token).version.mac(), read(&token).version.proof());
            for at in GENERATION - 16..start {
                let mut forged = token.clone();
                forged[at] ^= 1;
                let mac = mac(&keys.purposes()[0], &forged[..start]);
                forged[start..end].copy_from_slice(&mac);
                let forged = open(&keys, &BASE64URL.encode(forged)).unwrap();
                assert!(!forged.proves(&keys, &SALT), "byte {at}");
            }
        }
    }

    #[test]
    fn another_version_is_refused_although_its_macs_are_right() {
        let keys = keys();
        for (link, _) in EACH {
            let token = issued(&keys, link);
            let (start, end) = (read(&token).version.mac(), read(&token).version.proof());
            for version in [0, 1, 2, 3, 255].into_iter().filter(|version| *version != token[0]) {
                let mut other = token.clone();
                other[0] = version;
                let mac = mac(&keys.purposes()[0], &other[..start]);
                other[start..end].copy_from_slice(&mac);
                assert_eq!(open(&keys, &BASE64URL.encode(other)), Err(MalformedRefreshToken));
            }
        }
    }

    #[test]
    fn a_copy_of_the_store_without_the_key_forges_nothing() {
        assert!(open(&keys(), issue(&keys(), HANDLE, PLAIN, &SALT).expose()).is_err());
    }

    #[test]
    fn a_token_survives_every_step_of_a_key_rotation() {
        let (old, new) = (random_secret(), random_secret());
        let steps = [vec![&old], vec![&old, &new], vec![&new, &old]]
            .map(|secrets| keys_of(&KeyRing::of(secrets.into_iter().cloned().collect()).unwrap()));
        let token = issue(&steps[0], HANDLE, PLAIN, &SALT);
        for keys in &steps {
            assert!(open(keys, token.expose()).unwrap().proves(keys, &SALT));
        }
        // While the step reaches one node after the other, each accepts what the others issue.
        for (issuing, opening) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
            let token = issue(&steps[issuing], HANDLE, PLAIN, &SALT);
            assert!(open(&steps[opening], token.expose()).unwrap().proves(&steps[opening], &SALT));
        }
        let without_old = keys_of(&KeyRing::of(vec![new]).unwrap());
        assert!(open(&without_old, token.expose()).is_err());
    }

    #[test]
    fn opened_tokens_are_equal_as_the_tokens_are() {
        let keys = keys();
        let opened = |generation, salt| {
            open(&keys, issue(&keys, HANDLE, Link { generation, ..PLAIN }, &salt).expose()).unwrap()
        };
        let distinct: HashSet<Opened> =
            [opened(3, SALT), opened(3, SALT), opened(4, SALT), opened(3, [8; 32])].into();
        assert_eq!(distinct.len(), 3);
    }
}
