//! How a key is: a state machine over what its users report and what probes find.
//!
//! Failures in a row make a key degraded (one or two) and unhealthy (three). A report of an invalid key makes it unhealthy
//! at once, because every further use would fail too. Used-up credit is a failure like another: the key is good, and may
//! still do what is free; a probe that finds it neither disables the key nor brings it back. Being rate limited is no
//! failure: the key cools down, for as long as the provider says or for a time that doubles while it goes on, and is as
//! healthy as before. A probe that proves the key and a reset clear everything. A reported success clears what went wrong
//! before its key was handed out. Of what went wrong later it ends the row of failures, and no more: the use may have been
//! over by then. A cooldown in particular ends by its time or by a probe.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Failures in a row from which a key is not chosen.
const UNHEALTHY_FROM: u32 = 3;
/// The first cooldown where the provider does not say how long.
const FIRST_COOLDOWN: SignedDuration = SignedDuration::from_secs(30);
/// The longest cooldown of our own making.
const LONGEST_COOLDOWN: SignedDuration = SignedDuration::from_mins(15);
/// The longest that a provider is believed.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(24);

/// How a key is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No failure since the last success.
    Healthy,
    /// It failed once or twice; it is chosen all the same.
    Degraded,
    /// It is not chosen.
    Unhealthy,
}

impl HealthStatus {
    /// The status of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "healthy" => Some(Self::Healthy),
            "degraded" => Some(Self::Degraded),
            "unhealthy" => Some(Self::Unhealthy),
            _ => None,
        }
    }
}

/// What is wrong with a key beyond its failures in a row. A refusal puts it out whatever they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// A user met a refusal of the key; no probe has confirmed it.
    ReportedInvalid,
    /// The provider told a probe that the key does not work.
    ConfirmedInvalid,
    /// Its credit or quota is used up. The key itself is good, so by this alone it is not out.
    Exhausted,
}

/// What went wrong last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// A machine's name for it: an outcome of a report, or a verdict.
    pub code: String,
    /// For a person.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// How a key is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Failures in a row.
    pub failures: u32,
    /// What is wrong with it beyond them.
    pub outage: Option<Outage>,
    /// Until when it is not chosen because of its rate limit.
    pub cooling_until: Option<Timestamp>,
    /// Cooldowns in a row.
    pub cooldowns: u32,
    /// What went wrong last, until something goes right.
    pub last_error: Option<LastError>,
}

/// What happens to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A use went well whose key was handed out then.
    Succeeded(Timestamp),
    /// A use failed for another reason than the key's own rights and limits.
    Failed,
    /// The provider throttled a use, and may have said for how long.
    RateLimited(Option<Duration>),
    /// The provider refused the key.
    RefusedInUse,
    /// The provider said that there is no credit left.
    OutOfCredit,
    /// A probe proved the key.
    Proved,
    /// The provider told a probe that the key does not work.
    ProvedInvalid(String),
    /// The provider told a probe that the key is good but used up.
    ProvedExhausted(String),
    /// A person said to forget what was.
    Reset,
}

impl Health {
    /// Of a credential that is new, and what a probe found of it.
    #[must_use]
    pub fn found(event: Option<Event>, now: Timestamp) -> Self {
        let mut health = Self::default();
        if let Some(event) = event {
            health.on(event, now);
        }
        health
    }

    /// In a word.
    #[must_use]
    pub fn status(&self) -> HealthStatus {
        match self.failures {
            _ if self.is_refused() => HealthStatus::Unhealthy,
            0 => HealthStatus::Healthy,
            UNHEALTHY_FROM.. => HealthStatus::Unhealthy,
            _ => HealthStatus::Degraded,
        }
    }

    /// True if its provider does not accept it, as far as is known.
    fn is_refused(&self) -> bool {
        matches!(self.outage, Some(Outage::ReportedInvalid | Outage::ConfirmedInvalid))
    }

    /// Until when it cools down, if it does now.
    #[must_use]
    pub fn cooling(&self, now: Timestamp) -> Option<Timestamp> {
        self.cooling_until.filter(|until| now < *until)
    }

    /// True if a probe could bring it back.
    #[must_use]
    pub fn needs_probe(&self) -> bool {
        self.status() == HealthStatus::Unhealthy || self.cooling_until.is_some()
    }

    /// Takes in what happened.
    pub fn on(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Proved | Event::Reset => *self = Self::default(),
            Event::Succeeded(granted_at) => self.succeed(granted_at, now),
            Event::Failed => self.fail("error", "A use of the key failed.", now),
            Event::RefusedInUse => {
                let message = "The provider refused the key in use. It is tested again every five minutes.";
                self.fail("invalid_key", message, now);
                self.outage = Some(Outage::ReportedInvalid);
            }
            Event::OutOfCredit => {
                self.fail("insufficient_credits", "The provider says that the key's credit is used up.", now);
                self.outage = self.outage.or(Some(Outage::Exhausted));
            }
            Event::ProvedInvalid(message) => {
                self.fail("invalid", &message, now);
                self.outage = Some(Outage::ConfirmedInvalid);
            }
            Event::ProvedExhausted(message) => {
                // So it is not refused. Its failures in use stay, and a probe adds none to them.
                let in_use = if self.is_refused() { 0 } else { self.failures };
                self.fail("exhausted", &message, now);
                self.failures = in_use.max(1);
                self.outage = Some(Outage::Exhausted);
            }
            Event::RateLimited(retry_after) => self.cool_down(retry_after, now),
        }
    }

    /// Takes in what a probe that began then has found. What went wrong since is newer than a proof.
    pub fn judge(&mut self, event: Event, began: Timestamp, now: Timestamp) {
        let is_newer = self.last_error.as_ref().is_some_and(|error| began < error.at);
        if !(is_newer && event == Event::Proved) {
            self.on(event, now);
        }
    }

    fn fail(&mut self, code: &str, message: &str, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(LastError { code: code.into(), message: message.into(), at: now });
    }

    fn succeed(&mut self, granted_at: Timestamp, now: Timestamp) {
        let was_later = self.last_error.as_ref().is_none_or(|error| error.at < granted_at);
        if was_later && self.cooling(now).is_none() {
            *self = Self::default();
        } else if !self.is_refused() {
            (self.failures, self.outage) = (0, None);
            // What is still cooling down, or would for longer the next time, goes on saying why.
            self.last_error = self.last_error.take().filter(|_| self.cooldowns > 0);
        }
    }

    /// Several reports of one throttling are one cooldown: only what the provider says can make a present one longer.
    fn cool_down(&mut self, retry_after: Option<Duration>, now: Timestamp) {
        let told = retry_after.map(|told| SignedDuration::try_from(told).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT));
        let present = self.cooling(now);
        let wait = match (told, present) {
            (Some(told), _) => told,
            (None, Some(_)) => SignedDuration::ZERO,
            (None, None) => {
                let doubled = FIRST_COOLDOWN.checked_mul(1 << self.cooldowns.min(10)).unwrap_or(LONGEST_COOLDOWN);
                doubled.min(LONGEST_COOLDOWN)
            }
        };
        let until = now.saturating_add(wait).unwrap_or(now);
        if present.is_none() {
            self.cooldowns = self.cooldowns.saturating_add(1);
        }
        self.cooling_until = Some(present.map_or(until, |present| present.max(until)));
        let message = "The provider throttles the key.".into();
        self.last_error = Some(LastError { code: "rate_limited".into(), message, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthStatus::{Degraded, Healthy, Unhealthy};
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn after(events: &[Event]) -> Health {
        let mut health = Health::default();
        events.iter().for_each(|event| health.on(event.clone(), at(1_000)));
        health
    }

    #[test]
    fn failures_in_a_row_degrade_and_three_disable() {
        for (failures, status) in [(0, Healthy), (1, Degraded), (2, Degraded), (3, Unhealthy), (7, Unhealthy)] {
            assert_eq!(after(&vec![Event::Failed; failures]).status(), status, "{failures}");
        }
    }

    /// Before and after everything else, which happens at second 1,000.
    const EARLIER: i64 = 999;
    const LATER: i64 = 100_000;

    fn events() -> Vec<Event> {
        vec![
            Event::Succeeded(at(EARLIER)),
            Event::Succeeded(at(LATER)),
            Event::Failed,
            Event::RateLimited(None),
            Event::RateLimited(Some(Duration::from_secs(7))),
            Event::RefusedInUse,
            Event::OutOfCredit,
            Event::Proved,
            Event::ProvedInvalid("?".into()),
            Event::ProvedExhausted("?".into()),
            Event::Reset,
        ]
    }

    #[test]
    fn every_pair_of_events_ends_as_the_rules_say() {
        for first in events() {
            for second in events() {
                let before = after(std::slice::from_ref(&first));
                let health = after(&[first.clone(), second.clone()]);
                let expected = match &second {
                    Event::Succeeded(granted_at) if *granted_at == at(EARLIER) && before.is_refused() => Unhealthy,
                    Event::Succeeded(_) | Event::Proved | Event::Reset => Healthy,
                    Event::RateLimited(_) => before.status(),
                    Event::ProvedExhausted(_) => Degraded,
                    Event::Failed | Event::OutOfCredit if before.is_refused() => Unhealthy,
                    Event::Failed | Event::OutOfCredit => Degraded,
                    Event::RefusedInUse | Event::ProvedInvalid(_) => Unhealthy,
                };
                assert_eq!(health.status(), expected, "{first:?} {second:?}");
                let clears = match &second {
                    Event::Proved | Event::Reset => true,
                    Event::Succeeded(granted_at) => {
                        before.cooling_until.is_none() && (!before.is_refused() || *granted_at == at(LATER))
                    }
                    _ => false,
                };
                assert_eq!(clears, health == Health::default(), "{first:?} {second:?}");
            }
        }
    }

    #[test]
    fn used_up_credit_counts_as_a_failure_in_use_and_disables_nothing_by_itself() {
        let found = || Event::ProvedExhausted("?".into());
        for (events, failures, status) in [
            (vec![Event::OutOfCredit], 1, Degraded),
            (vec![Event::OutOfCredit, Event::Failed], 2, Degraded),
            (vec![Event::OutOfCredit; 3], 3, Unhealthy),
            (vec![found(); 5], 1, Degraded),
            (vec![Event::Failed, Event::Failed, found()], 2, Degraded),
            (vec![Event::Failed, Event::Failed, Event::Failed, found()], 3, Unhealthy),
            (vec![Event::ProvedInvalid("?".into()), Event::ProvedInvalid("?".into()), found()], 1, Degraded),
            (vec![Event::RefusedInUse, Event::OutOfCredit], 2, Unhealthy),
        ] {
            let health = after(&events);
            assert_eq!((health.failures, health.status()), (failures, status), "{events:?}");
        }
    }

    #[test]
    fn a_proof_undoes_nothing_that_went_wrong_after_its_probe_began() {
        for event in [Event::RefusedInUse, Event::RateLimited(None), Event::Failed] {
            let (refused, mut health) = (after(std::slice::from_ref(&event)), after(std::slice::from_ref(&event)));
            health.judge(Event::Proved, at(999), at(1_001));
            assert_eq!(health, refused, "{event:?}");
            health.judge(Event::Proved, at(1_000), at(1_001));
            assert_eq!(health, Health::default(), "{event:?}");
        }
        let mut health = after(&[Event::Failed]);
        health.judge(Event::ProvedInvalid("?".into()), at(999), at(1_001));
        assert_eq!(health.status(), Unhealthy, "a refusal counts whenever it was asked for");
    }

    #[test]
    fn a_success_ends_no_cooldown_and_one_of_an_earlier_use_shortens_no_later_one() {
        let mut health = after(&[Event::Failed, Event::RateLimited(Some(Duration::from_secs(600)))]);
        for granted_at in [EARLIER, 1_000, 1_001] {
            health.on(Event::Succeeded(at(granted_at)), at(1_001));
            assert_eq!(health.cooling(at(1_001)), Some(at(1_600)), "{granted_at}");
            assert_eq!((health.failures, health.cooldowns), (0, 1), "{granted_at}");
            assert_eq!(health.last_error.as_ref().unwrap().code, "rate_limited", "{granted_at}");
        }
        health.on(Event::Succeeded(at(EARLIER)), at(1_600));
        assert_eq!(health.cooldowns, 1, "the next one is twice as long as the first");
        health.on(Event::Succeeded(at(1_600)), at(1_601));
        assert_eq!(health, Health::default());
    }

    #[test]
    fn cooldowns_double_to_a_quarter_of_an_hour_and_count_no_failure() {
        let mut health = Health::default();
        let mut now = at(0);
        for seconds in [30, 60, 120, 240, 480, 900, 900] {
            health.on(Event::RateLimited(None), now);
            assert_eq!(health.cooling(now).unwrap().duration_since(now).as_secs(), seconds);
            health.on(Event::RateLimited(None), now);
            assert_eq!(health.cooling(now).unwrap().duration_since(now).as_secs(), seconds, "the same throttling");
            now = health.cooling_until.unwrap();
            assert_eq!(health.cooling(now), None);
        }
        assert_eq!((health.failures, health.status()), (0, Healthy));
    }

    #[test]
    fn the_provider_says_how_long_a_cooldown_is() {
        let mut health = Health::default();
        health.on(Event::RateLimited(Some(Duration::from_secs(3_600))), at(0));
        health.on(Event::RateLimited(Some(Duration::from_secs(1))), at(0));
        assert_eq!(health.cooling(at(0)), Some(at(3_600)));
        health.on(Event::RateLimited(Some(Duration::MAX)), at(0));
        assert_eq!(health.cooling(at(0)), Some(at(86_400)));
    }

    proptest! {
        #[test]
        fn a_success_clears_what_was_before_its_key_was_handed_out_and_no_outage_of_later(
            chosen in proptest::collection::vec(0usize..11, 0..12),
        ) {
            let all: Vec<Event> = chosen.into_iter().map(|index| events()[index].clone()).collect();
            let before = after(&all);
            let mut health = before.clone();
            health.on(Event::Succeeded(at(EARLIER)), at(1_000));
            prop_assert_eq!((health.is_refused(), health.cooling_until), (before.is_refused(), before.cooling_until));
            health.on(Event::Succeeded(at(LATER)), at(LATER));
            prop_assert_eq!(health, Health::default());
        }
    }
}
