//! A connection: a platform's account, and how its token is kept good.
//!
//! A token that ends is renewed before it does, by one worker at a time: some platforms take the second use of a refresh
//! token for theft and end the whole grant. A worker claims the connection, which gives it a lease and a fencing number;
//! whatever it writes afterwards needs that number.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
pub use shared::credentials::SecretPart;
use uuid::Uuid;

/// Longer than a renewal takes.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// A token is renewed this long before it ends, or at half of its life if that is less.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);
const FIRST_SETBACK: SignedDuration = SignedDuration::from_mins(1);
const LONGEST_SETBACK: SignedDuration = SignedDuration::from_hours(1);

/// Whether a connection works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ConnectionStatus)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As far as is known.
    Active,
    /// The platform does not accept its token any more: somebody must connect it again.
    NeedsReauth,
}

/// How an account was connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ConnectedBy)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By OAuth.
    Oauth,
    /// By a pasted token.
    Token,
}

/// The name in a secret's document of the token that gets a new one.
pub const REFRESH_TOKEN: &str = "refresh_token";

/// Where the renewal of a connection's token stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// When the token is to be renewed; nothing if it does not end, or cannot be renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// Counts claims.
    #[serde(default)]
    pub fence: u64,
    /// Until when a worker has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leased_until: Option<Timestamp>,
    /// How often in a row it did not work.
    #[serde(default)]
    pub setbacks: u32,
}

/// A platform's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its id.
    pub id: Uuid,
    /// The platform.
    pub provider: String,
    /// The platform's id of the account.
    pub account_id: String,
    /// What people call the account.
    pub account_name: String,
    /// The platform's id of the user, where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The platform's id of the team, where calls must name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// The platform's id of the installation, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<String>,
    /// How it was connected.
    pub way: Way,
    /// Whether it works.
    pub status: Status,
    /// When the account was first connected.
    pub created_at: Timestamp,
    /// When it was last connected or found not to work.
    pub updated_at: Timestamp,
    /// Its tokens.
    pub secret: SecretPart,
    /// When the access token ends, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Timestamp>,
    /// Where its renewal stands.
    #[serde(default)]
    pub refresh: Refresh,
    /// The platform has asked not to be asked before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

impl Connection {
    /// When a token that is good for `lives` from `now` ends, and when it is to be renewed.
    #[must_use]
    pub fn ends(now: Timestamp, lives: Option<SignedDuration>) -> (Option<Timestamp>, Option<Timestamp>) {
        let Some(lives) = lives else { return (None, None) };
        let after = |part: SignedDuration| now.saturating_add(part).unwrap_or(now);
        let ahead = AHEAD.min(lives / 2);
        (Some(after(lives)), Some(after(lives - ahead)))
    }

    /// How long the platform has asked to wait still, if it has.
    #[must_use]
    pub fn waits(&self, now: Timestamp) -> Option<Duration> {
        let left = self.not_before?.duration_since(now);
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    /// Notes that the platform asks to wait.
    pub fn wait(&mut self, now: Timestamp, for_: Duration) {
        let until = SignedDuration::try_from(for_).ok().and_then(|for_| now.saturating_add(for_).ok());
        self.not_before = self.not_before.max(until);
    }

    /// True if the token has ended, or will before a call that is begun now is over.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp) -> bool {
        let soon = now.saturating_add(SignedDuration::from_secs(30)).unwrap_or(now);
        self.token_expires_at.is_some_and(|at| at <= soon)
    }

    /// True if there is something to get a new token with, whether or not the present one is known to end.
    #[must_use]
    pub fn is_renewable(&self) -> bool {
        self.way == Way::Oauth && self.secret.keys.iter().any(|name| name == REFRESH_TOKEN)
    }

    /// Takes the renewal on, if it is due or `early` and no other worker has it: the fencing number.
    pub fn claim_refresh(&mut self, now: Timestamp, early: bool) -> Option<u64> {
        let due = self.refresh.due_at.is_some_and(|at| at <= now) || (early && self.is_renewable());
        let held = self.refresh.leased_until.is_some_and(|until| now < until);
        if !due || held || self.status != Status::Active {
            return None;
        }
        self.refresh.fence += 1;
        self.refresh.leased_until = now.saturating_add(LEASE).ok();
        Some(self.refresh.fence)
    }

    /// Ends a renewal with a new token. False if another worker has it now.
    pub fn refreshed(&mut self, fence: u64, secret: SecretPart, now: Timestamp, lives: Option<SignedDuration>) -> bool {
        if self.refresh.fence != fence {
            return false;
        }
        let (ends, due_at) = Self::ends(now, lives);
        self.secret = secret;
        self.token_expires_at = ends;
        self.refresh = Refresh { due_at, fence, ..Refresh::default() };
        true
    }

    /// Puts a renewal off, longer each time. False if another worker has it now.
    pub fn put_refresh_off(&mut self, fence: u64, now: Timestamp) -> bool {
        if self.refresh.fence != fence {
            return false;
        }
        let pause = (FIRST_SETBACK * 2_i32.pow(self.refresh.setbacks.min(10))).min(LONGEST_SETBACK);
        self.refresh.setbacks += 1;
        self.refresh.leased_until = None;
        self.refresh.due_at = now.saturating_add(pause).ok();
        true
    }

    /// Notes that the platform does not accept the token any more.
    pub fn need_reauth(&mut self, now: Timestamp) {
        if self.status != Status::NeedsReauth {
            self.status = Status::NeedsReauth;
            self.updated_at = now;
        }
        self.refresh.due_at = None;
        self.refresh.leased_until = None;
    }
}

#[cfg(test)]
mod tests {
    use shared::credentials::SecretVersion;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    fn part(number: u128) -> SecretPart {
        SecretPart {
            version: SecretVersion(Uuid::from_u128(number)),
            keys: vec!["access_token".into(), REFRESH_TOKEN.into()],
        }
    }

    fn connection() -> Connection {
        let (token_expires_at, due_at) = Connection::ends(at(0), Some(SignedDuration::from_hours(1)));
        Connection {
            id: Uuid::from_u128(1),
            provider: "railway".into(),
            account_id: "ws_1".into(),
            account_name: "Acme".into(),
            user_id: None,
            team_id: None,
            installation_id: None,
            way: Way::Oauth,
            status: Status::Active,
            created_at: at(0),
            updated_at: at(0),
            secret: part(1),
            token_expires_at,
            refresh: Refresh { due_at, ..Refresh::default() },
            not_before: None,
        }
    }

    #[test]
    fn a_token_is_renewed_ten_minutes_before_it_ends_by_one_worker_at_a_time() {
        let mut one = connection();
        assert_eq!(one.claim_refresh(at(2_999), false), None);
        assert_eq!(one.claim_refresh(at(3_000), false), Some(1));
        assert_eq!(one.claim_refresh(at(3_059), false), None);
        // A worker that died over it is followed by another, and what the first still writes is not taken.
        assert_eq!(one.claim_refresh(at(3_060), false), Some(2));
        assert!(!one.refreshed(1, part(2), at(3_061), None));
        assert!(one.refreshed(2, part(3), at(3_062), Some(SignedDuration::from_mins(10))));
        assert_eq!((one.secret.clone(), one.token_expires_at), (part(3), Some(at(3_662))));
        assert_eq!(one.refresh.due_at, Some(at(3_362)));
    }

    #[test]
    fn a_platform_is_not_asked_before_the_time_that_it_said() {
        let mut one = connection();
        one.wait(at(0), Duration::from_secs(600));
        one.wait(at(0), Duration::from_secs(60));
        assert_eq!((one.waits(at(599)), one.waits(at(600))), (Some(Duration::from_secs(1)), None));
    }

    #[test]
    fn a_token_that_is_not_known_to_end_is_renewed_only_when_it_is_asked_for() {
        let mut one = Connection { token_expires_at: None, refresh: Refresh::default(), ..connection() };
        assert_eq!((one.claim_refresh(at(99_999), false), one.claim_refresh(at(99_999), true)), (None, Some(1)));
        one.secret.keys.pop();
        assert_eq!((one.is_renewable(), one.claim_refresh(at(199_999), true)), (false, None));
    }

    #[test]
    fn setbacks_put_it_off_longer_each_time_and_a_refused_grant_ends_it() {
        let mut one = connection();
        let mut pauses = Vec::new();
        let mut now = at(3_000);
        for _ in 0..8 {
            let fence = one.claim_refresh(now, false).unwrap();
            assert!(one.put_refresh_off(fence, now));
            let due = one.refresh.due_at.unwrap();
            pauses.push(due.duration_since(now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        one.need_reauth(now);
        assert_eq!((one.status, one.claim_refresh(at(99_999), true)), (Status::NeedsReauth, None));
    }
}
