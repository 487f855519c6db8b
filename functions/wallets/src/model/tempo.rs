//! How one integration keeps time with its provider.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What must be remembered between calls to one provider with one credential. Stored with the cursor, so that it survives
/// the worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tempo {
    /// How far the provider's clock is ahead of ours.
    #[serde(default)]
    pub clock_offset_ms: i64,
    /// The highest nonce that was used with the credential.
    #[serde(default)]
    pub last_nonce: u64,
    /// What else a provider's client has learned about the credential, such as which kind of nonce it wants.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
}

impl Tempo {
    /// A nonce that is at least `floor` and higher than every one before it.
    pub fn next_nonce(&mut self, floor: u64) -> u64 {
        self.last_nonce = self.last_nonce.saturating_add(1).max(floor);
        self.last_nonce
    }

    /// This one, and never below a nonce that was used before it.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        Self { last_nonce: self.last_nonce.max(before.last_nonce), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_rise_whatever_the_clock_does() {
        let mut tempo = Tempo::default();
        let nonces: Vec<u64> = [100, 100, 50, 101, 200].into_iter().map(|now| tempo.next_nonce(now)).collect();
        assert_eq!(nonces, [100, 101, 102, 103, 200]);
    }
}
