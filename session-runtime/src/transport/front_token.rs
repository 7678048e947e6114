//! The front token: what the scripts of a page may know of a session whose cookies they can't read.

use axum::http::HeaderValue;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::value::RawValue;

use super::TransportError;
use crate::clock::Timestamp;

/// The value that makes a client forget its session.
pub(crate) const REMOVE: HeaderValue = HeaderValue::from_static("remove");

/// The front token of `user`'s access token, which expires at `expires` and has `payload`, serialized JSON.
///
/// Padded standard base64 of `{"uid": …, "ate": …, "up": …}`: the user, the expiry in milliseconds since the
/// Unix epoch, and the payload byte for byte. It is readable by every script of the page and proves nothing.
///
/// # Errors
///
/// If `payload` is not JSON.
pub(crate) fn encode(user: &str, expires: Timestamp, payload: &[u8]) -> Result<HeaderValue, TransportError> {
    let front =
        FrontToken { uid: user, ate: expires.as_millis(), up: serde_json::from_slice::<&RawValue>(payload)? };
    Ok(HeaderValue::try_from(STANDARD.encode(serde_json::to_vec(&front)?))?)
}

#[derive(Serialize)]
struct FrontToken<'a> {
    uid: &'a str,
    ate: u64,
    up: &'a RawValue,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(value: &HeaderValue) -> String {
        String::from_utf8(STANDARD.decode(value).unwrap()).unwrap()
    }

    #[test]
    fn a_client_reads_user_expiry_and_payload() {
        let value =
            encode("u-1", Timestamp::from_millis(1_700_000_000_123), br#"{"iat":17,"sub":"u-1"}"#).unwrap();
        assert_eq!(decode(&value), r#"{"uid":"u-1","ate":1700000000123,"up":{"iat":17,"sub":"u-1"}}"#);
    }

    #[test]
    fn base64_is_padded_and_standard() {
        let value = encode("??>>", Timestamp::from_millis(1), b"{}").unwrap();
        assert_eq!(value, "eyJ1aWQiOiI/Pz4+IiwiYXRlIjoxLCJ1cCI6e319");
        let value = encode("u", Timestamp::from_millis(1), b"{}").unwrap();
        assert_eq!(value, "eyJ1aWQiOiJ1IiwiYXRlIjoxLCJ1cCI6e319");
        let value = encode("uu", Timestamp::from_millis(1), b"{}").unwrap();
        assert_eq!(value, "eyJ1aWQiOiJ1dSIsImF0ZSI6MSwidXAiOnt9fQ==");
    }

    #[test]
    fn a_hostile_user_name_stays_a_string() {
        let user = "\",\"ate\":9,\"x\":\"\u{2028}\n\0ü😀";
        let front: serde_json::Value =
            serde_json::from_str(&decode(&encode(user, Timestamp::from_millis(1), b"{}").unwrap())).unwrap();
        assert_eq!(front, serde_json::json!({ "uid": user, "ate": 1, "up": {} }));
    }

    #[test]
    fn a_payload_that_is_no_json_is_refused() {
        for payload in [&b""[..], b"{", b"{}}", b"{\"a\":\"\xff\"}"] {
            assert!(matches!(
                encode("u", Timestamp::from_millis(1), payload),
                Err(TransportError::Payload(_))
            ));
        }
    }
}
