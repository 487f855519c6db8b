//! How many requests a token may send in a minute.
//!
//! # Theory of operation
//! Minutes are those of the clock. A process counts each token's requests of the present minute by itself. The first
//! twentieth of the limit in a process is free, so light use costs no call to the table. Beyond it the process takes
//! blocks of a twentieth out of a counter that all processes share, one `UpdateItem` each; the first block is taken together
//! with what was free. When the counter has reached the limit, the process refuses until the minute ends, without asking
//! again.
//!
//! One process alone holds the limit exactly. Of `n` processes each but the first may have let a twentieth through before
//! it looked at the counter, so together they pass the limit by at most `n - 1` twentieths. What a process took and did not
//! use is lost to the others, so they may also refuse that much too early.
//!
//! A counter that does not answer lets requests through, a block at a time: the limit protects against a token's misuse,
//! and must not take the API down. It is asked once and not again, because a repetition could count twice; an answer that
//! was lost makes the limit come earlier, never later.
//!
//! A request is counted when its token has been found good, before its permission is looked at and before anything is done.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

use super::ApiError;
use crate::auth::{Tenant, TokenRecord};
use crate::clock::Ids;
use crate::digest::sha256_hex;
use crate::table::{Table, keys};

const MINUTE: i64 = 60;
/// So many blocks make the limit.
const BLOCKS: u32 = 20;
/// For so many seconds a counter is kept once its minute has ended.
const KEPT: i64 = 600;
/// So many tokens a process keeps count of. Of one that it has lost count of it starts anew.
const TOKENS: usize = 10_000;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Counts the requests of tokens.
#[derive(Debug)]
pub struct RateLimiter {
    limit: u32,
    table: Table,
    ids: Ids,
    windows: Cache<(Tenant, String), Arc<Mutex<Window>>>,
}

/// Where a token stands, after a request of its was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How many requests it may send in a minute.
    pub limit: u32,
    /// How many it may still send in this one, as far as this process knows.
    pub remaining: u32,
    /// When the next minute begins.
    pub resets_at: Timestamp,
    /// How long that is from now, if the request was one too many.
    pub refused_for: Option<Duration>,
}

/// What a process knows of a token's minute.
#[derive(Debug, Default)]
struct Window {
    /// Since the epoch.
    minute: i64,
    /// Requests let through.
    used: u32,
    /// How many may be let through before the counter is asked.
    may: u32,
    /// Those among them that the counter does not know.
    uncounted: u32,
    /// The counter as it was seen last.
    counted: u32,
}

/// What a process does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Through,
    Refuse,
    /// Take so much out of the counter first.
    Take(u32),
}

impl Window {
    /// The window at `minute`: this one, or a fresh one.
    fn enter(&mut self, minute: i64, limit: u32) {
        if self.minute != minute {
            let free = block(limit);
            *self = Self { minute, used: 0, may: free, uncounted: free, counted: 0 };
        }
    }

    fn step(&mut self, limit: u32) -> Step {
        if self.used < self.may {
            self.used += 1;
            Step::Through
        } else if self.counted >= limit {
            Step::Refuse
        } else {
            Step::Take(block(limit).saturating_add(self.uncounted))
        }
    }

    /// The counter gave `sum` when `taken` was added.
    fn took(&mut self, taken: u32, sum: u64, limit: u32) {
        let sum = u32::try_from(sum).unwrap_or(u32::MAX);
        let granted = sum.min(limit).saturating_sub(sum.saturating_sub(taken).min(limit));
        self.may = self.used.saturating_add(granted.saturating_sub(self.uncounted));
        self.uncounted = 0;
        self.counted = sum.min(limit);
    }

    /// The counter did not answer.
    fn goes_on(&mut self, limit: u32) {
        self.may = self.used.saturating_add(block(limit));
        self.uncounted = self.uncounted.saturating_add(block(limit)).min(limit);
    }

    fn remaining(&self, limit: u32) -> u32 {
        // What was taken and is not used, or the free part, is this process's own.
        let known = self.counted.saturating_add(self.uncounted);
        limit.saturating_sub(known).saturating_add(self.may.saturating_sub(self.used)).min(limit)
    }
}

fn block(limit: u32) -> u32 {
    (limit / BLOCKS).max(1)
}

impl RateLimiter {
    /// A limiter of so many requests a minute, which counts in `table`; 0 counts nothing.
    #[must_use]
    pub fn new(limit: u32, table: Table, ids: Ids) -> Self {
        Self { limit, table, ids, windows: Cache::new(TOKENS) }
    }

    /// Counts a request of a token. `None` where no limit is set.
    pub async fn count(&self, tenant: &Tenant, token_id: &str) -> Option<Standing> {
        let limit = self.limit;
        if limit == 0 {
            return None;
        }
        let now = self.ids.now();
        let minute = now.as_second().div_euclid(MINUTE);
        let key = (tenant.clone(), token_id.to_owned());
        let Ok(window) = self.windows.get_or_insert_with(&key, || Ok::<_, Infallible>(Arc::default()));
        // Held while the counter is asked, so that requests at once do not each take a block.
        let mut window = window.lock().await;
        window.enter(minute, limit);
        let mut step = window.step(limit);
        if let Step::Take(taken) = step {
            match self.take(tenant, token_id, minute, taken).await {
                Some(sum) => window.took(taken, sum, limit),
                None => window.goes_on(limit),
            }
            step = window.step(limit);
        }
        let resets_at = at((minute + 1) * MINUTE);
        let refused_for = (step != Step::Through).then(|| resets_at.duration_since(now).unsigned_abs());
        let remaining = if refused_for.is_some() { 0 } else { window.remaining(limit) };
        Some(Standing { limit, remaining, resets_at, refused_for })
    }

    async fn take(&self, tenant: &Tenant, token_id: &str, minute: i64, taken: u32) -> Option<u64> {
        let key = keys::rate(tenant, &sha256_hex(token_id.as_bytes()), minute);
        let expires_at = at((minute + 1) * MINUTE + KEPT);
        match self.table.add_once(&key, u64::from(taken), expires_at).await {
            Ok(sum) => Some(sum),
            Err(error) => {
                tracing::warn!(%error, "requests are let through without being counted");
                None
            }
        }
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

/// Where the frame finds what was counted within.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot(Arc<OnceLock<Standing>>);

impl Slot {
    /// The headers that tell a client where its token stands.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let Some(standing) = self.0.get() else { return };
        headers.insert(LIMIT, HeaderValue::from(standing.limit));
        headers.insert(REMAINING, HeaderValue::from(standing.remaining));
        headers.insert(RESET, HeaderValue::from(standing.resets_at.as_second()));
    }
}

/// Counts a request whose token is good.
///
/// # Errors
/// [`ApiError::TooManyRequests`].
pub(crate) async fn count(limiter: &RateLimiter, parts: &Parts, record: &TokenRecord) -> Result<(), ApiError> {
    let Some(standing) = limiter.count(&record.tenant, &record.id).await else { return Ok(()) };
    if let Some(Slot(slot)) = parts.extensions.get::<Slot>() {
        let _ = slot.set(standing);
    }
    standing.refused_for.map_or(Ok(()), |retry_after| Err(ApiError::TooManyRequests { retry_after }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lets a request through a process, with a counter that answers or does not.
    fn ask(window: &mut Window, counter: &mut u64, limit: u32, answers: bool) -> bool {
        let mut step = window.step(limit);
        if let Step::Take(taken) = step {
            // What is sent arrives, whether or not an answer comes back.
            *counter += u64::from(taken);
            if answers {
                window.took(taken, *counter, limit)
            } else {
                window.goes_on(limit)
            }
            step = window.step(limit);
        }
        step == Step::Through
    }

    proptest! {
        #[test]
        fn one_process_holds_the_limit_exactly(limit in 1_u32..700, more in 0_u32..50) {
            let (mut window, mut counter) = (Window::default(), 0);
            window.enter(1, limit);
            for number in 0..limit {
                prop_assert_eq!(window.remaining(limit), limit - number);
                prop_assert!(ask(&mut window, &mut counter, limit, true), "{} of {}", number, limit);
            }
            for _ in 0..more {
                prop_assert!(!ask(&mut window, &mut counter, limit, true));
            }
        }

        #[test]
        fn many_pass_it_by_less_than_a_block_each(
            limit in 1_u32..700,
            order in prop::collection::vec(0_usize..5, 0..2_000),
        ) {
            let mut windows: Vec<Window> = (0..5).map(|_| Window::default()).collect();
            let (mut counter, mut through) = (0, 0);
            for process in order {
                windows[process].enter(1, limit);
                through += u32::from(ask(&mut windows[process], &mut counter, limit, true));
            }
            prop_assert!(through <= limit + 4 * block(limit), "{} of {}", through, limit);
        }

        #[test]
        fn a_counter_that_is_silent_for_a_while_takes_part_again(
            limit in 1_u32..700,
            silent in prop::collection::vec(any::<bool>(), 1..30),
        ) {
            let (mut window, mut counter) = (Window::default(), 0);
            window.enter(1, limit);
            for silent in silent {
                let may = window.may - window.used;
                for _ in 0..=may {
                    let through = ask(&mut window, &mut counter, limit, !silent);
                    prop_assert!(through || !silent || window.counted == limit, "an outage lets everything through");
                }
            }
            while ask(&mut window, &mut counter, limit, true) {}
            prop_assert_eq!(window.counted, limit);
            window.enter(2, limit);
            counter = 0;
            prop_assert!(ask(&mut window, &mut counter, limit, true), "the next minute is a new one");
        }
    }
}
