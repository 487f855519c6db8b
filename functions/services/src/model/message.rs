//! A message to deliver, and what became of it.

use std::time::Duration;

use jiff::Timestamp;

/// A message for any channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The text, delivered as plain text: nothing in it mentions anybody by itself.
    pub text: String,
    /// A heading or an e-mail's subject.
    pub title: Option<String>,
    /// Whom to, where the config names none or another is meant.
    pub to: Option<Recipients>,
    /// The same in every repetition of the request, for providers that recognise repetitions.
    pub idempotency_key: String,
    /// When this attempt is made.
    pub at: Timestamp,
}

/// Whom a message is for: e-mail addresses, or one chat id or channel. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipients(pub Vec<String>);

impl Recipients {
    /// The only recipient, for channels that take one.
    #[must_use]
    pub fn single(&self) -> Option<&str> {
        match self.0.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// A delivered message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The provider's id of it, where it gives one.
    pub provider_message_id: Option<String>,
}

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request lacks something or has too much of it: `field` of the request or the config.
    Unusable {
        /// The request's or the config's field.
        field: String,
        /// What is wrong and what is accepted.
        message: String,
    },
    /// The provider refused, or could not be reached; nothing was delivered.
    Refused {
        /// What it objects to.
        message: String,
        /// What to do about it.
        hint: Option<String>,
        /// When it says to try again.
        retry_after: Option<Duration>,
    },
    /// No answer came, so the message may or may not have been delivered.
    Unknown {
        /// What is known.
        message: String,
    },
}

impl Refusal {
    /// The provider refused, with what to do.
    #[must_use]
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), hint: Some(hint.into()), retry_after: None }
    }

    /// The provider is being asked too much.
    #[must_use]
    pub fn throttled(message: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self::Refused { message: message.into(), hint: Some("Wait, then send again.".into()), retry_after }
    }

    /// The request lacks something.
    #[must_use]
    pub fn unusable(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Unusable { field: field.into(), message: message.into() }
    }
}
