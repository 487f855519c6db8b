//! A connection as a provider sees it while it works: the account, the token, and the way out.

use std::time::Duration;

use axum::http::Method;
use jiff::Timestamp;
use secrecy::SecretString;
use shared::deadline;
use shared::egress::{Answer, Egress, EgressError, Outgoing, Upstream};
use tokio::time::Instant;

use super::Trouble;

/// A call is begun only with this much time left: its own 8 s, and some to record what it did.
const ENOUGH: Duration = Duration::from_secs(10);
/// A page of variables or projects may be long.
const READ_AT_MOST: usize = 8 * 1024 * 1024;

/// A connection as a provider sees it while it works.
#[derive(Debug)]
pub struct Session<'a> {
    /// The platform's id of the account: a team, a workspace, a user, an organisation.
    pub account_id: &'a str,
    /// The platform's id of the team, where calls must name it.
    pub team_id: Option<&'a str>,
    token: &'a SecretString,
    egress: Egress,
    now: Timestamp,
    until: Option<Instant>,
}

impl<'a> Session<'a> {
    /// With this token, for this account, at the moment `now`. The token is struck out of whatever is answered.
    #[must_use]
    pub fn new(
        account_id: &'a str,
        team_id: Option<&'a str>,
        token: &'a SecretString,
        egress: &Egress,
        now: Timestamp,
    ) -> Self {
        Self { account_id, team_id, token, egress: egress.hiding(vec![token.clone()]), now, until: None }
    }

    /// The same for a while only: no call is begun that may last longer.
    #[must_use]
    pub fn lasting(self, left: Duration) -> Self {
        Self { until: Some(Instant::now() + left), ..self }
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> &SecretString {
        self.token
    }

    /// The present moment: for limits that end at a time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// A request to `upstream` by its documented path, without the token; up to 8 MiB of the answer are read.
    pub fn request(&self, method: Method, upstream: Upstream, path: &str) -> Outgoing {
        self.egress.upstream(method, upstream, path).read_at_most(READ_AT_MOST)
    }

    /// The same with the token as a bearer's.
    pub fn bearer(&self, method: Method, upstream: Upstream, path: &str) -> Outgoing {
        self.request(method, upstream, path).bearer(self.token)
    }

    /// Sends a request; any answer is a success.
    ///
    /// # Errors
    /// [`Trouble::Down`] or [`Trouble::TimedOut`] if no answer came, or if there is no time for it.
    pub async fn send(&self, platform: &'static str, request: Outgoing) -> Result<Answer, Trouble> {
        let lasts = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        if deadline::left().is_some_and(|left| left < ENOUGH) || lasts.is_some_and(|left| left < ENOUGH) {
            return Err(Trouble::TimedOut("There was no time left for it. Run the sync again.".into()));
        }
        request.send().await.map_err(|error| match error {
            EgressError::TimedOut { .. } => Trouble::TimedOut(format!("{platform} did not answer in time.")),
            error => Trouble::Down(format!("{platform} could not be asked: {error}.")),
        })
    }

    /// Sends a request that must succeed.
    ///
    /// # Errors
    /// [`Trouble`] by the answer's status, or if no answer came.
    pub async fn succeed(&self, platform: &'static str, request: Outgoing) -> Result<Answer, Trouble> {
        let answer = self.send(platform, request).await?;
        if answer.is_success() { Ok(answer) } else { Err(Trouble::of_answer(platform, &answer)) }
    }
}
