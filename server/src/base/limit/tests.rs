//! The limiter in front of a store that may be down.
#![allow(clippy::disallowed_methods, reason = "a test measures real time")]

use super::*;
use crate::base::kv::tests::{RedisServer, StoppedClock};

const MINUTE: Duration = Duration::from_secs(60);
const LOGIN: Rule = Rule::new("login", 4, MINUTE);
const CALLS: Rule = Rule::new("calls", 1000, MINUTE);

fn is_allowed(decision: Decision) -> bool {
    matches!(decision, Decision::Allowed { .. })
}

fn limiter() -> (Limiter, StoppedClock) {
    let clock = StoppedClock::at(1_800_000_000_000);
    (Limiter::new(Memory::new(clock.clock(), 1000).into(), clock.clock(), 1), clock)
}

#[tokio::test]
async fn the_answer_names_the_binding_rule() {
    let (limiter, clock) = limiter();
    let claims = [Claim::new(CALLS, "user-1"), Claim::new(LOGIN, "192.0.2.1")];
    assert_eq!(limiter.decide(&claims).await, Decision::Allowed { rule: Some(LOGIN), remaining: 3 });
    for _ in 0..3 {
        assert!(is_allowed(limiter.decide(&claims).await));
    }
    let retry_after = Duration::from_millis(60_001);
    assert_eq!(limiter.decide(&claims).await, Decision::Denied { rule: LOGIN, retry_after });
    assert!(is_allowed(limiter.decide(&[Claim::new(LOGIN, "192.0.2.2")]).await), "others are not affected");
    clock.advance(Duration::from_secs(20));
    let Decision::Denied { retry_after, .. } = limiter.decide(&claims).await else { panic!("still refused") };
    assert_eq!(retry_after, Duration::from_millis(40_001), "a remembered refusal counts down");
    clock.advance(retry_after);
    assert!(is_allowed(limiter.decide(&claims).await));
}

#[tokio::test]
async fn a_subject_beyond_the_limits_is_refused_and_harms_nobody() {
    let (limiter, _) = limiter();
    assert!(!is_allowed(limiter.decide(&[Claim::new(LOGIN, "x".repeat(1000))]).await));
    assert!(limiter.breaker.admits(0), "the store is not suspected");
}

#[test]
fn a_client_of_ipv6_is_its_network() {
    let cases = [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ];
    for (address, client) in cases {
        assert_eq!(client_of(address.parse().unwrap()), client.parse::<IpAddr>().unwrap());
    }
}

#[tokio::test]
async fn no_claim_is_no_limit() {
    assert!(is_allowed(limiter().0.decide(&[]).await));
}

#[tokio::test]
async fn a_dead_store_neither_opens_the_gate_nor_slows_it() {
    let Some(server) = RedisServer::start().await else { return };
    if !server.is_own() {
        return;
    }
    let clock = StoppedClock::at(1_800_000_000_000);
    let limiter = Limiter::new(server.store().await.into(), clock.clock(), 2);
    assert!(is_allowed(limiter.decide(&[Claim::new(LOGIN, "before")]).await));
    server.stop().await;
    limiter.decide(&[Claim::new(CALLS, "finds the store dead")]).await;
    let started = std::time::Instant::now();
    let mut allowed = 0;
    for _ in 0..1000 {
        allowed += u32::from(is_allowed(limiter.decide(&[Claim::new(LOGIN, "during")]).await));
    }
    assert_eq!(allowed, 2, "each of two replicas admits half");
    assert!(started.elapsed() < DECISION_TIMEOUT * 10);
}

#[test]
fn after_a_failure_one_call_tries() {
    let breaker = Breaker::default();
    assert!(breaker.admits(5_000));
    breaker.open(5_000);
    assert!(!breaker.admits(5_999));
    assert!(breaker.admits(6_000));
    assert!(!breaker.admits(6_000), "only one");
    assert!(breaker.admits(7_000), "the next, if the first did not come back");
    breaker.close();
    assert!(breaker.admits(7_000));
}
