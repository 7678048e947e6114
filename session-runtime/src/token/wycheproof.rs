//! The vectors of C2SP/wycheproof, `testvectors_v1`, from the folder that `WYCHEPROOF_DIR` names.
//!
//! Our profile, against which a verdict is compared: compact serialization with three parts, none empty; base64url
//! without padding, one spelling for each value; `HS256` with a key of at least 256 bits, `ES256` on P-256, `RS256` with
//! at least 2048 bits and no factors that are known; a key's algorithm is the key's own and must be the header's, its use (if it says one) is signing,
//! and its `kid` is in the header; the keys of a set have one algorithm and different names.
//! Refused by it, although a vector calls them valid: an empty payload, and characters outside of base64url. Two vectors
//! are not judged, because they call invalid what another one, letter for letter, calls valid.

use std::{env, fs, path::Path, sync::Arc};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rsa::{PublicKey as RsaPublicKey, PublicKeyComponents},
    signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256},
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64URL, Engine as _};
use serde_json::Value;

use super::{
    Algorithm, Epochs, Expected, KeyRing, Keys, Secret, SigningAlgorithm,
    access::{Segments, looks_like_ours, verify},
    signing::{AccessKey, Verifier, is_sound},
    tests::RSA,
};
use crate::Timestamp;

/// Comments of the vectors that are valid by the standards and not by our profile.
const OUTSIDE_THE_PROFILE: &[&str] =
    &["emptyPayload", "InvalidCharacterInsertedInHeader", "InvalidCharacterInsertedInPayload"];

#[test]
fn signatures_are_judged_as_the_vectors_say() {
    let mut accepted = Vec::new();
    let mut judged = 0;
    let vectors = vectors(&["json_web_signature_test.json", "json_web_key_test.json"]);
    for vector in vectors.iter().filter(|vector| !vector.is_contradicted(&vectors)) {
        let verdict = vector.is_accepted();
        if vector.result == "invalid" {
            assert!(!verdict, "{}: accepted, but invalid", vector.name());
        } else if vector.keys.iter().any(|key| algorithm(key).is_some()) {
            let expected = !OUTSIDE_THE_PROFILE.contains(&vector.comment.as_str());
            assert_eq!(verdict, expected, "{}", vector.name());
        }
        accepted.extend(verdict.then_some(vector.algorithm()).flatten());
        judged += 1;
    }
    if !vectors.is_empty() {
        // The two, and the one that contradicts them.
        assert_eq!(vectors.len() - judged, 3);
        for algorithm in [Algorithm::Hs256, Algorithm::Es256, Algorithm::Rs256] {
            assert!(accepted.contains(&algorithm), "no vector of {algorithm:?} was accepted");
        }
    }
}

#[test]
fn no_vector_is_an_access_token_of_ours() {
    let now = Timestamp::from_secs(1_800_000_000);
    let rs256 = SigningAlgorithm::Rs256(RSA.rs256());
    let all = [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::Hs256, rs256]
        .map(|algorithm| Keys::new(&KeyRing::random(), &algorithm, Epochs::default()));
    for vector in vectors(&["json_web_signature_test.json", "json_web_key_test.json"]) {
        for keys in &all {
            assert!(verify(keys, &vector.jws, now, &Expected::default()).is_err(), "{}", vector.name());
            assert!(!looks_like_ours(keys, &vector.jws, now), "{}", vector.name());
        }
    }
}

struct Vector {
    file: &'static str,
    id: u64,
    comment: String,
    result: String,
    jws: String,
    keys: Vec<Value>,
}

impl Vector {
    fn name(&self) -> String {
        format!("{} {} ({})", self.file, self.id, self.comment)
    }

    fn is_contradicted(&self, all: &[Self]) -> bool {
        let is_same = |other: &Self| other.jws == self.jws && other.keys == self.keys;
        all.iter().any(|other| is_same(other) && other.result != self.result)
    }

    /// Whether our signature layer accepts the token under one of the vector's keys.
    fn is_accepted(&self) -> bool {
        let one_algorithm = self.keys.iter().all(|key| algorithm(key) == self.algorithm());
        let segments = Segments::of(&self.jws).filter(|_| one_algorithm);
        segments.is_some_and(|segments| {
            let under = |key: &&Value| names(segments.header, key);
            match self.keys.iter().filter(under).collect::<Vec<_>>()[..] {
                [jwk] => verifier(jwk).is_some_and(|verifier| {
                    let key = AccessKey::verifying(segments.header, verifier);
                    segments.payload(&key).is_ok()
                }),
                // No key of that name, or two.
                _ => false,
            }
        })
    }

    fn algorithm(&self) -> Option<Algorithm> {
        self.keys.first().and_then(algorithm)
    }
}

/// Whether the header is one that tokens under this key have: our keys' headers are compared byte for byte, those of the
/// vectors by what they say.
fn names(header: &str, key: &Value) -> bool {
    let Ok(header) = BASE64URL.decode(header) else { return false };
    let Ok(Value::Object(header)) = serde_json::from_slice(&header) else { return false };
    header.len() == 2 && header.get("alg") == key.get("alg") && header.get("kid") == key.get("kid")
}

fn verifier(jwk: &Value) -> Option<Verifier> {
    let usage = jwk.get("use").is_none_or(|usage| usage == "sig");
    let algorithm = algorithm(jwk).filter(|_| usage)?;
    let member = |name: &str| BASE64URL.decode(jwk.get(name)?.as_str()?).ok();
    let is = |name: &str, value: &str| (jwk.get(name)? == value).then_some(());
    match algorithm {
        Algorithm::Hs256 => {
            is("kty", "oct")?;
            let key = member("k").filter(|key| key.len() >= Secret::MIN_LEN)?;
            Some(Verifier::Mac(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &key))))
        }
        Algorithm::Es256 => {
            is("kty", "EC")?;
            is("crv", "P-256")?;
            let point = [vec![4], member("x")?, member("y")?].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok().map(Verifier::Public)
        }
        Algorithm::Rs256 => {
            is("kty", "RSA")?;
            let components = PublicKeyComponents { n: member("n")?, e: member("e")? };
            let der: PublicKeyX509Der<'_> = components.as_der().ok()?;
            let key = RsaPublicKey::from_der(der.as_ref()).ok().filter(is_sound)?;
            ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.as_ref()).ok().map(Verifier::Public)
        }
        Algorithm::EdDsa => None,
    }
}

fn algorithm(jwk: &Value) -> Option<Algorithm> {
    [Algorithm::Hs256, Algorithm::Es256, Algorithm::Rs256]
        .into_iter()
        .find(|algorithm| jwk.get("alg").is_some_and(|alg| alg == algorithm.as_str()))
}

/// All vectors of the files; none, after saying so, when the folder isn't given.
fn vectors(files: &[&'static str]) -> Vec<Vector> {
    let Some(folder) = env::var_os("WYCHEPROOF_DIR") else {
        println!("skipped: WYCHEPROOF_DIR names no folder with the vectors");
        return Vec::new();
    };
    files.iter().flat_map(|file| read(Path::new(&folder), file)).collect()
}

fn read(folder: &Path, file: &'static str) -> Vec<Vector> {
    let text = fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let suite: Value = serde_json::from_str(&text).unwrap();
    let groups = suite["testGroups"].as_array().unwrap();
    let vectors: Vec<Vector> = groups.iter().flat_map(|group| of_group(file, group)).collect();
    assert_eq!(vectors.len() as u64, suite["numberOfTests"].as_u64().unwrap());
    vectors
}

fn of_group(file: &'static str, group: &Value) -> Vec<Vector> {
    let keys = group.get("public").unwrap_or(&group["private"]);
    let keys = keys["keys"].as_array().cloned().unwrap_or_else(|| vec![keys.clone()]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let vector = |test: &Value| Vector {
        file,
        id: test["tcId"].as_u64().unwrap(),
        comment: text(&test["comment"]),
        result: text(&test["result"]),
        jws: test["jws"].as_str().map_or_else(|| test["jws"].to_string(), str::to_owned),
        keys: keys.clone(),
    };
    group["tests"].as_array().unwrap().iter().map(vector).collect()
}
