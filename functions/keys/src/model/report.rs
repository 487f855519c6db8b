//! What the user of a lease reports.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Event;

/// How a use went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Well.
    Success,
    /// The provider throttled it.
    RateLimited,
    /// The provider refused the key.
    InvalidKey,
    /// There was no credit left.
    InsufficientCredits,
    /// It failed for another reason.
    Error,
}

impl Outcome {
    /// The names, for messages.
    pub const ACCEPTED: &'static str = "one of success, rate_limited, invalid_key, insufficient_credits, error";

    /// The outcome of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "success" => Some(Self::Success),
            "rate_limited" => Some(Self::RateLimited),
            "invalid_key" => Some(Self::InvalidKey),
            "insufficient_credits" => Some(Self::InsufficientCredits),
            "error" => Some(Self::Error),
            _ => None,
        }
    }
}

/// A report on one use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// How it went.
    pub outcome: Outcome,
    /// What it cost.
    pub cost: f64,
    /// When the provider said to try again.
    pub retry_after: Option<Duration>,
}

impl Report {
    /// What it means for the health of the key, which was handed out then.
    #[must_use]
    pub fn event(&self, granted_at: Timestamp) -> Event {
        match self.outcome {
            Outcome::Success => Event::Succeeded(granted_at),
            Outcome::RateLimited => Event::RateLimited(self.retry_after),
            Outcome::InvalidKey => Event::RefusedInUse,
            Outcome::InsufficientCredits => Event::OutOfCredit,
            Outcome::Error => Event::Failed,
        }
    }
}
