//! Both stores keep the same promises.
#![allow(clippy::disallowed_methods, reason = "a test has its own environment, chance and time")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::future::join_all;

use super::*;

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct StoppedClock(Arc<AtomicU64>);

impl StoppedClock {
    pub(crate) fn at(now_ms: u64) -> Self {
        Self(Arc::new(AtomicU64::new(now_ms)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn clock(&self) -> Millis {
        let now = Arc::clone(&self.0);
        Arc::new(move || now.load(Ordering::Relaxed))
    }
}

/// A Redis server for one test: the one at `HIVESYNC_TEST_REDIS_URL`, or one of its own.
pub(crate) struct RedisServer {
    url: String,
    process: Option<tokio::process::Child>,
}

impl RedisServer {
    /// `None` where Redis is neither running nor installed.
    pub(crate) async fn start() -> Option<Self> {
        if let Ok(url) = std::env::var("HIVESYNC_TEST_REDIS_URL") {
            return Some(Self { url, process: None });
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = tokio::process::Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"])
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let url = format!("redis://127.0.0.1:{port}");
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::task::yield_now().await;
        }
        Some(Self { url, process: Some(process) })
    }

    /// A store with a name space of its own.
    pub(crate) async fn store(&self) -> Redis {
        let mut space = [0; 8];
        aws_lc_rs::rand::fill(&mut space).unwrap();
        Redis::connect(&self.url, &format!("test-{}", u64::from_ne_bytes(space))).await.unwrap()
    }

    pub(crate) async fn stop(mut self) {
        if let Some(process) = &mut self.process {
            process.kill().await.unwrap();
        }
    }

    pub(crate) fn is_own(&self) -> bool {
        self.process.is_some()
    }
}

fn memory(entries_max: usize) -> (Kv, StoppedClock) {
    let clock = StoppedClock::at(1_800_000_000_000);
    (Memory::new(clock.clock(), entries_max).into(), clock)
}

const MINUTE: Duration = Duration::from_secs(60);

/// The next hint, unless none comes within two seconds.
async fn heard(receiver: &mut broadcast::Receiver<Bytes>) -> Option<Bytes> {
    tokio::time::timeout(Duration::from_secs(2), receiver.recv()).await.ok()?.ok()
}

async fn keeps_the_promises_of_a_store(kv: Kv) {
    assert_eq!(kv.get("a").await.unwrap(), None);
    kv.put("a", "1", MINUTE).await.unwrap();
    kv.put("a", "2", MINUTE).await.unwrap();
    assert_eq!(kv.get("a").await.unwrap().unwrap(), "2");
    assert!(!kv.put_if_absent("a", "3", MINUTE).await.unwrap());

    let puts = join_all((0..50).map(|_| kv.put_if_absent("nonce", "x", MINUTE))).await;
    assert_eq!(puts.into_iter().filter(|put| *put.as_ref().unwrap()).count(), 1);

    kv.publish("hints", "nobody listens").await.unwrap();
    let mut first = kv.subscribe("hints").await.unwrap();
    let mut second = kv.subscribe("hints").await.unwrap();
    kv.publish("hints", "hello").await.unwrap();
    kv.publish("other", "not for us").await.unwrap();
    kv.publish("hints", "again").await.unwrap();
    for receiver in [&mut first, &mut second] {
        assert_eq!(heard(receiver).await.unwrap(), "hello");
        assert_eq!(heard(receiver).await.unwrap(), "again");
    }
    drop((first, second));
    kv.publish("hints", "nobody listens").await.unwrap();
    let mut third = kv.subscribe("hints").await.unwrap();
    // A hint may be lost while a connection is made anew; a later one arrives.
    for attempt in 0.. {
        assert!(attempt < 20, "no hint arrives any more");
        kv.publish("hints", "back").await.unwrap();
        if heard(&mut third).await.is_some_and(|hint| hint == "back") {
            break;
        }
    }

    kv.ping().await.unwrap();
    assert_eq!(kv.put("", "x", MINUTE).await, Err(Error::OverLimit("a key")));
    assert_eq!(kv.put("a", vec![0; VALUE_BYTES_MAX + 1], MINUTE).await, Err(Error::OverLimit("a value")));
    assert_eq!(kv.put("a", "x", Duration::ZERO).await, Err(Error::OverLimit("a time to live")));
}

#[tokio::test]
async fn memory_keeps_the_promises_of_a_store() {
    keeps_the_promises_of_a_store(memory(100).0).await;
}

#[tokio::test]
async fn redis_keeps_the_promises_of_a_store() {
    let Some(server) = RedisServer::start().await else { return };
    keeps_the_promises_of_a_store(server.store().await.into()).await;
}

#[tokio::test]
async fn an_entry_ends_with_its_time() {
    let (kv, clock) = memory(10);
    kv.put("a", "1", MINUTE).await.unwrap();
    clock.advance(MINUTE - Duration::from_millis(1));
    assert!(kv.get("a").await.unwrap().is_some());
    clock.advance(Duration::from_millis(1));
    assert_eq!(kv.get("a").await.unwrap(), None);
    assert!(kv.put_if_absent("a", "2", MINUTE).await.unwrap());
}

#[tokio::test]
async fn a_full_store_refuses_rather_than_forget() {
    let (kv, clock) = memory(2);
    kv.put("short", "1", Duration::from_secs(1)).await.unwrap();
    kv.put("long", "1", MINUTE).await.unwrap();
    assert_eq!(kv.put("new", "1", MINUTE).await, Err(Error::Full));
    kv.put("long", "2", MINUTE).await.unwrap();
    clock.advance(Duration::from_secs(1));
    kv.put("new", "1", MINUTE).await.unwrap();
    assert_eq!(kv.get("long").await.unwrap().unwrap(), "2");
}

/// A reproducible sequence (xorshift64).
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[tokio::test]
async fn no_interval_ever_admits_more_than_the_limit() {
    for (seed, max, window_ms) in
        [(1, 1, 10), (2, 5, 100), (3, 64, 1000), (4, 65, 40), (5, 100, 10), (6, 1000, 60_000), (7, 333, 777)]
    {
        let (kv, clock) = memory(10);
        let window = Window::new(max, Duration::from_millis(window_ms));
        let mut sequence = Sequence(0x9E37_79B9_7F4A_7C15 ^ seed);
        let mut now_us = 1_800_000_000_000_000;
        let mut admitted = Vec::new();
        for _ in 0..20_000 {
            // Mostly a flood, with pauses that let the window drain.
            let pause_us =
                if sequence.below(50) == 0 { window_ms * 1500 } else { window_ms * 3000 / u64::from(max) };
            now_us += sequence.below(pause_us + 1);
            clock.set(now_us / 1000);
            match kv.decide(&[Tier { key: "k", window }]).await.unwrap() {
                Verdict::Allowed { .. } => admitted.push(now_us),
                Verdict::Denied { retry_after_ms, .. } => {
                    assert!(retry_after_ms >= 1 && retry_after_ms <= window_ms + 1);
                    // The promise is kept: nobody came meanwhile, so the call is admitted then.
                    if sequence.below(10) == 0 {
                        now_us = (now_us / 1000 + retry_after_ms) * 1000;
                        clock.set(now_us / 1000);
                        let verdict = kv.decide(&[Tier { key: "k", window }]).await.unwrap();
                        assert!(matches!(verdict, Verdict::Allowed { .. }));
                        admitted.push(now_us);
                    }
                }
            }
        }
        assert!(admitted.len() > 1000, "the limiter admits: {} of {max}", admitted.len());
        for pair in admitted.windows(max as usize + 1) {
            let spread_us = pair[max as usize] - pair[0];
            assert!(spread_us > window_ms * 1000, "{max} per {window_ms} ms exceeded: {spread_us} µs");
        }
    }
}

#[tokio::test]
async fn no_interval_of_redis_ever_admits_more_than_the_limit() {
    let Some(server) = RedisServer::start().await else { return };
    let kv = Kv::from(server.store().await);
    for (max, window_ms) in [(1, 20), (7, 50), (64, 60), (65, 60), (500, 100)] {
        let key = format!("{max}");
        let tier = Tier { key: &key, window: Window::new(max, Duration::from_millis(window_ms)) };
        let started = Instant::now();
        let mut admitted = Vec::new();
        while started.elapsed() < Duration::from_millis(window_ms * 5) {
            let asked = started.elapsed();
            let verdicts = join_all((0..8).map(|_| async { kv.decide(&[tier]).await.unwrap() })).await;
            let answered = started.elapsed();
            let allowed =
                verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Allowed { .. })).count();
            admitted.extend(std::iter::repeat_n((asked, answered), allowed));
        }
        assert!(admitted.len() > max as usize);
        // Redis decided somewhere between question and answer.
        for pair in admitted.windows(max as usize + 1) {
            let spread = pair[max as usize].1.saturating_sub(pair[0].0);
            assert!(
                spread > Duration::from_millis(window_ms),
                "{max} per {window_ms} ms exceeded: {spread:?}"
            );
        }
    }
}

async fn counts_all_tiers_or_none(kv: Kv) {
    let minute = |max| Window::new(max, MINUTE);
    let narrow = Tier { key: "narrow", window: minute(2) };
    let wide = Tier { key: "wide", window: minute(100) };
    assert_eq!(kv.decide(&[wide, narrow]).await.unwrap(), Verdict::Allowed { tier: 1, remaining: 1 });
    assert_eq!(kv.decide(&[wide, narrow]).await.unwrap(), Verdict::Allowed { tier: 1, remaining: 0 });
    for _ in 0..20 {
        let Verdict::Denied { tier: 1, retry_after_ms } = kv.decide(&[wide, narrow]).await.unwrap() else {
            panic!("the narrow tier must refuse");
        };
        assert!((59_000..=60_001).contains(&retry_after_ms));
    }
    // The refused calls were not counted by the wide tier: 48 of its burst of 50 are left, less this one.
    let Verdict::Allowed { remaining, .. } = kv.decide(&[wide]).await.unwrap() else {
        panic!("the wide tier must admit");
    };
    assert!((47..=48).contains(&remaining), "{remaining}");
    let never = Tier { key: "never", window: minute(0) };
    assert!(matches!(kv.decide(&[never]).await.unwrap(), Verdict::Denied { .. }));
}

#[tokio::test]
async fn memory_counts_all_tiers_or_none() {
    counts_all_tiers_or_none(memory(10).0).await;
}

#[tokio::test]
async fn redis_counts_all_tiers_or_none() {
    let Some(server) = RedisServer::start().await else { return };
    counts_all_tiers_or_none(server.store().await.into()).await;
}
