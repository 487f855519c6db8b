//! A pooled key.

use std::collections::BTreeMap;
use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
pub use shared::credentials::SecretPart;
use shared::credentials::SecretVersion;
use url::Url;

use super::{Amounts, Health};

/// A whole number from 1, rising per tenant, never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct KeyId(u64);

impl KeyId {
    /// The largest: its sort key has ten digits.
    const LARGEST: u64 = 9_999_999_999;

    /// This number, if a key may have it.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        (1..=Self::LARGEST).contains(&number).then_some(Self(number))
    }

    /// Parses an id as a path has it. What has another form names nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.parse().ok().and_then(Self::new)?;
        (number.0.to_string() == text).then_some(number)
    }

    /// Parses an id as a sort key has it.
    #[must_use]
    pub fn parse_sort(text: &str) -> Option<Self> {
        let number = text.parse().ok().and_then(Self::new)?;
        (number.sort() == text).then_some(number)
    }

    /// Ten digits, which sort as the number does.
    #[must_use]
    pub fn sort(self) -> String {
        format!("{:010}", self.0)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Over which time spend is counted, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// A day.
    Daily,
    /// A calendar month.
    Monthly,
}

impl Period {
    /// The period of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "daily" => Some(Self::Daily),
            "monthly" => Some(Self::Monthly),
            _ => None,
        }
    }

    /// Names the period that `at` is in: `2026-11-21` or `2026-11`.
    #[must_use]
    pub fn of(self, at: Timestamp) -> String {
        match self {
            Self::Daily => day_of(at),
            Self::Monthly => at.strftime("%Y-%m").to_string(),
        }
    }

    /// When the period that `at` is in ends.
    #[must_use]
    pub fn end(self, at: Timestamp) -> Timestamp {
        match self {
            Self::Daily => next_day(at),
            Self::Monthly => {
                let date = at.to_zoned(TimeZone::UTC).date();
                let next = date.first_of_month().checked_add(1.month()).and_then(|next| next.to_zoned(TimeZone::UTC));
                next.map_or(at, |next| next.timestamp())
            }
        }
    }
}

/// The UTC day that `at` is in: `2026-11-21`.
#[must_use]
pub fn day_of(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn next_day(at: Timestamp) -> Timestamp {
    let day = SignedDuration::from_hours(24).as_secs();
    let next = at.as_second().div_euclid(day).saturating_add(1).saturating_mul(day);
    Timestamp::from_second(next).unwrap_or(at)
}

/// What happens once a spend limit is crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SpendAction {
    /// The key says so, and goes on being chosen.
    Warn,
    /// The key is not chosen until the period ends.
    Block,
}

impl SpendAction {
    /// The action of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "warn" => Some(Self::Warn),
            "block" => Some(Self::Block),
            _ => None,
        }
    }
}

/// How much may be spent with a key.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SpendLimit {
    /// The amount, in the currency that the provider counts in.
    pub amount: f64,
    /// Over which time.
    pub period: Period,
    /// What happens then.
    pub action: SpendAction,
}

/// What the users of leases reported to have spent with a key; `None` where they reported nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// In the present UTC day.
    pub today: Option<f64>,
    /// In the present UTC month.
    pub month: Option<f64>,
}

impl Spent {
    fn in_the(self, period: Period) -> Option<f64> {
        match period {
            Period::Daily => self.today,
            Period::Monthly => self.month,
        }
    }
}

/// What was last heard of a key's money.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The amounts.
    pub amounts: Amounts,
    /// When they were heard.
    pub at: Timestamp,
}

/// Where a job stands with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Since when it is due.
    pub due_at: Timestamp,
    /// Until when a worker holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leased_until: Option<Timestamp>,
    /// Counts the leases: a worker whose lease was taken over no longer has the latest.
    pub fence: u64,
}

impl Work {
    /// Work that is due since `at`.
    #[must_use]
    pub fn due_since(at: Timestamp) -> Self {
        Self { due_at: at, leased_until: None, fence: 0 }
    }

    /// Takes a lease, if the work belongs to the run with this cutoff and nobody holds it. Gives the fencing number.
    pub fn claim(&mut self, cutoff: Timestamp, now: Timestamp, lease: SignedDuration) -> Option<u64> {
        if self.leased_until.is_some_and(|until| now < until) || cutoff < self.due_at {
            return None;
        }
        self.leased_until = now.checked_add(lease).ok();
        self.fence = self.fence.saturating_add(1);
        Some(self.fence)
    }

    /// Ends the lease `fence`; done with until after the run with this cutoff. False if the lease was taken over.
    pub fn release(&mut self, fence: u64, cutoff: Timestamp) -> bool {
        if self.fence != fence {
            return false;
        }
        self.leased_until = None;
        self.due_at = self.due_at.max(cutoff.saturating_add(SignedDuration::from_millis(1)).unwrap_or(cutoff));
        true
    }
}

/// A pooled key, without its secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Whose key it is; never changes.
    pub provider: String,
    /// What its owner calls it.
    pub label: Option<String>,
    /// The address that it is for, where it is not the provider's own.
    pub base_url: Option<Url>,
    /// False if its owner has switched it off.
    pub is_active: bool,
    /// True for the one that is chosen first among the provider's.
    pub is_primary: bool,
    /// Its priority, where its owner has set one.
    pub own_priority: Option<u16>,
    /// The most uses a UTC day.
    pub daily_limit: Option<u64>,
    /// The most uses a minute.
    pub minute_limit: Option<u64>,
    /// How much may be spent with it.
    pub spend_limit: Option<SpendLimit>,
    /// The period in which the spend limit was crossed.
    pub spend_exceeded_in: Option<String>,
    /// How it is.
    pub health: Health,
    /// What was last heard of its money.
    pub billing: Option<Told>,
    /// What is shown of each part of the credential.
    pub previews: BTreeMap<String, String>,
    /// Where the credential is.
    pub secret: SecretPart,
    /// The version of the credential before the last rotation.
    pub previous: Option<SecretVersion>,
    /// Counts the rotations, so that a verdict on an older credential is recognised.
    pub revision: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Where the monitor stands with it.
    pub monitor: Work,
}

impl Key {
    /// The largest priority.
    pub const LARGEST_PRIORITY: u16 = 9_999;
    /// A primary's priority unless its owner has set one.
    const PRIMARY_PRIORITY: u16 = 10;

    /// Its priority: 10 for a primary, 0 otherwise unless set.
    #[must_use]
    pub fn priority(&self) -> u16 {
        self.own_priority.unwrap_or(if self.is_primary { Self::PRIMARY_PRIORITY } else { 0 })
    }

    /// Where it stands in the list: primary first, priority descending, id ascending.
    #[must_use]
    pub fn order(&self) -> (u8, u16, KeyId) {
        (u8::from(!self.is_primary), Self::LARGEST_PRIORITY.saturating_sub(self.priority()), self.id)
    }

    /// True if the present period's spend limit is known to be crossed.
    #[must_use]
    pub fn spend_exceeded(&self, now: Timestamp) -> bool {
        let Some(limit) = self.spend_limit else { return false };
        self.spend_exceeded_in.as_deref() == Some(limit.period.of(now).as_str())
    }

    /// When it may be chosen again, if the spend limit keeps it from being chosen.
    #[must_use]
    pub fn blocked_until(&self, now: Timestamp) -> Option<Timestamp> {
        let limit = self.spend_limit.filter(|limit| limit.action == SpendAction::Block)?;
        self.spend_exceeded(now).then(|| limit.period.end(now))
    }

    /// Takes in what its provider told when asked at `now`, and compares what was spent. What was heard later stays.
    pub fn hear(&mut self, told: Option<&Amounts>, reported: Spent, now: Timestamp) {
        if self.billing.as_ref().is_some_and(|heard| now < heard.at) {
            return;
        }
        if let Some(amounts) = told {
            self.billing = Some(Told { amounts: amounts.clone(), at: now });
        }
        self.judge_spend(reported, now);
    }

    /// Compares what was spent with the limit: what the provider told of the present period or what was `reported` of it,
    /// whichever is more. What was told may be as old as the period, where the provider has not told anything since.
    pub fn judge_spend(&mut self, reported: Spent, now: Timestamp) {
        self.spend_exceeded_in = None;
        let Some(limit) = self.spend_limit else { return };
        let period = limit.period.of(now);
        let told = self.billing.as_ref().filter(|told| limit.period.of(told.at) == period).and_then(|told| match limit
            .period
        {
            Period::Daily => told.amounts.used_today,
            Period::Monthly => told.amounts.used_month,
        });
        if told.into_iter().chain(reported.in_the(limit.period)).any(|spent| spent >= limit.amount) {
            self.spend_exceeded_in = Some(period);
        }
    }

    /// True if the monitor has to look after it.
    #[must_use]
    pub fn needs_monitor(&self) -> bool {
        self.is_active && self.health.needs_probe()
    }

    /// True if the other one is the same to everybody but the monitor.
    #[must_use]
    pub fn looks_like(&self, other: &Self) -> bool {
        *self == Self { monitor: self.monitor.clone(), ..other.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn ids_are_parsed_only_in_their_own_form() {
        assert_eq!(KeyId::parse("42"), KeyId::new(42));
        assert_eq!(KeyId::parse_sort("0000000042"), KeyId::new(42));
        for text in ["", "0", "042", "+42", "-1", "4 2", "10000000000", "abc", "42.0"] {
            assert_eq!(KeyId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn periods_end_at_midnight_and_at_the_turn_of_the_month() {
        let moment = at("2026-12-31T23:59:59.5Z");
        assert_eq!(Period::Daily.of(moment), "2026-12-31");
        assert_eq!(Period::Monthly.of(moment), "2026-12");
        assert_eq!(Period::Daily.end(moment), at("2027-01-01T00:00:00Z"));
        assert_eq!(Period::Monthly.end(moment), at("2027-01-01T00:00:00Z"));
        assert_eq!(Period::Monthly.end(at("2026-02-01T00:00:00Z")), at("2026-03-01T00:00:00Z"));
    }

    #[test]
    fn an_answer_that_was_asked_for_earlier_overwrites_none_that_was_asked_for_later() {
        let mut key = super::super::testing::key(1);
        key.spend_limit = Some(SpendLimit { amount: 10.0, period: Period::Daily, action: SpendAction::Block });
        let used = |amount: f64| Amounts { used_today: Some(amount), ..Amounts::default() };
        let (earlier, later) = (at("2026-11-21T10:00:00Z"), at("2026-11-21T10:00:05Z"));
        key.hear(Some(&used(11.0)), Spent::default(), later);
        key.hear(Some(&used(9.0)), Spent::default(), earlier);
        assert_eq!((key.billing.as_ref().unwrap().at, key.spend_exceeded(later)), (later, true));
        key.hear(None, Spent::default(), later);
        assert_eq!(key.billing.as_ref().unwrap().amounts.used_today, Some(11.0));
        key.hear(Some(&used(9.0)), Spent::default(), later);
        assert!(!key.spend_exceeded(later));
    }

    #[test]
    fn work_is_one_workers_until_it_ends() {
        let lease = SignedDuration::from_secs(30);
        let second = |second| Timestamp::from_second(second).unwrap();
        let mut work = Work::due_since(second(100));
        assert_eq!(work.claim(second(99), second(100), lease), None, "not due in that run");
        assert_eq!(work.claim(second(100), second(100), lease), Some(1));
        assert_eq!(work.claim(second(100), second(129), lease), None, "held");
        assert_eq!(work.claim(second(100), second(130), lease), Some(2), "the lease has ended");
        assert!(!work.release(1, second(100)), "the first worker lost it");
        assert!(work.release(2, second(100)));
        assert_eq!(work.claim(second(100), second(131), lease), None, "done in that run");
        assert_eq!(work.claim(second(200), second(200), lease), Some(3), "the next run");
    }
}
