//! Acquiring a key: choose, count, hand out.
//!
//! Once the pool is known, an acquisition is one BatchGetItem (the live usage of the provider's keys and the pool's
//! generation; of more than 99 keys, one for each hundred items) and one conditional UpdateItem; a key that turns out to be
//! full costs one more. The credential comes from memory, by
//! its version.
//!
//! An acquisition under an idempotency key is remembered by its lease, never by its answer: that holds a credential. The
//! nonce is derived from the idempotency key, so that even two of them at once count one use of a key once.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::auth::Tenant;
use shared::credentials::CredentialError;
use shared::digest::sha256_hex;
use shared::http::ApiError;
use shared::table::keys::pool as places;
use shared::table::{Index, Record, Stored, TableError};
use shared::telemetry::metrics;

use crate::Group;
use crate::lease::Lease;
use crate::model::{Key, KeyId, PassedOver, Reason, Usage, choose, earliest, main_reason, objection};
use crate::providers::Secrets;
use crate::store::{Counted, Pool};

/// When to ask again where nothing ends by itself: the monitor's next round.
const NEXT_ROUND: Duration = Duration::from_secs(300);
/// Acquisitions that a process works on at a time; more wait for their turn. Lambda gives a process one request at a time
/// anyway. In the local stack everything shares a processor or two, and each attempt of a crowd would be given up while it
/// waits for the others'.
pub(crate) const AT_ONCE: usize = 4;
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// A key that was handed out.
#[derive(Debug)]
pub struct Grant {
    /// The leave to use it.
    pub lease: Lease,
    /// The key.
    pub key: Key,
    /// Its usage, this use included.
    pub usage: Usage,
    /// Its credential.
    pub secrets: Secrets,
}

/// What an acquisition under an idempotency key came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    lease: String,
    provider: String,
    at: Timestamp,
}

impl Record for Remembered {
    fn index(&self) -> Index {
        Index { expires_at: self.at.saturating_add(REMEMBERED).ok(), ..Index::default() }
    }
}

impl Group {
    /// Chooses a key of `provider` and counts one use of it.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no key of this provider, [`ApiError::NoneFree`] if none can be used now.
    pub async fn acquire(&self, tenant: &Tenant, provider: &str) -> Result<Grant, ApiError> {
        self.grant(tenant, provider, self.platform.ids.bytes()).await
    }

    /// The same under an idempotency key: asked again within a day it gives the same lease and counts nothing.
    ///
    /// # Errors
    /// Also [`ApiError::Conflict`] if the key was used for another provider.
    pub async fn acquire_once(
        &self,
        tenant: &Tenant,
        provider: &str,
        idempotency_key: &str,
    ) -> Result<Grant, ApiError> {
        let table = &self.platform.table;
        let place = places::acquisition(tenant, &sha256_hex(idempotency_key.as_bytes()));
        let now = self.platform.ids.now();
        let expired = match table.get::<Remembered>(&place).await {
            Ok(Stored { record, .. }) if now.duration_since(record.at) < REMEMBERED => {
                return self.again(tenant, provider, &record).await;
            }
            Ok(stored) => Some(stored.version),
            Err(TableError::Missing) => None,
            Err(error) => return Err(error.into()),
        };
        let nonce = Lease::nonce_of(self.platform.signing_key().await?, tenant, idempotency_key);
        let grant = self.grant(tenant, provider, nonce).await?;
        let remembered = Remembered { lease: grant.lease.to_string(), provider: provider.to_owned(), at: now };
        let written = match expired {
            Some(version) => table.replace(&place, remembered, version).await,
            None => table.create(&place, remembered, self.platform.ids.uuid()).await,
        };
        match written {
            Ok(_) => Ok(grant),
            // The same acquisition was under way elsewhere, and that one counts.
            Err(TableError::Exists | TableError::Contended) => {
                let record = table.get::<Remembered>(&place).await?.record;
                self.again(tenant, provider, &record).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn again(&self, tenant: &Tenant, provider: &str, remembered: &Remembered) -> Result<Grant, ApiError> {
        if remembered.provider != provider {
            return Err(ApiError::conflict(
                "This Idempotency-Key was used with another request. Use a new key for a new request.",
            ));
        }
        let lease = Lease::parse(&remembered.lease).ok_or_else(|| ApiError::internal("a lease cannot be read"))?;
        let (key, secrets) = self.keys.open(tenant, lease.id).await?;
        let usage = self.keys.usage(tenant, &key).await?;
        Ok(Grant { lease, key, usage, secrets })
    }

    async fn grant(&self, tenant: &Tenant, provider: &str, nonce: [u8; Lease::NONCE]) -> Result<Grant, ApiError> {
        let _turn = self.turns.acquire().await.map_err(ApiError::internal)?;
        let now = self.platform.ids.now();
        let Pool { keys, usage } = self.keys.pool(tenant, provider).await?;
        if keys.is_empty() {
            metrics::denied("no_key");
            return Err(ApiError::NotFound { what: "Integration" });
        }
        let choice = choose(&keys, |id| usage.get(&id).copied().unwrap_or_default(), now);
        let mut passed_over = choice.passed_over;
        for id in choice.candidates {
            let Some(key) = keys.iter().find(|key| key.id == id) else { continue };
            let seen = usage.get(&id).copied().unwrap_or_default();
            match self.keys.count(tenant, key, seen, &nonce, now).await? {
                Counted::Granted(usage) => return self.hand_out(tenant, key.clone(), usage, nonce, now).await,
                Counted::Refused(usage) => passed_over.extend(objection(key, &usage, now)),
                Counted::Busy => passed_over.push(busy(id, now)),
                Counted::Gone => {}
            }
        }
        // With no reason at all, every key was deleted while it was being chosen.
        metrics::denied(main_reason(&passed_over).map_or("no_key", Reason::name));
        Err(none_free(provider, &keys, &passed_over, now))
    }

    async fn hand_out(
        &self,
        tenant: &Tenant,
        key: Key,
        usage: Usage,
        nonce: [u8; Lease::NONCE],
        now: Timestamp,
    ) -> Result<Grant, ApiError> {
        let (key, secrets) = match self.keys.secrets(tenant, &key).await {
            Ok(secrets) => (key, secrets),
            // Rotated since it was read.
            Err(CredentialError::Missing) => self.keys.open(tenant, key.id).await?,
            Err(error) => return Err(error.into()),
        };
        let lease = Lease { id: key.id, revision: key.revision, granted_at: now, nonce };
        Ok(Grant { lease, key, usage, secrets })
    }
}

/// A key whose uses cannot be counted just now, because there are too many of them.
fn busy(id: KeyId, now: Timestamp) -> PassedOver {
    PassedOver { id, reason: Reason::Busy, free_at: now.checked_add(SignedDuration::from_secs(1)).ok() }
}

/// A key that was passed over, as a client is told.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PassedOverKey {
    integration_id: KeyId,
    #[schema(required = true)]
    key_label: Option<String>,
    reason: Reason,
    /// When it is free again, where that is known.
    #[schema(required = true, format = DateTime)]
    available_at: Option<String>,
}

fn none_free(provider: &str, keys: &[Key], passed_over: &[PassedOver], now: Timestamp) -> ApiError {
    let reasons = passed_over.iter().map(|passed| {
        let label = keys.iter().find(|key| key.id == passed.id).and_then(|key| key.label.clone());
        PassedOverKey {
            integration_id: passed.id,
            key_label: label,
            reason: passed.reason,
            available_at: passed.free_at.map(|at| format!("{at:.0}")),
        }
    });
    let reasons: Vec<PassedOverKey> = reasons.collect();
    let wait = earliest(passed_over).and_then(|at| Duration::try_from(at.duration_since(now)).ok());
    ApiError::NoneFree {
        message: format!("No {provider} key is free"),
        reasons: serde_json::to_value(reasons).unwrap_or_default(),
        retry_after: wait.unwrap_or(NEXT_ROUND),
    }
}
