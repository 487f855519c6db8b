//! What a check of a credential says.

use serde::{Deserialize, Serialize};

/// What is known of a credential after asking its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It works.
    Valid,
    /// The provider itself says that it does not. Only this may count against an integration.
    Invalid,
    /// It is good, but its scope, credit or target falls short.
    Limited,
    /// It was not judged: the network, the provider's own trouble, throttling.
    Inconclusive,
}

impl Verdict {
    /// As it is written everywhere.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Limited => "limited",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// True for what a test calls a success.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Self::Valid | Self::Limited)
    }
}

/// A verdict with its reason, for a person: what is wrong and what to do. Never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason.
    pub message: String,
}

impl Report {
    /// It works.
    #[must_use]
    pub fn valid() -> Self {
        Self { verdict: Verdict::Valid, message: "Integration test successful".into() }
    }

    /// It does not work, and the provider said so.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Invalid, message: message.into() }
    }

    /// It works with a limit.
    #[must_use]
    pub fn limited(message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Limited, message: message.into() }
    }

    /// It was not judged. `reason` ends without a full stop; the rest of the sentence is added.
    #[must_use]
    pub fn inconclusive(reason: impl AsRef<str>) -> Self {
        let message =
            format!("{}. The credential was not judged; try again later.", reason.as_ref().trim_end_matches('.'));
        Self { verdict: Verdict::Inconclusive, message }
    }
}
