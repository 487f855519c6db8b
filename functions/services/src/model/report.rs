//! What a check of a credential says.

pub use shared::verdict::Verdict;

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
