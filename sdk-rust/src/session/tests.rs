#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use futures::future::join_all;
use tonic::Code;

use crate::{
    Client, ErrorKind, Secret, SignedOutReason, StorageErrorKind,
    fake_server::{AFTER_COOLDOWN, Answer, FakeServer},
    keychain::{MemoryStore, SecretStore, StoreCapabilities},
};

/// A store that other processes share, and that can be made to refuse.
#[derive(Default)]
struct FlakyStore {
    inner: MemoryStore,
    refuses: AtomicBool,
}

impl FlakyStore {
    fn check(&self) -> Result<(), StorageErrorKind> {
        if self.refuses.load(Ordering::SeqCst) { Err(StorageErrorKind::Locked) } else { Ok(()) }
    }
}

#[async_trait]
impl SecretStore for FlakyStore {
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities { persistent: true, shared: true }
    }
    async fn load(&self, slot: &str) -> Result<Option<Secret>, StorageErrorKind> {
        self.inner.load(slot).await
    }
    async fn save(&self, slot: &str, secret: &Secret) -> Result<(), StorageErrorKind> {
        self.check()?;
        self.inner.save(slot, secret).await
    }
    async fn delete(&self, slot: &str) -> Result<(), StorageErrorKind> {
        self.inner.delete(slot).await
    }
}

fn signed_out(client_outcome: crate::Result<impl Sized>) -> Option<SignedOutReason> {
    match client_outcome.err()?.kind() {
        ErrorKind::SignedOut { reason } => Some(*reason),
        _ => None,
    }
}

async fn me(client: &Client) -> crate::Result<crate::users::User> {
    client.users().me().await
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_on_an_expired_token_make_one_refresh() {
    let server = FakeServer::start();
    let client = server.expired_client(Arc::new(MemoryStore::new())).await;
    let users = client.users();
    let outcomes = join_all((0..1_000).map(|_| users.me())).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(server.refreshes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again_by_the_same_attempt() {
    let server = FakeServer::start();
    let client = server.expired_client(Arc::new(MemoryStore::new())).await;
    server.answer_refreshes([Answer::Never, Answer::Refusal(Code::Unavailable, "UNAVAILABLE")]);
    me(&client).await.unwrap();
    let refreshes = server.script.calls.refreshes.lock().unwrap().clone();
    assert_eq!(refreshes.len(), 3);
    assert!(refreshes.iter().all(|refresh| *refresh == refreshes[0]));
}

#[tokio::test(start_paused = true)]
async fn the_next_rotation_is_another_attempt() {
    let server = FakeServer::start();
    let client = server.expired_client(Arc::new(MemoryStore::new())).await;
    me(&client).await.unwrap();
    server.script.revoke_access();
    me(&client).await.unwrap();
    let refreshes = server.script.calls.refreshes.lock().unwrap().clone();
    assert_eq!(refreshes.len(), 2);
    assert_ne!(refreshes[0].0, refreshes[1].0);
    assert_eq!(refreshes[0].1, "refresh-1");
    assert_eq!(refreshes[1].1, "refresh-2");
}

#[tokio::test(start_paused = true)]
async fn unavailability_never_signs_out_and_is_not_hammered() {
    let server = FakeServer::start();
    let client = server.expired_client(Arc::new(MemoryStore::new())).await;
    server.answer_refreshes(vec![Answer::Refusal(Code::Unavailable, "UNAVAILABLE"); 3]);
    for _ in 0..100 {
        assert_eq!(me(&client).await.unwrap_err().kind(), &ErrorKind::Unavailable);
    }
    assert_eq!(server.refreshes(), 3);
    assert!(client.auth().account().await.is_ok());
    tokio::time::sleep(AFTER_COOLDOWN).await;
    me(&client).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refresh_in_flight_does_not_outlive_a_sign_out() {
    let server = FakeServer::start();
    let client = server.expired_client(Arc::new(MemoryStore::new())).await;
    let (users, auth) = (client.users(), client.auth());
    let calls = join_all((0..10).map(|_| users.me()));
    let (_, signed_out_in_order) = futures::join!(calls, auth.logout(false));
    signed_out_in_order.unwrap();
    assert_eq!(signed_out(me(&client).await), Some(SignedOutReason::NotSignedIn));
}

#[tokio::test(start_paused = true)]
async fn waking_ends_the_cooldown() {
    let server = FakeServer::start();
    let client = server.expired_client(Arc::new(MemoryStore::new())).await;
    server.answer_refreshes(vec![Answer::Refusal(Code::Unavailable, "UNAVAILABLE"); 3]);
    assert!(me(&client).await.is_err());
    client.wake().await;
    me(&client).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_the_end_of_the_session_signs_out() {
    let server = FakeServer::start();
    let store = Arc::new(MemoryStore::new());
    let client = server.expired_client(store.clone()).await;
    server.answer_refreshes([Answer::Refusal(Code::Unauthenticated, "SESSION_ENDED")]);
    assert_eq!(signed_out(me(&client).await), Some(SignedOutReason::SessionEnded));
    assert_eq!(signed_out(client.auth().account().await), Some(SignedOutReason::SessionEnded));
    assert_eq!(signed_out(me(&client).await), Some(SignedOutReason::SessionEnded));
    assert_eq!(server.refreshes(), 1);
    assert!(store.load("session/localhost/default").await.unwrap().is_none());
    assert!(store.load("device-key/localhost/default").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_unauthenticated() {
    let server = FakeServer::start();
    let client = server.client(Arc::new(MemoryStore::new()));
    assert_eq!(signed_out(me(&client).await), Some(SignedOutReason::NotSignedIn));
    assert_eq!(server.script.calls.get_mes.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_does_not_end_the_attempt() {
    let server = FakeServer::start();
    let client = server.expired_client(Arc::new(MemoryStore::new())).await;
    server.answer_refreshes([Answer::Never]);
    let call = tokio::spawn({
        let client = client.clone();
        async move { me(&client).await }
    });
    while server.refreshes() == 0 {
        tokio::task::yield_now().await;
    }
    call.abort();
    me(&client).await.unwrap();
    assert_eq!(server.refreshes(), 2);
    assert_eq!(server.script.calls.logins.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_store_refuses_is_kept_and_saved_later() {
    let server = FakeServer::start();
    let store = Arc::new(FlakyStore::default());
    let client = server.expired_client(store.clone()).await;
    assert!(client.auth().account().await.unwrap().persistent);

    store.refuses.store(true, Ordering::SeqCst);
    me(&client).await.unwrap();
    assert!(!client.auth().account().await.unwrap().persistent);

    store.refuses.store(false, Ordering::SeqCst);
    client.wake().await;
    assert!(client.auth().account().await.unwrap().persistent);
    let next = server.client(store);
    me(&next).await.unwrap();
    assert_eq!(server.script.calls.refreshes.lock().unwrap().last().unwrap().1, "refresh-2");
}

#[tokio::test(start_paused = true)]
async fn what_another_process_rotated_is_adopted() {
    let server = FakeServer::start();
    let store = Arc::new(FlakyStore::default());
    let first = server.expired_client(store.clone()).await;
    let second = server.client(store);
    assert!(second.auth().account().await.is_ok());
    me(&first).await.unwrap();
    me(&second).await.unwrap();
    let tokens: Vec<_> =
        server.script.calls.refreshes.lock().unwrap().iter().map(|refresh| refresh.1.clone()).collect();
    assert_eq!(tokens, ["refresh-1", "refresh-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_access_token_is_replaced_once() {
    let server = FakeServer::start();
    let client = server.expired_client(Arc::new(MemoryStore::new())).await;
    me(&client).await.unwrap();
    server.script.revoke_access();
    let users = client.users();
    assert!(join_all((0..100).map(|_| users.me())).await.iter().all(Result::is_ok));
    assert_eq!(server.refreshes(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_runs_out() {
    let server = FakeServer::start();
    let client = server.expired_client(Arc::new(MemoryStore::new())).await;
    me(&client).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(900 * 9 / 10)).await;
    me(&client).await.unwrap();
    while server.refreshes() < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_proof_is_made_again_with_the_nonce_that_the_server_wants() {
    let server = FakeServer::start();
    server.script.login_answers.lock().unwrap().push_back(Answer::Nonce("wanted"));
    let client = server.client(Arc::new(MemoryStore::new()));
    client.auth().login("ada@example.org", &"password".into()).await.unwrap();
    assert_eq!(*server.script.calls.nonces.lock().unwrap(), [None, Some("wanted".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn only_harmless_calls_are_repeated() {
    let server = FakeServer::start();
    let unavailable = Answer::Refusal(Code::Unavailable, "UNAVAILABLE");
    let client = server.expired_client(Arc::new(MemoryStore::new())).await;
    server.script.get_me_answers.lock().unwrap().extend([unavailable.clone(), unavailable.clone()]);
    me(&client).await.unwrap();
    assert_eq!(server.script.calls.get_mes.load(Ordering::SeqCst), 3);

    server.script.login_answers.lock().unwrap().push_back(unavailable);
    let login = client.auth().login("ada@example.org", &"password".into()).await;
    assert_eq!(login.unwrap_err().kind(), &ErrorKind::Unavailable);
    assert_eq!(server.script.calls.logins.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_sign_in_leaves_nothing_behind() {
    let server = FakeServer::start();
    let store = Arc::new(FlakyStore::default());
    let client = server.client(store.clone());
    store.refuses.store(true, Ordering::SeqCst);
    let refusal = Answer::Refusal(Code::Unauthenticated, "INVALID_CREDENTIALS");
    server.script.login_answers.lock().unwrap().push_back(refusal);
    let refused = client.auth().login("ada@example.org", &"password".into()).await.unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Forbidden, "the store was not asked to keep anything");
    let unkept = client.auth().login("ada@example.org", &"password".into()).await.unwrap_err();
    assert!(matches!(unkept.kind(), ErrorKind::Storage { .. }), "a session is not begun without its key");

    store.refuses.store(false, Ordering::SeqCst);
    client.auth().login("ada@example.org", &"password".into()).await.unwrap();
    let successor = server.client(store.clone());
    me(&successor).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn text_of_the_server_reaches_nobody() {
    let server = FakeServer::start();
    let client = server.client(Arc::new(MemoryStore::new()));
    server
        .script
        .login_answers
        .lock()
        .unwrap()
        .push_back(Answer::Refusal(Code::Unauthenticated, "INVALID_CREDENTIALS"));
    let error = client.auth().login("ada@example.org", &"password".into()).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Forbidden);
    assert!(!format!("{error} {error:?}").contains("operators"));
}
