//! Money: what providers tell of a key's balance and usage, compared with its spend limit.
//!
//! `keys-billing` asks every hour, `POST …/sync-billing` at once. Only what a provider told is written: an answer that
//! failed or cannot be read changes no amount and no `billing_synced_at`. Against the spend limit counts what the provider
//! told of the present period or what the users of leases reported, whichever is more: a provider may stop telling.
//!
//! The hourly job works as the monitor does, on an item of its own for each key, so that it is never in the way of what
//! happens to the key itself. A run that stops near its deadline is gone on with at the next `Resume`.

use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use shared::auth::Tenant;
use shared::http::ApiError;
use shared::job::{Job, JobError, Run, ScheduledEvent};
use shared::table::TableError;
use shared::{Platform, deadline};

use crate::model::{Billing, Key, KeyId, Spent};
use crate::providers::{self, Credential};
use crate::round::{self, AT_ONCE, BATCH, Round};
use crate::{GROUP, Group};

/// The function's name.
pub const FUNCTION: &str = "keys-billing";
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// A key is begun with only where this much time is left, where somebody waits for the answer.
const ENOUGH_FOR_ONE: Duration = Duration::from_secs(10);

/// What a sync of one key came to.
#[derive(Debug)]
pub struct Synced {
    /// The key, as it is then.
    pub key: Key,
    /// What the provider said; nothing if there was no time to ask.
    pub billing: Option<Billing>,
}

impl Group {
    /// Asks for a key's money and takes it in.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such key.
    pub async fn sync(&self, tenant: &Tenant, id: KeyId) -> Result<Synced, ApiError> {
        let (key, secrets) = self.keys.open(tenant, id).await?;
        let now = self.platform.ids.now();
        let credential = Credential::new(&secrets.0, key.base_url.as_ref());
        let provider = providers::of(&key.provider);
        let billing = provider.billing(&credential, &self.platform.egress.hiding(secrets.confidential()), now).await;
        let reported = match key.spend_limit {
            Some(_) => self.keys.spent(tenant, id, now).await?,
            None => Spent::default(),
        };
        let revision = key.revision;
        let take_in = |key: &mut Key| {
            let told = match &billing {
                Billing::Told(amounts) if key.revision == revision => Some(amounts),
                _ => None,
            };
            key.hear(told, reported, now);
            Ok(())
        };
        let (key, ()) = self.keys.change(tenant, id, take_in).await?;
        Ok(Synced { key, billing: Some(billing) })
    }

    /// The same for every active key of a tenant, or of one provider. What there is no time for is left out, and one that
    /// cannot be synced does not keep the others' results back.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the keys cannot be listed.
    pub async fn sync_all(&self, tenant: &Tenant, provider: Option<&str>) -> Result<Vec<Synced>, ApiError> {
        let keys = self.keys.in_order(tenant).await?;
        let wanted = keys.into_iter().filter(|key| key.is_active && provider.is_none_or(|one| one == key.provider));
        let synced = stream::iter(wanted).map(|key| async move {
            if deadline::left().is_some_and(|left| left < ENOUGH_FOR_ONE) {
                return Some(Synced { key, billing: None });
            }
            match self.sync(tenant, key.id).await {
                Ok(synced) => Some(synced),
                Err(ApiError::NotFound { .. }) => None,
                Err(error) => Some(Synced { billing: Some(not_synced(tenant, key.id, &error)), key }),
            }
        });
        Ok(synced.buffered(AT_ONCE).filter_map(std::future::ready).collect().await)
    }
}

/// What a sync came to that the table or Secrets Manager kept from happening. Why is in the log.
fn not_synced(tenant: &Tenant, id: KeyId, error: &ApiError) -> Billing {
    let (tenant, integration) = (tenant.as_str(), id.number());
    tracing::error!(group = GROUP, tenant, integration, %error, "a key's billing could not be synced");
    Billing::Failed("The stored key could not be read or written.".into())
}

/// The hourly job.
#[derive(Debug)]
pub struct BillingJob {
    group: Group,
}

/// What a run did.
#[derive(Debug, Default, Serialize)]
struct Tally {
    synced: usize,
    not_told: usize,
    failed: usize,
    /// False if time ran out first; the next `Resume` goes on.
    finished: bool,
}

impl BillingJob {
    /// The job on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { group: Group::new(platform) }
    }
}

#[async_trait::async_trait]
impl Round for BillingJob {
    const FUNCTION: &'static str = FUNCTION;

    type Outcome = Billing;

    async fn due(&self, queue: u8, cutoff: Timestamp) -> Result<Vec<(Tenant, KeyId)>, TableError> {
        self.group.keys.due_for_billing(queue, cutoff, BATCH).await
    }

    async fn work(&self, tenant: &Tenant, id: KeyId, run: &Run) -> Result<Option<Billing>, JobError> {
        let keys = &self.group.keys;
        let Some(fence) = keys.claim_billing(tenant, id, run.cutoff, LEASE).await? else { return Ok(None) };
        let billing = match self.group.sync(tenant, id).await {
            Ok(synced) => synced.billing,
            Err(ApiError::NotFound { .. } | ApiError::Conflict { .. }) => None,
            // One key that cannot be looked at must not keep the others waiting.
            Err(error) => Some(not_synced(tenant, id, &error)),
        };
        keys.release_billing(tenant, id, fence, run.cutoff).await?;
        if let Some(Billing::Failed(reason)) = &billing {
            tracing::warn!(group = GROUP, tenant = tenant.as_str(), integration = id.number(), reason, "not synced");
        }
        Ok(billing)
    }
}

#[async_trait::async_trait]
impl Job for BillingJob {
    async fn run(&self, event: ScheduledEvent) -> Result<serde_json::Value, JobError> {
        let mut tally = Tally::default();
        let count = |billing| match billing {
            Billing::Told(_) => tally.synced += 1,
            Billing::NotTold(_) => tally.not_told += 1,
            Billing::Failed(_) => tally.failed += 1,
        };
        tally.finished = round::go(self, &self.group.platform, &event, count).await?;
        serde_json::to_value(tally).map_err(JobError::Result)
    }
}
