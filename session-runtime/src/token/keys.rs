//! Keys derived from the operator's secrets: by purpose, and for access tokens by epoch.

use std::{fmt, ops::RangeInclusive, sync::Arc, time::Duration};

use aws_lc_rs::{hkdf, hmac};
use zeroize::Zeroizing;

use super::{
    KeyRing,
    key_ring::Secret,
    redacted,
    signing::{AccessKey, DerivedAlgorithm, Jwks, SigningAlgorithm},
};
use crate::Timestamp;

/// Every key of the system, derived from a [`KeyRing`] by HKDF-SHA256 (RFC 5869) under a label per purpose.
///
/// Nothing is stored and nothing agreed upon: nodes with the same ring, algorithm and epoch length have the same keys at
/// the same time. Share it by [`Arc`]; reads take no lock.
///
/// ```
/// use session_runtime::{Timestamp, token::{Epochs, KeyRing, Keys, SigningAlgorithm}};
///
/// let keys = Keys::new(&KeyRing::random(), &SigningAlgorithm::EdDsa, Epochs::default());
/// let published = serde_json::to_value(keys.jwks(Timestamp::from_secs(1_800_000_000)))?;
/// assert_eq!(published["keys"][0]["crv"], "Ed25519");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub struct Keys {
    purposes: Box<[PurposeKeys]>,
    access: AccessKeys,
    epochs: Epochs,
}

impl Keys {
    /// Derives what can be derived now; the keys of an epoch are derived when first asked for.
    pub fn new(ring: &KeyRing, algorithm: &SigningAlgorithm, epochs: Epochs) -> Self {
        let derived = |algorithm| AccessKeys::Derived(DerivedKeys::new(algorithm, ring));
        Self {
            purposes: ring.secrets().iter().map(|secret| PurposeKeys::derive(&Root::new(secret))).collect(),
            access: match algorithm {
                SigningAlgorithm::EdDsa => derived(DerivedAlgorithm::EdDsa),
                SigningAlgorithm::Es256 => derived(DerivedAlgorithm::Es256),
                SigningAlgorithm::Hs256 => derived(DerivedAlgorithm::Hs256),
                SigningAlgorithm::Rs256(rs256) => AccessKeys::Given(rs256.access_keys()),
            },
            epochs,
        }
    }

    /// The public keys that verify the access tokens alive at `now`, and the next one.
    pub fn jwks(&self, now: Timestamp) -> Jwks {
        let mut keys = Vec::new();
        self.each_live(now, |key| {
            keys.extend(key.jwk().cloned());
            None::<()>
        });
        Jwks::new(keys, self.epochs.jwks_max_age())
    }

    /// The key that signs access tokens at `now`.
    pub(super) fn signer(&self, now: Timestamp) -> Arc<AccessKey> {
        let mut live = None;
        self.each_live(now, |key| {
            live = Some(Arc::clone(key));
            Some(())
        });
        live.expect("a key ring is never empty")
    }

    /// The key live at `now` whose tokens begin with the segment `header`.
    pub(super) fn verifier(&self, header: &str, now: Timestamp) -> Option<Arc<AccessKey>> {
        self.each_live(now, |key| (key.header() == header).then(|| Arc::clone(key)))
    }

    /// Whether tokens of a key live at `now` begin with the segment `header`.
    pub(super) fn know(&self, header: &str, now: Timestamp) -> bool {
        self.each_live(now, |key| (key.header() == header).then_some(())).is_some()
    }

    /// The keys by purpose of every secret, those of the one that signs first.
    pub(super) fn purposes(&self) -> &[PurposeKeys] {
        &self.purposes
    }

    /// Shows each live key to `visit` until it returns something, the one that signs first.
    fn each_live<R>(&self, now: Timestamp, mut visit: impl FnMut(&Arc<AccessKey>) -> Option<R>) -> Option<R> {
        match &self.access {
            AccessKeys::Given(keys) => keys.iter().find_map(visit),
            AccessKeys::Derived(derived) => {
                let current = self.epochs.at(now);
                let others = || self.epochs.live(now).filter(|epoch| *epoch != current);
                let mut visit = |epoch| derived.of_epoch(epoch, &self.epochs, &mut visit);
                visit(current).or_else(|| others().find_map(visit))
            }
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        redacted(f)
    }
}

enum AccessKeys {
    Derived(DerivedKeys),
    Given(Vec<Arc<AccessKey>>),
}

struct DerivedKeys {
    algorithm: DerivedAlgorithm,
    roots: Box<[Root]>,
    /// By epoch, the keys of every secret in the ring's order. A cache: what is missing is derived again.
    made: papaya::HashMap<u64, Box<[Arc<AccessKey>]>, foldhash::fast::RandomState>,
}

impl DerivedKeys {
    fn new(algorithm: DerivedAlgorithm, ring: &KeyRing) -> Self {
        let roots = ring.secrets().iter().map(Root::new).collect();
        Self { algorithm, roots, made: papaya::HashMap::default() }
    }

    /// Shows each key of the epoch to `visit` until it returns something.
    fn of_epoch<R>(
        &self,
        epoch: u64,
        epochs: &Epochs,
        visit: impl FnMut(&Arc<AccessKey>) -> Option<R>,
    ) -> Option<R> {
        let made = self.made.pin();
        if let Some(keys) = made.get(&epoch) {
            return keys.iter().find_map(visit);
        }
        made.retain(|other, _| other.abs_diff(epoch) <= Epochs::MOST_LIVE);
        let derive = |root| Arc::new(self.algorithm.derive(root, &epochs.name(epoch)));
        made.get_or_insert_with(epoch, || self.roots.iter().map(derive).collect()).iter().find_map(visit)
    }
}

/// The epochs of access-token keys: each signs for one epoch, then a new one does.
///
/// A key is published one epoch ahead, and verifies until its epoch is over and the last token signed with it has
/// expired; a minute is added on both sides for clocks apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    length_ms: u64,
    /// For how long after its epoch a key may still be needed, slack included.
    overhang_ms: u64,
}

impl Epochs {
    /// How long a key signs, unless set: 7 days.
    pub const DEFAULT_LENGTH: Duration = Duration::from_secs(7 * 24 * 60 * 60);
    /// The shortest epoch.
    pub const MIN_LENGTH: Duration = Duration::from_secs(10 * 60);
    /// The most epochs that the life of one access token may span.
    pub const MAX_SPAN: u32 = 32;
    /// How far apart the clocks of two nodes may be.
    pub const CLOCK_SLACK: Duration = Duration::from_secs(60);
    /// More epochs than are ever live at once: those that a token's life spans, both its ends, the next one, and slack.
    const MOST_LIVE: u64 = Self::MAX_SPAN as u64 + 6;

    /// Epochs of `length`, for access tokens that live `longest_token` at most, jitter and leeway included.
    ///
    /// Every node must use the same length: it is part of the derivation. A token that lives longer than
    /// `longest_token` is refused once its key is gone, and its client refreshes.
    ///
    /// # Errors
    ///
    /// When `length` is below 10 minutes, or `longest_token` is more than 32 times as long.
    pub const fn new(length: Duration, longest_token: Duration) -> Result<Self, EpochsError> {
        let shortest = longest_token.as_millis().div_ceil(Self::MAX_SPAN as u128);
        if length.as_millis() < Self::MIN_LENGTH.as_millis() || length.as_millis() < shortest {
            return Err(EpochsError { length, longest_token });
        }
        Ok(Self::of(length, longest_token))
    }

    const fn of(length: Duration, longest_token: Duration) -> Self {
        let overhang = Timestamp::from_millis(0).after(longest_token).after(Self::CLOCK_SLACK);
        let length = Timestamp::from_millis(0).after(length);
        Self { length_ms: length.as_millis(), overhang_ms: overhang.as_millis() }
    }

    /// The epoch whose key signs at `now`.
    fn at(&self, now: Timestamp) -> u64 {
        now.as_millis() / self.length_ms
    }

    /// The epochs whose keys verify at `now`.
    fn live(&self, now: Timestamp) -> RangeInclusive<u64> {
        let oldest = self.at(now.before(Duration::from_millis(self.overhang_ms)));
        let newest = self.at(now.after(Self::CLOCK_SLACK)).saturating_add(1);
        oldest..=newest
    }

    /// What tells this epoch's keys from all others, those of other epoch lengths included.
    fn name(&self, epoch: u64) -> [u8; 16] {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&self.length_ms.to_be_bytes());
        name[8..].copy_from_slice(&epoch.to_be_bytes());
        name
    }

    fn jwks_max_age(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(60 * 60);
        Duration::from_millis(self.length_ms / 2).min(LONGEST)
    }
}

impl Default for Epochs {
    /// Epochs of 7 days, for access tokens that live up to a day.
    fn default() -> Self {
        Self::of(Self::DEFAULT_LENGTH, Duration::from_secs(24 * 60 * 60))
    }
}

/// The epochs are too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an epoch of {length:?} is too short for access tokens that live {longest_token:?}\n\
     help: make it at least 10 minutes, and at least a 32nd of the longest access lifetime"
)]
pub struct EpochsError {
    length: Duration,
    longest_token: Duration,
}

/// The keys of one secret that don't change with the epochs.
pub(super) struct PurposeKeys {
    /// Names the secret in refresh tokens; tells nothing about it.
    pub(super) id: [u8; 4],
    /// Of the MAC that junk fails, before the store is asked.
    pub(super) refresh_mac: hmac::Key,
    /// Of the MAC that covers the row's salt.
    pub(super) refresh_proof: hmac::Key,
    pub(super) anti_csrf: hmac::Key,
    pub(super) fingerprint: hmac::Key,
}

impl PurposeKeys {
    fn derive(root: &Root) -> Self {
        Self {
            id: *root.bytes(&[b"refresh key id v1"]),
            refresh_mac: root.mac_key(b"refresh mac v1"),
            refresh_proof: root.mac_key(b"refresh proof v1"),
            anti_csrf: root.mac_key(b"anti-csrf v1"),
            fingerprint: root.mac_key(b"fingerprint v1"),
        }
    }
}

/// What all keys of one secret are expanded from.
pub(super) struct Root(hkdf::Prk);

impl Root {
    fn new(secret: &Secret) -> Self {
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, b"session-runtime").extract(secret.as_bytes()))
    }

    pub(super) fn bytes<const N: usize>(&self, info: &[&[u8]]) -> Zeroizing<[u8; N]> {
        let mut bytes = Zeroizing::new([0; N]);
        self.0
            .expand(info, Length(N))
            .and_then(|output| output.fill(bytes.as_mut_slice()))
            .expect("HKDF-SHA256 expands to 8160 bytes");
        bytes
    }

    fn mac_key(&self, label: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.bytes::<32>(&[label]).as_slice())
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    const START: Timestamp = Timestamp::from_secs(2000 * 7 * 24 * 60 * 60);

    fn epochs() -> Epochs {
        Epochs::new(7 * DAY, HOUR).unwrap()
    }

    fn keys() -> Keys {
        Keys::new(&KeyRing::random(), &SigningAlgorithm::EdDsa, epochs())
    }

    #[test]
    fn a_key_signs_for_one_epoch() {
        let keys = keys();
        let first = keys.signer(START);
        let last_moment = START.after(7 * DAY).before(Duration::from_millis(1));
        assert_eq!(keys.signer(last_moment).header(), first.header());
        assert_ne!(keys.signer(START.after(7 * DAY)).header(), first.header());
        assert_ne!(keys.signer(START.before(Duration::from_millis(1))).header(), first.header());
    }

    #[test]
    fn a_key_is_published_an_epoch_ahead_and_verifies_until_its_last_token_expired() {
        let keys = keys();
        let key = keys.signer(START);
        let millisecond = Duration::from_millis(1);
        let from = START.before(7 * DAY + Epochs::CLOCK_SLACK);
        let until = START.after(7 * DAY + HOUR + Epochs::CLOCK_SLACK);
        for (now, live) in [
            (from.before(millisecond), false),
            (from, true),
            (START, true),
            (START.after(7 * DAY), true),
            (until.before(millisecond), true),
            (until, false),
        ] {
            assert_eq!(keys.know(key.header(), now), live, "{now:?}");
            assert_eq!(keys.verifier(key.header(), now).is_some(), live, "{now:?}");
            let published = keys.jwks(now).keys().iter().any(|jwk| Some(jwk) == key.jwk());
            assert_eq!(published, live, "{now:?}");
        }
    }

    #[test]
    fn a_token_that_outlives_several_epochs_keeps_its_key() {
        let keys =
            Keys::new(&KeyRing::random(), &SigningAlgorithm::EdDsa, Epochs::new(HOUR, 30 * HOUR).unwrap());
        let key = keys.signer(START);
        assert!(keys.know(key.header(), START.after(31 * HOUR)));
        assert!(!keys.know(key.header(), START.after(32 * HOUR)));
    }

    #[test]
    fn the_published_set_may_be_kept_for_less_than_a_key_is_published_ahead() {
        for length in [Epochs::MIN_LENGTH, HOUR, 7 * DAY] {
            let epochs = Epochs::new(length, HOUR).unwrap();
            let keys = Keys::new(&KeyRing::random(), &SigningAlgorithm::EdDsa, epochs);
            let fetched = keys.jwks(START.after(length / 3));
            assert!(!fetched.max_age().is_zero());
            let used = keys.signer(START.after(length / 3 + fetched.max_age()));
            assert!(fetched.keys().iter().any(|jwk| Some(jwk) == used.jwk()));
        }
    }

    #[test]
    fn nodes_with_one_ring_have_the_same_keys_and_others_have_not() {
        let ring = KeyRing::random();
        for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::Hs256] {
            let node = || Keys::new(&ring, &algorithm, epochs());
            let signer = node().signer(START);
            let verifier = node().verifier(signer.header(), START).unwrap();
            assert!(verifier.verifies(b"message", signer.sign(b"message").unwrap().as_ref()));

            let stranger = Keys::new(&KeyRing::random(), &algorithm, epochs());
            assert!(!stranger.know(signer.header(), START));
            let other_length = Keys::new(&ring, &algorithm, Epochs::new(DAY, HOUR).unwrap());
            assert!(!other_length.know(signer.header(), START));
        }
    }

    #[test]
    fn every_algorithm_has_keys_of_its_own() {
        let ring = KeyRing::random();
        let kids = [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::Hs256]
            .map(|algorithm| Keys::new(&ring, &algorithm, epochs()).signer(START).header().to_owned());
        assert!(kids[0] != kids[1] && kids[1] != kids[2] && kids[0] != kids[2]);
    }

    #[test]
    fn every_purpose_has_a_key_of_its_own() {
        let keys = PurposeKeys::derive(&Root::new(&KeyRing::random().secrets()[0]));
        let tags: std::collections::HashSet<Vec<u8>> =
            [&keys.refresh_mac, &keys.refresh_proof, &keys.anti_csrf, &keys.fingerprint]
                .map(|key| hmac::sign(key, b"message").as_ref().to_vec())
                .into();
        assert_eq!(tags.len(), 4);
    }

    #[test]
    fn the_derivation_stands() {
        let secret = Secret::from_bytes(
            (0..32u8).map(|byte| byte.wrapping_mul(37).wrapping_add(byte ^ 0x5a)).collect::<Vec<_>>(),
        )
        .unwrap();
        let ring = KeyRing::of(vec![secret]).unwrap();
        let kid = |algorithm| {
            let jwks = Keys::new(&ring, &algorithm, epochs()).jwks(START);
            jwks.keys()[0].kid().to_owned()
        };
        assert_eq!(kid(SigningAlgorithm::EdDsa), "e0hWFOyVZWo");
        assert_eq!(kid(SigningAlgorithm::Es256), "jttX8Xahfk8");
    }

    #[test]
    fn keys_of_passed_epochs_are_dropped() {
        let keys = keys();
        let headers: std::collections::HashSet<String> =
            (0..200).map(|epoch| keys.signer(START.after(7 * DAY * epoch)).header().to_owned()).collect();
        assert_eq!(headers.len(), 200);
        let AccessKeys::Derived(derived) = &keys.access else { panic!("derived") };
        assert!(derived.made.len() as u64 <= Epochs::MOST_LIVE + 1);
    }

    #[test]
    fn the_ends_of_time_are_survived() {
        let keys = keys();
        for now in [Timestamp::default(), Timestamp::MAX] {
            assert!(keys.know(keys.signer(now).header(), now));
        }
    }

    #[test]
    fn too_short_an_epoch_is_refused() {
        assert!(Epochs::new(Duration::from_secs(599), HOUR).is_err());
        assert!(Epochs::new(HOUR, 33 * HOUR).is_err());
        assert!(Epochs::new(HOUR, 32 * HOUR).is_ok());
        assert!(Epochs::new(Duration::ZERO, Duration::ZERO).is_err());
    }
}
