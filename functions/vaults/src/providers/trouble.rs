//! Why a platform did not do as it was asked, in the words of a connection's owner.

use std::time::Duration;

use jiff::Timestamp;
use shared::egress::Answer;

/// Why a platform did not do as it was asked. Every message is for the connection's owner: what is wrong and what to do,
/// a sentence or two, no token and no value in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The token is wrong, was revoked or has run out: the owner must connect again.
    #[error("{0}")]
    Unauthorized(String),
    /// The token is good but may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such project or environment, or the token does not see it.
    #[error("{0}")]
    NotFound(String),
    /// The platform refuses what it was given: a name, a value, too many of them.
    #[error("{0}")]
    Refused(String),
    /// The platform asks to wait. Nothing was done.
    #[error("{platform} asks to wait {} s", for_.as_secs().max(1))]
    Wait {
        /// The platform's name.
        platform: &'static str,
        /// For how long.
        for_: Duration,
    },
    /// The platform could not be reached, or has trouble of its own. What was asked may have been done.
    #[error("{0}")]
    Down(String),
    /// No answer came in time. What was asked may have been done.
    #[error("{0}")]
    TimedOut(String),
    /// The platform answered in a way that is not understood.
    #[error("{0}")]
    Unexpected(String),
}

impl Trouble {
    /// What it says of the token, in the word that every group uses.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => "invalid",
            Self::Forbidden(_) => "limited",
            _ => "inconclusive",
        }
    }

    /// For an answer by its status alone, where the platform has no better words.
    #[must_use]
    pub fn of_answer(platform: &'static str, answer: &Answer) -> Self {
        match answer.status {
            401 => Self::Unauthorized(format!("{platform} does not accept the token any more. Connect again.")),
            403 => Self::Forbidden(format!("{platform} does not allow this with the token that was given.")),
            404 => Self::NotFound(format!("{platform} does not know this project, or the token does not see it.")),
            408 => Self::TimedOut(format!("{platform} took too long.")),
            429 => Self::Wait { platform, for_: answer.retry_after().unwrap_or(UNSAID) },
            500.. => Self::Down(format!("{platform} has trouble of its own (HTTP {}).", answer.status)),
            status => Self::Unexpected(format!("{platform} answered in an unexpected way (HTTP {status}).")),
        }
    }

    /// For a refusal that asks to wait until a moment, told in seconds since 1970. `Retry-After` comes first, where it is
    /// sent. A moment that has passed means that the clocks differ: a second is waited.
    #[must_use]
    pub fn wait_until(platform: &'static str, answer: &Answer, reset: Option<i64>, now: Timestamp) -> Self {
        let until_reset = || {
            let seconds = reset?.saturating_sub(now.as_second()).clamp(1, LONGEST);
            Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(1)))
        };
        Self::Wait { platform, for_: answer.retry_after().or_else(until_reset).unwrap_or(UNSAID) }
    }

    /// True if the platform refuses what it was given, so that a part of it may be accepted.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// True if it is not known whether what was asked was done.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Down(_) | Self::TimedOut(_) | Self::Unexpected(_))
    }

    /// True if whatever else is asked now will fail in the same way.
    #[must_use]
    pub fn ends_batch(&self) -> bool {
        matches!(self, Self::Wait { .. } | Self::Unauthorized(_) | Self::TimedOut(_))
    }

    /// For an answer that should be JSON of a known form and is not.
    #[must_use]
    pub fn unreadable(platform: &'static str) -> Self {
        Self::Unexpected(format!("{platform} gave an answer that is not understood."))
    }
}

/// How long is waited where a platform does not say.
const UNSAID: Duration = Duration::from_secs(10);
/// No platform's window is longer than this many seconds.
const LONGEST: i64 = 3_600;
