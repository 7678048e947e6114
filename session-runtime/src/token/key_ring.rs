//! The operator's secrets.

use std::fmt;

use aws_lc_rs::{constant_time::verify_slices_are_equal, rand};
use base64::{
    Engine as _,
    alphabet::{self, Alphabet},
    engine::general_purpose::{GeneralPurpose, NO_PAD_INDIFFERENT},
};
use zeroize::Zeroizing;

use super::redacted;

/// The operator's secrets: the first signs, all verify.
///
/// Everything secret in the system is derived from these, so whoever holds one can mint access tokens. Keep them where
/// passwords are kept, and give every node the same ring.
///
/// # Changing the secret without logging anyone out
///
/// 1. `old,new` on every node: `new` is known and published, `old` still signs.
/// 2. When every node has it and [`Jwks::max_age`](super::Jwks::max_age) has passed: `new,old`.
/// 3. When no refresh token under `old` can be alive (the idle lifetime of a session, 100 days by default): `new`.
///
/// After a leak, go to `new` alone at once: everyone logs in again.
#[derive(Clone)]
pub struct KeyRing(Vec<Secret>);

impl KeyRing {
    /// Reads a comma-separated ring, such as the value of `SESSION_KEYS`: `new,old`.
    ///
    /// Each entry is at least 32 random bytes in base64 or base64url, padded or not, or in hexadecimal digits; white
    /// space around an entry is ignored.
    ///
    /// ```
    /// use session_runtime::token::KeyRing;
    ///
    /// let refusal = KeyRing::parse("bm90IGEgc2VjcmV0").unwrap_err();
    /// assert_eq!(
    ///     refusal.to_string(),
    ///     "entry 1 of the key ring is only 12 bytes long, at least 32 are needed\n\
    ///      help: make one with: openssl rand -base64 32",
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// When the ring is empty, an entry can't be read or could be guessed, or one stands there twice. The error names the
    /// entry by its position, from 1 on, and shows no part of it.
    pub fn parse(ring: &str) -> Result<Self, KeyRingError> {
        if ring.trim().is_empty() {
            return Err(KeyRingError::Empty);
        }
        let secrets = ring.split(',').zip(1..).map(|(entry, position)| parse_entry(entry.trim(), position));
        Self::of(secrets.collect::<Result<_, _>>()?)
    }

    /// A ring of secrets, the one that signs first.
    ///
    /// # Errors
    ///
    /// When there is none, or one stands there twice.
    pub fn of(secrets: Vec<Secret>) -> Result<Self, KeyRingError> {
        if secrets.is_empty() {
            return Err(KeyRingError::Empty);
        }
        for (at, secret) in secrets.iter().enumerate() {
            if let Some(first) = secrets[..at].iter().position(|earlier| earlier.is(secret)) {
                return Err(KeyRingError::Duplicate { position: at + 1, first: first + 1 });
            }
        }
        Ok(Self(secrets))
    }

    /// A ring of one new random secret, which nothing else knows: tokens made with it end with the process.
    ///
    /// # Panics
    ///
    /// If the operating system gives no random numbers.
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new(vec![0; Secret::MIN_LEN]);
        rand::fill(&mut bytes).expect("the operating system gives random numbers");
        Self(vec![Secret(bytes)])
    }

    /// The secrets, the one that signs first.
    pub(super) fn secrets(&self) -> &[Secret] {
        &self.0
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing").field(&self.0).finish()
    }
}

/// One secret of the operator: at least 32 bytes that can't be guessed. Wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The fewest bytes that a secret may have.
    pub const MIN_LEN: usize = 32;

    /// A secret from its bytes, which a cryptographic random number generator must have made.
    ///
    /// # Errors
    ///
    /// When the bytes are too few, or look like anything but random ones.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, Weakness> {
        let bytes = Zeroizing::new(bytes.into());
        match weakness(&bytes) {
            Some(weakness) => Err(weakness),
            None => Ok(Self(bytes)),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn is(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        redacted(f)
    }
}

/// Why a key ring was refused. Holds no part of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// There is no secret at all.
    #[error("the key ring is empty\nhelp: make a secret with: openssl rand -base64 32")]
    Empty,
    /// An entry is neither base64, base64url nor hexadecimal.
    #[error(
        "entry {position} of the key ring is neither base64, base64url nor hexadecimal\n\
         help: make one with: openssl rand -base64 32"
    )]
    Unreadable {
        /// The entry, counted from 1.
        position: usize,
    },
    /// An entry could be guessed.
    #[error("entry {position} of the key ring {weakness}\nhelp: make one with: openssl rand -base64 32")]
    Weak {
        /// The entry, counted from 1.
        position: usize,
        /// What is wrong with it.
        weakness: Weakness,
    },
    /// An entry stands in the ring twice.
    #[error("entry {position} of the key ring repeats entry {first}\nhelp: remove one of them")]
    Duplicate {
        /// The second of the two, counted from 1.
        position: usize,
        /// The first of the two, counted from 1.
        first: usize,
    },
}

/// Why a secret could be guessed. Holds no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Weakness {
    /// Fewer than 32 bytes.
    #[error("is only {bytes} bytes long, at least {} are needed", Secret::MIN_LEN)]
    TooShort {
        /// How many there are.
        bytes: usize,
    },
    /// One byte or a short piece over and over, bytes that count up or down, or very few different ones.
    #[error("is a pattern, not random bytes")]
    Pattern,
    /// Words, or other text that was typed rather than drawn.
    #[error("reads as text, not as random bytes")]
    Text,
    /// A value printed in a standard, a manual or this documentation.
    #[error("is a published example that everyone knows")]
    Published,
}

fn parse_entry(entry: &str, position: usize) -> Result<Secret, KeyRingError> {
    let weak = |weakness| KeyRingError::Weak { position, weakness };
    let bytes = decode(entry).ok_or(if contains_word(entry) {
        weak(Weakness::Text)
    } else {
        KeyRingError::Unreadable { position }
    })?;
    let secret = Secret::from_bytes(bytes).map_err(weak)?;
    if reads_as_text(entry) {
        return Err(weak(Weakness::Text));
    }
    Ok(secret)
}

fn decode(entry: &str) -> Option<Vec<u8>> {
    if entry.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return decode_hex(entry);
    }
    decode_base64(&alphabet::STANDARD, entry).or_else(|| decode_base64(&alphabet::URL_SAFE, entry))
}

fn decode_hex(entry: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    };
    entry.as_bytes().chunks(2).map(byte).collect()
}

fn decode_base64(alphabet: &Alphabet, entry: &str) -> Option<Vec<u8>> {
    GeneralPurpose::new(alphabet, NO_PAD_INDIFFERENT).decode(entry).ok()
}

fn weakness(bytes: &[u8]) -> Option<Weakness> {
    if bytes.len() < Secret::MIN_LEN {
        Some(Weakness::TooShort { bytes: bytes.len() })
    } else if is_published(bytes) {
        Some(Weakness::Published)
    } else if is_stepped(bytes) || is_repeated(bytes) || has_few_values(bytes) {
        Some(Weakness::Pattern)
    } else if bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        Some(Weakness::Text)
    } else {
        None
    }
}

fn is_stepped(bytes: &[u8]) -> bool {
    let step = bytes[1].wrapping_sub(bytes[0]);
    bytes.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step)
}

fn is_repeated(bytes: &[u8]) -> bool {
    (1..=bytes.len() / 2).any(|period| bytes[period..] == bytes[..bytes.len() - period])
}

/// 32 random bytes have 30 different values on average, and fewer than 16 once in 10^17 times.
fn has_few_values(bytes: &[u8]) -> bool {
    let mut seen = [false; 256];
    bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    seen.iter().filter(|seen| **seen).count() < 16
}

/// Text of the base64 alphabet decodes to bytes that look random, so the text itself is looked at.
fn reads_as_text(entry: &str) -> bool {
    let is_hex = entry.bytes().all(|byte| byte.is_ascii_hexdigit());
    let has = |class: fn(&u8) -> bool| entry.as_bytes().iter().any(class);
    !is_hex && (!has(u8::is_ascii_uppercase) || !has(u8::is_ascii_lowercase) || contains_word(entry))
}

/// Words of placeholders, six letters and more: 32 random bytes in base64 contain one of them once in a million times.
const WORDS: &[&str] = &[
    "0123456789",
    "abcdefgh",
    "changeme",
    "change-me",
    "change_me",
    "default",
    "example",
    "insecure",
    "passphrase",
    "password",
    "placeholder",
    "production",
    "qwerty",
    "replace-me",
    "secret",
    "sessionkey",
    "session-key",
    "signingkey",
    "signing-key",
    "your-256-bit",
    "your-key",
];

fn contains_word(entry: &str) -> bool {
    let entry = Zeroizing::new(entry.to_ascii_lowercase());
    WORDS.iter().any(|word| entry.contains(word))
}

/// The keys of RFC 7515 A.1, RFC 7520 3.5, and of the Wycheproof vectors, in base64url.
const PUBLISHED: &[&str] = &[
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
    "-ebuDNsVZ2iJtoZ-akfXTSCt4UO2cruLCsbWlBinggE",
];

fn is_published(bytes: &[u8]) -> bool {
    PUBLISHED.iter().any(|key| decode_base64(&alphabet::URL_SAFE, key).is_some_and(|key| key == bytes))
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};

    use super::*;

    fn random() -> Vec<u8> {
        KeyRing::random().secrets()[0].as_bytes().to_vec()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn weakness_of(entry: &str) -> Weakness {
        match KeyRing::parse(entry) {
            Err(KeyRingError::Weak { position: 1, weakness }) => weakness,
            other => panic!("{entry}: {other:?}"),
        }
    }

    #[test]
    fn every_usual_spelling_of_one_secret_is_read_alike() {
        for _ in 0..200 {
            let bytes = random();
            let spellings = [
                BASE64_STANDARD.encode(&bytes),
                BASE64_STANDARD_NO_PAD.encode(&bytes),
                BASE64_URL_SAFE.encode(&bytes),
                BASE64_URL_SAFE_NO_PAD.encode(&bytes),
                hex(&bytes),
                hex(&bytes).to_uppercase(),
                format!("  {}\n", BASE64_STANDARD.encode(&bytes)),
            ];
            for spelling in spellings {
                assert_eq!(KeyRing::parse(&spelling).unwrap().secrets()[0].as_bytes(), bytes);
            }
        }
    }

    #[test]
    fn a_ring_keeps_its_order() {
        let (new, old) = (random(), random());
        let ring = KeyRing::parse(&format!("{}, {}", BASE64_STANDARD.encode(&new), hex(&old))).unwrap();
        assert_eq!(ring.secrets().iter().map(Secret::as_bytes).collect::<Vec<_>>(), [&new, &old]);
    }

    #[test]
    fn an_empty_ring_is_refused() {
        for ring in ["", "  \n"] {
            assert_eq!(KeyRing::parse(ring).unwrap_err(), KeyRingError::Empty);
        }
        assert_eq!(KeyRing::of(Vec::new()).unwrap_err(), KeyRingError::Empty);
    }

    #[test]
    fn an_error_names_the_position_and_the_remedy() {
        let good = BASE64_STANDARD.encode(random());
        let error = KeyRing::parse(&format!("{good},AAAZ")).unwrap_err();
        assert_eq!(error, KeyRingError::Weak { position: 2, weakness: Weakness::TooShort { bytes: 3 } });
        assert!(error.to_string().contains("entry 2"));
        assert!(error.to_string().contains("openssl rand -base64 32"));
        let error = KeyRing::parse(&format!("{good},{}", "%".repeat(43))).unwrap_err();
        assert_eq!(error, KeyRingError::Unreadable { position: 2 });
        assert_eq!(
            KeyRing::parse(&format!("{good},")).unwrap_err(),
            KeyRingError::Weak { position: 2, weakness: Weakness::TooShort { bytes: 0 } },
        );
    }

    #[test]
    fn one_secret_in_two_spellings_is_a_duplicate() {
        let (one, other) = (random(), random());
        let ring = [hex(&one), hex(&other), BASE64_STANDARD.encode(&one)].join(",");
        assert_eq!(KeyRing::parse(&ring).unwrap_err(), KeyRingError::Duplicate { position: 3, first: 1 });
    }

    #[test]
    fn a_short_secret_is_refused_in_every_spelling() {
        let bytes = &random()[..31];
        for spelling in [BASE64_STANDARD.encode(bytes), BASE64_URL_SAFE_NO_PAD.encode(bytes), hex(bytes)] {
            assert_eq!(weakness_of(&spelling), Weakness::TooShort { bytes: 31 });
        }
        // 48 hexadecimal digits are 24 bytes, although base64 would make 36 of them.
        assert_eq!(weakness_of(&hex(&random()[..24])), Weakness::TooShort { bytes: 24 });
    }

    #[test]
    fn a_pattern_is_refused() {
        let half = &random()[..16];
        let patterns: [Vec<u8>; 7] = [
            vec![0; 32],
            vec![0xff; 64],
            (0..32).collect(),
            (0..40).rev().collect(),
            [half, half, &half[..5]].concat(),
            half[..8].repeat(4),
            random()[..24].repeat(2),
        ];
        for pattern in patterns {
            assert_eq!(weakness_of(&hex(&pattern)), Weakness::Pattern);
            assert_eq!(Secret::from_bytes(pattern).unwrap_err(), Weakness::Pattern);
        }
        let few: Vec<u8> = random().iter().map(|byte| byte & 7).collect();
        assert_eq!(Secret::from_bytes(few).unwrap_err(), Weakness::Pattern);
    }

    #[test]
    fn text_is_refused_encoded_or_not() {
        let phrase = "correct horse battery staple, again and again";
        assert_eq!(weakness_of(&BASE64_STANDARD.encode(phrase)), Weakness::Text);
        assert_eq!(weakness_of(&hex(phrase.as_bytes())), Weakness::Text);
        for typed in [
            "a-string-secret-at-least-256-bits-long",
            "your-256-bit-secret-your-256-bit-secret-plus",
            "ThisIsTheSecretKeyOfOurProductionSystem12345",
            "this-is-a-long-enough-line-of-plain-words-42",
            "THIS-IS-A-LONG-ENOUGH-LINE-OF-PLAIN-WORDS-42",
            "secret key, with spaces and commata aplenty".split(',').next().unwrap(),
        ] {
            assert!(matches!(weakness_of(typed), Weakness::Text | Weakness::TooShort { .. }), "{typed}");
        }
    }

    #[test]
    fn a_well_known_value_is_refused() {
        for known in ["secret", "changeme", "your-256-bit-secret", "password"] {
            assert!(KeyRing::parse(known).is_err(), "{known}");
        }
        for key in PUBLISHED {
            assert_eq!(weakness_of(key), Weakness::Published);
        }
    }

    #[test]
    fn a_refusal_shows_nothing_of_the_secret() {
        let entry = format!("{}!", BASE64_STANDARD.encode(random()));
        let error = KeyRing::parse(&entry).unwrap_err();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!entry.as_bytes().windows(6).any(|piece| text.contains(str::from_utf8(piece).unwrap())));
        }
    }
}
