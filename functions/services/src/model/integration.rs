//! An integration.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use shared::clock::Reservation;
pub use shared::credentials::SecretPart;

use super::{Report, Verdict};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:tt;)*) => {
        /// The types of integration.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[schema(as = IntegrationTypeName)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Kind {
            /// Every type, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As the API writes it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    /// A Discord webhook.
    Discord = "discord";
    /// A Slack webhook or bot.
    Slack = "slack";
    /// A Telegram bot.
    Telegram = "telegram";
    /// E-mail by SendGrid.
    Sendgrid = "sendgrid";
    /// E-mail by Resend.
    Resend = "resend";
    /// Any HTTP endpoint.
    Webhook = "webhook";
    /// An address on an EVM chain, seen through a node.
    Web3 = "web3";
    /// A gateway to language models.
    AiGateway = "ai-gateway";
}

impl Kind {
    /// The type of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// `one of discord, slack, …`, for messages.
    #[must_use]
    pub fn accepted() -> String {
        let names: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
        format!("one of {}", names.join(", "))
    }
}

/// `int_` and 21 lower-case letters and digits, which sort by creation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntegrationId(String);

impl IntegrationId {
    const PREFIX: &'static str = "int_";

    /// The id of what this creation creates.
    #[must_use]
    pub fn of(reservation: &Reservation) -> Self {
        Self(format!("{}{}", Self::PREFIX, reservation.sortable()))
    }

    /// Parses an id. What has another form names nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(Self::PREFIX)?;
        let fits = rest.len() == 21 && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        fits.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IntegrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The outcome of the last test of the stored credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTest {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason.
    pub message: String,
    /// When.
    pub checked_at: Timestamp,
}

/// Where the daily job stands with an integration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckState {
    /// Since when the integration waits for the next run.
    pub due_at: Timestamp,
    /// Until when a worker holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leased_until: Option<Timestamp>,
    /// Counts the leases: a worker whose lease was taken over no longer has the latest.
    pub fence: u64,
}

impl CheckState {
    /// An integration that waits since `at`.
    #[must_use]
    pub fn waiting_since(at: Timestamp) -> Self {
        Self { due_at: at, leased_until: None, fence: 0 }
    }

    /// Takes a lease, if the integration belongs to the run with this cutoff and nobody holds it. Gives the lease's
    /// fencing number.
    pub fn claim(&mut self, cutoff: Timestamp, now: Timestamp, lease: SignedDuration) -> Option<u64> {
        let held = self.leased_until.is_some_and(|until| now < until);
        if held || cutoff < self.due_at {
            return None;
        }
        self.leased_until = now.checked_add(lease).ok();
        self.fence = self.fence.saturating_add(1);
        Some(self.fence)
    }

    /// Ends the lease `fence`; done with, if `done`, until after the run with this cutoff. False if the lease was
    /// taken over.
    pub fn release(&mut self, fence: u64, done: bool, cutoff: Timestamp) -> bool {
        if self.fence != fence {
            return false;
        }
        self.leased_until = None;
        if done {
            self.due_at = self.due_at.max(cutoff.saturating_add(SignedDuration::from_millis(1)).unwrap_or(cutoff));
        }
        true
    }
}

/// A connected service, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    /// Its id.
    pub id: IntegrationId,
    /// What its owner calls it.
    pub name: String,
    /// Its type, which never changes.
    pub kind: Kind,
    /// True if the product manages it instead of its customer.
    pub is_managed: bool,
    /// The config's plain part.
    pub config: Map<String, Json>,
    /// Where the config's secret part is, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretPart>,
    /// Counts the changes of the config, so that a verdict on an older one is recognised.
    pub revision: u64,
    /// The last test of the stored credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_test: Option<LastTest>,
    /// True once the provider has said that the credential does not work.
    pub needs_attention: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its name or config last changed.
    pub updated_at: Timestamp,
    /// Where the daily job stands with it.
    pub check: CheckState,
}

impl Integration {
    /// Records a test of the credential of `revision`. A verdict on another revision says nothing about this one.
    /// Only a confirmed invalid asks for attention, and only a confirmed success takes it back.
    pub fn record(&mut self, revision: u64, report: &Report, at: Timestamp) -> bool {
        if self.revision != revision {
            return false;
        }
        match report.verdict {
            Verdict::Invalid => self.needs_attention = true,
            Verdict::Valid | Verdict::Limited => self.needs_attention = false,
            Verdict::Inconclusive => {}
        }
        self.last_test = Some(LastTest { verdict: report.verdict, message: report.message.clone(), checked_at: at });
        true
    }

    /// The names of the config's secret keys that are stored.
    #[must_use]
    pub fn stored_secret_keys(&self) -> &[String] {
        self.secret.as_ref().map_or(&[], |secret| &secret.keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::clock::Ids;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn ids_are_parsed_only_in_their_own_form() {
        let id = IntegrationId::of(&Ids::default().reserve());
        assert_eq!(IntegrationId::parse(id.as_str()), Some(id));
        for text in [
            "",
            "int_",
            "int_123",
            "INT_000000000000000000000",
            "int_00000000000000000000#",
            "wal_000000000000000000000",
        ] {
            assert_eq!(IntegrationId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_claim_is_one_workers_until_it_ends() {
        let lease = SignedDuration::from_secs(30);
        let mut check = CheckState::waiting_since(at(100));
        assert_eq!(check.claim(at(99), at(100), lease), None, "not due in that run");
        assert_eq!(check.claim(at(100), at(100), lease), Some(1));
        assert_eq!(check.claim(at(100), at(129), lease), None, "held");
        assert_eq!(check.claim(at(100), at(130), lease), Some(2), "the lease has ended");
        assert!(!check.release(1, true, at(100)), "the first worker lost it");
        assert!(check.release(2, true, at(100)));
        assert_eq!(check.claim(at(100), at(131), lease), None, "done in that run");
        assert_eq!(check.claim(at(200), at(200), lease), Some(3), "the next run");
    }

    #[test]
    fn a_released_claim_that_was_not_done_stays_due() {
        let mut check = CheckState::waiting_since(at(100));
        let fence = check.claim(at(100), at(100), SignedDuration::from_secs(30)).unwrap();
        assert!(check.release(fence, false, at(100)));
        assert!(check.claim(at(100), at(101), SignedDuration::from_secs(30)).is_some());
    }
}
