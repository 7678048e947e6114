//! Access tokens: signed JSON Web Tokens (RFC 7519) in the profile of RFC 9068 (`typ: at+jwt`), checked without I/O.
//!
//! # Why header attacks have no way in
//!
//! A key has one algorithm and one name, hence one possible header, and that is encoded once, when the key is derived.
//! [`verify`] compares a token's header segment with those of the live keys, byte for byte, and never decodes it. So
//! `none`, a public key used as HMAC secret, `jku`, `x5u`, `jwk`, `crit`, `b64` and whatever will be thought of next need
//! no check of their own: a token with any of them is under a key that we don't know (RFC 8725 §3.1, §3.2, §3.10).

#[cfg(test)]
mod tests;

use std::{cell::Cell, fmt, ops::Deref, sync::Arc, time::Duration};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64URL, Engine as _};
use memchr::memchr_iter;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::{Map, Value};

use super::{Keys, base64url, redacted, signing::AccessKey};
use crate::{SessionHandle, Timestamp};

/// The longest text that is taken for an access token, in bytes.
pub const MAX_LEN: usize = 4096;

/// The longest access token that is made, in bytes: a cookie's name and value may have 4096 together (RFC 6265bis §5.6),
/// and 64 are left for the name.
pub const MAX_MINTED_LEN: usize = MAX_LEN - MAX_COOKIE_NAME_LEN;

/// The longest name of a cookie that holds an access token, in bytes.
pub const MAX_COOKIE_NAME_LEN: usize = 64;

/// The tenant of a session that names none.
pub const DEFAULT_TENANT: &str = "public";

/// Makes the access token that carries `claims`, with the key that signs at `now`.
///
/// # Errors
///
/// When a claim of the application has a [reserved](is_reserved) name, or the token would be longer than
/// [`MAX_MINTED_LEN`]: browsers drop such a cookie without a word. Nothing is cut off.
pub fn mint(keys: &Keys, claims: &AccessClaims, now: Timestamp) -> Result<AccessToken, MintError> {
    let Unsigned { key, payload, len } = Unsigned::of(keys, claims, now)?;
    let mut token = String::with_capacity(len);
    token.push_str(key.header());
    token.push('.');
    BASE64URL.encode_string(&payload, &mut token);
    let signature = key.sign(token.as_bytes()).ok_or(MintError::Signing)?;
    token.push('.');
    BASE64URL.encode_string(signature.as_ref(), &mut token);
    Ok(AccessToken(token))
}

/// Whether [`mint`] would make a token of `claims`; signs nothing.
///
/// # Errors
///
/// As [`mint`].
pub(crate) fn check_mintable(keys: &Keys, claims: &AccessClaims, now: Timestamp) -> Result<(), MintError> {
    Unsigned::of(keys, claims, now).map(drop)
}

/// Checks an access token: form, key, signature, then the claims, in this order.
///
/// Strict throughout. There must be three base64url segments without padding, each the only spelling of its bytes; the
/// header must be that of a live key (see the [module](self)); times must be integers; no member of the payload may be
/// missing or stand there twice; no registered name that we don't use may occur.
///
/// # Errors
///
/// See [`AccessError`]. `Expired` comes last and holds the claims, for everything else about the token was right.
pub fn verify(
    keys: &Keys,
    token: &str,
    now: Timestamp,
    expected: &Expected<'_>,
) -> Result<Verified, AccessError> {
    let segments = Segments::of(token).ok_or(AccessError::Malformed)?;
    let key = keys.verifier(segments.header, now).ok_or(AccessError::UnknownKey)?;
    let (claims, not_before) = read_claims(&segments.payload(&key)?)?;
    expected.check(&claims, not_before, now)?;
    if claims.expires_at().after(expected.leeway) <= now {
        return Err(AccessError::Expired(Box::new(claims)));
    }
    Ok(Verified(claims))
}

/// Whether `token` has the form of an access token of ours, without saying that it is valid.
///
/// What is not may be meant for somebody else, such as an API key in `Authorization`, and is best ignored. Costs one
/// comparison for a token under a live key; otherwise it is decoded: its `typ` must be `at+jwt`, as that of other issuers'
/// tokens may be too (RFC 9068), and it must name a session.
pub fn looks_like_ours(keys: &Keys, token: &str, now: Timestamp) -> bool {
    Segments::of(token).is_some_and(|segments| {
        keys.know(segments.header, now)
            || (has_token_alphabet(token)
                && declares_our_type(segments.header)
                && names_a_session(segments.payload))
    })
}

/// An access token as it crosses the network. Whoever holds it is the user until it expires.
#[derive(Clone)]
pub struct AccessToken(String);

impl AccessToken {
    /// The token itself, for the response that carries it. Nothing else should see it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The claims as the token carries them, as JSON text.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let payload = self.0.split('.').nth(1).unwrap_or_default();
        BASE64URL.decode(payload).unwrap_or_default()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        redacted(f)
    }
}

/// What an access token says.
///
/// Serializes to the payload of the token, member for member; that is what the `front-token` header shows.
#[derive(Clone, PartialEq)]
pub struct AccessClaims {
    /// Whose session it is (`sub`).
    pub user: Box<str>,
    /// When the token was made (`iat`), in seconds since the Unix epoch.
    pub issued_at: u64,
    /// From when on it is refused (`exp`), in seconds since the Unix epoch.
    pub expires_at: u64,
    /// The session (`sessionHandle`).
    pub handle: SessionHandle,
    /// The tenant of the user (`tId`); [`DEFAULT_TENANT`] unless set.
    pub tenant: Box<str>,
    /// When the user last proved who they are (`auth_time`), in seconds since the Unix epoch. A refresh keeps it.
    pub auth_time: u64,
    /// The generation of the refresh token that belongs to this token (`generation`).
    pub generation: u32,
    /// When the session began by the store's clock, to the millisecond (`sessionCreated`).
    pub session_created: Timestamp,
    /// Who made the token (`iss`), when configured.
    pub issuer: Option<Box<str>>,
    /// For whom it was made (`aud`), when configured.
    pub audience: Option<Box<str>>,
    /// The application's own claims, beside the above. No [reserved](is_reserved) names.
    pub claims: Map<String, Value>,
}

impl AccessClaims {
    /// [`issued_at`](Self::issued_at) as a point in time.
    pub const fn issued_at(&self) -> Timestamp {
        Timestamp::from_secs(self.issued_at)
    }

    /// [`expires_at`](Self::expires_at) as a point in time.
    pub const fn expires_at(&self) -> Timestamp {
        Timestamp::from_secs(self.expires_at)
    }

    /// [`auth_time`](Self::auth_time) as a point in time.
    pub const fn auth_time(&self) -> Timestamp {
        Timestamp::from_secs(self.auth_time)
    }
}

/// Shows the session and the times; neither the user nor the claims.
impl fmt::Debug for AccessClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessClaims")
            .field("handle", &self.handle)
            .field("generation", &self.generation)
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Claims whose token was verified. Only [`verify`] makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified(AccessClaims);

impl Verified {
    /// The claims alone.
    pub fn into_claims(self) -> AccessClaims {
        self.0
    }
}

impl Deref for Verified {
    type Target = AccessClaims;

    fn deref(&self) -> &AccessClaims {
        &self.0
    }
}

/// What [`verify`] expects of a token beyond its signature. By default nothing, and no leeway.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// The issuer that `iss` must name. `None` takes any, or none.
    pub issuer: Option<&'a str>,
    /// The audience that `aud` must name. `None` refuses a token that names one, for it is meant for somebody else
    /// (RFC 7519 §4.1.3).
    pub audience: Option<&'a str>,
    /// For how long after its expiry a token is still taken, and before its `nbf` already. Zero by default. It lengthens
    /// the life of a stolen token as well.
    pub leeway: Duration,
}

impl Expected<'_> {
    fn check(
        &self,
        claims: &AccessClaims,
        not_before: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        if self.issuer.is_some() && claims.issuer.as_deref() != self.issuer {
            return Err(AccessError::BadClaims("iss"));
        }
        if claims.audience.as_deref() != self.audience {
            return Err(AccessError::BadClaims("aud"));
        }
        if not_before.is_some_and(|not_before| not_before > now.after(self.leeway)) {
            return Err(AccessError::BadClaims("nbf"));
        }
        Ok(())
    }
}

/// Why an access token was refused. Holds no part of it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// Not three base64url segments, or longer than [`MAX_LEN`].
    #[error("the access token is malformed")]
    Malformed,
    /// The header is not that of a live key: signed long ago, elsewhere, or by nobody.
    #[error("the access token is under no live key")]
    UnknownKey,
    /// The signature is not the key's over this token.
    #[error("the access token's signature is wrong")]
    BadSignature,
    /// The claim named is missing, repeated, of the wrong type, reserved, or not what was [`Expected`]; `payload` if it is
    /// no JSON object. The signature was right.
    #[error("the access token's `{0}` is wrong")]
    BadClaims(&'static str),
    /// Right in every respect, but over. The claims can be trusted to be ours.
    #[error("the access token has expired")]
    Expired(Box<AccessClaims>),
}

/// Why no access token was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// A claim of the application has a name that is [reserved](is_reserved).
    #[error("the claim name `{name}` is reserved\nhelp: give the claim another name")]
    ReservedClaim {
        /// The name.
        name: Box<str>,
    },
    /// The token would be too long for a cookie.
    #[error(
        "the access token would have {size} bytes, more than the {MAX_MINTED_LEN} that fit in a cookie\n\
         help: keep large values in the session's data rather than in its claims"
    )]
    TooLarge {
        /// How many bytes it would have.
        size: usize,
    },
    /// The claims can't be written as JSON.
    #[error("the claims can't be written as JSON")]
    Encoding,
    /// The cryptographic library failed.
    #[error("the access token could not be signed")]
    Signing,
}

/// A token that can be made: all but its signature.
struct Unsigned {
    key: Arc<AccessKey>,
    payload: Vec<u8>,
    /// How long the token is with its signature.
    len: usize,
}

impl Unsigned {
    fn of(keys: &Keys, claims: &AccessClaims, now: Timestamp) -> Result<Self, MintError> {
        if let Some(name) = claims.claims.keys().find(|name| is_reserved(name)) {
            return Err(MintError::ReservedClaim { name: name.as_str().into() });
        }
        let payload = serde_json::to_vec(claims).map_err(|_| MintError::Encoding)?;
        let key = keys.signer(now);
        let encoded = |len| base64::encoded_len(len, false).ok_or(MintError::Encoding);
        let len = key.header().len() + 1 + encoded(payload.len())? + 1 + encoded(key.signature_len())?;
        if len > MAX_MINTED_LEN {
            return Err(MintError::TooLarge { size: len });
        }
        Ok(Self { key, payload, len })
    }
}

/// The names that a claim of the application must not have: those of our own claims, of the registered ones (RFC 7519
/// §4.1, RFC 7800, RFC 9068), and those that the SDK takes for its own.
pub const RESERVED: &[&str] = &[
    "antiCsrfToken",
    "aud",
    "auth_time",
    "client_id",
    "cnf",
    "exp",
    "generation",
    "iat",
    "iss",
    "jti",
    "nbf",
    "parentRefreshTokenHash1",
    "refreshTokenHash1",
    "rsub",
    "sessionCreated",
    "sessionHandle",
    "sub",
    "tId",
];

/// Whether a claim of the application must not have this name. See [`RESERVED`].
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// The three segments of a compact serialization (RFC 7515 §7.1).
pub(super) struct Segments<'a> {
    pub(super) header: &'a str,
    payload: &'a str,
    signature: &'a str,
    signed: &'a str,
}

impl<'a> Segments<'a> {
    pub(super) fn of(token: &'a str) -> Option<Self> {
        if token.len() > MAX_LEN {
            return None;
        }
        let mut dots = memchr_iter(b'.', token.as_bytes());
        let (first, second) = (dots.next()?, dots.next()?);
        let (header, payload) = (&token[..first], &token[first + 1..second]);
        let (signed, signature) = (&token[..second], &token[second + 1..]);
        let complete = !header.is_empty() && !payload.is_empty() && !signature.is_empty();
        (complete && dots.next().is_none()).then_some(Self { header, payload, signature, signed })
    }

    /// The payload, if the signature is this key's.
    pub(super) fn payload(&self, key: &AccessKey) -> Result<Vec<u8>, AccessError> {
        let mut buffer = [0; AccessKey::MAX_SIGNATURE_LEN.next_multiple_of(3)];
        let signature = base64url::decode_into(self.signature, &mut buffer);
        let signature = signature.map_err(|_| AccessError::Malformed)?;
        match key.verifies(self.signed.as_bytes(), signature) {
            true => base64url::decode(self.payload).map_err(|_| AccessError::Malformed),
            false => Err(AccessError::BadSignature),
        }
    }
}

fn has_token_alphabet(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn declares_our_type(header: &str) -> bool {
    #[derive(Deserialize)]
    struct Header {
        typ: String,
    }
    decode_object::<Header>(header).is_some_and(|header| header.typ == "at+jwt")
}

fn names_a_session(payload: &str) -> bool {
    #[derive(Deserialize)]
    struct Payload {
        #[serde(rename = "sessionHandle")]
        _handle: SessionHandle,
    }
    decode_object::<Payload>(payload).is_some()
}

fn decode_object<T: DeserializeOwned>(segment: &str) -> Option<T> {
    let json = BASE64URL.decode(segment).ok()?;
    // Only an object: a struct would be read from an array too.
    (json.first() == Some(&b'{')).then(|| serde_json::from_slice(&json).ok()).flatten()
}

impl Serialize for AccessClaims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("sub", &self.user)?;
        map.serialize_entry("iat", &self.issued_at)?;
        map.serialize_entry("exp", &self.expires_at)?;
        map.serialize_entry("sessionHandle", &self.handle)?;
        map.serialize_entry("tId", &self.tenant)?;
        map.serialize_entry("auth_time", &self.auth_time)?;
        map.serialize_entry("generation", &self.generation)?;
        map.serialize_entry("sessionCreated", &self.session_created)?;
        if let Some(issuer) = &self.issuer {
            map.serialize_entry("iss", issuer)?;
        }
        if let Some(audience) = &self.audience {
            map.serialize_entry("aud", audience)?;
        }
        for (name, value) in &self.claims {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The claims of a payload, and its `nbf`.
fn read_claims(payload: &[u8]) -> Result<(AccessClaims, Option<Timestamp>), AccessError> {
    let reading = Cell::new("payload");
    let text = str::from_utf8(payload).map_err(|_| AccessError::BadClaims("payload"))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let draft = json.deserialize_map(PayloadVisitor { reading: &reading });
    let draft = draft.map_err(|_| AccessError::BadClaims(reading.get()))?;
    json.end().map_err(|_| AccessError::BadClaims("payload"))?;
    draft.complete().map_err(AccessError::BadClaims)
}

#[derive(Default)]
struct Draft {
    user: Option<Box<str>>,
    issued_at: Option<u64>,
    expires_at: Option<u64>,
    not_before: Option<u64>,
    handle: Option<SessionHandle>,
    tenant: Option<Box<str>>,
    auth_time: Option<u64>,
    generation: Option<u32>,
    session_created: Option<Timestamp>,
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    claims: Map<String, Value>,
}

impl Draft {
    /// The claims, or the name of one that is missing.
    fn complete(self) -> Result<(AccessClaims, Option<Timestamp>), &'static str> {
        let claims = AccessClaims {
            user: self.user.ok_or("sub")?,
            issued_at: self.issued_at.ok_or("iat")?,
            expires_at: self.expires_at.ok_or("exp")?,
            handle: self.handle.ok_or("sessionHandle")?,
            tenant: self.tenant.ok_or("tId")?,
            auth_time: self.auth_time.ok_or("auth_time")?,
            generation: self.generation.ok_or("generation")?,
            session_created: self.session_created.ok_or("sessionCreated")?,
            issuer: self.issuer,
            audience: self.audience,
            claims: self.claims,
        };
        Ok((claims, self.not_before.map(Timestamp::from_secs)))
    }
}

/// Reads a payload member by member; `reading` names the one at fault if it fails.
struct PayloadVisitor<'r> {
    reading: &'r Cell<&'static str>,
}

impl<'de> Visitor<'de> for PayloadVisitor<'_> {
    type Value = Draft;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the payload of an access token")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Draft, A::Error> {
        let mut draft = Draft::default();
        while let Some(member) = members.next_key::<Member>()? {
            self.reading.set(member.name());
            match member {
                Member::User => fill(&mut draft.user, &mut members),
                Member::IssuedAt => fill(&mut draft.issued_at, &mut members),
                Member::ExpiresAt => fill(&mut draft.expires_at, &mut members),
                Member::NotBefore => fill(&mut draft.not_before, &mut members),
                Member::Handle => fill(&mut draft.handle, &mut members),
                Member::Tenant => fill(&mut draft.tenant, &mut members),
                Member::AuthTime => fill(&mut draft.auth_time, &mut members),
                Member::Generation => fill(&mut draft.generation, &mut members),
                Member::SessionCreated => fill(&mut draft.session_created, &mut members),
                Member::Issuer => fill(&mut draft.issuer, &mut members),
                Member::Audience => fill(&mut draft.audience, &mut members),
                Member::Reserved(_) => Err(de::Error::custom("reserved")),
                Member::Application(name) => match draft.claims.insert(name, members.next_value()?) {
                    None => Ok(()),
                    Some(_) => Err(repeated()),
                },
            }?;
        }
        self.reading.set("payload");
        Ok(draft)
    }
}

/// Reads the next value into `slot`, which must be empty.
fn fill<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    slot: &mut Option<T>,
    members: &mut A,
) -> Result<(), A::Error> {
    match slot.replace(members.next_value()?) {
        None => Ok(()),
        Some(_) => Err(repeated()),
    }
}

fn repeated<E: de::Error>() -> E {
    E::custom("repeated")
}

/// The name of a payload's member.
enum Member {
    User,
    IssuedAt,
    ExpiresAt,
    NotBefore,
    Handle,
    Tenant,
    AuthTime,
    Generation,
    SessionCreated,
    Issuer,
    Audience,
    /// Reserved, and none that we use.
    Reserved(&'static str),
    Application(String),
}

impl Member {
    fn named(name: &str) -> Self {
        match name {
            "sub" => Self::User,
            "iat" => Self::IssuedAt,
            "exp" => Self::ExpiresAt,
            "nbf" => Self::NotBefore,
            "sessionHandle" => Self::Handle,
            "tId" => Self::Tenant,
            "auth_time" => Self::AuthTime,
            "generation" => Self::Generation,
            "sessionCreated" => Self::SessionCreated,
            "iss" => Self::Issuer,
            "aud" => Self::Audience,
            _ => match RESERVED.iter().find(|reserved| **reserved == name) {
                Some(reserved) => Self::Reserved(reserved),
                None => Self::Application(name.to_owned()),
            },
        }
    }

    /// The name, as an error shows it: those of the application's claims it doesn't.
    fn name(&self) -> &'static str {
        match self {
            Self::User => "sub",
            Self::IssuedAt => "iat",
            Self::ExpiresAt => "exp",
            Self::NotBefore => "nbf",
            Self::Handle => "sessionHandle",
            Self::Tenant => "tId",
            Self::AuthTime => "auth_time",
            Self::Generation => "generation",
            Self::SessionCreated => "sessionCreated",
            Self::Issuer => "iss",
            Self::Audience => "aud",
            Self::Reserved(name) => name,
            Self::Application(_) => "payload",
        }
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a claim's name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Member, E> {
                Ok(Member::named(name))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}
