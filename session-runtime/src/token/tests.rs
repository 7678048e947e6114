//! What the kinds of token keep among themselves, and what others can read of ours.

use std::{sync::LazyLock, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    hkdf,
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Map, Value, json};

use super::{
    access::{looks_like_ours, mint, verify},
    derived::{anti_csrf, anti_csrf_valid},
    *,
};
use crate::{Clock, SessionHandle, Timestamp, rotation::Link};

const HANDLE: SessionHandle = SessionHandle::from_bytes([0xc3; 16]);
const SALT: [u8; 32] = [9; 32];
const FIRST: Link = Link { generation: 1, parent: 0, nonce: None };

/// An RSA key of 2048 bits, in the forms that an operator may have it in.
pub(super) static RSA: LazyLock<RsaFixture> =
    LazyLock::new(|| RsaFixture(KeyPair::generate(KeySize::Rsa2048).unwrap()));

pub(super) struct RsaFixture(KeyPair);

impl RsaFixture {
    pub(super) fn rs256(&self) -> Rs256 {
        Rs256::from_pem(&self.pkcs8_pem()).unwrap()
    }

    pub(super) fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.public_der())
    }

    pub(super) fn public_der(&self) -> Vec<u8> {
        AsDer::<PublicKeyX509Der<'_>>::as_der(self.0.public_key()).unwrap().as_ref().to_vec()
    }

    fn pkcs8_pem(&self) -> String {
        pem("PRIVATE KEY", &self.pkcs8_der())
    }

    fn pkcs1_pem(&self) -> String {
        // The key stands in the PKCS#8 structure's last member, behind 26 bytes.
        pem("RSA PRIVATE KEY", &self.pkcs8_der()[26..])
    }

    fn pkcs8_der(&self) -> Vec<u8> {
        AsDer::<Pkcs8V1Der<'_>>::as_der(&self.0).unwrap().as_ref().to_vec()
    }
}

/// A private key of 1024 bits, in PKCS#8.
const RSA_1024: &str = "\
    MIICXAIBAAKBgQDcjMFQq8qaU+N+eWDel392Ww7/LKphGaJNUWyuxklzoHnf3pMo8pwU8LGMwf1AAj1PRsS5joJTHCyTKkd3PYPm\
    60QXIzRE9cuSv/gJxrFwoYxhr3yG0mJBm++1LGZsuNOblizEtB+KDjUSx9hYvQkUFAvUcFfih4YqUzCtQXOp3wIDAQABAoGBAKqT\
    VmRNKbpojTdhKxGdPGDOlm+3HONSjxubkSIvi9mY0QnbPBfcY+kyKzABTRw3XzG0OyyEUrlyveroNTO86Qi9cfLDJp4oRLQUNcVv\
    tHivZLYL+lxbKf4U4peJtZc/i83cuG5+5MdxlEhvObxkEZB1adJLH0YOs3LkJ9Nw1C/hAkEA8KFpqtlp+jmHxcHwnfIS4npSoXOx\
    wgE07e17I8HHuarS7XEhY75oEfbSOnPzQaIo4z8AxfWwZmAm0WGKdsyxcQJBAOqi//N4uR50qWkFuGb/J0LZUrlx5fiDYyluldUA\
    A+WaXWRH13W3l6R0dxyGg+M+IJsedMe28a3I+oORcynjaE8CQAxer9jpjkoftPwUiTMFY7UixqaoFOY9O6RThfYDmynPP0KXgzjm\
    a+EoiAwbM9EW7fUooviKNcQ9gyFWW1DaGvECQFlw5QxUWoynf+SOz6pDXR34ZbZXGojO3L/wbaESLmoZm7wcPp+a6m1AEB+Jj0DS\
    b+9xfqaasCnE0OnSSgoPq7UCQHn5NJmAx1RXDzEM0/TL8jLvhivqcylumaYFjj87ldjubqPFBr1R3BL0TSy4CNrhi4AKbMogS4wY\
    esXmnNae9oY=";

/// A public key of 1024 bits.
const RSA_1024_PUBLIC: &str = "\
    MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDYt/+CZKNsjEsZoY74V8SPkYYIW/M1+ekH8Td7lGdzrfw4qLJd/SL89JBel0+Q\
    S0YbPhAzPN2/plIm3OqomNPInHkf8KyO+ndg9/K8dhNeNQ2Yq+R1wElrmzxO6G+fps2rtfouHtAe2RAP/Wv68gHwdL0SexhdG158\
    EdNhTIPANQIDAQAB";

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn keys_of(secrets: &[&Secret], algorithm: &SigningAlgorithm) -> Keys {
    Keys::new(&KeyRing::of(secrets.iter().copied().cloned().collect()).unwrap(), algorithm, Epochs::default())
}

fn random_secret() -> Secret {
    KeyRing::random().secrets()[0].clone()
}

fn claims(now: Timestamp) -> AccessClaims {
    AccessClaims {
        user: "a user whose name is long".into(),
        issued_at: now.as_secs(),
        expires_at: now.as_secs() + 3600,
        handle: HANDLE,
        tenant: access::DEFAULT_TENANT.into(),
        auth_time: now.as_secs(),
        generation: 1,
        session_created: now,
        issuer: None,
        audience: None,
        claims: Map::from_iter([("role".to_owned(), json!("admin of everything"))]),
    }
}

/// What jsonwebtoken reads out of `token` with `key`.
fn read_elsewhere(
    token: &AccessToken,
    key: &DecodingKey,
    algorithm: jsonwebtoken::Algorithm,
) -> jsonwebtoken::errors::Result<Value> {
    jsonwebtoken::decode(token.expose(), key, &Validation::new(algorithm)).map(|token| token.claims)
}

#[test]
fn another_library_reads_our_tokens_by_our_key_set() {
    let now = Clock::system().now();
    for (ours, theirs) in [
        (SigningAlgorithm::EdDsa, jsonwebtoken::Algorithm::EdDSA),
        (SigningAlgorithm::Es256, jsonwebtoken::Algorithm::ES256),
        (SigningAlgorithm::Rs256(RSA.rs256()), jsonwebtoken::Algorithm::RS256),
    ] {
        let keys = Keys::new(&KeyRing::random(), &ours, Epochs::default());
        let published = serde_json::to_string(&keys.jwks(now)).unwrap();
        let published: JwkSet = serde_json::from_str(&published).unwrap();
        let token = mint(&keys, &claims(now), now).unwrap();

        let header = jsonwebtoken::decode_header(token.expose()).unwrap();
        assert_eq!((header.alg, header.typ.as_deref()), (theirs, Some("at+jwt")));
        let jwk = published.find(&header.kid.unwrap()).unwrap();
        let read = read_elsewhere(&token, &DecodingKey::from_jwk(jwk).unwrap(), theirs).unwrap();
        assert_eq!(read, serde_json::to_value(claims(now)).unwrap());

        for other in published.keys.iter().filter(|other| *other != jwk) {
            assert!(read_elsewhere(&token, &DecodingKey::from_jwk(other).unwrap(), theirs).is_err());
        }
    }
}

#[test]
fn another_library_reads_our_hmac_tokens_by_the_documented_derivation() {
    let now = Clock::system().now();
    let secret = random_secret();
    let keys = keys_of(&[&secret], &SigningAlgorithm::Hs256);
    let week = Epochs::DEFAULT_LENGTH.as_millis() as u64;
    let epoch = [week.to_be_bytes(), (now.as_millis() / week).to_be_bytes()].concat();
    let mut key = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"session-runtime")
        .extract(secret.as_bytes())
        .expand(&[b"access key v1 HS256", &epoch], hkdf::HKDF_SHA256)
        .and_then(|output| output.fill(&mut key))
        .unwrap();

    let token = mint(&keys, &claims(now), now).unwrap();
    let read =
        read_elsewhere(&token, &DecodingKey::from_secret(&key), jsonwebtoken::Algorithm::HS256).unwrap();
    assert_eq!(read, serde_json::to_value(claims(now)).unwrap());
    assert!(keys.jwks(now).keys().is_empty());
    assert_eq!(serde_json::to_string(&keys.jwks(now)).unwrap(), r#"{"keys":[]}"#);
}

#[test]
fn a_key_set_holds_public_members_only() {
    let now = Clock::system().now();
    for (algorithm, members) in [
        (SigningAlgorithm::EdDsa, &["alg", "crv", "kid", "kty", "use", "x"][..]),
        (SigningAlgorithm::Es256, &["alg", "crv", "kid", "kty", "use", "x", "y"]),
        (SigningAlgorithm::Rs256(RSA.rs256()), &["alg", "e", "kid", "kty", "n", "use"]),
    ] {
        let keys = Keys::new(&KeyRing::random(), &algorithm, Epochs::default());
        for jwk in keys.jwks(now).keys() {
            let jwk = serde_json::to_value(jwk).unwrap();
            assert_eq!(jwk.as_object().unwrap().keys().collect::<Vec<_>>(), members);
        }
    }
}

#[test]
fn every_kind_of_token_is_accepted_in_its_own_place_only() {
    let now = Clock::system().now();
    for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::Hs256] {
        let keys = Keys::new(&KeyRing::random(), &algorithm, Epochs::default());
        let access = mint(&keys, &claims(now), now).unwrap();
        let refresh = refresh::issue(&keys, HANDLE, FIRST, &SALT);
        let csrf = anti_csrf(&keys, HANDLE, 1);
        let tokens = [access.expose(), refresh.expose(), &csrf];

        let access_verdicts = tokens.map(|token| verify(&keys, token, now, &Expected::default()).is_ok());
        assert_eq!(access_verdicts, [true, false, false]);
        assert_eq!(tokens.map(|token| looks_like_ours(&keys, token, now)), [true, false, false]);
        assert_eq!(tokens.map(|token| refresh::open(&keys, token).is_ok()), [false, true, false]);
        assert_eq!(tokens.map(|token| anti_csrf_valid(&keys, HANDLE, token)), [false, false, true]);
    }
}

#[test]
fn an_access_token_survives_every_step_of_a_key_rotation() {
    let now = Clock::system().now();
    let (old, new) = (random_secret(), random_secret());
    for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::Hs256] {
        let steps = [vec![&old], vec![&old, &new], vec![&new, &old], vec![&new]]
            .map(|secrets| keys_of(&secrets, &algorithm));
        let tokens = steps.each_ref().map(|keys| mint(keys, &claims(now), now).unwrap());
        let accepted = |keys: &Keys, token: &AccessToken| {
            verify(keys, token.expose(), now, &Expected::default()).is_ok()
        };
        // Nodes one step apart understand each other.
        for pair in [0, 1, 2] {
            assert!(accepted(&steps[pair], &tokens[pair + 1]), "{pair}");
            assert!(accepted(&steps[pair + 1], &tokens[pair]), "{pair}");
        }
        // What `old` signed ends when `old` leaves the ring.
        assert!(!accepted(&steps[3], &tokens[0]) && !accepted(&steps[0], &tokens[2]));
    }
}

#[test]
fn an_access_token_survives_the_change_of_epochs() {
    let epoch = Epochs::DEFAULT_LENGTH;
    let start = Timestamp::from_millis(epoch.as_millis() as u64 * 3000);
    let ring = KeyRing::random();
    let node = || Keys::new(&ring, &SigningAlgorithm::EdDsa, Epochs::default());
    let minted = start.before(Duration::from_millis(1));
    let token = mint(&node(), &claims(minted), minted).unwrap();
    let until_expiry = start.after(Duration::from_secs(3590));
    for now in [minted.before(Duration::from_secs(60)), minted, start, until_expiry] {
        assert!(verify(&node(), token.expose(), now, &Expected::default()).is_ok(), "{now:?}");
    }
    let next = mint(&node(), &claims(start), start).unwrap();
    assert_ne!(next.expose().split('.').next(), token.expose().split('.').next());
}

#[test]
fn an_rsa_key_is_read_in_every_usual_form() {
    let now = Clock::system().now();
    let ring = KeyRing::random();
    let keys = |rs256| Keys::new(&ring, &SigningAlgorithm::Rs256(rs256), Epochs::default());
    let one = keys(Rs256::from_pem(&RSA.pkcs8_pem()).unwrap());
    let other = keys(Rs256::from_pem(&format!("a comment\n{}", RSA.pkcs1_pem())).unwrap());
    let token = mint(&one, &claims(now), now).unwrap();
    assert!(verify(&other, token.expose(), now, &Expected::default()).is_ok());
    assert_eq!(one.jwks(now).keys(), other.jwks(now).keys());
}

#[test]
fn a_former_rsa_key_still_verifies_and_a_forgotten_one_does_not() {
    let now = Clock::system().now();
    let ring = KeyRing::random();
    let keys = |rs256| Keys::new(&ring, &SigningAlgorithm::Rs256(rs256), Epochs::default());
    let new = RsaFixture(KeyPair::generate(KeySize::Rsa2048).unwrap());
    let token = mint(&keys(RSA.rs256()), &claims(now), now).unwrap();
    for former in [RSA.public_pem(), RSA.pkcs8_pem(), RSA.pkcs1_pem()] {
        let keys = keys(new.rs256().also_verify(&former).unwrap());
        assert!(verify(&keys, token.expose(), now, &Expected::default()).is_ok());
        assert_eq!(keys.jwks(now).keys().len(), 2);
    }
    let refused = verify(&keys(new.rs256()), token.expose(), now, &Expected::default());
    assert_eq!(refused, Err(AccessError::UnknownKey));
}

#[test]
fn an_rsa_key_that_will_not_do_is_refused() {
    for text in ["", "no PEM", &RSA.public_pem(), &pem("ENCRYPTED PRIVATE KEY", &RSA.pkcs8_der())] {
        assert_eq!(Rs256::from_pem(text).unwrap_err(), Rs256Error::NoKey, "{text}");
    }
    let damaged = &RSA.pkcs8_der()[..600];
    let short = BASE64_STANDARD.decode(RSA_1024).unwrap();
    let ed25519 = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap().to_pkcs8().unwrap();
    for der in [damaged, ed25519.as_ref(), &short] {
        assert_eq!(Rs256::from_pem(&pem("PRIVATE KEY", der)).unwrap_err(), Rs256Error::Unsound);
    }
    let short = pem("PUBLIC KEY", &BASE64_STANDARD.decode(RSA_1024_PUBLIC).unwrap());
    assert_eq!(RSA.rs256().also_verify(&short).unwrap_err(), Rs256Error::Unsound);
    assert_eq!(RSA.rs256().also_verify("").unwrap_err(), Rs256Error::NoKey);
}

#[test]
fn nothing_prints_a_secret() {
    let now = Clock::system().now();
    let secret = random_secret();
    let ring = KeyRing::of(vec![secret.clone()]).unwrap();
    let rs256 = SigningAlgorithm::Rs256(RSA.rs256());
    let keys = Keys::new(&ring, &SigningAlgorithm::EdDsa, Epochs::default());
    let access = mint(&keys, &claims(now), now).unwrap();
    let refresh = refresh::issue(&keys, HANDLE, FIRST, &SALT);
    let opened = refresh::open(&keys, refresh.expose()).unwrap();
    let verified = verify(&keys, access.expose(), now, &Expected::default()).unwrap();
    let expired = verify(&keys, access.expose(), now.after(Duration::from_secs(3601)), &Expected::default());
    let expired = expired.unwrap_err();
    let printed = [
        format!("{secret:?} {ring:?} {rs256:?} {keys:?} {access:?} {refresh:?} {opened:?} {verified:?} {expired:?}"),
        format!("{:#?} {:#?} {:#?} {:#?}", ring, access, refresh, verified),
        format!("{expired} {:?}", refresh::open(&keys, access.expose())),
    ]
    .concat();
    assert!(printed.contains(REDACTED));
    assert!(
        printed.contains(&HANDLE.to_string()),
        "the handle is no secret, and is how one finds a session in a log"
    );

    let payload = access.expose().split('.').nth(1).unwrap();
    let refresh_bytes = BASE64_URL_SAFE_NO_PAD.decode(refresh.expose()).unwrap();
    let needles = [
        secret.as_bytes().to_vec(),
        refresh_bytes[29..].to_vec(),
        RSA.pkcs8_der(),
        BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap(),
    ];
    let handle = HANDLE.to_string();
    for needle in needles
        .iter()
        .flat_map(|needle| spellings(needle))
        .chain([access.expose().as_bytes().to_vec(), refresh.expose().as_bytes().to_vec()])
    {
        for piece in needle.windows(12).filter_map(|piece| str::from_utf8(piece).ok()) {
            assert!(!printed.contains(piece) || handle.contains(piece), "{piece} in {printed}");
        }
    }
}

fn spellings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{bytes:?}");
    let mut spellings = vec![bytes.to_vec(), hex.to_uppercase().into(), hex.into()];
    spellings.extend([BASE64_STANDARD.encode(bytes).into(), BASE64_URL_SAFE.encode(bytes).into()]);
    spellings.push(list.trim_matches(['[', ']']).to_owned().into());
    spellings
}
