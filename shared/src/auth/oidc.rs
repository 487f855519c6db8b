//! The operator's issuer of tokens: where its keys are, and when they are asked for again.
//!
//! # Theory of operation
//! The keys are found by OpenID Connect discovery and kept in the process for [`FRESH`]; the first token after that
//! has them fetched again. So does a token that names a key which is not among them, since that is how a new key is
//! first met, but never within [`WINDOW`] of the last time: whoever makes key names up cannot make us hammer the issuer.
//! Whoever else needs the keys meanwhile waits for the one who fetches. What a function fetches at its start, with little
//! patience, is not held against its first token: that one may have the keys fetched at once.
//!
//! While the issuer does not answer, the keys that were last had go on counting, for [`KEPT`] at most. Where nothing
//! can be said for certain (there never were keys, or the key might be a new one of an issuer that is down) the answer
//! is that the token could not be checked, never that it is wrong.
//!
//! The egress guard is in force for both addresses, as for a user's: the second one comes out of an answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::jwt::{JsonKeySet, KeySet, Refusal, Unverified, Verified};
use crate::clock::Ids;
use crate::config::OidcConfig;
use crate::egress::{Egress, EgressError};
use crate::telemetry;

/// For how long keys are used without asking again.
const FRESH: SignedDuration = SignedDuration::from_mins(10);
/// For how long keys are used that could not be fetched again.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// The least time between two fetches, where there are keys.
const WINDOW: SignedDuration = SignedDuration::from_secs(30);
/// The same where there are none, so that nothing can be decided meanwhile.
const WINDOW_WITHOUT_KEYS: SignedDuration = SignedDuration::from_secs(5);
/// How long the issuer is waited for, in each of the two requests.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same at a function's start, which has to do without.
const PATIENCE_AT_START: Duration = Duration::from_secs(1);
/// The largest set of keys that is read.
const LARGEST: usize = 256 * 1024;

/// Why the issuer's keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// One of its documents could not be fetched.
    #[error("the issuer's {what} could not be fetched")]
    Unreachable {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: EgressError,
    },
    /// One of its documents could not be fetched.
    #[error("the issuer's {what} could not be fetched: it answered {status}")]
    Refused {
        /// Which.
        what: &'static str,
        /// What it answered.
        status: u16,
    },
    /// One of its documents is not what it should be.
    #[error("the issuer's {what} cannot be used: {problem}")]
    Unusable {
        /// Which.
        what: &'static str,
        /// Why not.
        problem: &'static str,
    },
    /// It was asked a moment ago, in vain.
    #[error("the issuer's keys could not be fetched a moment ago")]
    AskedAlready,
}

/// Why a token does not count.
#[derive(Debug)]
pub(super) enum Unverifiable {
    /// It is wrong.
    Refused(Refusal),
    /// Nothing can be said.
    Unknown(IssuerError),
}

/// The issuer, with what is known of its keys.
#[derive(Debug)]
pub(super) struct Issuer {
    config: OidcConfig,
    egress: Egress,
    ids: Ids,
    held: Mutex<Held>,
    /// Whoever holds it fetches.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Held {
    keys: Option<(Timestamp, Arc<KeySet>)>,
    asked_at: Option<Timestamp>,
    /// True if the last fetch was in vain.
    failed: bool,
}

/// What is read of OpenID Connect's discovery document.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Issuer {
    pub(super) fn new(config: OidcConfig, egress: Egress, ids: Ids) -> Self {
        Self { config, egress, ids, held: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// What a token says, if the issuer has signed it for us.
    pub(super) async fn verify(&self, token: &str) -> Result<Verified, Unverifiable> {
        let unverified = Unverified::parse(token, self.config.algorithm).map_err(Unverifiable::Refused)?;
        let keys = self.keys(unverified.kid()).await?;
        unverified.verify(&keys, &self.config, self.ids.now()).map_err(Unverifiable::Refused)
    }

    /// Fetches the keys in advance, while nobody waits.
    pub(super) async fn prepare(&self) {
        let _turn = self.turn.lock().await;
        if let Err(error) = self.fetch(PATIENCE_AT_START).await {
            tracing::warn!(error = telemetry::chain(&error), "the issuer's keys could not be fetched in advance");
        }
        self.held().asked_at = None;
    }

    /// The keys to verify with: with one of this name, unless it is certain that there is none.
    async fn keys(&self, kid: &str) -> Result<Arc<KeySet>, Unverifiable> {
        if let Some(keys) = self.fresh(kid) {
            return Ok(keys);
        }
        let _turn = self.turn.lock().await;
        // Whoever had the turn before may have fetched them.
        if let Some(keys) = self.fresh(kid) {
            return Ok(keys);
        }
        let problem = if self.may_ask() {
            self.fetch(PATIENCE)
                .await
                .inspect_err(|error| tracing::warn!(error = telemetry::chain(error), "no keys"))
                .err()
        } else {
            None
        };
        let now = self.ids.now();
        let (kept, failed) = {
            let held = self.held();
            let kept = held.keys.as_ref().filter(|(at, _)| now.duration_since(*at) < KEPT);
            (kept.map(|(_, keys)| Arc::clone(keys)), held.failed)
        };
        match kept {
            Some(keys) if !failed || keys.has(kid) => Ok(keys),
            _ => Err(Unverifiable::Unknown(problem.unwrap_or(IssuerError::AskedAlready))),
        }
    }

    /// The keys, if they need not be asked for: they are fresh, and there is one of this name.
    fn fresh(&self, kid: &str) -> Option<Arc<KeySet>> {
        let now = self.ids.now();
        let held = self.held();
        let (_, keys) = held.keys.as_ref().filter(|(at, _)| now.duration_since(*at) < FRESH)?;
        keys.has(kid).then(|| Arc::clone(keys))
    }

    fn may_ask(&self) -> bool {
        let held = self.held();
        let window = if held.keys.is_some() { WINDOW } else { WINDOW_WITHOUT_KEYS };
        let since = held.asked_at.map(|at| self.ids.now().duration_since(at));
        // A clock that was put back must not keep us from asking.
        since.is_none_or(|since| since >= window || since.is_negative())
    }

    async fn fetch(&self, patience: Duration) -> Result<(), IssuerError> {
        // A request that is given up half-way has asked, too.
        self.held().asked_at = Some(self.ids.now());
        let fetched = self.ask(patience).await;
        let now = self.ids.now();
        let mut held = self.held();
        held.asked_at = Some(now);
        held.failed = fetched.is_err();
        held.keys = Some((now, Arc::new(fetched?)));
        Ok(())
    }

    async fn ask(&self, patience: Duration) -> Result<KeySet, IssuerError> {
        const DISCOVERY: &str = "discovery document";
        const KEYS: &str = "set of keys";
        let unusable = |what, problem| IssuerError::Unusable { what, problem };
        let address = format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/'));
        let address = Url::parse(&address).map_err(|_| unusable(DISCOVERY, "its address is malformed"))?;
        let found: Discovery = self.document(DISCOVERY, &address, patience).await?;
        if found.issuer != self.config.issuer {
            return Err(unusable(DISCOVERY, "it names another issuer than is set"));
        }
        let keys = Url::parse(&found.jwks_uri).map_err(|_| unusable(DISCOVERY, "its jwks_uri is no URL"))?;
        let beside = keys.scheme() == "http" && keys.origin() == address.origin();
        if keys.scheme() != "https" && !beside {
            return Err(unusable(DISCOVERY, "its jwks_uri is not https"));
        }
        let set: JsonKeySet = self.document(KEYS, &keys, patience).await?;
        let keys = KeySet::of(&set, self.config.algorithm);
        let algorithm = self.config.algorithm.name();
        if keys.len() == 0 {
            tracing::warn!(algorithm, "the issuer has no key that fits, so no token of it is taken");
        } else {
            tracing::debug!(algorithm, keys = keys.len(), "the issuer's keys were fetched");
        }
        Ok(keys)
    }

    async fn document<T: DeserializeOwned>(
        &self,
        what: &'static str,
        address: &Url,
        patience: Duration,
    ) -> Result<T, IssuerError> {
        let request = self.egress.user_url(Method::GET, address).header("accept", "application/json");
        let answer = request.patience(patience).read_at_most(LARGEST).send().await;
        let answer = answer.map_err(|source| IssuerError::Unreachable { what, source })?;
        if !answer.is_success() {
            return Err(IssuerError::Refused { what, status: answer.status });
        }
        answer.json().ok_or(IssuerError::Unusable { what, problem: "it has another form" })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
