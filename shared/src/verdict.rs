//! The four verdicts of every check of a credential.

use serde::{Deserialize, Serialize};

/// What is known of a credential after asking its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It works.
    Valid,
    /// The provider itself says that it does not. Only this may count against it.
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

    /// True where the provider has said that the credential is good.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Self::Valid | Self::Limited)
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn it_has_one_name() {
        for (verdict, name) in [
            (Verdict::Valid, "valid"),
            (Verdict::Invalid, "invalid"),
            (Verdict::Limited, "limited"),
            (Verdict::Inconclusive, "inconclusive"),
        ] {
            assert_eq!((verdict.name(), serde_json::to_value(verdict).unwrap()), (name, name.into()));
            assert_eq!(verdict.is_success(), ["valid", "limited"].contains(&name));
        }
    }
}
