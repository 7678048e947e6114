use super::{access::*, tests::RSA, *};
use crate::*;
use std::time::{Duration, Instant};
fn time(name: &str, mut f: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..7 {
        let s = Instant::now();
        let mut n = 0u64;
        while s.elapsed() < Duration::from_millis(60) {
            for _ in 0..20 {
                f();
            }
            n += 20;
        }
        best = best.min(s.elapsed().as_nanos() as f64 / n as f64);
    }
    println!("{name}: {best:.0} ns");
    best
}
#[test]
fn bench() {
    let now = Timestamp::from_secs(1_800_000_000);
    for a in [
        SigningAlgorithm::EdDsa,
        SigningAlgorithm::Es256,
        SigningAlgorithm::Hs256,
        SigningAlgorithm::Rs256(RSA.rs256()),
    ] {
        let keys = Keys::new(&KeyRing::random(), &a, Epochs::default());
        let c = AccessClaims {
            user: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
            issued_at: now.as_secs(),
            expires_at: now.as_secs() + 3600,
            handle: SessionHandle::from_bytes([3; 16]),
            tenant: "public".into(),
            auth_time: now.as_secs(),
            generation: 3,
            session_created: now,
            issuer: None,
            audience: None,
            claims: serde_json::json!({"role":{"v":["admin"],"t":1}}).as_object().unwrap().clone(),
        };
        let t = mint(&keys, &c, now).unwrap();
        let t = t.expose();
        println!("{:?} len {}", a.algorithm(), t.len());
        let (signed, sig) = t.rsplit_once('.').unwrap();
        use base64::Engine;
        let sig = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(sig).unwrap();
        let key = keys.signer(now);
        let bare = time("bare", || assert!(key.verifies(signed.as_bytes(), &sig)));
        let full = time("verify", || assert!(verify(&keys, t, now, &Expected::default()).is_ok()));
        println!("ratio {:.3}", full / bare);
        time("looks", || assert!(looks_like_ours(&keys, t, now)));
        time("mint", || {
            mint(&keys, &c, now).unwrap();
        });
        let r = refresh::issue(&keys, c.handle, 3, 2, &[1; 32]);
        time("refresh open", || {
            refresh::open(&keys, r.expose()).unwrap();
        });
    }
}
