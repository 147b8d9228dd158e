//! A token is good exactly if this server made it, for this audience, now.

use std::{fs, path::Path};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::base::{config::Tokens, secret::Secret};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn config() -> Tokens {
    Tokens {
        secret: Some(Secret::new(SECRET.to_vec())),
        keys_dir: None,
        issuer: "hivesync".to_owned(),
        audience: "hivesync-api".to_owned(),
        life: Duration::from_secs(900),
    }
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_800_000_000)
}

fn user() -> User {
    User {
        id: UserId(Uuid::from_u128(1)),
        session: SessionId(Uuid::from_u128(2)),
        device: DeviceId(Uuid::from_u128(3)),
        role: PlatformRole::User,
    }
}

fn mint(tokens: &AccessTokens) -> String {
    let ends_at = now() + Duration::from_secs(86_400);
    tokens.mint(&Entropy::default(), now(), &user(), (now(), ends_at)).unwrap().token.expose().to_owned()
}

/// The parts of a token of `tokens`, changed.
fn forge(tokens: &AccessTokens, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let token = mint(tokens);
    let mut parts = token.split('.').map(|part| {
        serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap_or_default()
    });
    let (mut header, mut claims) = (parts.next().unwrap(), parts.next().unwrap());
    change(&mut header, &mut claims);
    let input = [&header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature =
        jsonwebtoken::crypto::sign(input.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256)
            .unwrap();
    format!("{input}.{signature}")
}

fn reason(tokens: &AccessTokens, token: &str, at: Timestamp) -> Option<Reason> {
    tokens.verify(token, at).err().map(|error| error.reason())
}

#[test]
fn knows_its_own() {
    let tokens = AccessTokens::new(&config()).unwrap();
    let token = mint(&tokens);
    assert_eq!(tokens.verify(&token, now()).unwrap(), user());
    assert_eq!(tokens.verify(&token, now()).unwrap(), user(), "and again, from memory");
    assert_eq!(reason(&tokens, &forge(&tokens, |_, _| {}), now()), None, "the forge works");
}

#[test]
fn says_nothing_personal_and_lives_for_minutes() {
    let tokens = AccessTokens::new(&config()).unwrap();
    let mut seen = None;
    forge(&tokens, |header, claims| seen = Some((header.clone(), claims.clone())));
    let (header, claims) = seen.unwrap();
    assert_eq!(header["typ"], "at+jwt");
    let names: Vec<_> = claims.as_object().unwrap().keys().cloned().collect();
    let expected =
        ["amr", "aud", "auth_time", "did", "exp", "iat", "iss", "jti", "nbf", "roles", "sid", "sub"];
    assert_eq!(names, expected);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);

    let soon = now() + Duration::from_secs(60);
    let short = tokens.mint(&Entropy::default(), now(), &user(), (now(), soon)).unwrap();
    assert_eq!(short.life, Duration::from_secs(60), "no longer than its session");
}

#[test]
fn refuses_expired_tokens_also_from_memory() {
    let tokens = AccessTokens::new(&config()).unwrap();
    let token = mint(&tokens);
    assert_eq!(reason(&tokens, &token, now() + Duration::from_secs(904)), None);
    assert_eq!(reason(&tokens, &token, now() + Duration::from_secs(905)), Some(Reason::Unauthenticated));
    let fresh = AccessTokens::new(&config()).unwrap();
    assert_eq!(reason(&fresh, &token, now() + Duration::from_secs(905)), Some(Reason::Unauthenticated));
    assert_eq!(reason(&fresh, &token, now() - Duration::from_secs(6)), Some(Reason::Unauthenticated));
}

#[test]
fn refuses_forged_headers() {
    let tokens = AccessTokens::new(&config()).unwrap();
    let forgeries: [fn(&mut Value); 14] = [
        |header| header["alg"] = json!("none"),
        |header| header["alg"] = json!("None"),
        |header| header["alg"] = json!("HS512"),
        |header| header["alg"] = json!("RS256"),
        |header| header["alg"] = json!("EdDSA"),
        |header| header["kid"] = json!("other"),
        |header| header["kid"] = json!("../../etc/passwd"),
        |header| drop(header.as_object_mut().unwrap().remove("kid")),
        |header| drop(header.as_object_mut().unwrap().remove("typ")),
        |header| header["typ"] = json!("JWT"),
        |header| header["jwk"] = json!({"kty": "oct", "k": "AAAA"}),
        |header| header["jku"] = json!("https://example.com/keys"),
        |header| header["x5u"] = json!("https://example.com/chain"),
        |header| header["crit"] = json!(["exp"]),
    ];
    for (number, forgery) in forgeries.into_iter().enumerate() {
        let token = forge(&tokens, |header, _| forgery(header));
        assert_eq!(reason(&tokens, &token, now()), Some(Reason::Unauthenticated), "{number}");
    }
}

#[test]
fn refuses_unsigned_tokens() {
    let tokens = AccessTokens::new(&config()).unwrap();
    let token = mint(&tokens);
    let (input, signature) = token.rsplit_once('.').unwrap();
    let unsigned = forge(&tokens, |header, _| header["alg"] = json!("none"));
    let (unsigned, _) = unsigned.rsplit_once('.').unwrap();
    let longer = format!("{token}A");
    let twice = format!("{input}.{signature}.{signature}");
    for bad in [format!("{input}."), format!("{unsigned}."), input.to_owned(), longer, twice, String::new()] {
        assert_eq!(reason(&tokens, &bad, now()), Some(Reason::Unauthenticated), "{bad}");
    }
    assert_eq!(reason(&tokens, &"a".repeat(100_000), now()), Some(Reason::Unauthenticated));
}

#[test]
fn refuses_foreign_claims() {
    let tokens = AccessTokens::new(&config()).unwrap();
    let forgeries: [fn(&mut Value); 9] = [
        |claims| claims["aud"] = json!("another-api"),
        |claims| claims["aud"] = json!(["hivesync-api", "another-api"]),
        |claims| claims["iss"] = json!("somebody"),
        |claims| claims["sub"] = json!("root"),
        |claims| claims["nbf"] = json!(1_800_000_006),
        |claims| claims["iat"] = json!(1_800_000_006),
        |claims| claims["exp"] = json!("never"),
        |claims| claims["roles"] = json!(["user", "admin"]),
        |claims| claims["roles"] = json!(["root"]),
    ];
    for (number, forgery) in forgeries.into_iter().enumerate() {
        let token = forge(&tokens, |_, claims| forgery(claims));
        assert_eq!(reason(&tokens, &token, now()), Some(Reason::Unauthenticated), "{number}");
    }
    for required in ["exp", "nbf", "iat", "iss", "aud", "sub", "sid", "did"] {
        let token = forge(&tokens, |_, claims| drop(claims.as_object_mut().unwrap().remove(required)));
        assert_eq!(reason(&tokens, &token, now()), Some(Reason::Unauthenticated), "{required}");
    }
}

#[test]
fn refuses_tokens_of_another_key_and_audience() {
    let tokens = AccessTokens::new(&config()).unwrap();
    let other_key = Tokens { secret: Some(Secret::new(vec![9; 32])), ..config() };
    let other_audience = Tokens { audience: "another-api".to_owned(), ..config() };
    for other in [other_key, other_audience] {
        let token = mint(&AccessTokens::new(&other).unwrap());
        assert_eq!(reason(&tokens, &token, now()), Some(Reason::Unauthenticated));
    }
}

#[test]
fn refuses_the_tokens_of_an_ended_session_at_once() {
    let tokens = AccessTokens::new(&config()).unwrap();
    let token = mint(&tokens);
    assert_eq!(reason(&tokens, &token, now()), None);
    tokens.revocations().add(&[user().session], now());
    assert_eq!(reason(&tokens, &token, now()), Some(Reason::SessionEnded));
}

fn write_pem(dir: &Path, name: &str, label: &str, der: &[u8]) {
    let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
    fs::write(dir.join(name), pem).unwrap();
}

#[test]
fn signs_with_the_last_key_and_knows_the_earlier_ones() {
    let dir = tempfile::tempdir().unwrap();
    let config = Tokens { keys_dir: Some(dir.path().to_owned()), ..config() };
    let mut issued = vec![mint(&AccessTokens::new(&config).unwrap())];
    let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap().to_pkcs8v1().unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    let keys = [
        ("1.pem", ed25519.as_ref(), "EdDSA"),
        ("2.pem", p256.as_ref(), "ES256"),
        ("3.pem", rsa.as_ref(), "RS256"),
    ];
    for (name, der, algorithm) in keys {
        write_pem(dir.path(), name, "PRIVATE KEY", der);
        let token = mint(&AccessTokens::new(&config).unwrap());
        let header: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap())
                .unwrap();
        assert_eq!((&header["alg"], &header["kid"]), (&json!(algorithm), &json!(&name[..1])));
        issued.push(token);
    }
    let tokens = AccessTokens::new(&config).unwrap();
    for token in &issued {
        assert_eq!(reason(&tokens, token, now()), None);
    }

    // The key of one algorithm does not verify another: a public key is not a shared secret.
    let public = ed25519.as_ref();
    let header =
        Header { typ: Some(TYPE.to_owned()), kid: Some("1".to_owned()), ..Header::new(Algorithm::HS256) };
    let confused =
        jsonwebtoken::encode(&header, &json!({"sub": "x"}), &EncodingKey::from_secret(public)).unwrap();
    assert_eq!(reason(&tokens, &confused, now()), Some(Reason::Unauthenticated));
}

#[test]
fn refuses_to_start_with_a_file_that_is_no_key() {
    let dir = tempfile::tempdir().unwrap();
    write_pem(dir.path(), "1.pem", "PRIVATE KEY", b"nonsense");
    let config = Tokens { keys_dir: Some(dir.path().to_owned()), ..config() };
    assert!(AccessTokens::new(&config).is_err());
    assert!(AccessTokens::new(&Tokens { secret: None, keys_dir: None, ..config }).is_err());
}
