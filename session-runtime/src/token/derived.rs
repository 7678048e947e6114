//! Smaller things that are computed from the keys rather than stored: anti-CSRF tokens and fingerprints.

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64URL, Engine as _};

use super::Keys;
use crate::SessionHandle;

const GENERATION_LEN: usize = 4;
const MAC_LEN: usize = 16;
const ANTI_CSRF_LEN: usize = GENERATION_LEN + MAC_LEN;

/// The anti-CSRF token that goes with a session's refresh-token generation: 27 characters of base64url.
///
/// Each generation has its own, and each is good for as long as the session lives.
pub fn anti_csrf(keys: &Keys, handle: SessionHandle, generation: u32) -> String {
    let mut token = [0; ANTI_CSRF_LEN];
    token[..GENERATION_LEN].copy_from_slice(&generation.to_be_bytes());
    let mac = anti_csrf_mac(&keys.purposes()[0].anti_csrf, handle, &token[..GENERATION_LEN]);
    token[GENERATION_LEN..].copy_from_slice(&mac);
    BASE64URL.encode(token)
}

/// Whether `presented` was made by [`anti_csrf`] for this session, with any secret of the ring. Takes constant time.
pub fn anti_csrf_valid(keys: &Keys, handle: SessionHandle, presented: &str) -> bool {
    // The decoder asks for room in whole groups of three bytes.
    let mut token = [0; ANTI_CSRF_LEN.next_multiple_of(3)];
    if BASE64URL.decode_slice(presented, &mut token) != Ok(ANTI_CSRF_LEN) {
        return false;
    }
    let (generation, mac) = token[..ANTI_CSRF_LEN].split_at(GENERATION_LEN);
    keys.purposes()
        .iter()
        .any(|keys| verify_slices_are_equal(&anti_csrf_mac(&keys.anti_csrf, handle, generation), mac).is_ok())
}

/// Keyed hashes of what is known about a client, such as its user agent, so that the store needn't hold it: one for each
/// secret of the ring, that of the newest first, so that a change of the ring makes nobody another client.
pub(crate) fn fingerprints(keys: &Keys, parts: &[&[u8]]) -> Vec<[u8; 16]> {
    keys.purposes().iter().map(|keys| fingerprint_with(&keys.fingerprint, parts)).collect()
}

fn anti_csrf_mac(key: &hmac::Key, handle: SessionHandle, generation: &[u8]) -> [u8; MAC_LEN] {
    let mut message = hmac::Context::with_key(key);
    message.update(handle.as_bytes());
    message.update(generation);
    shortened(&message.sign())
}

/// Each part is preceded by its length, so that no two lists of parts are the same bytes.
fn fingerprint_with(key: &hmac::Key, parts: &[&[u8]]) -> [u8; MAC_LEN] {
    let mut message = hmac::Context::with_key(key);
    for part in parts {
        message.update(&(part.len() as u64).to_be_bytes());
        message.update(part);
    }
    shortened(&message.sign())
}

fn shortened(tag: &hmac::Tag) -> [u8; MAC_LEN] {
    let mut mac = [0; MAC_LEN];
    mac.copy_from_slice(&tag.as_ref()[..MAC_LEN]);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Epochs, KeyRing, Secret, SigningAlgorithm};

    const HANDLE: SessionHandle = SessionHandle::from_bytes([1; 16]);
    const OTHER: SessionHandle = SessionHandle::from_bytes([2; 16]);

    fn keys_of(secrets: &[&Secret]) -> Keys {
        let ring = KeyRing::of(secrets.iter().copied().cloned().collect()).unwrap();
        Keys::new(&ring, &SigningAlgorithm::EdDsa, Epochs::default())
    }

    fn random_secret() -> Secret {
        KeyRing::random().secrets()[0].clone()
    }

    #[test]
    fn every_anti_csrf_token_of_a_session_is_good_for_that_session_only() {
        let keys = keys_of(&[&random_secret()]);
        let tokens = [1, 2, u32::MAX].map(|generation| anti_csrf(&keys, HANDLE, generation));
        assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2]);
        for token in &tokens {
            assert_eq!(token.len(), 27);
            assert!(anti_csrf_valid(&keys, HANDLE, token));
            assert!(!anti_csrf_valid(&keys, OTHER, token));
            assert!(!anti_csrf_valid(&keys_of(&[&random_secret()]), HANDLE, token));
        }
    }

    #[test]
    fn an_altered_anti_csrf_token_is_refused() {
        let keys = keys_of(&[&random_secret()]);
        let token = anti_csrf(&keys, HANDLE, 5);
        let bytes = BASE64URL.decode(&token).unwrap();
        for at in 0..ANTI_CSRF_LEN * 8 {
            let mut forged = bytes.clone();
            forged[at / 8] ^= 1 << (at % 8);
            assert!(!anti_csrf_valid(&keys, HANDLE, &BASE64URL.encode(forged)), "bit {at}");
        }
        for text in
            ["", &token[1..], &token[..26], &format!("{token}="), &format!("{token}AAAA"), &"A".repeat(9999)]
        {
            assert!(!anti_csrf_valid(&keys, HANDLE, text));
        }
    }

    #[test]
    fn a_fingerprint_tells_parts_apart() {
        let keys = keys_of(&[&random_secret()]);
        let one = fingerprints(&keys, &[b"ab", b"c"]);
        assert_eq!(one, fingerprints(&keys, &[b"ab", b"c"]));
        for parts in [&[&b"a"[..], b"bc"][..], &[b"abc"], &[b"ab", b"c", b""], &[b"c", b"ab"], &[]] {
            assert_ne!(one, fingerprints(&keys, parts));
        }
        assert_ne!(one, fingerprints(&keys_of(&[&random_secret()]), &[b"ab", b"c"]));
    }

    #[test]
    fn both_survive_a_key_rotation() {
        let (old, new) = (random_secret(), random_secret());
        let before = keys_of(&[&old]);
        let after = keys_of(&[&new, &old]);
        assert!(anti_csrf_valid(&after, HANDLE, &anti_csrf(&before, HANDLE, 1)));
        assert!(fingerprints(&after, &[b"agent"]).contains(&fingerprints(&before, &[b"agent"])[0]));
    }
}
