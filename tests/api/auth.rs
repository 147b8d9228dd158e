//! Accounts, sign-in, sessions, devices, and the tokens that go with them.

use std::time::Duration;

use hivesync::{ErrorKind, SignedOutReason, auth::Platform, page::PageRequest};
use hivesync_proto::{
    device_proof::{self, Claims},
    v1::{self as pb, ErrorReason as Reason},
};
use hivesync_tests::{
    backend::Backend,
    caller::{Caller, PASSWORD, address_of, login},
    device::Device,
    on_each_backend,
    wire::{Credentials, Refusal, refused, set},
    world::World,
};
use uuid::Uuid;

const GET_ME: &str = "hivesync.v1.UserService/GetMe";
const LOGIN: &str = "hivesync.v1.AuthService/Login";
const REFRESH: &str = "hivesync.v1.AuthService/Refresh";

on_each_backend!(
    a_person_signs_up_and_in,
    a_person_has_another_name_from_now_on,
    a_person_signs_other_devices_out,
    the_same_address_twice_reads_the_same,
    wrong_credentials_read_the_same,
    weak_passwords_are_refused,
    sign_in_needs_the_devices_proof,
    a_refresh_may_be_repeated,
    an_old_refresh_token_ends_the_session,
    a_stolen_refresh_token_is_useless,
    refresh_needs_a_token_of_this_server,
    parallel_refreshes_leave_one_successor,
    sign_out_ends_the_session,
    a_revoked_device_is_signed_out,
    sessions_of_others_cannot_be_ended,
    access_tokens_expire,
);

async fn a_person_signs_up_and_in(world: World) {
    let ada = world.user("ada").await;
    let me = ada.client.users().me().await.unwrap();
    assert_eq!((me.email.as_str(), me.display_name.as_str()), ("ada@example.com", "ada"));
    let sessions = ada.client.auth().sessions(PageRequest::first()).await.unwrap().items;
    assert_eq!(sessions.len(), 1);
    assert!(sessions[0].current);
    let devices = ada.client.auth().devices(PageRequest::first()).await.unwrap().items;
    assert_eq!(devices.len(), 1);
    assert!(devices[0].current);
}

async fn a_person_has_another_name_from_now_on(world: World) {
    let ada = world.user("ada").await;
    let renamed = ada.client.users().rename_me("Ada Lovelace").await.unwrap();
    assert_eq!(renamed.display_name, "Ada Lovelace");
    assert_eq!(ada.client.users().me().await.unwrap().display_name, "Ada Lovelace");
    let members =
        ada.client.teams().members(ada.me.personal_team_id, PageRequest::first()).await.unwrap().items;
    assert_eq!(members[0].display_name, "Ada Lovelace");
    let error = ada.client.users().rename_me("").await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::InvalidRequest { fields: vec!["display_name".to_owned()] });
}

async fn a_person_signs_other_devices_out(world: World) {
    let ada = world.user("ada").await;
    let auth = ada.client.auth();
    let (phone, watch) = tokio::join!(
        world.device_of(&ada, "phone", Platform::Ios),
        world.device_of(&ada, "watch", Platform::Ios)
    );
    auth.revoke_session(phone.client.auth().account().await.unwrap().session_id).await.unwrap();
    auth.revoke_device(watch.client.auth().account().await.unwrap().device_id).await.unwrap();
    for other in [phone, watch] {
        let error = other.client.users().me().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::SignedOut { reason: SignedOutReason::SessionEnded });
    }
    let devices = auth.devices(PageRequest::first()).await.unwrap().items;
    assert_eq!(devices.iter().map(|device| device.name.as_str()).collect::<Vec<_>>(), ["phone", "desktop"]);
    let sessions = auth.sessions(PageRequest::first()).await.unwrap().items;
    assert_eq!(sessions.iter().map(|session| session.current).collect::<Vec<_>>(), [true]);
}

async fn the_same_address_twice_reads_the_same(world: World) {
    let ada = world.caller("ada").await;
    let again = pb::RegisterRequest {
        email: "ADA@example.com".to_owned(),
        password: "Another-Password-9".to_owned(),
        display_name: "Mallory".to_owned(),
    };
    let answer: pb::RegisterResponse = ada.get("hivesync.v1.AuthService/Register", again).await;
    assert_eq!(answer, pb::RegisterResponse {});
    // The second registration has no effect.
    assert!(login(&ada.wire, &ada.email, PASSWORD, &Device::new()).await.is_ok());
    let refusal = refused(login(&ada.wire, &ada.email, "Another-Password-9", &Device::new()).await);
    assert_eq!(refusal.reason, Reason::InvalidCredentials);
}

async fn wrong_credentials_read_the_same(world: World) {
    let ada = world.caller("ada").await;
    let oversize = "x".repeat(1_000);
    let cohorts = [
        (ada.email.as_str(), "Wrong-Password-12"),
        (ada.email.as_str(), ""),
        (ada.email.as_str(), oversize.as_str()),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        ("", ""),
    ];
    for (email, password) in cohorts {
        let refusal = refused(login(&ada.wire, email, password, &Device::new()).await);
        let seen = (refusal.code, refusal.reason, refusal.text.as_str(), refusal.fields.len());
        let all = (
            tonic::Code::Unauthenticated,
            Reason::InvalidCredentials,
            "The e-mail address or the password is not right.",
            0,
        );
        assert_eq!(seen, all, "for {email:?}");
    }
}

async fn weak_passwords_are_refused(world: World) {
    let wire = world.wire().await;
    let weak = ["short-A1", "alllowercase-123", "ALLUPPERCASE-123", "NoDigits-At-All", "NoSymbols12345A"];
    for password in weak {
        let request = pb::RegisterRequest {
            email: address_of("ada"),
            password: password.to_owned(),
            display_name: "ada".to_owned(),
        };
        let outcome = wire.call::<_, pb::RegisterResponse>(
            "hivesync.v1.AuthService/Register",
            request,
            Credentials::default(),
        );
        assert_eq!(refused(outcome.await).reason, Reason::PasswordPolicy, "{password}");
    }
}

async fn sign_in_needs_the_devices_proof(world: World) {
    let ada = world.caller("ada").await;
    let (wire, device) = (&ada.wire, Device::new());
    let message = pb::LoginRequest {
        email: ada.email.clone(),
        password: PASSWORD.to_owned(),
        device_name: "a test".to_owned(),
        platform: pb::Platform::Desktop.into(),
    };
    let honest = wire.claims(LOGIN, None);
    let elsewhere =
        Claims { htu: device_proof::htu("evil.example:443", &format!("/{LOGIN}")), ..honest.clone() };
    let mut forged = vec![
        ("nothing", None),
        ("not a proof", Some("a.b.c".to_owned())),
        ("another method", Some(device.sign(&wire.claims(REFRESH, None)))),
        ("another server", Some(device.sign(&elsewhere))),
    ];
    let later = Claims { iat: honest.iat + 3_600, ..honest.clone() };
    forged.push(("from the future", Some(device.sign(&later))));
    let earlier = Claims { iat: honest.iat - 3_600, ..honest.clone() };
    forged.push(("from the past", Some(device.sign(&earlier))));
    let get = Claims { htm: "GET".to_owned(), ..honest.clone() };
    forged.push(("another HTTP method", Some(device.sign(&get))));
    let mut swapped = device.sign(&honest);
    let signature = Device::new().sign(&honest).rsplit('.').next().unwrap().to_owned();
    swapped.replace_range(swapped.rfind('.').unwrap() + 1.., &signature);
    forged.push(("signed by another key", Some(swapped)));
    for (what, proof) in forged {
        let mut request = wire.request(LOGIN, message.clone(), Credentials::default());
        if let Some(proof) = proof {
            set(&mut request, "dpop", &proof);
        }
        let refusal = refused(wire.send::<_, pb::SessionTokens>(LOGIN, request).await);
        assert_eq!(refusal.reason, Reason::InvalidDeviceProof, "{what}");
    }
    // A proof opens once.
    let proof = device.sign(&honest);
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let mut request = wire.request(LOGIN, message.clone(), Credentials::default());
        set(&mut request, "dpop", &proof);
        outcomes.push(wire.send::<_, pb::SessionTokens>(LOGIN, request).await);
    }
    assert!(outcomes[0].is_ok());
    assert_eq!(refused(outcomes.remove(1)).reason, Reason::InvalidDeviceProof);
}

pub(super) async fn refresh(
    caller: &Caller,
    token: &str,
    attempt: Uuid,
) -> Result<pb::SessionTokens, tonic::Status> {
    let request = pb::RefreshRequest { refresh_token: token.to_owned(), attempt_id: attempt.to_string() };
    let with = Credentials { access_token: None, device: Some(&caller.device) };
    caller.wire.call(REFRESH, request, with).await.map(tonic::Response::into_inner)
}

async fn a_refresh_may_be_repeated(world: World) {
    let ada = world.caller("ada").await;
    let attempt = Uuid::new_v4();
    let first = refresh(&ada, &ada.tokens.refresh_token, attempt).await.unwrap();
    // The answer was lost: the same attempt gives the same successor, and no second branch.
    let again = refresh(&ada, &ada.tokens.refresh_token, attempt).await.unwrap();
    assert_eq!(first.refresh_token, again.refresh_token);
    assert_ne!(first.refresh_token, ada.tokens.refresh_token);
    let next = refresh(&ada, &first.refresh_token, Uuid::new_v4()).await.unwrap();
    assert_ne!(next.refresh_token, first.refresh_token);
}

/// A command line continues its session each time it is run, and colleagues come from one address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_behind_one_address_may_go_on_with_its_sessions() {
    let world = World::with(Backend::Embedded, &[("RATE_LIMITS", "on")]).await;
    for name in ["ada", "bob"] {
        let caller = world.caller(name).await;
        let mut token = caller.tokens.refresh_token.clone();
        for _ in 0..80 {
            token = refresh(&caller, &token, Uuid::new_v4()).await.expect("it is no guess").refresh_token;
        }
    }
}

async fn an_old_refresh_token_ends_the_session(world: World) {
    let ada = world.caller("ada").await;
    let first = refresh(&ada, &ada.tokens.refresh_token, Uuid::new_v4()).await.unwrap();
    let second = refresh(&ada, &first.refresh_token, Uuid::new_v4()).await.unwrap();
    let refusal = refused(refresh(&ada, &ada.tokens.refresh_token, Uuid::new_v4()).await);
    assert_eq!(refusal.reason, Reason::SessionEnded);
    // Whoever holds the newest token, the thief or the user, is signed out as well.
    let refusal = refused(refresh(&ada, &second.refresh_token, Uuid::new_v4()).await);
    assert_eq!(refusal.reason, Reason::SessionEnded);
    assert_eq!(
        refused(ada.call::<_, pb::User>(GET_ME, pb::GetMeRequest {}).await).reason,
        Reason::SessionEnded
    );
}

async fn a_stolen_refresh_token_is_useless(world: World) {
    let ada = world.caller("ada").await;
    let thief = Device::new();
    let request = pb::RefreshRequest {
        refresh_token: ada.tokens.refresh_token.clone(),
        attempt_id: Uuid::new_v4().to_string(),
    };
    let with = Credentials { access_token: None, device: Some(&thief) };
    let outcome = ada.wire.call::<_, pb::SessionTokens>(REFRESH, request, with).await;
    let refusal = refused(outcome);
    assert_eq!(refusal.code, tonic::Code::Unauthenticated);
}

async fn refresh_needs_a_token_of_this_server(world: World) {
    let ada = world.caller("ada").await;
    let mut tampered = ada.tokens.refresh_token.clone().into_bytes();
    let middle = tampered.len() / 2;
    tampered[middle] = if tampered[middle] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).unwrap();
    for token in ["hsr_", "hsr_AAAA", "nonsense", tampered.as_str(), ada.tokens.access_token.as_str()] {
        let outcome = refresh(&ada, token, Uuid::new_v4()).await;
        if token.len() > 512 {
            assert_eq!(refused(outcome).reason, Reason::InvalidRequest);
        } else {
            assert_eq!(refused(outcome).reason, Reason::SessionEnded, "{token}");
        }
    }
    // Garbage does not end the session it resembles.
    assert!(refresh(&ada, &ada.tokens.refresh_token, Uuid::new_v4()).await.is_ok());
}

async fn parallel_refreshes_leave_one_successor(world: World) {
    let ada = world.caller("ada").await;
    let attempt = Uuid::new_v4();
    let outcomes =
        futures::future::join_all((0..16).map(|_| refresh(&ada, &ada.tokens.refresh_token, attempt))).await;
    let successors: std::collections::BTreeSet<String> =
        outcomes.into_iter().map(|outcome| outcome.unwrap().refresh_token).collect();
    assert_eq!(successors.len(), 1);
}

async fn sign_out_ends_the_session(world: World) {
    let ada = world.caller("ada").await;
    let _: pb::LogoutResponse =
        ada.get("hivesync.v1.AuthService/Logout", pb::LogoutRequest { everywhere: false }).await;
    let refusal = refused(ada.call::<_, pb::User>(GET_ME, pb::GetMeRequest {}).await);
    assert_eq!(refusal.reason, Reason::SessionEnded);
    let refusal = refused(refresh(&ada, &ada.tokens.refresh_token, Uuid::new_v4()).await);
    assert_eq!(refusal.reason, Reason::SessionEnded);
}

async fn a_revoked_device_is_signed_out(world: World) {
    let ada = world.caller("ada").await;
    let phone = Caller::sign_in(ada.wire.clone(), &ada.email, Device::new()).await;
    let request = pb::RevokeDeviceRequest { device_id: phone.tokens.device_id.clone() };
    let _: pb::RevokeDeviceResponse = ada.get("hivesync.v1.AuthService/RevokeDevice", request).await;
    assert!(phone.call::<_, pb::User>(GET_ME, pb::GetMeRequest {}).await.is_err());
    assert!(refresh(&phone, &phone.tokens.refresh_token, Uuid::new_v4()).await.is_err());
    let _: pb::User = ada.get(GET_ME, pb::GetMeRequest {}).await;
}

async fn sessions_of_others_cannot_be_ended(world: World) {
    let (ada, eve) = (world.caller("ada").await, world.caller("eve").await);
    let request = pb::RevokeSessionRequest { session_id: ada.tokens.session_id.clone() };
    let outcome =
        eve.call::<_, pb::RevokeSessionResponse>("hivesync.v1.AuthService/RevokeSession", request).await;
    assert_eq!(refused(outcome).reason, Reason::NotFound);
    let request = pb::RevokeDeviceRequest { device_id: ada.tokens.device_id.clone() };
    let outcome =
        eve.call::<_, pb::RevokeDeviceResponse>("hivesync.v1.AuthService/RevokeDevice", request).await;
    assert_eq!(refused(outcome).reason, Reason::NotFound);
    let _: pb::User = ada.get(GET_ME, pb::GetMeRequest {}).await;
}

async fn access_tokens_expire(world: World) {
    let ada = world.caller("ada").await;
    world.advance(Duration::from_secs(u64::from(ada.tokens.access_token_expires_in_secs) + 6));
    let outcome = ada.call::<_, pb::User>(GET_ME, pb::GetMeRequest {}).await;
    let refusal: Refusal = refused(outcome);
    assert_eq!((refusal.code, refusal.reason), (tonic::Code::Unauthenticated, Reason::Unauthenticated));
}
