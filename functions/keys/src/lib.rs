//! The keys group: pooled provider API keys, with their health, limits, spend and selection.
//!
//! # Theory of operation
//! A customer pools keys of the same provider; their programs ask for one ([`acquire`]), use it, and report how that went.
//! A key is an item with its definition and its health, one secret, and an item that counts its uses ([`store`]). Which key
//! is next is decided by a pure function over the pool ([`model::choose`]) and made true by one conditional write, so no
//! limit is ever passed, whatever the concurrency. A lease is a sealed text and is written nowhere; only its report is
//! ([`lease`]).
//!
//! A key's health follows what its users report and what probes find ([`model::Health`]). `keys-monitor` probes every
//! five minutes what is unhealthy or cooling down, so that a key comes back by itself ([`monitor`]); `keys-billing` asks
//! hourly for balances and usage where the provider tells, and compares them with the spend limits ([`billing`]). How a
//! key is proved and what its provider tells is each provider's own, behind one trait ([`providers`]).

pub mod acquire;
pub mod api;
pub mod billing;
pub mod lease;
pub mod model;
pub mod monitor;
pub mod providers;
mod round;
pub mod store;

use std::sync::Arc;

use jiff::Timestamp;
use providers::Secrets;
use shared::Platform;
use shared::auth::Tenant;
use shared::http::ApiError;
use shared::telemetry::metrics;
use store::Keys;
use tokio::sync::Semaphore;

use model::{Event, Key, KeyId, Probe, Verdict};
use providers::Credential;

/// The group's name in keys, secrets and logs.
pub const GROUP: &str = "keys";

/// What the group's handlers and jobs work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Group {
    /// The keys.
    pub keys: Keys,
    /// The platform they stand on.
    pub platform: Platform,
    /// Turns of acquisitions.
    turns: Arc<Semaphore>,
}

impl Group {
    /// The group on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        let turns = Arc::new(Semaphore::new(acquire::AT_ONCE));
        Self { keys: Keys::new(platform), platform: platform.clone(), turns }
    }

    /// Asks a key's provider whether a credential works.
    pub async fn probe(&self, key: &Key, secrets: &Secrets) -> Probe {
        let credential = Credential::new(&secrets.0, key.base_url.as_ref());
        let egress = self.platform.egress.hiding(secrets.confidential());
        let probe = providers::of(&key.provider).probe(&credential, &egress).await;
        metrics::judged(GROUP, probe.verdict.name());
        probe
    }

    /// Takes in a probe that began then, of the credential of `revision`; of another one it says nothing about the present.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such key.
    pub async fn record(
        &self,
        tenant: &Tenant,
        id: KeyId,
        revision: u64,
        began: Timestamp,
        probe: &Probe,
    ) -> Result<Key, ApiError> {
        let now = self.platform.ids.now();
        let record = |key: &mut Key| {
            if let Some(event) = event_of(probe).filter(|_| key.revision == revision) {
                key.health.judge(event, began, now);
            }
            Ok(())
        };
        Ok(self.keys.change(tenant, id, record).await?.0)
    }
}

/// What a probe means for a key's health; nothing if it was inconclusive.
#[must_use]
pub fn event_of(probe: &Probe) -> Option<Event> {
    match probe.verdict {
        Verdict::Limited if probe.exhausted => Some(Event::ProvedExhausted(probe.message.clone())),
        Verdict::Valid | Verdict::Limited => Some(Event::Proved),
        Verdict::Invalid => Some(Event::ProvedInvalid(probe.message.clone())),
        Verdict::Inconclusive => None,
    }
}

/// The group's functions by name, as they are deployed.
#[must_use]
pub fn functions(platform: &Platform) -> Vec<(&'static str, shared::function::Function)> {
    use shared::function::Function;
    vec![
        ("keys-api", Function::Api(api::router(platform))),
        (monitor::FUNCTION, Function::job(platform, monitor::FUNCTION, Arc::new(monitor::Monitor::new(platform)))),
        (billing::FUNCTION, Function::job(platform, billing::FUNCTION, Arc::new(billing::BillingJob::new(platform)))),
    ]
}
