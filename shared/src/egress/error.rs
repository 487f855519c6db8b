//! Why an answer could not be had. No variant holds a URL: for some providers it is the credential.

use std::time::Duration;

/// Why an answer could not be had.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The address is not public and the operator has not allowed it.
    #[error("the address is in a private or reserved network and is not allowed")]
    Forbidden,
    /// The URL cannot be used for a request.
    #[error("the URL cannot be used: {0}")]
    Unusable(&'static str),
    /// The host's name has no address.
    #[error("the host name could not be resolved")]
    Unresolved,
    /// Nothing accepted the connection.
    #[error("the connection was refused or failed")]
    Unreachable(#[source] reqwest::Error),
    /// The server's certificate was not accepted.
    #[error("the secure connection failed: the server's certificate is not trusted, or it speaks no TLS")]
    Untrusted(#[source] reqwest::Error),
    /// No answer in time. The request may have been acted upon.
    #[error("no answer within {} ms", after.as_millis())]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended before the answer did. The request may have been acted upon.
    #[error("the connection was cut before the answer was complete")]
    Interrupted(#[source] reqwest::Error),
    /// The answer was larger than is read.
    #[error("the answer was larger than {limit} bytes")]
    TooLarge {
        /// How much is read.
        limit: usize,
    },
}

impl EgressError {
    /// The kind of error, in a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Unusable(_) => "unusable",
            Self::Unresolved => "unresolved",
            Self::Unreachable(_) => "unreachable",
            Self::Untrusted(_) => "untrusted",
            Self::TimedOut { .. } => "timed_out",
            Self::Interrupted(_) => "interrupted",
            Self::TooLarge { .. } => "too_large",
        }
    }

    /// True if it was refused here, so that nobody was called.
    #[must_use]
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Forbidden | Self::Unusable(_))
    }

    /// True if nothing was sent, so that repeating cannot do a thing twice.
    #[must_use]
    pub fn was_not_sent(&self) -> bool {
        matches!(
            self,
            Self::Forbidden | Self::Unusable(_) | Self::Unresolved | Self::Unreachable(_) | Self::Untrusted(_)
        )
    }

    /// True if another try soon might end otherwise.
    #[must_use]
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Interrupted(_))
    }
}
