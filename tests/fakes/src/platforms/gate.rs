//! What the smaller platforms share: tokens and what they reach, a rate limit that hits the next requests, and moments
//! that go on.

use std::collections::HashMap;

use http::Method;
use jiff::Timestamp;

/// When a fake's first change happens: 2026-05-28T20:26:40Z.
pub(crate) const START: i64 = 1_780_000_000;

/// What a token reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The user's id.
    pub user: String,
    /// The ids of the accounts, teams or organisations that it reaches.
    pub accounts: Vec<String>,
    /// True if it may not write.
    pub read_only: bool,
}

impl Reach {
    /// A user's token that reads and writes in these accounts.
    #[must_use]
    pub fn of(user: &str, accounts: &[&str]) -> Self {
        let accounts = accounts.iter().map(|account| (*account).to_owned()).collect();
        Self { user: user.into(), accounts, read_only: false }
    }

    /// The same without the right to write.
    #[must_use]
    pub fn reading(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// True if it reaches this account.
    pub(crate) fn has(&self, account: &str) -> bool {
        self.accounts.iter().any(|one| one == account)
    }
}

/// What stands before a platform's API.
#[derive(Debug)]
pub(crate) struct Gate {
    tokens: HashMap<String, Reach>,
    throttle: Option<(String, usize, i64)>,
    ticks: i64,
    /// The longest page, however much is asked for.
    pub(crate) page: usize,
}

impl Default for Gate {
    fn default() -> Self {
        Self { tokens: HashMap::new(), throttle: None, ticks: 0, page: 100 }
    }
}

impl Gate {
    pub(crate) fn add(&mut self, token: &str, reach: Reach) {
        self.tokens.insert(token.to_owned(), reach);
    }

    pub(crate) fn revoke(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    pub(crate) fn reach(&self, token: Option<&str>) -> Option<Reach> {
        self.tokens.get(token?).cloned()
    }

    /// Refuses the next `count` requests of this method; the limit ends in so many seconds.
    pub(crate) fn throttle(&mut self, method: &str, count: usize, seconds: i64) {
        self.throttle = Some((method.to_owned(), count, seconds));
    }

    /// How long this request should have waited, if it is refused.
    pub(crate) fn throttled(&mut self, method: &Method) -> Option<i64> {
        let (hit, left, seconds) = self.throttle.as_mut()?;
        if *left == 0 || hit != method.as_str() {
            return None;
        }
        *left -= 1;
        Some(*seconds)
    }

    /// A number that was not given before.
    pub(crate) fn number(&mut self) -> i64 {
        self.ticks += 1;
        self.ticks
    }

    /// A moment to the second, later with every call.
    pub(crate) fn moment(&mut self) -> String {
        Timestamp::from_second(START + self.number()).unwrap_or_default().to_string()
    }
}
