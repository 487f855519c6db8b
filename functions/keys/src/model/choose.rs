//! Which key is next: pure, so that it can be tested to the end.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{HealthStatus, Key, KeyId, Period};

const MINUTES_A_DAY: i64 = 24 * 60;

/// A key's uses, as they are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The minute since 1970 of the last use; 0 before the first.
    pub minute: i64,
    /// Uses in that minute.
    pub minute_count: u64,
    /// Uses in that minute's UTC day.
    pub day_count: u64,
    /// The last use.
    pub last_used_at: Option<Timestamp>,
}

/// The minute since 1970 that `at` is in.
#[must_use]
pub fn minute_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// The first minute of the UTC day that a minute is in.
#[must_use]
pub fn first_minute_of_day(minute: i64) -> i64 {
    minute - minute.rem_euclid(MINUTES_A_DAY)
}

/// The UTC day that a minute is in: `2026-11-21`.
#[must_use]
pub fn day_of_minute(minute: i64) -> String {
    super::day_of(Timestamp::from_second(minute.saturating_mul(60)).unwrap_or_default())
}

impl Usage {
    /// The minute that a use at `now` is counted in: an instance whose clock is behind counts in the latest one known.
    #[must_use]
    pub fn minute_at(&self, now: Timestamp) -> i64 {
        minute_of(now).max(self.minute)
    }

    /// Uses in the present minute.
    #[must_use]
    pub fn minute_count_at(&self, now: Timestamp) -> u64 {
        if self.minute_at(now) == self.minute { self.minute_count } else { 0 }
    }

    /// Uses in the present UTC day.
    #[must_use]
    pub fn day_count_at(&self, now: Timestamp) -> u64 {
        let today = first_minute_of_day(self.minute_at(now));
        if today <= self.minute { self.day_count } else { 0 }
    }
}

/// Why a key was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its owner has switched it off.
    Inactive,
    /// It does not work, or failed three times in a row.
    Unhealthy,
    /// Its provider throttles it.
    CoolingDown,
    /// Its spend limit is crossed, and blocks it.
    SpendLimit,
    /// It has been used as often as it may be in a day.
    DailyLimit,
    /// It has been used as often as it may be in a minute.
    MinuteLimit,
    /// It is used more often than its uses can be counted.
    Busy,
    /// Its stored credential cannot be read.
    Unreadable,
}

impl Reason {
    /// As it is written everywhere.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Unhealthy => "unhealthy",
            Self::CoolingDown => "cooling_down",
            Self::SpendLimit => "spend_limit",
            Self::DailyLimit => "daily_limit",
            Self::MinuteLimit => "minute_limit",
            Self::Busy => "busy",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A key that was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedOver {
    /// The key.
    pub id: KeyId,
    /// Why.
    pub reason: Reason,
    /// When that ends by itself, where it does.
    pub free_at: Option<Timestamp>,
}

/// What a choice came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The keys that can be used now, the one to use first.
    pub candidates: Vec<KeyId>,
    /// The others, in the order in which they would be used.
    pub passed_over: Vec<PassedOver>,
}

/// Why a key cannot be used now, and until when: of several reasons the one that holds the longest.
#[must_use]
pub fn objection(key: &Key, usage: &Usage, now: Timestamp) -> Option<PassedOver> {
    let passed = |reason, free_at| Some(PassedOver { id: key.id, reason, free_at });
    if !key.is_active {
        return passed(Reason::Inactive, None);
    }
    if key.health.status() == HealthStatus::Unhealthy {
        return passed(Reason::Unhealthy, None);
    }
    let counted_at = Timestamp::from_second(usage.minute_at(now).saturating_mul(60)).unwrap_or(now);
    let is_full_today = key.daily_limit.is_some_and(|limit| usage.day_count_at(now) >= limit);
    let is_full_now = key.minute_limit.is_some_and(|limit| usage.minute_count_at(now) >= limit);
    let next_minute = counted_at.saturating_add(SignedDuration::from_secs(60)).unwrap_or(counted_at);
    let ends = [
        (Reason::CoolingDown, key.health.cooling(now)),
        (Reason::SpendLimit, key.blocked_until(now)),
        (Reason::DailyLimit, is_full_today.then(|| Period::Daily.end(counted_at))),
        (Reason::MinuteLimit, is_full_now.then_some(next_minute)),
    ];
    // Several may hold at once; the key is free when the last of them ends. Of two that end together the first is told.
    let last = ends.into_iter().rev().filter_map(|(reason, end)| Some((reason, end?))).max_by_key(|(_, end)| *end);
    last.and_then(|(reason, end)| passed(reason, Some(end)))
}

/// Orders the keys that can be used now: primary first, then by priority, then the least recently used; and says of each
/// other why not.
#[must_use]
pub fn choose(keys: &[Key], usage: impl Fn(KeyId) -> Usage, now: Timestamp) -> Choice {
    let mut ordered: Vec<(&Key, Usage)> = keys.iter().map(|key| (key, usage(key.id))).collect();
    ordered.sort_by_key(|(key, usage)| {
        let (rank, priority, id) = key.order();
        (rank, priority, usage.last_used_at, id)
    });
    let mut choice = Choice::default();
    for (key, usage) in ordered {
        match objection(key, &usage, now) {
            None => choice.candidates.push(key.id),
            Some(passed) => choice.passed_over.push(passed),
        }
    }
    choice
}

/// Why there is no key: the reason that ends first, or if none ends by itself, the first key's.
#[must_use]
pub fn main_reason(passed_over: &[PassedOver]) -> Option<Reason> {
    let ending = passed_over.iter().filter(|passed| passed.free_at.is_some()).min_by_key(|passed| passed.free_at);
    ending.or(passed_over.first()).map(|passed| passed.reason)
}

/// When the first of those that were passed over is free again, where that is known.
#[must_use]
pub fn earliest(passed_over: &[PassedOver]) -> Option<Timestamp> {
    passed_over.iter().filter_map(|passed| passed.free_at).min()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, key};
    use super::super::{Event, SpendAction, SpendLimit, Spent};
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn used(second: i64) -> Usage {
        Usage { minute: minute_of(at(second)), minute_count: 1, day_count: 1, last_used_at: Some(at(second)) }
    }

    fn chosen(keys: &[Key], usage: impl Fn(KeyId) -> Usage, now: Timestamp) -> Vec<u64> {
        choose(keys, usage, now).candidates.iter().map(|id| id.number()).collect()
    }

    #[test]
    fn primary_then_priority_then_least_recently_used() {
        let (mut first, mut second, mut third, fourth) = (key(1), key(2), key(3), key(4));
        first.own_priority = Some(5);
        second.is_primary = true;
        second.own_priority = Some(0);
        third.own_priority = Some(5);
        let usage = |id: KeyId| if id.number() == 1 { used(50) } else { used(40) };
        assert_eq!(chosen(&[first, second, third, fourth], usage, at(100)), [2, 3, 1, 4]);
    }

    #[test]
    fn each_reason_is_told_with_its_end() {
        let now = at(86_400 * 20_000 + 3_661);
        let passed = |change: &dyn Fn(&mut Key, &mut Usage)| {
            let (mut key, mut usage) = (key(1), Usage::default());
            change(&mut key, &mut usage);
            objection(&key, &usage, now).map(|passed| (passed.reason, passed.free_at))
        };
        assert_eq!(passed(&|_, _| {}), None);
        assert_eq!(passed(&|key, _| key.is_active = false), Some((Reason::Inactive, None)));
        assert_eq!(passed(&|key, _| key.health.on(Event::RefusedInUse, now)), Some((Reason::Unhealthy, None)));
        let cooling = passed(&|key, _| key.health.on(Event::RateLimited(None), now));
        assert_eq!(cooling, Some((Reason::CoolingDown, Some(at(86_400 * 20_000 + 3_691)))));
        let blocked = passed(&|key, _| {
            key.spend_limit = Some(SpendLimit { amount: 1.0, period: Period::Daily, action: SpendAction::Block });
            key.judge_spend(Spent { today: Some(1.0), month: None }, now);
        });
        assert_eq!(blocked, Some((Reason::SpendLimit, Some(at(86_400 * 20_001)))));
        let full = |key: &mut Key, usage: &mut Usage| {
            *usage = Usage { minute: minute_of(now), minute_count: 3, day_count: 9, last_used_at: Some(now) };
            (key.minute_limit, key.daily_limit) = (Some(3), Some(10));
        };
        assert_eq!(passed(&full), Some((Reason::MinuteLimit, Some(at(86_400 * 20_000 + 3_720)))));
        let spent = passed(&|key, usage| {
            full(key, usage);
            key.daily_limit = Some(9);
        });
        assert_eq!(spent, Some((Reason::DailyLimit, Some(at(86_400 * 20_001)))));
        let limited = |wait: u64| {
            passed(&move |key, usage| {
                full(key, usage);
                key.health.on(Event::RateLimited(Some(Duration::from_secs(wait))), now);
            })
        };
        assert_eq!(
            limited(10),
            Some((Reason::MinuteLimit, Some(at(86_400 * 20_000 + 3_720)))),
            "it is full for longer"
        );
        assert_eq!(limited(600), Some((Reason::CoolingDown, Some(at(86_400 * 20_000 + 4_261)))));
        assert_eq!(limited(59), Some((Reason::CoolingDown, Some(at(86_400 * 20_000 + 3_720)))), "both end together");
    }

    #[test]
    fn counts_are_of_the_present_minute_and_day() {
        let noon = 86_400 * 20_000 + 43_200;
        let usage = Usage { minute: noon / 60, minute_count: 3, day_count: 9, last_used_at: Some(at(noon)) };
        for (second, minute, day) in
            [(noon, 3, 9), (noon + 59, 3, 9), (noon + 60, 0, 9), (noon + 43_200, 0, 0), (noon - 60, 3, 9)]
        {
            let now = at(second);
            assert_eq!((usage.minute_count_at(now), usage.day_count_at(now)), (minute, day), "{second}");
        }
    }

    fn any_key(id: u64) -> impl Strategy<Value = Key> {
        let limit = || proptest::option::of(1u64..4);
        (any::<bool>(), any::<bool>(), 0u16..3, limit(), limit(), 0u8..5).prop_map(
            move |(is_active, is_primary, priority, daily_limit, minute_limit, failures)| {
                let mut key =
                    Key { is_active, is_primary, own_priority: Some(priority), daily_limit, minute_limit, ..key(id) };
                (0..failures).for_each(|_| key.health.on(Event::Failed, at(0)));
                key
            },
        )
    }

    #[test]
    fn the_main_reason_is_the_one_that_ends_first() {
        let passed = |reason, free_at: Option<i64>| PassedOver { id: key(1).id, reason, free_at: free_at.map(at) };
        let (inactive, daily) = (passed(Reason::Inactive, None), passed(Reason::DailyLimit, Some(900)));
        let minute = passed(Reason::MinuteLimit, Some(60));
        assert_eq!(main_reason(&[]), None);
        assert_eq!(main_reason(&[inactive, passed(Reason::Unhealthy, None)]), Some(Reason::Inactive));
        assert_eq!(main_reason(&[inactive, daily]), Some(Reason::DailyLimit));
        assert_eq!(main_reason(&[daily, inactive, minute]), Some(Reason::MinuteLimit));
    }

    proptest! {
        #[test]
        fn every_key_is_either_a_candidate_or_passed_over_and_candidates_are_under_their_limits(
            keys in (any_key(1), any_key(2), any_key(3), any_key(4)),
            counts in proptest::collection::vec((0u64..5, 0u64..5, 0i64..4_000), 4),
            now in 0i64..180_000,
        ) {
            let keys = [keys.0, keys.1, keys.2, keys.3];
            let usage = |id: KeyId| {
                let (minute_count, more, minute) = counts[usize::try_from(id.number()).unwrap() - 1];
                let last_used_at = Some(at(minute * 60));
                Usage { minute, minute_count, day_count: minute_count + more, last_used_at }
            };
            let choice = choose(&keys, usage, at(now));
            prop_assert_eq!(choice.candidates.len() + choice.passed_over.len(), keys.len());
            for id in &choice.candidates {
                let key = keys.iter().find(|key| key.id == *id).unwrap();
                prop_assert!(key.is_active && key.health.status() != HealthStatus::Unhealthy);
                prop_assert!(key.daily_limit.is_none_or(|limit| usage(*id).day_count_at(at(now)) < limit));
                prop_assert!(key.minute_limit.is_none_or(|limit| usage(*id).minute_count_at(at(now)) < limit));
            }
            for passed in &choice.passed_over {
                prop_assert!(passed.free_at.is_none_or(|free| free > at(now)));
            }
            let ranks: Vec<_> = choice.candidates.iter().map(|id| {
                let (rank, priority, id) = keys.iter().find(|key| key.id == *id).unwrap().order();
                (rank, priority, usage(id).last_used_at, id)
            }).collect();
            prop_assert!(ranks.is_sorted());
        }
    }
}
