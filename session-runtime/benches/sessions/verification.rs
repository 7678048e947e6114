//! Verifying access tokens never seen before, beside the bare check of their signatures.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    hmac, rand,
    rsa::{KeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    },
};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64URL, Engine as _};
use serde_json::Value;
use session_runtime::{Algorithm, MemoryStore, NewSession, Sessions, SigningAlgorithm, token::Rs256};
use tokio::{runtime::Runtime, task::yield_now};

use crate::{
    Effort,
    rounds::{Variant, interleave},
};

pub(crate) fn measure(effort: Effort, runtime: &Runtime) {
    println!(
        "2. Sessions::verify of an access token not in the cache, which is full; aim: at most 1.10, with HS256 2.00"
    );
    println!("{:<48}{:>11}{:>14}{:>10}", "", "verify", "bare check", "ratio");
    let algorithms = [
        SigningAlgorithm::EdDsa,
        SigningAlgorithm::Es256,
        SigningAlgorithm::Rs256(rs256()),
        SigningAlgorithm::Hs256,
    ];
    for algorithm in algorithms {
        let name = algorithm.algorithm().as_str();
        let tokens = runtime.block_on(Tokens::new(algorithm, effort));
        let [bare, verified] = interleave(
            effort.rounds,
            effort.batch,
            [
                Variant::new(|round| tokens.check_bare(round)),
                Variant::new(|round| runtime.block_on(tokens.verify(round))),
            ],
        );
        println!(
            "{name:<48}{:>8.0} ns{:>11.0} ns{:>10.2}",
            verified.median(),
            bare.median(),
            verified.over(&bare)
        );
    }
    println!();
}

/// Access tokens for every round.
struct Tokens {
    sessions: Sessions,
    key: BareKey,
    rounds: Vec<Vec<Token>>,
}

struct Token {
    text: String,
    /// How much of the text is signed.
    signed: usize,
    signature: Vec<u8>,
}

impl Tokens {
    async fn new(algorithm: SigningAlgorithm, effort: Effort) -> Self {
        // A cache that is full: of what a server at work does with a new token, making room in it is a part.
        let builder =
            Sessions::builder(MemoryStore::new()).refresh_path("/refresh").token_cache_bytes(1 << 16);
        let key = algorithm.algorithm();
        let sessions = builder.algorithm(algorithm).build().await.expect("the settings are sound");
        let mut texts = Vec::new();
        for user in 0..(effort.rounds + 1) * effort.batch {
            let new = NewSession::new(format!("user-{user}"));
            let made = sessions.create(&new).await.expect("the memory store does not fail");
            texts.push(made.access().expose().to_owned());
        }
        let key = BareKey::of(key, &sessions, &texts[0]);
        let tokens: Vec<_> = texts.into_iter().map(|text| Token::new(text, &key)).collect();
        let mut tokens = tokens.into_iter();
        let rounds = (0..=effort.rounds).map(|_| tokens.by_ref().take(effort.batch).collect()).collect();
        Self { sessions, key, rounds }
    }

    fn check_bare(&self, round: usize) -> Duration {
        let start = Instant::now();
        for token in &self.rounds[round] {
            assert!(self.key.verifies(&token.text.as_bytes()[..token.signed], &token.signature));
        }
        start.elapsed()
    }

    async fn verify(&self, round: usize) -> Duration {
        let start = Instant::now();
        for token in &self.rounds[round] {
            black_box(self.sessions.verify(&token.text).expect("the token is valid"));
        }
        let elapsed = start.elapsed();
        // Lets the notes of first use be taken to the store, as they are on a server that does not only verify.
        for _ in 0..self.rounds[round].len() {
            yield_now().await;
        }
        elapsed
    }
}

impl Token {
    fn new(text: String, key: &BareKey) -> Self {
        let (signed, signature) = text.rsplit_once('.').expect("a JWT");
        let signature = match key {
            BareKey::Public(_) => BASE64URL.decode(signature).expect("a JWT"),
            // The system does not show its own key, so the same bytes are checked with another one.
            BareKey::Mac(key) => hmac::sign(key, signed.as_bytes()).as_ref().to_vec(),
        };
        Self { signed: signed.len(), signature, text }
    }
}

/// A key as the cryptographic library has it.
enum BareKey {
    Public(ParsedPublicKey),
    Mac(Box<hmac::Key>),
}

impl BareKey {
    /// The key under which `token` can be verified.
    fn of(algorithm: Algorithm, sessions: &Sessions, token: &str) -> Self {
        let jwk = || published(sessions, token);
        let key = match algorithm {
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, member(&jwk(), "x")),
            Algorithm::Es256 => {
                let jwk = jwk();
                let point = [vec![4], member(&jwk, "x"), member(&jwk, "y")].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            }
            Algorithm::Rs256 => {
                let jwk = jwk();
                let parts = RsaPublicKeyComponents { n: member(&jwk, "n"), e: member(&jwk, "e") };
                parts.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            }
            Algorithm::Hs256 => {
                let mut bytes = [0; 32];
                rand::fill(&mut bytes).expect("the system gives random numbers");
                return Self::Mac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes)));
            }
        };
        Self::Public(key.expect("a published key is sound"))
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Public(key) => key.verify_sig(message, signature).is_ok(),
            Self::Mac(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

/// The published key that the header of `token` names.
fn published(sessions: &Sessions, token: &str) -> Value {
    let header = BASE64URL.decode(token.split('.').next().unwrap_or_default()).expect("a JWT");
    let header: Value = serde_json::from_slice(&header).expect("a JWT");
    let jwks = serde_json::to_value(sessions.jwks()).expect("a JWKS is JSON");
    let keys = jwks["keys"].as_array().expect("a JWKS is a list");
    keys.iter().find(|key| key["kid"] == header["kid"]).expect("the key is published").clone()
}

fn member(jwk: &Value, name: &str) -> Vec<u8> {
    BASE64URL.decode(jwk[name].as_str().unwrap_or_default()).expect("a JWK")
}

fn rs256() -> Rs256 {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key can be made");
    let der: Pkcs8V1Der<'_> = pair.as_der().expect("a key can be encoded");
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64_STANDARD.encode(der.as_ref())
    );
    Rs256::from_pem(&pem).expect("the key is sound")
}
