//! Refresh tokens: a session's handle and two generations, under two MACs.
//!
//! | bytes | |
//! |---|---|
//! | 1 | version: 1. Another version may have other fields. |
//! | 4 | which secret of the key ring made the token |
//! | 16 | the session's handle |
//! | 4 | generation, big-endian |
//! | 4 | parent: the generation that was exchanged for this one, big-endian; 0 if none was |
//! | 16 | a MAC over all of the above with a key of the operator's alone, so that junk ends before the store is asked |
//! | 32 | the proof: a MAC over the row's salt and all of the above, so that neither the key nor the store alone forges one |
//!
//! All in base64url without padding: 103 characters.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64URL, Engine as _};

use super::{Keys, keys::PurposeKeys, redacted};
use crate::SessionHandle;

/// The length of every refresh token, in bytes.
pub const TEXT_LEN: usize = 103;

const VERSION: u8 = 1;

const ID: usize = 1;
const HANDLE: usize = ID + 4;
const GENERATION: usize = HANDLE + 16;
const PARENT: usize = GENERATION + 4;
const MAC: usize = PARENT + 4;
const PROOF: usize = MAC + 16;
const LEN: usize = PROOF + 32;

/// Makes the refresh token of a session's generation, with the secret that signs.
///
/// `parent` is the generation exchanged for this one, 0 for the first; `salt` is the session row's.
///
/// It is a function of its arguments: any node issues the same token again, and none is stored. Under a key ring whose
/// first secret has changed, the same generation gets another text, and both are good.
pub fn issue(
    keys: &Keys,
    handle: SessionHandle,
    generation: u32,
    parent: u32,
    salt: &[u8; 32],
) -> RefreshToken {
    let keys = &keys.purposes()[0];
    let mut bytes = [0; LEN];
    bytes[0] = VERSION;
    bytes[ID..HANDLE].copy_from_slice(&keys.id);
    bytes[HANDLE..GENERATION].copy_from_slice(handle.as_bytes());
    bytes[GENERATION..PARENT].copy_from_slice(&generation.to_be_bytes());
    bytes[PARENT..MAC].copy_from_slice(&parent.to_be_bytes());
    let mac = mac(keys, &bytes);
    bytes[MAC..PROOF].copy_from_slice(&mac);
    let proof = proof(keys, salt, &bytes);
    bytes[PROOF..].copy_from_slice(proof.as_ref());
    RefreshToken(BASE64URL.encode(bytes))
}

/// Reads a refresh token and checks all of it that can be checked without the session's row.
///
/// # Errors
///
/// When the text is no refresh token made with a secret of the ring. It doesn't say more.
pub fn open(keys: &Keys, text: &str) -> Result<Opened, MalformedRefreshToken> {
    let opened = Opened { bytes: decode(text).ok_or(MalformedRefreshToken)? };
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
    bytes: [u8; LEN],
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

    /// The generation that was exchanged for this one; 0 if none was.
    pub fn parent(&self) -> u32 {
        u32::from_be_bytes(self.field(PARENT))
    }

    /// Whether the token was made for the row with this salt. Until then nothing that it says counts.
    pub fn proves(&self, keys: &Keys, salt: &[u8; 32]) -> bool {
        self.made_with(keys)
            .any(|keys| is_equal(proof(keys, salt, &self.bytes).as_ref(), &self.bytes[PROOF..]))
    }

    /// The keys that the token names; two secrets may share a name by chance.
    fn made_with<'k>(&self, keys: &'k Keys) -> impl Iterator<Item = &'k PurposeKeys> + use<'k> {
        let id: [u8; 4] = self.field(ID);
        keys.purposes().iter().filter(move |keys| keys.id == id)
    }

    fn has_mac_of(&self, keys: &PurposeKeys) -> bool {
        is_equal(&mac(keys, &self.bytes), &self.bytes[MAC..PROOF])
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
            .field("generation", &self.generation())
            .field("parent", &self.parent())
            .finish_non_exhaustive()
    }
}

/// The text is no refresh token made with a secret of the key ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token of ours")]
pub struct MalformedRefreshToken;

fn decode(text: &str) -> Option<[u8; LEN]> {
    // The decoder asks for room in whole groups of three bytes.
    let mut bytes = [0; LEN.next_multiple_of(3)];
    if text.len() != TEXT_LEN || BASE64URL.decode_slice(text, &mut bytes) != Ok(LEN) || bytes[0] != VERSION {
        return None;
    }
    bytes.first_chunk().copied()
}

fn mac(keys: &PurposeKeys, token: &[u8; LEN]) -> [u8; PROOF - MAC] {
    let tag = hmac::sign(&keys.refresh_mac, &token[..MAC]);
    let mut mac = [0; PROOF - MAC];
    mac.copy_from_slice(&tag.as_ref()[..PROOF - MAC]);
    mac
}

fn proof(keys: &PurposeKeys, salt: &[u8; 32], token: &[u8; LEN]) -> hmac::Tag {
    let mut message = hmac::Context::with_key(&keys.refresh_proof);
    message.update(salt);
    message.update(&token[..PROOF]);
    message.sign()
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

    fn keys_of(ring: &KeyRing) -> Keys {
        Keys::new(ring, &SigningAlgorithm::EdDsa, Epochs::default())
    }

    fn keys() -> Keys {
        keys_of(&KeyRing::random())
    }

    fn random_secret() -> Secret {
        KeyRing::random().secrets()[0].clone()
    }

    #[test]
    fn a_token_says_what_it_was_issued_with() {
        let keys = keys();
        for (generation, parent) in [(1, 0), (2, 1), (0x0102_0304, 0x0506_0708), (u32::MAX, u32::MAX)] {
            let token = issue(&keys, HANDLE, generation, parent, &SALT);
            assert_eq!(token.expose().len(), TEXT_LEN);
            let opened = open(&keys, token.expose()).unwrap();
            assert_eq!((opened.handle(), opened.generation(), opened.parent()), (HANDLE, generation, parent));
            assert!(opened.proves(&keys, &SALT));
        }
    }

    #[test]
    fn any_node_issues_the_same_token_again() {
        let ring = KeyRing::random();
        let issued = || issue(&keys_of(&ring), HANDLE, 3, 2, &SALT).expose().to_owned();
        assert_eq!(issued(), issued());
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let keys = keys();
        let token = BASE64URL.decode(issue(&keys, HANDLE, 3, 2, &SALT).expose()).unwrap();
        for at in 0..LEN * 8 {
            let mut forged = token.clone();
            forged[at / 8] ^= 1 << (at % 8);
            let accepted =
                open(&keys, &BASE64URL.encode(forged)).is_ok_and(|opened| opened.proves(&keys, &SALT));
            assert!(!accepted, "bit {at}");
        }
    }

    #[test]
    fn junk_ends_before_the_store_is_asked() {
        let keys = keys();
        let token = BASE64URL.decode(issue(&keys, HANDLE, 3, 2, &SALT).expose()).unwrap();
        for at in 0..PROOF {
            let mut forged = token.clone();
            forged[at] ^= 0xff;
            assert_eq!(open(&keys, &BASE64URL.encode(forged)), Err(MalformedRefreshToken), "byte {at}");
        }
    }

    #[test]
    fn only_the_one_spelling_of_a_token_is_accepted() {
        let keys = keys();
        let token = issue(&keys, HANDLE, 3, 2, &SALT);
        let token = token.expose();
        for cut in 0..TEXT_LEN {
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
        let (start, last) = token.split_at(TEXT_LEN - 1);
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

    #[test]
    fn a_copy_of_the_key_without_the_salt_forges_nothing() {
        let keys = keys();
        let forged = open(&keys, issue(&keys, HANDLE, 3, 2, &[0; 32]).expose()).unwrap();
        assert!(!forged.proves(&keys, &SALT));
    }

    #[test]
    fn a_copy_of_the_key_without_the_salt_alters_no_token() {
        let keys = keys();
        let token = BASE64URL.decode(issue(&keys, HANDLE, 3, 2, &SALT).expose()).unwrap();
        for at in ID + 4..MAC {
            let mut forged: [u8; LEN] = token.clone().try_into().unwrap();
            forged[at] ^= 1;
            let mac = mac(&keys.purposes()[0], &forged);
            forged[MAC..PROOF].copy_from_slice(&mac);
            let forged = open(&keys, &BASE64URL.encode(forged)).unwrap();
            assert!(!forged.proves(&keys, &SALT), "byte {at}");
        }
    }

    #[test]
    fn another_version_is_refused_although_its_macs_are_right() {
        let keys = keys();
        let token = BASE64URL.decode(issue(&keys, HANDLE, 3, 2, &SALT).expose()).unwrap();
        for version in [0, 2, 255] {
            let mut other: [u8; LEN] = token.clone().try_into().unwrap();
            other[0] = version;
            let mac = mac(&keys.purposes()[0], &other);
            other[MAC..PROOF].copy_from_slice(&mac);
            assert_eq!(open(&keys, &BASE64URL.encode(other)), Err(MalformedRefreshToken));
        }
    }

    #[test]
    fn a_copy_of_the_store_without_the_key_forges_nothing() {
        assert!(open(&keys(), issue(&keys(), HANDLE, 3, 2, &SALT).expose()).is_err());
    }

    #[test]
    fn a_token_survives_every_step_of_a_key_rotation() {
        let (old, new) = (random_secret(), random_secret());
        let steps = [vec![&old], vec![&old, &new], vec![&new, &old]]
            .map(|secrets| keys_of(&KeyRing::of(secrets.into_iter().cloned().collect()).unwrap()));
        let token = issue(&steps[0], HANDLE, 3, 2, &SALT);
        for keys in &steps {
            assert!(open(keys, token.expose()).unwrap().proves(keys, &SALT));
        }
        // While the step reaches one node after the other, each accepts what the others issue.
        for (issuing, opening) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
            let token = issue(&steps[issuing], HANDLE, 3, 2, &SALT);
            assert!(open(&steps[opening], token.expose()).unwrap().proves(&steps[opening], &SALT));
        }
        let without_old = keys_of(&KeyRing::of(vec![new]).unwrap());
        assert!(open(&without_old, token.expose()).is_err());
    }

    #[test]
    fn opened_tokens_are_equal_as_the_tokens_are() {
        let keys = keys();
        let opened =
            |generation, salt| open(&keys, issue(&keys, HANDLE, generation, 2, &salt).expose()).unwrap();
        let distinct: HashSet<Opened> =
            [opened(3, SALT), opened(3, SALT), opened(4, SALT), opened(3, [8; 32])].into();
        assert_eq!(distinct.len(), 3);
    }
}
