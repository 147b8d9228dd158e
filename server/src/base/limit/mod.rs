//! The rate limiter: all rules that a call is subject to, decided together.
//!
//! Decisions come from the key store in one round trip. In front of it stands a memory of refusals, so that
//! a flood costs the store nothing; behind it, an embedded limiter that takes over at this replica's share
//! when the store is down. It never just lets calls through.

mod breaker;
mod denials;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use breaker::Breaker;
use denials::Denials;

use super::kv::window::Window;
use super::kv::{self, Kv, Memory, Millis, Tier, Verdict};

/// Counters that the embedded limiter holds while the store is down.
const FALLBACK_COUNTERS_MAX: usize = 65_536;
/// How long a decision may take before the embedded limiter takes it.
const DECISION_TIMEOUT: Duration = Duration::from_millis(50);
/// What a caller is told to wait when no limiter can count it.
const RETRY_AFTER_SATURATED: Duration = Duration::from_secs(1);

/// A named bound. Rules are configuration: a handful exist, and their names may appear in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Unique among rules; lower case with dots.
    pub name: &'static str,
    /// How often a subject may do it.
    pub window: Window,
}

impl Rule {
    /// At most `max` times in any interval of `window` for each subject: exactly if `max` ≤ 64, otherwise
    /// never more than that and `max / 2` at once.
    pub const fn new(name: &'static str, max: u32, window: Duration) -> Self {
        Self { name, window: Window::new(max, window) }
    }
}

/// A rule and whom it counts: an address, a user's, team's or project's ID.
#[derive(Clone, Debug)]
pub struct Claim {
    rule: Rule,
    key: String,
}

impl Claim {
    /// Counts `subject`, at most 200 bytes, against `rule`.
    pub fn new(rule: Rule, subject: impl std::fmt::Display) -> Self {
        Self { rule, key: format!("{}:{subject}", rule.name) }
    }

    /// Counts the client at `address`; calls that come from nowhere count as one client. As it stands, and not
    /// by a keyed digest: every call is counted so, a digest costs as much as the counting itself, and the log
    /// says for longer who called.
    pub fn of_client(rule: Rule, address: Option<IpAddr>) -> Self {
        Self::new(rule, address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), client_of))
    }
}

/// What counts as one client. An IPv6 client owns a /64, so all of it does.
#[must_use]
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// What the rules say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// All rules admit the call and have counted it.
    Allowed {
        /// The rule with the least left; `None` if no rule was asked.
        rule: Option<Rule>,
        /// Calls that this rule would admit at once after this one.
        remaining: u32,
    },
    /// One rule refuses the call, and none has counted it.
    Denied {
        /// The rule that refuses for longest.
        rule: Rule,
        /// When to try again; at least a millisecond.
        retry_after: Duration,
    },
}

/// The limiter of a replica.
pub struct Limiter {
    kv: Kv,
    clock: Millis,
    denials: Denials,
    breaker: Breaker,
    fallback: Kv,
    replicas: u32,
}

impl Limiter {
    /// A limiter on `kv`. While the store is down, each of `replicas` (at least 1) admits its share.
    pub fn new(kv: Kv, clock: Millis, replicas: u32) -> Self {
        Self {
            kv,
            denials: Denials::default(),
            breaker: Breaker::default(),
            fallback: Memory::new(clock.clone(), FALLBACK_COUNTERS_MAX).into(),
            clock,
            replicas,
        }
    }

    /// Decides all claims of one call, all or nothing. Never fails: without any way to count, it refuses.
    pub async fn decide(&self, claims: &[Claim]) -> Decision {
        if claims.is_empty() {
            return Decision::Allowed { rule: None, remaining: u32::MAX };
        }
        let now = (self.clock)();
        if let Some((claim, wait_ms)) = self.denials.find(claims, now) {
            return denied(claim, wait_ms);
        }
        let verdict = match self.ask_store(claims, now).await {
            Some(verdict) => verdict,
            None => self.ask_fallback(claims).await,
        };
        match verdict {
            Verdict::Allowed { tier, remaining } => {
                Decision::Allowed { rule: claims.get(tier).map(|claim| claim.rule), remaining }
            }
            Verdict::Denied { tier, retry_after_ms } => {
                let claim = claims.get(tier).unwrap_or(&claims[0]);
                self.denials.remember(&claim.key, now.saturating_add(retry_after_ms), now);
                denied(claim, retry_after_ms)
            }
        }
    }

    async fn ask_store(&self, claims: &[Claim], now: u64) -> Option<Verdict> {
        if !self.breaker.admits(now) {
            return None;
        }
        let tiers: Vec<Tier<'_>> =
            claims.iter().map(|claim| Tier { key: &claim.key, window: claim.rule.window }).collect();
        match tokio::time::timeout(DECISION_TIMEOUT, self.kv.decide(&tiers)).await {
            Ok(Ok(verdict)) => {
                self.breaker.close();
                Some(verdict)
            }
            // A claim that the store cannot hold says nothing about its health: the embedded limiter refuses it.
            Ok(Err(kv::Error::OverLimit(_))) => None,
            _ => {
                metrics::counter!("hivesync_limiter_store_failures_total").increment(1);
                self.breaker.open(now);
                None
            }
        }
    }

    async fn ask_fallback(&self, claims: &[Claim]) -> Verdict {
        let tiers: Vec<Tier<'_>> = claims
            .iter()
            .map(|claim| Tier { key: &claim.key, window: claim.rule.window.share(self.replicas) })
            .collect();
        let saturated = Verdict::Denied { tier: 0, retry_after_ms: RETRY_AFTER_SATURATED.as_millis() as u64 };
        self.fallback.decide(&tiers).await.unwrap_or(saturated)
    }
}

fn denied(claim: &Claim, wait_ms: u64) -> Decision {
    Decision::Denied { rule: claim.rule, retry_after: Duration::from_millis(wait_ms.max(1)) }
}
