//! Chance that can be repeated.

use uuid::Uuid;

/// Numbers that follow from a seed. A test that fails says its seed; the variable `HIVESYNC_TEST_SEED` makes
/// it run with that one again.
pub struct Seed(u64);

impl Seed {
    /// The seed of the environment, or another one each time; said on stderr.
    ///
    /// # Panics
    /// If the variable is no number.
    #[must_use]
    pub fn of_environment() -> Self {
        let seed = match std::env::var("HIVESYNC_TEST_SEED") {
            Ok(text) => text.parse().expect("HIVESYNC_TEST_SEED is a number"),
            Err(_) => Uuid::new_v4().as_u64_pair().0 >> 32,
        };
        eprintln!("HIVESYNC_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `bound`, which is not 0 (SplitMix64).
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % bound
    }
}

/// How many rounds a seeded test takes: `HIVESYNC_TEST_ROUNDS`, or else `default`; one where only quick tests are
/// wanted.
///
/// # Panics
/// If the variable is no number.
#[must_use]
pub fn rounds(default: u32) -> u32 {
    match std::env::var("HIVESYNC_TEST_ROUNDS") {
        Ok(text) => text.parse().expect("HIVESYNC_TEST_ROUNDS is a number"),
        Err(_) if std::env::var_os("HIVESYNC_TEST_QUICK").is_some() => 1,
        Err(_) => default,
    }
}
