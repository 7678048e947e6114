use std::sync::LazyLock;

use aws_lc_rs::hmac;
use serde_json::json;

use super::*;
use crate::token::{Epochs, KeyRing, SigningAlgorithm, tests::RSA};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const ANY: Expected<'static> = Expected { issuer: None, audience: None, leeway: Duration::ZERO };

static KEYS: LazyLock<Keys> = LazyLock::new(|| keys_for(&SigningAlgorithm::EdDsa));

fn keys_for(algorithm: &SigningAlgorithm) -> Keys {
    Keys::new(&KeyRing::random(), algorithm, Epochs::default())
}

fn every_algorithm() -> [SigningAlgorithm; 4] {
    let rs256 = SigningAlgorithm::Rs256(RSA.rs256());
    [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::Hs256, rs256]
}

fn claims() -> AccessClaims {
    AccessClaims {
        user: "user-1".into(),
        issued_at: NOW.as_secs(),
        expires_at: NOW.as_secs() + 3600,
        handle: SessionHandle::from_bytes([0xab; 16]),
        tenant: DEFAULT_TENANT.into(),
        auth_time: NOW.as_secs() - 60,
        generation: 3,
        session_created: NOW.before(Duration::from_millis(60_123)),
        issuer: None,
        audience: None,
        claims: json!({ "role": { "v": ["admin"], "t": 1 }, "plan": "pro" }).as_object().unwrap().clone(),
    }
}

fn minted(keys: &Keys) -> String {
    mint(keys, &claims(), NOW).unwrap().expose().to_owned()
}

/// A token of any header and payload, signed with the key that signs now.
fn signed(keys: &Keys, header: &str, payload: &str) -> String {
    let message = format!("{header}.{}", BASE64URL.encode(payload));
    let signature = keys.signer(NOW).sign(message.as_bytes()).unwrap();
    format!("{message}.{}", BASE64URL.encode(signature))
}

/// The error for a rightly signed token of this payload.
fn refusal_of(payload: &str) -> AccessError {
    let token = signed(&KEYS, KEYS.signer(NOW).header(), payload);
    verify(&KEYS, &token, NOW, &ANY).expect_err(payload)
}

/// The payload of [`claims`] with the member replaced by this text, or taken out.
fn payload_with(name: &str, value: Option<&str>) -> String {
    let members = serde_json::to_value(claims()).unwrap();
    let kept = members.as_object().unwrap().iter().filter(|(kept, _)| *kept != name);
    let mut members: Vec<String> = kept.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    members.extend(value.map(|value| format!("\"{name}\":{value}")));
    format!("{{{}}}", members.join(","))
}

#[test]
fn a_token_says_what_it_was_minted_with() {
    for algorithm in every_algorithm() {
        let keys = keys_for(&algorithm);
        let verified = verify(&keys, &minted(&keys), NOW, &ANY).unwrap();
        assert_eq!(verified.into_claims(), claims());
    }
}

#[test]
fn the_length_of_a_token_is_known_before_it_is_signed() {
    for algorithm in every_algorithm() {
        let keys = keys_for(&algorithm);
        for padding in 0..4 {
            let claims = AccessClaims { user: "x".repeat(padding).into(), ..claims() };
            let token = mint(&keys, &claims, NOW).unwrap();
            assert_eq!(Unsigned::of(&keys, &claims, NOW).unwrap().len, token.expose().len());
        }
    }
}

#[test]
fn the_header_is_exactly_algorithm_type_and_key() {
    for algorithm in every_algorithm() {
        let keys = keys_for(&algorithm);
        let token = minted(&keys);
        let header = BASE64URL.decode(token.split('.').next().unwrap()).unwrap();
        let header = String::from_utf8(header).unwrap();
        let (start, kid) = header.split_at(header.len() - r#"AAAAAAAAAAA"}"#.len());
        assert_eq!(start, format!(r#"{{"alg":"{}","typ":"at+jwt","kid":""#, algorithm.algorithm().as_str()));
        assert!(has_token_alphabet(&kid[..11]));
    }
}

#[test]
fn the_payload_is_the_serialized_claims() {
    let token = minted(&KEYS);
    let payload = BASE64URL.decode(token.split('.').nth(1).unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), serde_json::to_value(claims()).unwrap());
    assert_eq!(
        serde_json::to_value(claims()).unwrap(),
        json!({
            "sub": "user-1", "iat": 1_800_000_000, "exp": 1_800_003_600, "auth_time": 1_799_999_940,
            "sessionHandle": "ab".repeat(16), "tId": "public", "generation": 3,
            "sessionCreated": 1_799_999_939_877_u64,
            "role": { "v": ["admin"], "t": 1 }, "plan": "pro",
        }),
    );
}

#[test]
fn a_token_expires_to_the_millisecond() {
    let token = minted(&KEYS);
    let expiry = claims().expires_at();
    assert!(verify(&KEYS, &token, expiry.before(Duration::from_millis(1)), &ANY).is_ok());
    assert_eq!(verify(&KEYS, &token, expiry, &ANY), Err(AccessError::Expired(Box::new(claims()))));

    let lenient = Expected { leeway: Duration::from_secs(5), ..ANY };
    assert!(verify(&KEYS, &token, expiry.after(Duration::from_millis(4999)), &lenient).is_ok());
    assert!(verify(&KEYS, &token, expiry.after(Duration::from_secs(5)), &lenient).is_err());
}

#[test]
fn issuer_and_audience_must_be_the_expected_ones() {
    let token_of = |issuer: Option<&str>, audience: Option<&str>| {
        let claims =
            AccessClaims { issuer: issuer.map(Into::into), audience: audience.map(Into::into), ..claims() };
        mint(&KEYS, &claims, NOW).unwrap()
    };
    let verdict = |token: &AccessToken, issuer, audience| {
        verify(&KEYS, token.expose(), NOW, &Expected { issuer, audience, ..ANY }).map(|_| ())
    };
    let (iss, aud) = (Err(AccessError::BadClaims("iss")), Err(AccessError::BadClaims("aud")));

    let full = token_of(Some("https://a.example"), Some("api"));
    assert_eq!(verdict(&full, Some("https://a.example"), Some("api")), Ok(()));
    assert_eq!(verdict(&full, Some("https://b.example"), Some("api")), iss);
    assert_eq!(verdict(&full, Some("https://a.example"), Some("other")), aud);
    assert_eq!(verdict(&full, None, Some("api")), Ok(()));
    assert_eq!(verdict(&full, Some("https://a.example"), None), aud);

    let bare = token_of(None, None);
    assert_eq!(verdict(&bare, None, None), Ok(()));
    assert_eq!(verdict(&bare, Some("https://a.example"), None), iss);
    assert_eq!(verdict(&bare, None, Some("api")), aud);
}

#[test]
fn a_token_is_refused_before_its_time() {
    let in_ten_seconds = (NOW.as_secs() + 10).to_string();
    let token = signed(&KEYS, KEYS.signer(NOW).header(), &payload_with("nbf", Some(&in_ten_seconds)));
    assert_eq!(verify(&KEYS, &token, NOW, &ANY), Err(AccessError::BadClaims("nbf")));
    assert!(verify(&KEYS, &token, NOW.after(Duration::from_secs(10)), &ANY).is_ok());
    assert!(verify(&KEYS, &token, NOW, &Expected { leeway: Duration::from_secs(10), ..ANY }).is_ok());
}

#[test]
fn times_that_are_no_whole_numbers_are_refused() {
    for name in ["exp", "iat", "nbf", "auth_time", "sessionCreated", "generation"] {
        for value in [
            "\"1800003600\"",
            "1800003600.0",
            "1800003600.5",
            "1.8e9",
            "-1",
            "-0",
            "1e400",
            "-1e400",
            "null",
            "true",
            "[1800003600]",
            "{}",
            "18446744073709551616",
            "\"\"",
            "NaN",
            "01800003600",
            "+1800003600",
        ] {
            assert_eq!(refusal_of(&payload_with(name, Some(value))), AccessError::BadClaims(name), "{value}");
        }
    }
    assert_eq!(
        refusal_of(&payload_with("generation", Some("4294967296"))),
        AccessError::BadClaims("generation")
    );
}

#[test]
fn a_missing_claim_is_refused() {
    for name in ["sub", "iat", "exp", "sessionHandle", "tId", "auth_time", "generation", "sessionCreated"] {
        assert_eq!(refusal_of(&payload_with(name, None)), AccessError::BadClaims(name));
    }
}

#[test]
fn a_claim_of_the_wrong_type_is_refused() {
    for name in ["sub", "tId", "iss", "aud"] {
        for value in ["1", "null", "true", "[\"a\"]", "{\"a\":1}"] {
            // An absent issuer and a null one are not the same.
            assert_eq!(refusal_of(&payload_with(name, Some(value))), AccessError::BadClaims(name), "{value}");
        }
    }
    for handle in ["\"\"", "\"ab\"", "1", "\"ABABABABABABABABABABABABABABABAB\"", "null"] {
        let refusal = refusal_of(&payload_with("sessionHandle", Some(handle)));
        assert_eq!(refusal, AccessError::BadClaims("sessionHandle"));
    }
}

#[test]
fn a_repeated_member_is_refused_however_it_is_spelt() {
    let payload = serde_json::to_string(&claims()).unwrap();
    let with = |member: &str| format!("{},{member}}}", payload.strip_suffix('}').unwrap());
    for (member, fault) in [
        ("\"exp\":1900000000", "exp"),
        ("\"\\u0065xp\":1900000000", "exp"),
        ("\"sub\":\"user-1\"", "sub"),
        ("\"sessionHandle\":\"abababababababababababababababab\"", "sessionHandle"),
        ("\"plan\":\"pro\"", "payload"),
        ("\"pl\\u0061n\":\"pro\"", "payload"),
    ] {
        assert_eq!(refusal_of(&with(member)), AccessError::BadClaims(fault), "{member}");
    }
}

#[test]
fn a_reserved_claim_that_is_not_ours_is_refused() {
    for name in
        ["jti", "cnf", "client_id", "antiCsrfToken", "rsub", "refreshTokenHash1", "parentRefreshTokenHash1"]
    {
        assert_eq!(refusal_of(&payload_with(name, Some("\"x\""))), AccessError::BadClaims(name));
    }
}

#[test]
fn a_payload_that_is_no_object_is_refused() {
    let object = serde_json::to_string(&claims()).unwrap();
    let deep = payload_with("deep", Some(&format!("{}1{}", "[".repeat(500), "]".repeat(500))));
    let number = payload_with("number", Some("1e400"));
    for payload in [
        " ",
        "null",
        "1",
        "\"text\"",
        "[]",
        "{",
        "{}x",
        &format!("[{object}]"),
        &format!("{object}{object}"),
        &format!("{object}x"),
        &object[..object.len() - 1],
        &deep,
        &number,
        "\u{feff}{}",
    ] {
        assert!(matches!(refusal_of(payload), AccessError::BadClaims(_)), "{payload}");
    }
    let header = KEYS.signer(NOW).header().to_owned();
    let message = format!("{header}.{}", BASE64URL.encode(b"{\"sub\":\"\xff\"}"));
    let signature = KEYS.signer(NOW).sign(message.as_bytes()).unwrap();
    let token = format!("{message}.{}", BASE64URL.encode(signature));
    assert_eq!(verify(&KEYS, &token, NOW, &ANY), Err(AccessError::BadClaims("payload")));
}

#[test]
fn no_header_but_a_live_keys_own_is_accepted() {
    for algorithm in every_algorithm() {
        let keys = keys_for(&algorithm);
        let ours = String::from_utf8(BASE64URL.decode(keys.signer(NOW).header()).unwrap()).unwrap();
        let name = algorithm.algorithm().as_str();
        let payload = serde_json::to_string(&claims()).unwrap();
        let with = |member: &str| format!("{},{member}}}", ours.strip_suffix('}').unwrap());
        let mut headers = vec![
            with(r#""jku":"https://evil.example/jwks.json""#),
            with(r#""x5u":"https://evil.example/cert.pem""#),
            with(r#""jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#),
            with(r#""x5c":["MIIB"]"#),
            with(r#""crit":[]"#),
            with(r#""crit":["exp"],"exp":1"#),
            with(r#""b64":false,"crit":["b64"]"#),
            with(r#""cty":"JWT""#),
            with(r#""zip":"DEF""#),
            with(&format!(r#""alg":"{name}""#)),
            ours.replace("at+jwt", "JWT"),
            ours.replace("at+jwt", "AT+JWT"),
            ours.replace("at+jwt", "application/at+jwt"),
            ours.replace(r#","typ":"at+jwt""#, ""),
            ours.replace(name, &name.to_lowercase()),
            ours.replace(':', ": "),
            format!(" {ours}"),
            format!("{ours}\n"),
        ];
        for other in ["none", "None", "NONE", "nOnE", "", "HS384", "PS256", "ES384", "Ed25519"]
            .into_iter()
            .chain(every_algorithm().map(|algorithm| algorithm.algorithm().as_str()))
            .filter(|other| *other != name)
        {
            headers.push(ours.replace(name, other));
        }
        for header in headers {
            let token = signed(&keys, &BASE64URL.encode(&header), &payload);
            assert_eq!(verify(&keys, &token, NOW, &ANY), Err(AccessError::UnknownKey), "{header}");
        }
        // The yardstick: the same, under our own header.
        assert!(verify(&keys, &signed(&keys, &BASE64URL.encode(&ours), &payload), NOW, &ANY).is_ok());
    }
}

#[test]
fn an_unsigned_token_is_refused() {
    let token = minted(&KEYS);
    let (signed, _) = token.rsplit_once('.').unwrap();
    for unsigned in [signed.to_owned(), format!("{signed}."), format!("{signed}..")] {
        assert_eq!(verify(&KEYS, &unsigned, NOW, &ANY), Err(AccessError::Malformed));
    }
    let payload = signed.split_once('.').unwrap().1;
    for none in ["none", "None", "NONE", "nonE"] {
        let header = BASE64URL.encode(format!(r#"{{"alg":"{none}","typ":"at+jwt"}}"#));
        for signature in ["", "AA", &"A".repeat(86)] {
            assert!(verify(&KEYS, &format!("{header}.{payload}.{signature}"), NOW, &ANY).is_err());
        }
    }
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    let keys = keys_for(&SigningAlgorithm::Rs256(RSA.rs256()));
    let jwks = serde_json::to_string(&keys.jwks(NOW)).unwrap();
    let jwk = serde_json::to_string(&keys.jwks(NOW).keys()[0]).unwrap();
    let pem = RSA.public_pem();
    let secrets: Vec<Vec<u8>> = [pem.as_bytes(), &RSA.public_der(), jwk.as_bytes(), jwks.as_bytes()]
        .iter()
        .flat_map(|key| {
            let key = key.to_vec();
            let newline = [&key[..], b"\n"].concat();
            let crlf = [&key[..], b"\r\n"].concat();
            [key.trim_ascii().to_vec(), [b" ", &key[..], b" "].concat(), key, newline, crlf]
        })
        .collect();
    let ours = keys.signer(NOW).header().to_owned();
    let kid = keys.jwks(NOW).keys()[0].kid().to_owned();
    let confused = BASE64URL.encode(format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{kid}"}}"#));
    let payload = BASE64URL.encode(serde_json::to_vec(&claims()).unwrap());
    for secret in secrets {
        for (header, error) in [(&ours, AccessError::BadSignature), (&confused, AccessError::UnknownKey)] {
            let message = format!("{header}.{payload}");
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
            let token = format!("{message}.{}", BASE64URL.encode(tag));
            assert_eq!(verify(&keys, &token, NOW, &ANY), Err(error));
        }
    }
}

#[test]
fn five_parts_nested_tokens_and_json_serialization_are_refused() {
    let token = minted(&KEYS);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let refused = [
        format!("{token}.{payload}.{signature}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{header}..{signature}"),
        format!("{header}.{payload}.{payload}.{signature}"),
        format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#),
        format!(
            r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
        ),
        format!("{header}.{}.{signature}", BASE64URL.encode(&token)),
        signed(&KEYS, header, &token),
        signed(&KEYS, header, &format!("\"{token}\"")),
    ];
    for token in refused {
        assert!(verify(&KEYS, &token, NOW, &ANY).is_err(), "{token}");
    }
}

#[test]
fn every_cut_lengthened_or_altered_token_is_refused() {
    const REPLACEMENTS: &[u8] = b"ABQgwz019-_.+/= \n\0";
    for algorithm in every_algorithm() {
        let keys = keys_for(&algorithm);
        let token = minted(&keys);
        for at in 0..token.len() {
            assert!(verify(&keys, &token[..at], NOW, &ANY).is_err(), "cut at {at}");
            assert!(verify(&keys, &token[at + 1..], NOW, &ANY).is_err(), "cut to {at}");
            for bit in 0..7 {
                let mut bytes = token.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let altered = String::from_utf8(bytes).unwrap();
                assert!(verify(&keys, &altered, NOW, &ANY).is_err(), "bit {bit} of {at}");
            }
        }
        for other in REPLACEMENTS.iter().map(|byte| char::from(*byte)) {
            let last = token.len() - 1;
            assert!(verify(&keys, &format!("{token}{other}"), NOW, &ANY).is_err(), "{other:?} after");
            assert!(verify(&keys, &format!("{other}{token}"), NOW, &ANY).is_err(), "{other:?} before");
            if !token.ends_with(other) {
                assert!(
                    verify(&keys, &format!("{}{other}", &token[..last]), NOW, &ANY).is_err(),
                    "{other:?} last"
                );
            }
        }
        let multibyte = format!("{}\u{e9}", &token[..token.len() - 1]);
        assert!(verify(&keys, &multibyte, NOW, &ANY).is_err());
    }
}

#[test]
fn a_segment_has_one_spelling() {
    // Payloads of each length modulo 3, so that every number of unused bits occurs.
    for plan in ["a", "aa", "aaa"] {
        let claims =
            AccessClaims { claims: json!({ "plan": plan }).as_object().unwrap().clone(), ..claims() };
        let payload = serde_json::to_string(&claims).unwrap();
        let token = signed(&KEYS, KEYS.signer(NOW).header(), &payload);
        assert!(verify(&KEYS, &token, NOW, &ANY).is_ok());
        let header = KEYS.signer(NOW).header().to_owned();
        let encoded = BASE64URL.encode(&payload);
        for tail in ["=", "==", "A", " ", "\n"] {
            let message = format!("{header}.{encoded}{tail}");
            let signature = KEYS.signer(NOW).sign(message.as_bytes()).unwrap();
            let token = format!("{message}.{}", BASE64URL.encode(signature));
            assert!(verify(&KEYS, &token, NOW, &ANY).is_err(), "{tail:?}");
        }
        if !payload.len().is_multiple_of(3) {
            let (start, last) = encoded.split_at(encoded.len() - 1);
            let next = char::from(last.as_bytes()[0] + 1);
            let message = format!("{header}.{start}{next}");
            let signature = KEYS.signer(NOW).sign(message.as_bytes()).unwrap();
            let token = format!("{message}.{}", BASE64URL.encode(signature));
            assert_eq!(verify(&KEYS, &token, NOW, &ANY), Err(AccessError::Malformed));
        }
    }
}

#[test]
fn sizes_are_capped_before_anything_is_read() {
    let padding = |len: usize| AccessClaims {
        claims: json!({ "padding": "x".repeat(len) }).as_object().unwrap().clone(),
        ..claims()
    };
    let size_of = |len| mint(&KEYS, &padding(len), NOW).map(|token| token.expose().len());
    let fitting = (0..MAX_LEN).rev().find(|len| size_of(*len).is_ok()).unwrap();
    assert!((MAX_MINTED_LEN - 3..=MAX_MINTED_LEN).contains(&size_of(fitting).unwrap()));
    let Err(MintError::TooLarge { size }) = size_of(fitting + 3) else { panic!("too large") };
    assert!(size > MAX_MINTED_LEN);

    // Rightly signed, and larger than anything we mint.
    let sized = |len| {
        let token = signed(&KEYS, KEYS.signer(NOW).header(), &serde_json::to_string(&padding(len)).unwrap());
        (token.len(), verify(&KEYS, &token, NOW, &ANY).map(|_| ()))
    };
    let mut verdicts = (fitting..fitting + 100).map(sized);
    assert!(verdicts.clone().filter(|(len, _)| *len <= MAX_LEN).all(|(_, verdict)| verdict.is_ok()));
    assert!(verdicts.clone().any(|(len, _)| len > MAX_LEN));
    assert!(verdicts.all(|(len, verdict)| (len <= MAX_LEN) == verdict.is_ok()));
    assert_eq!(verify(&KEYS, &"A".repeat(1 << 20), NOW, &ANY), Err(AccessError::Malformed));
    assert!(!looks_like_ours(&KEYS, &format!("{}{}", minted(&KEYS), "A".repeat(MAX_LEN)), NOW));
}

#[test]
fn a_reserved_name_is_no_claim_of_the_application() {
    for name in RESERVED {
        assert!(is_reserved(name));
        let claims = AccessClaims { claims: Map::from_iter([(name.to_string(), Value::Null)]), ..claims() };
        let refused = mint(&KEYS, &claims, NOW).unwrap_err();
        assert_eq!(refused, MintError::ReservedClaim { name: (*name).into() });
    }
    assert!(!is_reserved("role"));
    let ours =
        AccessClaims { issuer: Some("i".into()), audience: Some("a".into()), claims: Map::new(), ..claims() };
    for name in serde_json::to_value(ours).unwrap().as_object().unwrap().keys() {
        assert!(is_reserved(name), "{name}");
    }
}

#[test]
fn claims_of_any_json_survive() {
    let odd = json!({
        "": null, "ünï": "\u{1f980}\"\\\n\u{0}", "number": -1.5, "large": u64::MAX, "nested": { "exp": "x", "sub": [1] },
    });
    let claims = AccessClaims {
        user: "\u{1f980} \"quoted\"".into(),
        claims: odd.as_object().unwrap().clone(),
        ..claims()
    };
    let token = mint(&KEYS, &claims, NOW).unwrap();
    assert_eq!(verify(&KEYS, token.expose(), NOW, &ANY).unwrap().into_claims(), claims);
}

#[test]
fn a_foreign_token_is_not_taken_for_ours() {
    let token = |header: &str| format!("{}.e30.AAAA", BASE64URL.encode(header));
    for foreign in [
        "",
        "sk_live_0123456789abcdef",
        "a.b.c",
        "..",
        &token(r#"{"alg":"RS256","typ":"JWT"}"#),
        &token(r#"{"alg":"RS256"}"#),
        &token(r#"["at+jwt"]"#),
        &token(r#"{"typ":"at+jwt","typ":"at+jwt"}"#),
        &token(r#"{"typ":["at+jwt"]}"#),
        &token(r#""at+jwt""#),
        &format!("{} ", token(r#"{"typ":"at+jwt"}"#)),
        &format!("{}.AAAA.AAAA", token(r#"{"typ":"at+jwt"}"#)),
        &format!("{}\u{e9}", token(r#"{"typ":"at+jwt"}"#)),
    ] {
        assert!(!looks_like_ours(&KEYS, foreign, NOW), "{foreign}");
    }
}

#[test]
fn our_tokens_are_known_by_their_look_even_when_they_are_no_longer_valid() {
    let token = minted(&KEYS);
    let years_later = NOW.after(Duration::from_secs(10 * 365 * 24 * 3600));
    for now in [NOW, years_later] {
        assert!(looks_like_ours(&KEYS, &token, now));
        assert!(looks_like_ours(&keys_for(&SigningAlgorithm::EdDsa), &token, now));
    }
    assert_eq!(verify(&KEYS, &token, years_later, &ANY), Err(AccessError::UnknownKey));
}
