//! Signing in, staying signed in, and what becomes of a token in the wrong hands.

use std::{collections::HashSet, time::Duration};

use futures::future::join_all;
use hivesync_proto::v1::{self as pb, audit_service_server::AuditService as _};
use uuid::Uuid;

use super::{
    AccessTokens,
    model::{
        device::Platform,
        password_policy::Password,
        session::{Misuse, Presented, Session, Verdict},
    },
    ops::{
        Tokens, devices,
        login::{Login, login},
        refresh::{Refresh, refresh},
        register::{Register, register},
        sessions,
        suspend::{reinstate, suspend},
    },
    store::sessions::{ended_after, find},
};
use crate::{
    base::{
        actor::{Actor, PlatformRole, User},
        clock::Timestamp,
        ctx::Ctx,
        error::{Reason, Result},
        ids::{DeviceId, SessionId, UserId},
        page::PageRequest,
    },
    domain::{
        audit,
        fixture::World,
        users::{Email, Name},
    },
};

const PASSWORD: &str = "vio1et-Giraffe.lamp";

async fn sign_up(world: &World) {
    let command = Register {
        email: Email::new("ada@example.com"),
        password: Password::given(PASSWORD),
        display_name: Name::parse("display_name", "Ada").unwrap(),
    };
    register(&world.call(Actor::Anonymous), command).await.unwrap();
}

async fn sign_in(world: &World, device: &str, email: &str, password: &str) -> Result<Tokens> {
    let command = Login {
        email: Email::new(email),
        password: Password::given(password),
        device_name: Name::parse("device_name", "Desk").unwrap(),
        platform: Platform::Desktop,
    };
    login(&world.call_from(device), command).await
}

async fn renew(world: &World, device: &str, tokens: &Tokens, attempt: u128) -> Result<Tokens> {
    let command = Refresh { token: tokens.refresh_token.clone(), attempt: Uuid::from_u128(attempt) };
    refresh(&world.call_from(device), command).await
}

fn holder(world: &World, tokens: &Tokens) -> Result<User> {
    let verifier = world.base.ports.get::<AccessTokens>().unwrap();
    verifier.verify(tokens.access_token.expose(), world.base.clock.now())
}

fn call_with(world: &World, tokens: &Tokens) -> Ctx {
    world.call(Actor::User(holder(world, tokens).unwrap()))
}

fn reason<T: std::fmt::Debug>(outcome: Result<T>) -> Reason {
    outcome.unwrap_err().reason()
}

#[tokio::test]
async fn a_registered_user_signs_in_and_is_known_by_the_token() {
    for world in World::all().await {
        sign_up(&world).await;
        sign_up(&world).await;
        let tokens = sign_in(&world, "key-1", "ADA@example.com ", PASSWORD).await.unwrap();
        let user = holder(&world, &tokens).unwrap();
        assert_eq!((user.id, user.session), (tokens.session.user, tokens.session.id));
        assert_eq!(tokens.access_token_life, Duration::from_secs(900));

        let again = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        assert_eq!(again.session.device, tokens.session.device, "the key is the device");
        assert_ne!(again.session.id, tokens.session.id);
        let elsewhere = sign_in(&world, "key-2", "ada@example.com", PASSWORD).await.unwrap();
        assert_ne!(elsewhere.session.device, tokens.session.device);
    }
}

/// The database works as long on an address that is taken as on one that is free, so that the time tells nothing.
#[tokio::test]
async fn a_taken_address_costs_the_same_statements() {
    for world in World::all().await {
        let mut costs = Vec::new();
        for _ in 0..2 {
            world.statements.lock().unwrap().clear();
            sign_up(&world).await;
            costs.push(world.statements.lock().unwrap().clone());
        }
        assert!(costs[0].len() >= 6, "{costs:?}");
        assert_eq!(costs[0], costs[1]);
        // The account is the first one's.
        sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
    }
}

/// Suspending waits for a sign-in that has looked at the account, and the other way round.
#[tokio::test]
async fn no_sign_in_outruns_a_suspension() {
    for world in World::all().await {
        sign_up(&world).await;
        let email = Email::new("ada@example.com");
        let system = world.call(Actor::System);
        let (signed_in, suspended) =
            tokio::join!(sign_in(&world, "key-1", "ada@example.com", PASSWORD), suspend(&system, &email));
        suspended.unwrap();
        if let Ok(tokens) = signed_in {
            assert_eq!(reason(renew(&world, "key-1", &tokens, 1).await), Reason::SessionEnded);
            assert_eq!(reason(holder(&world, &tokens)), Reason::SessionEnded);
        }
        let refused = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await;
        assert_eq!(reason(refused), Reason::InvalidCredentials);
        let stranger = world.call_by(UserId(Uuid::from_u128(7)), PlatformRole::Admin);
        assert_eq!(reason(suspend(&stranger, &email).await), Reason::PermissionDenied);
        reinstate(&system, &email).await.unwrap();
        sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
    }
}

#[tokio::test]
async fn every_wrong_sign_in_is_refused_alike() {
    for world in World::all().await {
        sign_up(&world).await;
        let long = "x".repeat(1024);
        let wrong = [
            ("ada@example.com", "vio1et-Giraffe.Lamp"),
            ("ada@example.com", ""),
            ("ada@example.com", long.as_str()),
            ("eve@example.com", PASSWORD),
            ("", PASSWORD),
        ];
        for (email, password) in wrong {
            let refused = sign_in(&world, "key-1", email, password).await;
            assert_eq!(reason(refused), Reason::InvalidCredentials, "{email}");
        }
    }
}

#[tokio::test]
async fn strangers_cannot_lock_a_known_device_out() {
    for world in World::all().await {
        sign_up(&world).await;
        sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        let mut reasons = HashSet::new();
        for _ in 0..20 {
            reasons.insert(reason(sign_in(&world, "stranger", "ada@example.com", "wrong").await));
        }
        assert_eq!(reasons, HashSet::from([Reason::InvalidCredentials, Reason::RateLimited]));
        let query = pb::ListAuditEntriesRequest { event: "auth.lockout".to_owned(), ..Default::default() };
        let mut query = tonic::Request::new(query);
        query.extensions_mut().insert(world.call_by(UserId(Uuid::from_u128(1)), PlatformRole::Admin));
        let recorded = audit::Rpc.list_audit_entries(query).await.unwrap().into_inner().entries;
        assert_eq!(recorded.len(), 11, "the first sign-in was one of ten");
        assert!(recorded.iter().all(|entry| entry.outcome == "refused" && !entry.user_id.is_empty()));
        sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_is_renewed_from_its_device_only() {
    for world in World::all().await {
        sign_up(&world).await;
        let first = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        let second = renew(&world, "key-1", &first, 1).await.unwrap();
        assert_ne!(second.refresh_token.expose(), first.refresh_token.expose());
        holder(&world, &second).unwrap();

        assert_eq!(reason(renew(&world, "thief", &second, 2).await), Reason::SessionEnded);
        assert_eq!(reason(renew(&world, "key-1", &second, 3).await), Reason::SessionEnded);
        assert_eq!(reason(holder(&world, &second)), Reason::SessionEnded, "at once, for access tokens too");
    }
}

#[tokio::test]
async fn a_lost_answer_is_given_again() {
    for world in World::all().await {
        sign_up(&world).await;
        let first = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        let second = renew(&world, "key-1", &first, 1).await.unwrap();
        world.base.clock.advance(Duration::from_secs(3_600));
        let repeated = renew(&world, "key-1", &first, 1).await.unwrap();
        assert_eq!(repeated.refresh_token.expose(), second.refresh_token.expose());
        renew(&world, "key-1", &repeated, 2).await.unwrap();
        world.base.clock.advance(Duration::from_secs(60));
        assert_eq!(
            reason(renew(&world, "key-1", &first, 1).await),
            Reason::SessionEnded,
            "two generations old"
        );
    }
}

#[tokio::test]
async fn a_token_that_was_exchanged_by_another_ends_the_session() {
    for world in World::all().await {
        sign_up(&world).await;
        let first = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        let second = renew(&world, "key-1", &first, 1).await.unwrap();
        let beside = renew(&world, "key-1", &first, 2).await.unwrap();
        assert_eq!(beside.refresh_token.expose(), second.refresh_token.expose(), "a race of two processes");
        world.base.clock.advance(Duration::from_secs(11));
        assert_eq!(reason(renew(&world, "key-1", &first, 3).await), Reason::SessionEnded);
        assert_eq!(reason(renew(&world, "key-1", &second, 4).await), Reason::SessionEnded);
    }
}

#[tokio::test]
async fn a_session_is_forgotten_a_month_after_its_longest_life_and_no_other() {
    for world in World::all().await {
        let day = Duration::from_secs(24 * 60 * 60);
        sign_up(&world).await;
        let first = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        world.base.clock.advance(59 * day);
        sessions::sweep(&world.call(Actor::System)).await.unwrap();
        let second = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        assert!(stored(&world, &first).await.is_some());
        world.base.clock.advance(2 * day);
        sessions::sweep(&world.call(Actor::System)).await.unwrap();
        assert!(stored(&world, &first).await.is_none());
        assert!(stored(&world, &second).await.is_some());
        assert_eq!(reason(renew(&world, "key-1", &first, 1).await), Reason::SessionEnded);
        renew(&world, "key-1", &second, 1).await.unwrap();
    }
}

async fn stored(world: &World, tokens: &Tokens) -> Option<Session> {
    find(&world.call(Actor::System).read(), tokens.session.id).await.unwrap()
}

#[tokio::test]
async fn many_renewals_at_once_advance_one_generation() {
    for world in World::all().await {
        sign_up(&world).await;
        let first = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        // 60 renewals of a session in five minutes are its limit.
        let renewals = join_all((0..60).map(|attempt| renew(&world, "key-1", &first, attempt))).await;
        let texts: HashSet<String> =
            renewals.into_iter().map(|tokens| tokens.unwrap().refresh_token.expose().to_owned()).collect();
        assert_eq!(texts.len(), 1);
        world.base.clock.advance(Duration::from_secs(301));
        let text = texts.into_iter().next().unwrap();
        let command = Refresh { token: text.into(), attempt: Uuid::from_u128(99) };
        let next = refresh(&world.call_from("key-1"), command).await.unwrap();
        assert_eq!(next.session.generation, 3);
    }
}

#[tokio::test]
async fn sessions_end_by_themselves() {
    for world in World::all().await {
        sign_up(&world).await;
        let mut tokens = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        let idle = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        world.base.clock.advance(13 * day);
        tokens = renew(&world, "key-1", &tokens, 1).await.unwrap();
        world.base.clock.advance(2 * day);
        assert_eq!(reason(renew(&world, "key-1", &idle, 2).await), Reason::SessionEnded);
        world.base.clock.advance(10 * day);
        tokens = renew(&world, "key-1", &tokens, 3).await.unwrap();
        world.base.clock.advance(5 * day);
        assert_eq!(reason(renew(&world, "key-1", &tokens, 4).await), Reason::SessionEnded);
    }
}

#[tokio::test]
async fn ended_sessions_and_revoked_devices_stay_out() {
    for world in World::all().await {
        sign_up(&world).await;
        let desk = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        let phone = sign_in(&world, "key-2", "ada@example.com", PASSWORD).await.unwrap();
        let ctx = call_with(&world, &desk);
        let listed = devices::list(&ctx, PageRequest::new(0, String::new())).await.unwrap().items;
        assert_eq!(listed.len(), 2);

        devices::revoke(&ctx, phone.session.device).await.unwrap();
        devices::revoke(&ctx, phone.session.device).await.unwrap();
        assert_eq!(reason(holder(&world, &phone)), Reason::SessionEnded);
        assert_eq!(reason(renew(&world, "key-2", &phone, 1).await), Reason::SessionEnded);
        let back = sign_in(&world, "key-2", "ada@example.com", PASSWORD).await;
        assert_eq!(reason(back), Reason::InvalidDeviceProof);

        let second = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        sessions::revoke(&ctx, second.session.id).await.unwrap();
        assert_eq!(reason(holder(&world, &second)), Reason::SessionEnded);
        let listed = sessions::list(&ctx, PageRequest::new(0, String::new())).await.unwrap().sessions.items;
        assert_eq!(listed.iter().map(|session| session.id).collect::<Vec<_>>(), [desk.session.id]);

        let third = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        sessions::logout(&ctx, true).await.unwrap();
        for ended in [&desk, &third] {
            assert_eq!(reason(holder(&world, ended)), Reason::SessionEnded);
            assert_eq!(reason(renew(&world, "key-1", ended, 1).await), Reason::SessionEnded);
        }
    }
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_there() {
    for world in World::all().await {
        sign_up(&world).await;
        let tokens = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        let other = world.call_by(UserId(Uuid::from_u128(9)), PlatformRole::User);
        assert_eq!(reason(sessions::revoke(&other, tokens.session.id).await), Reason::NotFound);
        assert_eq!(reason(devices::revoke(&other, tokens.session.device).await), Reason::NotFound);
        assert_eq!(reason(sessions::revoke(&other, SessionId(Uuid::from_u128(8))).await), Reason::NotFound);
        holder(&world, &tokens).unwrap();
    }
}

#[tokio::test]
async fn another_server_learns_of_ended_sessions() {
    for world in World::all().await {
        sign_up(&world).await;
        let tokens = sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap();
        sessions::logout(&call_with(&world, &tokens), false).await.unwrap();

        let since = world.base.clock.now() - Duration::from_secs(60);
        let tx = world.call(Actor::System).read();
        let ended = ended_after(&tx, (SessionId(Uuid::nil()), since), 10).await;
        assert_eq!(ended.unwrap().into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [tokens.session.id]);
    }
}

#[tokio::test]
async fn sessions_that_ended_at_once_are_found_page_by_page() {
    for world in World::all().await {
        sign_up(&world).await;
        let mut began = Vec::new();
        for _ in 0..3 {
            began.push(sign_in(&world, "key-1", "ada@example.com", PASSWORD).await.unwrap());
        }
        sessions::logout(&call_with(&world, &began[0]), true).await.unwrap();

        let tx = world.call(Actor::System).read();
        let mut last = (SessionId(Uuid::nil()), world.base.clock.now() - Duration::from_secs(60));
        for tokens in &began {
            last = *ended_after(&tx, last, 1).await.unwrap().first().expect("one more");
            assert_eq!(last.0, tokens.session.id);
        }
        assert!(ended_after(&tx, last, 1).await.unwrap().is_empty());
    }
}

/// A client or a thief in the model: the last token it got, and the attempt that it did not finish.
#[derive(Clone, Copy, Debug)]
struct Party {
    token: i64,
    attempt: Option<u128>,
    has_key: bool,
}

/// A session as the store keeps it, under [`Session::judge`].
#[derive(Clone)]
struct Model {
    session: Session,
    now: Timestamp,
    attempts: u128,
}

impl Model {
    fn new() -> Self {
        let now = Timestamp::from_secs(1_000);
        let session = Session::begin(
            SessionId(Uuid::from_u128(1)),
            UserId(Uuid::from_u128(2)),
            DeviceId(Uuid::from_u128(3)),
            now,
        );
        Self { session, now, attempts: 0 }
    }

    /// `party` renews, and gets the answer unless it is lost.
    fn renew(&mut self, party: &mut Party, answer_is_lost: bool) -> Verdict {
        let attempt = *party.attempt.get_or_insert_with(|| {
            self.attempts += 1;
            self.attempts
        });
        let attempt = Uuid::from_u128(attempt);
        let presented = Presented { generation: party.token, attempt, from_device: party.has_key };
        let verdict = self.session.judge(presented, self.now);
        match verdict {
            Verdict::Advance => {
                self.session.generation += 1;
                self.session.last_attempt = Some(attempt);
                self.session.rotated_at = self.now;
            }
            Verdict::Misuse(_) => self.session.revoked_at = Some(self.now),
            Verdict::Repeat | Verdict::Over => return self.answer(party, verdict, answer_is_lost),
        }
        self.answer(party, verdict, answer_is_lost)
    }

    fn answer(&self, party: &mut Party, verdict: Verdict, is_lost: bool) -> Verdict {
        if !is_lost && matches!(verdict, Verdict::Advance | Verdict::Repeat) {
            party.token = self.session.generation;
            party.attempt = None;
        }
        verdict
    }
}

/// Every sequence of `length` steps out of `steps`.
fn sequences(steps: usize, length: u32) -> impl Iterator<Item = Vec<usize>> {
    (0..steps.pow(length)).map(move |mut number| {
        (0..length)
            .map(|_| {
                let step = number % steps;
                number /= steps;
                step
            })
            .collect()
    })
}

/// An operator has restored a copy of the database from before the last renewals: everybody signs in again, and nobody
/// is told of a thief.
#[test]
fn a_token_from_after_the_copy_that_was_restored_is_no_misuse() {
    let model = Model::new();
    for ahead in 1..=3 {
        let presented = Presented {
            generation: model.session.generation + ahead,
            attempt: Uuid::from_u128(1),
            from_device: true,
        };
        assert_eq!(model.session.judge(presented, model.now), Verdict::Over);
    }
}

#[test]
fn an_honest_client_is_never_signed_out_whatever_gets_lost() {
    for sequence in sequences(3, 9) {
        let mut model = Model::new();
        let mut client = Party { token: 1, attempt: None, has_key: true };
        for step in &sequence {
            match step {
                0 => drop(model.renew(&mut client, false)),
                1 => drop(model.renew(&mut client, true)),
                _ => model.now = model.now + Duration::from_secs(3_600),
            }
            assert!(model.session.is_live(model.now), "{sequence:?}");
        }
        let verdict = model.renew(&mut client, false);
        assert!(matches!(verdict, Verdict::Advance | Verdict::Repeat), "{sequence:?}");
        assert_eq!(client.token, model.session.generation);
    }
}

#[test]
fn a_thief_without_the_key_gets_nothing() {
    for sequence in sequences(3, 6) {
        let mut model = Model::new();
        let mut client = Party { token: 1, attempt: None, has_key: true };
        for step in sequence {
            match step {
                0 => drop(model.renew(&mut client, false)),
                1 => drop(model.renew(&mut client, true)),
                _ => {
                    let mut thief = Party { has_key: false, attempt: None, ..client };
                    assert_eq!(model.renew(&mut thief, false), Verdict::Misuse(Misuse::ForeignDevice));
                    assert_eq!(model.renew(&mut client, false), Verdict::Over);
                    break;
                }
            }
        }
    }
}

#[test]
fn a_thief_in_lockstep_is_detected() {
    // The thief has the token and, somehow, the key. Whoever renews second, later than a race between two
    // processes could be, ends the session for both.
    for thief_is_first in [true, false] {
        let mut model = Model::new();
        let mut client = Party { token: 1, attempt: None, has_key: true };
        let mut thief = client;
        let (first, second) =
            if thief_is_first { (&mut thief, &mut client) } else { (&mut client, &mut thief) };
        assert_eq!(model.renew(first, false), Verdict::Advance);
        model.now = model.now + Duration::from_secs(11);
        assert_eq!(model.renew(second, false), Verdict::Misuse(Misuse::Exchanged));
        assert_eq!(model.renew(first, false), Verdict::Over);
    }
}

#[test]
fn an_ended_session_stays_ended() {
    for sequence in sequences(3, 7) {
        let mut model = Model::new();
        let mut client = Party { token: 1, attempt: None, has_key: true };
        let mut old = client;
        let mut ended = false;
        for step in sequence {
            match step {
                0 => assert!(!ended || model.renew(&mut client, false) == Verdict::Over),
                1 => drop(model.renew(&mut old, true)),
                _ => {
                    model.session.revoked_at = Some(model.now);
                    ended = true;
                }
            }
            assert!(!ended || !model.session.is_live(model.now));
        }
    }
}
