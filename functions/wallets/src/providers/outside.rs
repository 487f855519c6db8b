//! What a source sees of the world: the way out, the time, and what is remembered about the provider.
//!
//! Every call goes through [`Outside::send`], which first sees that there is time for it and that the worker still holds
//! the integration. Clock offsets and nonces live in the [`Tempo`], which the caller loads before and stores after.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use shared::egress::{Answer, Outgoing, Upstream};
use shared::{Platform, deadline};

use super::Trouble;
use crate::model::Tempo;

/// A call is begun only with this much time left: its own 8 s, and some to store what it brings.
const ENOUGH: Duration = Duration::from_secs(10);
/// Answers hold hundreds of records.
const READ_AT_MOST: usize = 8 * 1024 * 1024;

/// What a worker holds while it asks for an integration's history.
#[async_trait::async_trait]
pub trait Lease: Send + Sync {
    /// Holds on to it for longer, where it would end soon.
    ///
    /// # Errors
    /// [`Trouble::Interrupted`] if another worker has taken over.
    async fn renew(&self) -> Result<(), Trouble>;
}

/// What a source sees of the world, for one account.
pub struct Outside<'a> {
    platform: &'a Platform,
    lease: Option<&'a dyn Lease>,
    tempo: Mutex<Tempo>,
    warnings: Mutex<Vec<&'static str>>,
}

impl std::fmt::Debug for Outside<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").field("tempo", &self.tempo).finish_non_exhaustive()
    }
}

impl<'a> Outside<'a> {
    /// The world as an account with this `tempo` sees it.
    #[must_use]
    pub fn new(platform: &'a Platform, tempo: Tempo) -> Self {
        Self { platform, lease: None, tempo: Mutex::new(tempo), warnings: Mutex::default() }
    }

    /// The same, and the lease is renewed along the way.
    #[must_use]
    pub fn holding(self, lease: &'a dyn Lease) -> Self {
        Self { lease: Some(lease), ..self }
    }

    fn tempo_mut(&self) -> MutexGuard<'_, Tempo> {
        self.tempo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is now known about the provider: to be stored.
    #[must_use]
    pub fn tempo(&self) -> Tempo {
        self.tempo_mut().clone()
    }

    /// The present moment by our clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.platform.ids.now()
    }

    /// The present moment by the provider's clock, as far as it is known: for signatures.
    #[must_use]
    pub fn provider_now(&self) -> Timestamp {
        let offset = SignedDuration::from_millis(self.tempo_mut().clock_offset_ms);
        self.now().saturating_add(offset).unwrap_or_else(|_| self.now())
    }

    /// Remembers that the provider's clock shows `server` now.
    pub fn set_provider_clock(&self, server: Timestamp) {
        self.tempo_mut().clock_offset_ms = server.as_millisecond().saturating_sub(self.now().as_millisecond());
    }

    /// A nonce that is at least `floor` (the time in the provider's own unit) and higher than every one before it.
    #[must_use]
    pub fn nonce(&self, floor: u64) -> u64 {
        self.tempo_mut().next_nonce(floor)
    }

    /// What was remembered under `name`.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<String> {
        self.tempo_mut().notes.get(name).cloned()
    }

    /// Remembers `value` under `name`.
    pub fn set_note(&self, name: &str, value: impl Into<String>) {
        self.tempo_mut().notes.insert(name.to_owned(), value.into());
    }

    /// Tells the wallet's owner something that does not keep the history from going on.
    pub fn warn(&self, warning: &'static str) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// What the owner is to be told.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Unpredictable bytes, in hexadecimal.
    #[must_use]
    pub fn random_hex<const N: usize>(&self) -> String {
        shared::digest::hex(&self.platform.ids.bytes::<N>())
    }

    /// A request to `upstream`, by its documented path; up to 8 MiB of the answer are read.
    pub fn request(&self, method: Method, upstream: Upstream, path: &str) -> Outgoing {
        self.platform.egress.upstream(method, upstream, path).read_at_most(READ_AT_MOST)
    }

    /// A `GET`.
    pub fn get(&self, upstream: Upstream, path: &str) -> Outgoing {
        self.request(Method::GET, upstream, path)
    }

    /// Sends a request; any answer is a success.
    ///
    /// # Errors
    /// [`Trouble::ProviderDown`] if no answer came, [`Trouble::Interrupted`] if there is no time for it or another worker
    /// has taken over.
    pub async fn send(&self, provider: &'static str, request: Outgoing) -> Result<Answer, Trouble> {
        if deadline::left().is_some_and(|left| left < ENOUGH) {
            return Err(Trouble::Interrupted);
        }
        if let Some(lease) = self.lease {
            lease.renew().await?;
        }
        let sent = request.send().await;
        sent.map_err(|error| Trouble::ProviderDown(format!("{provider} could not be asked: {error}.")))
    }

    /// The operator's own key with `upstream`, if there is one.
    ///
    /// # Errors
    /// [`Trouble::ProviderDown`] if it cannot be told just now.
    pub async fn operator_key(&self, upstream: Upstream) -> Result<Option<SecretString>, Trouble> {
        self.platform.operator_key(upstream).await.map_err(|error| {
            tracing::warn!(upstream = upstream.name(), %error, "an operator's key could not be read");
            Trouble::ProviderDown("A key of this service could not be read just now.".into())
        })
    }
}
