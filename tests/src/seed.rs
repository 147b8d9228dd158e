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

    /// A number of the part `part` of `parts` equal ones into which the numbers below `bound` fall, so that as many
    /// rounds as there are parts leave none of them out.
    ///
    /// # Panics
    /// If there is no such part, or nothing below `bound`.
    pub fn in_part(&mut self, bound: u64, part: u32, parts: u32) -> u64 {
        assert!(part < parts && bound > 0, "part {part} of {parts} of {bound}");
        let edge = |part: u32| bound * u64::from(part) / u64::from(parts);
        let (first, next) = (edge(part), edge(part + 1));
        first + self.below((next - first).max(1))
    }
}

/// How many rounds a seeded test takes with each who may die: `HIVESYNC_TEST_ROUNDS`, or else `default`; one where
/// only quick tests are wanted.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_numbers() {
        let mut seed = Seed(7);
        for (bound, parts) in [(1, 3), (2, 3), (10, 3), (1_000, 7)] {
            for part in 0..parts {
                for number in (0..100).map(|_| seed.in_part(bound, part, parts)) {
                    let (before, after) = (number * u64::from(parts), (number + 1) * u64::from(parts));
                    let part = u64::from(part) * bound;
                    assert!(before < part + bound && after > part, "{number} below {bound}");
                }
            }
        }
    }
}
