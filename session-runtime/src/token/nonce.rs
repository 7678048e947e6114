//! Nonces: what a bound client adds to its refresh token, so that a copy of the token alone is of no use.

use aws_lc_rs::digest;

use crate::{SessionHandle, rotation::NonceHash};

/// How many characters a nonce has. The shortest holds 132 random bits.
const LENGTHS: std::ops::RangeInclusive<usize> = 22..=64;

/// The value of `st-nonce`: `<generation>.<nonce>`, the generation in decimal, the nonce of [`LENGTHS`] characters of base64url.
#[derive(Clone, Copy)]
pub(crate) struct Nonce<'a> {
    /// The generation of the refresh token that the client means.
    pub(crate) generation: u32,
    text: &'a str,
}

impl<'a> Nonce<'a> {
    /// Reads the value of the header; `None` where it is malformed.
    pub(crate) fn read(value: &'a str) -> Option<Self> {
        let (generation, text) = value.split_once('.')?;
        let is_number = generation.bytes().all(|byte| byte.is_ascii_digit()) && !generation.starts_with('0');
        let is_base64url =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let generation = generation.parse().ok().filter(|_| is_number)?;
        (is_base64url && LENGTHS.contains(&text.len())).then_some(Self { generation, text })
    }

    /// What the store keeps of it: half of SHA-256. It has no key, so that it outlives a change of the key ring; nobody finds the
    /// random bits behind it.
    pub(crate) fn hash(&self, handle: SessionHandle) -> NonceHash {
        let mut message = digest::Context::new(&digest::SHA256);
        message.update(handle.as_bytes());
        message.update(&self.generation.to_be_bytes());
        message.update(self.text.as_bytes());
        let mut hash = [0; 16];
        hash.copy_from_slice(&message.finish().as_ref()[..16]);
        NonceHash(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLE: SessionHandle = SessionHandle::from_bytes([1; 16]);
    const TEXT: &str = "AZaz09-_AZaz09-_AZaz09";

    fn hash(value: &str) -> Option<NonceHash> {
        Nonce::read(value).map(|nonce| nonce.hash(HANDLE))
    }

    #[test]
    fn a_nonce_is_read_with_its_generation() {
        for generation in [1, 2, 10, u32::MAX] {
            let value = format!("{generation}.{TEXT}");
            assert_eq!(Nonce::read(&value).map(|nonce| nonce.generation), Some(generation));
        }
        for len in [22, 43, 64] {
            assert!(Nonce::read(&format!("7.{}", "x".repeat(len))).is_some(), "{len}");
        }
    }

    #[test]
    fn what_is_no_nonce_is_not_read() {
        for generation in ["", "0", "01", "+1", "-1", " 1", "1 ", "x", "4294967296", "99999999999999999999"] {
            assert!(Nonce::read(&format!("{generation}.{TEXT}")).is_none(), "{generation}");
        }
        for text in
            ["", &TEXT[1..], &"x".repeat(65), &"x".repeat(100_000), &format!("{TEXT}="), &format!("{TEXT}.")]
        {
            assert!(Nonce::read(&format!("1.{text}")).is_none(), "{}", text.len());
        }
        for other in ["+", "/", " ", ",", "\u{e9}", "\0"] {
            assert!(Nonce::read(&format!("1.{TEXT}{other}")).is_none(), "{other}");
        }
        assert!(Nonce::read("").is_none() && Nonce::read(TEXT).is_none() && Nonce::read("1").is_none());
    }

    #[test]
    fn a_hash_is_that_of_one_nonce_of_one_generation_of_one_session() {
        let one = format!("1.{TEXT}");
        assert_eq!(hash(&one), hash(&one));
        assert_ne!(hash(&one), hash(&format!("2.{TEXT}")));
        assert_ne!(hash(&one), hash(&format!("1.{TEXT}0")));
        let other_session = SessionHandle::from_bytes([2; 16]);
        assert_ne!(hash(&one), Nonce::read(&one).map(|nonce| nonce.hash(other_session)));
    }
}
