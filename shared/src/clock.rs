//! The one seam for time, ids and randomness, so that tests are exact.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Clone)]
pub struct FixedClock(Arc<Mutex<Timestamp>>);

impl FixedClock {
    /// A clock that stands at `at`.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(at)))
    }

    /// Moves the clock to `at`.
    pub fn set(&self, at: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Moves the clock on by `by`.
    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.saturating_add(by).unwrap_or(*now);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills buffers with unpredictable bytes.
pub trait Random: fmt::Debug + Send + Sync {
    /// Overwrites `buffer`.
    fn fill(&self, buffer: &mut [u8]);
}

/// The process's cryptographic random number generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::expect_used, reason = "a system without randomness must not go on to mint tokens")]
    fn fill(&self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).expect("the system has no randomness");
    }
}

/// Time and randomness together, and the ids made of them.
#[derive(Debug, Clone)]
pub struct Ids {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Default for Ids {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(SystemRandom))
    }
}

impl Ids {
    /// Ids from this clock and this randomness.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { clock, random }
    }

    /// The present moment, to the millisecond: what is stored is what was answered.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = self.clock.now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    /// `N` unpredictable bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }

    /// A random (version 4) UUID.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// A moment and 128 random bits, from which everything that one creation names is derived.
    #[must_use]
    pub fn reserve(&self) -> Reservation {
        Reservation { at: self.now(), entropy: u128::from_be_bytes(self.bytes()) }
    }
}

/// The identity of one creation, fixed before its first step.
///
/// A request that is repeated under the same idempotency key gets the same reservation, so that every step it repeats
/// (the secret's version, the item's key) is recognised as done instead of being done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// When the creation was first asked for.
    pub at: Timestamp,
    #[serde(with = "hex_entropy")]
    entropy: u128,
}

impl Reservation {
    /// 21 lower-case letters and digits that sort by time: 9 of the millisecond, 12 random.
    #[must_use]
    pub fn sortable(&self) -> String {
        let milliseconds = u128::from(self.at.as_millisecond().unsigned_abs());
        base36(milliseconds, 9) + &base36(self.entropy, 12)
    }

    /// A UUID of this creation.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.entropy.to_be_bytes()).into_uuid()
    }
}

mod hex_entropy {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(entropy: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{entropy:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

/// The last `width` base-36 digits of `value`, most significant first.
fn base36(mut value: u128, width: usize) -> String {
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        let remainder = u8::try_from(value % 36).unwrap_or_default();
        *digit = if remainder < 10 { b'0' + remainder } else { b'a' + remainder - 10 };
        value /= 36;
    }
    digits.into_iter().map(char::from).collect()
}

/// ISO 8601 in UTC with milliseconds and `Z`, as the services API writes times.
#[must_use]
pub fn iso_milliseconds(at: Timestamp) -> String {
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sortable_ids_sort_by_time_and_have_21_characters() {
        let early = Reservation { at: Timestamp::from_millisecond(1_700_000_000_000).unwrap(), entropy: u128::MAX };
        let late = Reservation { at: Timestamp::from_millisecond(1_700_000_000_001).unwrap(), entropy: 0 };
        assert_eq!(early.sortable().len(), 21);
        assert!(early.sortable() < late.sortable());
        assert!(early.sortable().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    }

    #[test]
    fn a_reservation_survives_storage() {
        let reservation = Ids::default().reserve();
        let stored = serde_json::to_string(&reservation).unwrap();
        assert_eq!(serde_json::from_str::<Reservation>(&stored).unwrap(), reservation);
    }

    #[test]
    fn times_are_written_with_three_decimals() {
        let at = Timestamp::from_millisecond(1_704_067_200_000).unwrap();
        assert_eq!(iso_milliseconds(at), "2024-01-01T00:00:00.000Z");
    }
}
