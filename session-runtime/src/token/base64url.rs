//! Decodes base64url without padding (RFC 4648 §5), each byte sequence in its only spelling.

use std::sync::LazyLock;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::engine::GeneralPurpose as Decoder;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use base64::engine::Simd as Decoder;
use base64::{DecodeError, DecodeSliceError, Engine as _, engine::general_purpose::NO_PAD};

/// Many bytes at a time where the processor can: a payload takes a good part of what a check by HMAC takes.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static DECODER: LazyLock<Decoder> = LazyLock::new(|| Decoder::url_safe(NO_PAD));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static DECODER: LazyLock<Decoder> = LazyLock::new(|| Decoder::new(&base64::alphabet::URL_SAFE, NO_PAD));

pub(super) fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    DECODER.decode(text)
}

/// Decodes into the beginning of `buffer`, which needs three bytes for every four characters begun.
pub(super) fn decode_into<'b>(text: &str, buffer: &'b mut [u8]) -> Result<&'b [u8], DecodeSliceError> {
    let len = DECODER.decode_slice(text, buffer)?;
    Ok(&buffer[..len])
}
