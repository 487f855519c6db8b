//! What asking a provider about a key says: a verdict, or amounts of money. Never holds a credential.

use std::time::Duration;

use serde::{Deserialize, Serialize};
pub use shared::verdict::Verdict;

/// A verdict with its reason, for a person: what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason.
    pub message: String,
    /// True if the key is good but its credit or quota is used up. Goes with [`Verdict::Limited`].
    pub exhausted: bool,
    /// When the provider said to ask again, if it did.
    pub retry_after: Option<Duration>,
}

impl Probe {
    fn new(verdict: Verdict, message: String) -> Self {
        Self { verdict, message, exhausted: false, retry_after: None }
    }

    /// It works.
    #[must_use]
    pub fn valid() -> Self {
        Self::new(Verdict::Valid, "The key works.".into())
    }

    /// It does not work, and the provider said so.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Verdict::Invalid, message.into())
    }

    /// It works, but may not do everything.
    #[must_use]
    pub fn limited(message: impl Into<String>) -> Self {
        Self::new(Verdict::Limited, message.into())
    }

    /// It is good, but its credit or quota is used up, so that nothing can be done with it.
    #[must_use]
    pub fn exhausted(message: impl Into<String>) -> Self {
        Self { exhausted: true, ..Self::limited(message) }
    }

    /// It was not judged. `reason` ends without a full stop; the rest of the sentence is added.
    #[must_use]
    pub fn inconclusive(reason: impl AsRef<str>) -> Self {
        let reason = reason.as_ref().trim_end_matches('.');
        Self::new(Verdict::Inconclusive, format!("{reason}. The key was not judged; try again later."))
    }

    /// It was not judged because the provider throttles.
    #[must_use]
    pub fn throttled(reason: impl AsRef<str>, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..Self::inconclusive(reason) }
    }
}

/// What a provider tells of a key's money.
#[derive(Debug, Clone, PartialEq)]
pub enum Billing {
    /// It told these.
    Told(Amounts),
    /// It has no way to tell, or not with this kind of key; for a person, why.
    NotTold(String),
    /// It did not answer, or not in a way that can be read; nothing that was known before is changed.
    Failed(String),
}

/// Amounts of money, in the currency's main unit. What the provider does not tell is `None`, never 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Amounts {
    /// What is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<f64>,
    /// What was used in the current UTC day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_today: Option<f64>,
    /// What was used in the current UTC month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_month: Option<f64>,
    /// What all of it is counted in: `USD`, `CNY`, or a unit of the provider's own such as `credits`.
    pub currency: String,
}
