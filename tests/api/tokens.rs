//! Access tokens that this server did not make, or not for this.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use hivesync_proto::v1::{self as pb, ErrorReason as Reason};
use hivesync_tests::{
    backend::Backend,
    caller::Caller,
    wire::{Credentials, refused},
    world::{JWT_SECRET, World},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const GET_ME: &str = "hivesync.v1.UserService/GetMe";

async fn ask(caller: &Caller, token: &str) -> Result<pb::User, tonic::Status> {
    let with = Credentials { access_token: Some(token), device: None };
    caller.wire.call(GET_ME, pb::GetMeRequest {}, with).await.map(tonic::Response::into_inner)
}

/// The parts of a token that the server made.
fn parts(token: &str) -> (Value, Value, String) {
    let mut parts = token.split('.');
    let mut json = || {
        let bytes = BASE64URL.decode(parts.next().expect("a part")).expect("base64url");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let (header, claims) = (json(), json());
    (header, claims, parts.next().expect("a signature").to_owned())
}

fn header_of(genuine: &Value, algorithm: Algorithm) -> Header {
    let mut header = Header::new(algorithm);
    header.typ = genuine["typ"].as_str().map(str::to_owned);
    header.kid = genuine["kid"].as_str().map(str::to_owned);
    header
}

fn signed(header: &Header, claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token")
}

fn encoded(value: &Value) -> String {
    BASE64URL.encode(value.to_string())
}

/// The same claims, one of them changed or, by `null`, left out.
fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    let all = claims.as_object_mut().expect("an object");
    if value.is_null() {
        all.remove(name);
    } else {
        all.insert(name.to_owned(), value);
    }
    claims
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_open_nothing() {
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let ada = world.caller("ada").await;
    let token = ada.tokens.access_token.as_str();
    let (header, claims, signature) = parts(token);
    let honest = header_of(&header, Algorithm::HS256);
    // What is changed below is what makes the difference: the same claims, signed again, are accepted.
    ask(&ada, &signed(&honest, &claims, JWT_SECRET)).await.expect("a genuine token");

    let now = claims["iat"].as_i64().expect("iat");
    let none = |alg: &str| {
        let mut header = header.clone();
        header["alg"] = json!(alg);
        encoded(&header)
    };
    let mut unknown_key = honest.clone();
    unknown_key.kid = Some("another".to_owned());
    let mut no_key = honest.clone();
    no_key.kid = None;
    let mut plain_type = honest.clone();
    plain_type.typ = Some("JWT".to_owned());
    let mut embedded = header.clone();
    embedded["jku"] = json!("https://evil.example/keys");
    embedded["jwk"] = json!({"kty": "oct", "k": BASE64URL.encode("x")});

    let forged = [
        ("no signature, alg none", format!("{}.{}.", none("none"), encoded(&claims))),
        ("no signature, alg nOnE", format!("{}.{}.", none("nOnE"), encoded(&claims))),
        ("alg none with the signature", format!("{}.{}.{signature}", none("none"), encoded(&claims))),
        ("another algorithm", signed(&header_of(&header, Algorithm::HS512), &claims, JWT_SECRET)),
        ("another key", signed(&honest, &claims, "another secret that is long enough to be one")),
        ("an unknown key id", signed(&unknown_key, &claims, JWT_SECRET)),
        ("no key id", signed(&no_key, &claims, JWT_SECRET)),
        ("another type", signed(&plain_type, &claims, JWT_SECRET)),
        ("a key of its own", format!("{}.{}.{signature}", encoded(&embedded), encoded(&claims))),
        ("another audience", signed(&honest, &with(&claims, "aud", json!("another-api")), JWT_SECRET)),
        ("another issuer", signed(&honest, &with(&claims, "iss", json!("evil")), JWT_SECRET)),
        ("expired", signed(&honest, &with(&claims, "exp", json!(now - 60)), JWT_SECRET)),
        ("not yet valid", signed(&honest, &with(&claims, "nbf", json!(now + 600)), JWT_SECRET)),
        ("from the future", signed(&honest, &with(&claims, "iat", json!(now + 600)), JWT_SECRET)),
        ("without expiry", signed(&honest, &with(&claims, "exp", Value::Null), JWT_SECRET)),
        ("without audience", signed(&honest, &with(&claims, "aud", Value::Null), JWT_SECRET)),
        ("without issuer", signed(&honest, &with(&claims, "iss", Value::Null), JWT_SECRET)),
        ("without subject", signed(&honest, &with(&claims, "sub", Value::Null), JWT_SECRET)),
        ("without session", signed(&honest, &with(&claims, "sid", Value::Null), JWT_SECRET)),
        ("another user, old signature", {
            let other = with(&claims, "sub", json!(uuid::Uuid::now_v7().to_string()));
            format!("{}.{}.{signature}", encoded(&header), encoded(&other))
        }),
        ("cut off", token[..token.len() - 2].to_owned()),
        ("a refresh token", ada.tokens.refresh_token.clone()),
        ("nonsense", "nonsense".to_owned()),
        ("dots", "..".to_owned()),
        ("nothing", String::new()),
        ("very long", "a".repeat(16_000)),
    ];
    for (what, token) in forged {
        let refusal = refused(ask(&ada, &token).await);
        let seen = (refusal.code, refusal.reason, refusal.text.as_str());
        assert_eq!(seen, (tonic::Code::Unauthenticated, Reason::Unauthenticated, "Sign in first."), "{what}");
    }
}

/// No token holds what it need not: whoever reads it learns no address and no name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_hold_nothing_personal() {
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let ada = world.caller("ada").await;
    let (header, claims, _) = parts(&ada.tokens.access_token);
    assert_eq!(header["typ"], "at+jwt");
    let text = claims.to_string();
    assert!(!text.contains("ada") && !text.contains("example.com"), "{text}");
    for claim in ["iss", "aud", "sub", "sid", "nbf", "iat", "exp", "jti"] {
        assert!(!claims[claim].is_null(), "{claim} is missing");
    }
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((1..=900).contains(&life), "{life} s");
}
