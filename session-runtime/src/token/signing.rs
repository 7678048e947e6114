//! Signing keys: one key, one algorithm.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::{
    agreement, digest, hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, PublicKey as RsaPublicKey},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    },
};
use axum::{
    Json,
    http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64URL, Engine as _};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde::Serialize;
use zeroize::Zeroizing;

use super::keys::Root;

/// A JWS algorithm (RFC 7518 §3.1, RFC 8037) that access tokens can be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `EdDSA` with Ed25519.
    EdDsa,
    /// `ES256`: ECDSA with P-256 and SHA-256.
    Es256,
    /// `HS256`: HMAC with SHA-256.
    Hs256,
    /// `RS256`: RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// The value of `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
        }
    }
}

/// How access tokens are signed. EdDSA by default.
///
/// After a change of the algorithm, access tokens signed before are refused with "try refresh", which costs each client
/// one refresh and logs nobody out.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// Ed25519: small, fast, and others can verify it by the JWKS. The default.
    #[default]
    EdDsa,
    /// ECDSA with P-256, for verifiers that don't know EdDSA.
    Es256,
    /// HMAC with SHA-256: the fastest. Nobody else can verify it, for whoever verifies can also mint; the JWKS is empty.
    Hs256,
    /// RSA with the operator's own key, for verifiers that know nothing else. Not derived from the key ring.
    Rs256(Rs256),
}

impl SigningAlgorithm {
    /// The algorithm, without a key.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::EdDsa => Algorithm::EdDsa,
            Self::Es256 => Algorithm::Es256,
            Self::Hs256 => Algorithm::Hs256,
            Self::Rs256(_) => Algorithm::Rs256,
        }
    }
}

/// The operator's RSA key for RS256, and former ones that still verify.
///
/// It does not change with the epochs. To change it: publish the new one by [`also_verify`](Self::also_verify) on every
/// node, then sign with it and keep the old one verifying as long as an access token lives.
#[derive(Clone)]
pub struct Rs256 {
    signing: Arc<RsaKeyPair>,
    others: Vec<RsaPublicKey>,
}

impl Rs256 {
    /// The fewest bits that a key may have (RFC 7518 §3.3).
    pub const MIN_BITS: usize = 2048;

    /// Signs with this private key: unencrypted PEM, PKCS#8 (`PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`), of 2048 to
    /// 8192 bits.
    ///
    /// # Errors
    ///
    /// When the text holds no such key, or one of less than 2048 bits.
    pub fn from_pem(pem: &str) -> Result<Self, Rs256Error> {
        Ok(Self { signing: Arc::new(private_key(pem)?), others: Vec::new() })
    }

    /// Verifies, and publishes, another key too: its public key (`PUBLIC KEY`) or, as above, its private one.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem).
    pub fn also_verify(mut self, pem: &str) -> Result<Self, Rs256Error> {
        self.others.push(public_key(pem)?);
        Ok(self)
    }

    pub(super) fn access_keys(&self) -> Vec<Arc<AccessKey>> {
        let signing = AccessKey::rs256(self.signing.public_key(), Some(Arc::clone(&self.signing)));
        let others = self.others.iter().map(|key| AccessKey::rs256(key, None));
        std::iter::once(signing).chain(others).map(Arc::new).collect()
    }
}

impl fmt::Debug for Rs256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rs256").finish_non_exhaustive()
    }
}

/// Why an RSA key was refused. Holds no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rs256Error {
    /// The text holds no PEM section that could be the key.
    #[error(
        "no unencrypted RSA key in the PEM text\n\
         help: make one with: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048"
    )]
    NoKey,
    /// The key is no RSA key, is damaged, is not of 2048 to 8192 bits, or can be factored (CVE-2017-15361).
    #[error(
        "the PEM text holds no sound RSA key of 2048 to 8192 bits\n\
         help: make one with: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048"
    )]
    Unsound,
}

fn private_key(pem: &str) -> Result<RsaKeyPair, Rs256Error> {
    let (kind, der) = section(pem, &[SectionKind::PrivateKey, SectionKind::RsaPrivateKey])?;
    let pair = match kind {
        SectionKind::PrivateKey => RsaKeyPair::from_pkcs8(&der),
        _ => RsaKeyPair::from_der(&der),
    };
    pair.ok().filter(|pair| is_sound(pair.public_key())).ok_or(Rs256Error::Unsound)
}

fn public_key(pem: &str) -> Result<RsaPublicKey, Rs256Error> {
    match section(pem, &[SectionKind::PublicKey]) {
        Ok((_, der)) => RsaPublicKey::from_der(&der).ok().filter(is_sound).ok_or(Rs256Error::Unsound),
        Err(_) => private_key(pem).map(|pair| pair.public_key().clone()),
    }
}

fn section(pem: &str, kinds: &[SectionKind]) -> Result<(SectionKind, Zeroizing<Vec<u8>>), Rs256Error> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes())
        .map_while(Result::ok)
        .map(|(kind, der)| (kind, Zeroizing::new(der)))
        .find(|(kind, _)| kinds.contains(kind))
        .ok_or(Rs256Error::NoKey)
}

pub(super) fn is_sound(key: &RsaPublicKey) -> bool {
    let modulus = key.modulus();
    let modulus = modulus.big_endian_without_leading_zero();
    bits(modulus) >= Rs256::MIN_BITS && !has_roca_fingerprint(modulus)
}

fn bits(number: &[u8]) -> usize {
    number.len() * 8 - number.first().map_or(0, |byte| byte.leading_zeros() as usize)
}

/// Whether the modulus is a product of primes as a faulty library of smart cards made them, which can be factored
/// (CVE-2017-15361): modulo each small prime such a modulus is a power of 65537. Another one is so by chance once in 2^27
/// times.
fn has_roca_fingerprint(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    PRIMES.into_iter().all(|prime| {
        let remainder = modulus.iter().fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % prime);
        (0..prime)
            .scan(1, |power, _| Some(std::mem::replace(power, *power * 65537 % prime)))
            .any(|power| power == remainder)
    })
}

/// A key of access tokens: verifies, and signs if it is ours to sign with.
pub(super) struct AccessKey {
    header: Box<str>,
    signer: Option<Signer>,
    verifier: Verifier,
    jwk: Option<Jwk>,
}

enum Signer {
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
    Hs256(Arc<hmac::Key>),
    Rs256(Arc<RsaKeyPair>),
}

/// A public key knows its one algorithm.
pub(super) enum Verifier {
    Public(ParsedPublicKey),
    Mac(Arc<hmac::Key>),
}

impl AccessKey {
    /// The longest signature that any key makes: RSA with 8192 bits.
    pub(super) const MAX_SIGNATURE_LEN: usize = 1024;

    pub(super) fn ed25519(kid: &str, seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are an Ed25519 seed");
        let public = pair.public_key().as_ref().to_vec();
        Self {
            header: header(Algorithm::EdDsa, kid),
            verifier: Verifier::Public(
                ParsedPublicKey::new(&ED25519, &public).expect("a key pair's public key is sound"),
            ),
            jwk: Some(Jwk::ed25519(kid, &public)),
            signer: Some(Signer::EdDsa(pair)),
        }
    }

    /// `None` if `scalar` is not within the curve's order, as one in 2^32 random ones is not.
    pub(super) fn es256(kid: &str, scalar: &[u8; 32]) -> Option<Self> {
        let public = agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, scalar).ok()?;
        let public = public.compute_public_key().ok()?;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            scalar,
            public.as_ref(),
        );
        Some(Self {
            header: header(Algorithm::Es256, kid),
            verifier: Verifier::Public(ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public.as_ref()).ok()?),
            jwk: Some(Jwk::p256(kid, public.as_ref())),
            signer: Some(Signer::Es256(pair.ok()?)),
        })
    }

    pub(super) fn hs256(kid: &str, key: &[u8; 32]) -> Self {
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key));
        Self {
            header: header(Algorithm::Hs256, kid),
            signer: Some(Signer::Hs256(Arc::clone(&key))),
            verifier: Verifier::Mac(key),
            jwk: None,
        }
    }

    fn rs256(public: &RsaPublicKey, pair: Option<Arc<RsaKeyPair>>) -> Self {
        let jwk = Jwk::rsa(public);
        Self {
            header: header(Algorithm::Rs256, &jwk.kid),
            signer: pair.map(Signer::Rs256),
            verifier: Verifier::Public(
                ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref())
                    .expect("a parsed public key is sound"),
            ),
            jwk: Some(jwk),
        }
    }

    #[cfg(test)]
    pub(super) fn verifying(header: &str, verifier: Verifier) -> Self {
        Self { header: header.into(), signer: None, verifier, jwk: None }
    }

    /// The first segment of every token under this key.
    pub(super) fn header(&self) -> &str {
        &self.header
    }

    pub(super) fn jwk(&self) -> Option<&Jwk> {
        self.jwk.as_ref()
    }

    /// The signature of `message`; `None` for a key that only verifies, or if the library fails.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Signature> {
        Some(match self.signer.as_ref()? {
            Signer::EdDsa(pair) => Signature::of(pair.try_sign(message).ok()?.as_ref()),
            Signer::Es256(pair) => Signature::of(pair.sign(&SystemRandom::new(), message).ok()?.as_ref()),
            Signer::Hs256(key) => Signature::of(hmac::sign(key, message).as_ref()),
            Signer::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
                Signature(signature)
            }
        })
    }

    /// How long [the signatures](Self::sign) of this key are, in bytes; 0 for a key that only verifies.
    pub(super) fn signature_len(&self) -> usize {
        match &self.signer {
            Some(Signer::EdDsa(_) | Signer::Es256(_)) => 64,
            Some(Signer::Hs256(_)) => 32,
            Some(Signer::Rs256(pair)) => pair.public_modulus_len(),
            None => 0,
        }
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.verifier {
            Verifier::Public(key) => key.verify_sig(message, signature).is_ok(),
            Verifier::Mac(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

/// The bytes of a signature, on their way into a token.
pub(super) struct Signature(Vec<u8>);

impl Signature {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn header(algorithm: Algorithm, kid: &str) -> Box<str> {
    let json = format!(r#"{{"alg":"{}","typ":"at+jwt","kid":"{kid}"}}"#, algorithm.as_str());
    BASE64URL.encode(json).into()
}

/// The algorithms whose keys are derived from the operator's secret.
#[derive(Clone, Copy)]
pub(super) enum DerivedAlgorithm {
    EdDsa,
    Es256,
    Hs256,
}

impl DerivedAlgorithm {
    /// The key of this algorithm for one epoch. `epoch` also tells epochs of different lengths apart.
    pub(super) fn derive(self, root: &Root, epoch: &[u8; 16]) -> AccessKey {
        let (key_label, id_label) = self.labels();
        let kid = BASE64URL.encode(root.bytes::<8>(&[id_label, epoch]).as_slice());
        match self {
            Self::EdDsa => AccessKey::ed25519(&kid, &root.bytes(&[key_label, epoch])),
            Self::Hs256 => AccessKey::hs256(&kid, &root.bytes(&[key_label, epoch])),
            Self::Es256 => (0..=u8::MAX)
                .find_map(|attempt| AccessKey::es256(&kid, &root.bytes(&[key_label, epoch, &[attempt]])))
                .expect("one of 256 random scalars is within the order of P-256"),
        }
    }

    const fn labels(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::EdDsa => (b"access key v1 EdDSA", b"access kid v1 EdDSA"),
            Self::Es256 => (b"access key v1 ES256", b"access kid v1 ES256"),
            Self::Hs256 => (b"access key v1 HS256", b"access kid v1 HS256"),
        }
    }
}

/// A JSON Web Key Set (RFC 7517 §5): the public keys that verify access tokens, as others fetch them.
///
/// Serializes to the document. HS256 has no public keys, so its set is empty.
#[derive(Clone, Debug, Serialize)]
pub struct Jwks {
    keys: Vec<Jwk>,
    #[serde(skip)]
    max_age: Duration,
}

impl Jwks {
    pub(super) fn new(keys: Vec<Jwk>, max_age: Duration) -> Self {
        Self { keys, max_age }
    }

    /// The keys: current, next, and former ones with which a live token can be signed.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// For how long others may keep the set (`Cache-Control: max-age`): a key is published longer than this before its
    /// use.
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }
}

/// The document, open to every origin, cached for [`Jwks::max_age`].
impl IntoResponse for Jwks {
    fn into_response(self) -> Response {
        let caching = format!("public, max-age={}", self.max_age.as_secs());
        ([(CACHE_CONTROL, caching), (ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned())], Json(self))
            .into_response()
    }
}

/// A public key as a JSON Web Key (RFC 7517 §4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jwk {
    kid: String,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    #[serde(flatten)]
    parameters: Parameters,
}

/// The members that make up the key (RFC 7518 §6, RFC 8037 §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kty")]
enum Parameters {
    #[serde(rename = "OKP")]
    Okp { crv: &'static str, x: String },
    #[serde(rename = "EC")]
    Ec { crv: &'static str, x: String, y: String },
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
}

impl Jwk {
    /// The key's name, as in the header of tokens.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    fn ed25519(kid: &str, public: &[u8]) -> Self {
        Self::new(kid, Algorithm::EdDsa, Parameters::Okp { crv: "Ed25519", x: BASE64URL.encode(public) })
    }

    /// `public` is an uncompressed point: a 4, then both coordinates (SEC 1 §2.3.3).
    fn p256(kid: &str, public: &[u8]) -> Self {
        let (x, y) = public[1..].split_at(32);
        let parameters = Parameters::Ec { crv: "P-256", x: BASE64URL.encode(x), y: BASE64URL.encode(y) };
        Self::new(kid, Algorithm::Es256, parameters)
    }

    /// Named by its thumbprint (RFC 7638), shortened to 64 bits.
    fn rsa(public: &RsaPublicKey) -> Self {
        let n = BASE64URL.encode(public.modulus().big_endian_without_leading_zero());
        let e = BASE64URL.encode(public.exponent().big_endian_without_leading_zero());
        let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        let thumbprint = digest::digest(&digest::SHA256, canonical.as_bytes());
        let kid = BASE64URL.encode(&thumbprint.as_ref()[..8]);
        Self::new(&kid, Algorithm::Rs256, Parameters::Rsa { n, e })
    }

    fn new(kid: &str, algorithm: Algorithm, parameters: Parameters) -> Self {
        Self { kid: kid.to_owned(), alg: algorithm.as_str(), usage: "sig", parameters }
    }
}
