//! A proof is good once, for one call, from the holder of one key.

use std::sync::Arc;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use hivesync_proto::device_proof::{Header, access_token_hash, assemble, htu, signing_input};

use super::*;
use crate::base::kv::Memory;

const PATH: &str = "/hivesync.v1.AuthService/Refresh";
const HOST: &str = "api.example.com:443";
const NOW: i64 = 1_800_000_000;

fn kv() -> Kv {
    Memory::new(Arc::new(|| 1_800_000_000_000), 1_000).into()
}

fn call() -> ProvenCall<'static> {
    ProvenCall {
        authorities: &["localhost:7440", HOST],
        method_path: PATH,
        access_token: None,
        now: Timestamp::from_secs(NOW),
    }
}

fn claims(jti: &str) -> Claims {
    Claims {
        jti: jti.to_owned(),
        htm: METHOD.to_owned(),
        htu: htu(HOST, PATH),
        iat: u64::try_from(NOW).unwrap(),
        ath: None,
        nonce: None,
    }
}

struct Device(EcdsaKeyPair);

impl Device {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn jwk(&self) -> Jwk {
        let point = self.0.public_key().as_ref();
        Jwk::P256 { x: point[1..33].try_into().unwrap(), y: point[33..].try_into().unwrap() }
    }

    fn prove(&self, claims: &Claims) -> String {
        self.prove_as(self.jwk(), claims)
    }

    fn prove_as(&self, jwk: Jwk, claims: &Claims) -> String {
        let input = signing_input(&Header::new(jwk), claims);
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        assemble(&input, signature.as_ref())
    }
}

async fn refused(proof: &str, call: ProvenCall<'_>) -> bool {
    let outcome = verify(&kv(), proof, call).await;
    outcome.err().is_some_and(|error| error.reason() == Reason::InvalidDeviceProof)
}

#[tokio::test]
async fn names_the_key_that_made_the_proof() {
    let device = Device::new();
    let key = verify(&kv(), &device.prove(&claims("a")), call()).await.unwrap();
    assert_eq!(key.thumbprint, device.jwk().thumbprint());

    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let jwk = Jwk::Ed25519 { x: ed25519.public_key().as_ref().try_into().unwrap() };
    let input = signing_input(&Header::new(jwk), &claims("b"));
    let proof = assemble(&input, ed25519.sign(input.as_bytes()).as_ref());
    assert_eq!(verify(&kv(), &proof, call()).await.unwrap().thumbprint, jwk.thumbprint());
}

#[tokio::test]
async fn a_proof_is_good_once() {
    let (kv, device) = (kv(), Device::new());
    let proof = device.prove(&claims("a"));
    verify(&kv, &proof, call()).await.unwrap();
    assert_eq!(verify(&kv, &proof, call()).await.unwrap_err().reason(), Reason::InvalidDeviceProof);
    let again = device.prove(&Claims { iat: claims("a").iat + 1, ..claims("a") });
    assert!(verify(&kv, &again, call()).await.is_err(), "the name counts, not the text");
    verify(&kv, &Device::new().prove(&claims("a")), call()).await.unwrap();
}

#[tokio::test]
async fn refuses_proofs_for_other_calls() {
    let device = Device::new();
    let others = [
        Claims { htm: "GET".to_owned(), ..claims("a") },
        Claims { htu: htu(HOST, "/hivesync.v1.AuthService/Login"), ..claims("a") },
        Claims { htu: htu("evil.example.com:443", PATH), ..claims("a") },
        Claims { htu: format!("{}?x", htu(HOST, PATH)), ..claims("a") },
        Claims { iat: claims("a").iat + 61, ..claims("a") },
        Claims { iat: claims("a").iat - 61, ..claims("a") },
        Claims { iat: u64::MAX, ..claims("a") },
        Claims { iat: 0, ..claims("a") },
        Claims { ath: Some(access_token_hash("token")), ..claims("a") },
    ];
    for other in &others {
        assert!(refused(&device.prove(other), call()).await, "{other:?}");
    }
}

#[tokio::test]
async fn a_proof_is_bound_to_the_access_token_that_goes_along() {
    let device = Device::new();
    let with_token = ProvenCall { access_token: Some("token"), ..call() };
    assert!(refused(&device.prove(&claims("a")), with_token).await);
    let other = Claims { ath: Some(access_token_hash("another")), ..claims("b") };
    assert!(refused(&device.prove(&other), with_token).await);
    let bound = Claims { ath: Some(access_token_hash("token")), ..claims("c") };
    verify(&kv(), &device.prove(&bound), with_token).await.unwrap();
}

#[tokio::test]
async fn refuses_what_another_key_signed() {
    let (device, thief) = (Device::new(), Device::new());
    assert!(refused(&thief.prove_as(device.jwk(), &claims("a")), call()).await);
    let proof = device.prove(&claims("a"));
    let (input, _) = proof.rsplit_once('.').unwrap();
    assert!(refused(&assemble(input, &[0; 64]), call()).await);
    let off_the_curve = Jwk::P256 { x: [1; 32], y: [1; 32] };
    assert!(refused(&thief.prove_as(off_the_curve, &claims("a")), call()).await);
    for text in ["", "a.b.c", "...."] {
        assert!(refused(text, call()).await);
    }
}

#[tokio::test]
async fn a_proof_is_remembered_for_as_long_as_it_could_be_used() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let millis = Arc::new(AtomicU64::new(u64::try_from(NOW).unwrap() * 1_000));
    let clock = millis.clone();
    let kv: Kv = Memory::new(Arc::new(move || clock.load(Ordering::Relaxed)), 1_000).into();
    let iat = u64::try_from(NOW).unwrap() + WINDOW.as_secs();
    let proof = Device::new().prove(&Claims { iat, ..claims("ahead") });
    verify(&kv, &proof, call()).await.unwrap();
    millis.fetch_add(120_000, Ordering::Relaxed);
    let last_moment = ProvenCall { now: Timestamp::from_secs(NOW + 120), ..call() };
    let refused = verify(&kv, &proof, last_moment).await.unwrap_err();
    assert_eq!(refused.cause().unwrap().to_string(), "the device proof was used before");
}
