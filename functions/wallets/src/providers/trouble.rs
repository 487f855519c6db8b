//! Why a provider did not do as it was asked, in the words of a wallet's owner.

use std::time::Duration;

use shared::egress::Answer;

/// Why a provider did not do as it was asked. Every message is for the wallet's owner: what is wrong and what to do, a
/// sentence or two, no credential in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The credential is wrong, or was revoked.
    #[error("{0}")]
    InvalidCredentials(String),
    /// One field of the credential is wrong, and the provider says which.
    #[error("{message}")]
    InvalidField {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The credential is good but may not read what is needed.
    #[error("{0}")]
    InsufficientPermissions(String),
    /// The credential may be used from other addresses only.
    #[error("{0}")]
    IpNotAllowed(String),
    /// The credential has run out.
    #[error("{0}")]
    Expired(String),
    /// The provider does not serve the place that this runs in.
    #[error("{0}")]
    RegionBlocked(String),
    /// The provider could not be reached or has trouble of its own.
    #[error("{0}")]
    ProviderDown(String),
    /// The provider answered in a way that is not understood.
    #[error("{0}")]
    Unexpected(String),
    /// The provider asks to wait.
    #[error("{provider} asks to wait {} s", for_.as_secs())]
    Wait {
        /// The provider's name.
        provider: &'static str,
        /// For how long.
        for_: Duration,
    },
    /// The provider's clock and ours are too far apart. It is asked for its time and then asked once more; see
    /// [`Source::server_time`](super::Source::server_time).
    #[error("{0}'s clock and ours are too far apart")]
    ClockSkew(&'static str),
    /// A nonce was not higher than an earlier one. A higher one is tried once.
    #[error("{0} has seen a higher nonce: another program uses the same key. Give each program a key of its own")]
    NonceTooLow(&'static str),
    /// The work must stop here and go on later: time is up, or another worker has taken over. Not the provider's doing.
    #[error("the work was interrupted")]
    Interrupted,
}

impl Trouble {
    /// What it says of the credential, in the word that every group uses.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::InvalidCredentials(_) | Self::InvalidField { .. } | Self::Expired(_) => "invalid",
            Self::InsufficientPermissions(_) | Self::IpNotAllowed(_) => "limited",
            _ => "inconclusive",
        }
    }

    /// A field that is wrong by itself: the secret that does not belong to the key, or the passphrase.
    #[must_use]
    pub fn of_field(field: &'static str, message: &str) -> Self {
        Self::InvalidField { field, message: message.to_owned() }
    }

    /// True for what only the wallet's owner can put right, so that trying again soon is of no use.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.is_invalid() || matches!(self, Self::InsufficientPermissions(_) | Self::IpNotAllowed(_))
    }

    /// True if the credential is good for nothing any more, so that another one is needed. What a good one lacks its owner
    /// may add at the provider, without a word to us.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::InvalidCredentials(_) | Self::InvalidField { .. } | Self::Expired(_))
    }

    /// For an answer that says nothing of the credential: throttling, the provider's own trouble, something in between.
    #[must_use]
    pub fn of_answer(provider: &'static str, answer: &Answer) -> Self {
        match answer.status {
            429 => Self::Wait { provider, for_: answer.retry_after().unwrap_or(UNSAID) },
            451 => Self::RegionBlocked(format!("{provider} does not serve the region that this server is in.")),
            500.. => Self::ProviderDown(format!("{provider} has trouble of its own (HTTP {}).", answer.status)),
            status => Self::Unexpected(format!("{provider} answered in an unexpected way (HTTP {status}).")),
        }
    }

    /// For an answer that should be JSON of a known form and is not.
    #[must_use]
    pub fn unreadable(provider: &'static str) -> Self {
        Self::Unexpected(format!("{provider} gave an answer that is not understood."))
    }
}

/// How long is waited where a provider does not say.
const UNSAID: Duration = Duration::from_secs(30);
