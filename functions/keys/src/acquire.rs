//! Acquiring a key: choose, count, hand out.
//!
//! Once the pool is known, an acquisition is one BatchGetItem (the live usage of the provider's keys and the pool's
//! generation; of more than 99 keys, one for each hundred items) and one conditional UpdateItem; a key that turns out to be
//! full costs one more. The credential is read before the use is counted, from memory by its version where it is there; a
//! key whose credential cannot be read is passed over.
//!
//! An acquisition under an idempotency key is remembered by its lease, never by its answer: that holds a credential. The
//! lease is written down before the use is counted, as one that has begun, and again when it is counted. So whoever comes
//! with the same idempotency key, be it at once or after the first request died, finds which key was chosen and by which
//! nonce its use is known, and goes on there: it looks whether the use was counted, and counts it if not.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::auth::Tenant;
use shared::digest::sha256_hex;
use shared::http::ApiError;
use shared::table::keys::pool as places;
use shared::table::{Index, Key as Place, Record, Stored, TableError};
use shared::telemetry::metrics;

use crate::Group;
use crate::lease::Lease;
use crate::model::{HealthStatus, Key, KeyId, PassedOver, Reason, Usage, choose, earliest, main_reason, objection};
use crate::providers::Secrets;
use crate::store::{Counted, Opened, Pool};

/// When to ask again where nothing ends by itself: the monitor's next round.
const NEXT_ROUND: Duration = Duration::from_secs(300);
/// Acquisitions that a process works on at a time; more wait for their turn. Lambda gives a process one request at a time
/// anyway. In the local stack everything shares a processor or two, and each attempt of a crowd would be given up while it
/// waits for the others'.
pub(crate) const AT_ONCE: usize = 4;
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);
/// How long a request that has begun may still be at work: a little longer than the longest one.
const AT_WORK: SignedDuration = SignedDuration::from_secs(35);
/// Each time somebody else was quicker, so this ends.
const TRIES: u32 = 12;

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
    /// True if it was handed out before, under the same idempotency key.
    pub replayed: bool,
}

/// What a key is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Whose key.
    pub provider: &'a str,
    /// For which model; chooses nothing.
    pub model: Option<&'a str>,
}

/// What an acquisition under an idempotency key came to, or has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    lease: String,
    provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    at: Timestamp,
    /// True until the use is known to be counted.
    #[serde(default)]
    begun: bool,
}

impl Record for Remembered {
    fn index(&self) -> Index {
        Index { expires_at: self.at.saturating_add(REMEMBERED).ok(), ..Index::default() }
    }
}

impl Remembered {
    /// Its lease, if the same was asked for.
    fn lease_for(&self, wanted: Wanted<'_>) -> Result<Lease, ApiError> {
        if wanted != (Wanted { provider: &self.provider, model: self.model.as_deref() }) {
            return Err(ApiError::conflict(
                "This Idempotency-Key was used with another request. Use a new key for a new request.",
            ));
        }
        Lease::parse(&self.lease).ok_or_else(|| ApiError::internal("a lease cannot be read"))
    }
}

/// An idempotency key under which nothing has been handed out yet.
struct Claim<'a> {
    place: Place,
    wanted: Wanted<'a>,
    /// The version of its record, if there is one.
    version: Option<u64>,
    /// The lease of an earlier request, or of one that is at work now.
    begun: Option<Lease>,
}

impl Claim<'_> {
    /// The lease that was begun for this key a moment ago, whose use may be about to be counted.
    fn at_work(&self, id: KeyId, now: Timestamp) -> Option<Lease> {
        self.begun.clone().filter(|begun| begun.id == id && now.duration_since(begun.granted_at) < AT_WORK)
    }
}

impl Group {
    /// Chooses a key of `provider` and counts one use of it.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no key of this provider, [`ApiError::NoneFree`] if none can be used now.
    pub async fn acquire(&self, tenant: &Tenant, provider: &str) -> Result<Grant, ApiError> {
        self.grant(tenant, provider, None).await?.ok_or_else(|| TableError::Contended.into())
    }

    /// The same under an idempotency key: asked again within a day it gives the same lease and counts nothing.
    ///
    /// # Errors
    /// Also [`ApiError::Conflict`] if the key was used with another request, or what was handed out cannot be used any more.
    pub async fn acquire_once(
        &self,
        tenant: &Tenant,
        wanted: Wanted<'_>,
        idempotency_key: &str,
    ) -> Result<Grant, ApiError> {
        let place = places::acquisition(tenant, &sha256_hex(idempotency_key.as_bytes()));
        for attempt in 0..TRIES {
            let now = self.platform.ids.now();
            let mut claim = Claim { place: place.clone(), wanted, version: None, begun: None };
            match self.platform.table.get::<Remembered>(&place).await {
                Ok(Stored { record, version }) => {
                    claim.version = Some(version);
                    if now.duration_since(record.at) < REMEMBERED {
                        let lease = record.lease_for(wanted)?;
                        if !record.begun {
                            return self.again(tenant, lease).await;
                        }
                        claim.begun = Some(lease).filter(|lease| now < lease.expires_at());
                    }
                }
                Err(TableError::Missing) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(grant) = self.grant(tenant, wanted.provider, Some(&mut claim)).await? {
                return Ok(grant);
            }
            self.platform.table.pause(attempt).await;
        }
        Err(TableError::Contended.into())
    }

    /// What was handed out, once more; not where its owner or its provider has taken it back since.
    async fn again(&self, tenant: &Tenant, lease: Lease) -> Result<Grant, ApiError> {
        let (key, secrets) = self.keys.open(tenant, lease.id).await?;
        if is_taken_back(&key) || key.revision != lease.revision {
            return Err(ApiError::conflict(
                "The key that was handed out under this Idempotency-Key has been switched off, rotated or found not to work \
                 since. Use a new key for a new request.",
            ));
        }
        let usage = self.keys.usage(tenant, &key).await?;
        Ok(Grant { lease, key, usage, secrets, replayed: true })
    }

    /// Nothing where another request under the same idempotency key was quicker.
    async fn grant(
        &self,
        tenant: &Tenant,
        provider: &str,
        mut claim: Option<&mut Claim<'_>>,
    ) -> Result<Option<Grant>, ApiError> {
        let _turn = self.turns.acquire().await.map_err(ApiError::internal)?;
        let Pool { keys, usage } = self.keys.pool(tenant, provider).await?;
        if keys.is_empty() {
            metrics::denied("no_key");
            return Err(ApiError::NotFound { what: "Integration" });
        }
        if let Some(claim) = claim.as_deref_mut()
            && let Some(lease) = self.counted(tenant, claim).await?
        {
            let (key, secrets) = self.keys.open(tenant, lease.id).await?;
            if !is_taken_back(&key) {
                let usage = self.keys.usage(tenant, &key).await?;
                return self.hand_out(Grant { lease, key, usage, secrets, replayed: false }, Some(claim)).await;
            }
        }
        let now = self.platform.ids.now();
        let choice = choose(&keys, |id| usage.get(&id).copied().unwrap_or_default(), now);
        let (mut candidates, mut passed_over) = (choice.candidates, choice.passed_over);
        let at_work = |id: KeyId, claim: Option<&Claim<'_>>| claim.and_then(|claim| claim.at_work(id, now));
        candidates.sort_by_key(|id| at_work(*id, claim.as_deref()).is_none());
        for id in candidates {
            let Some(key) = keys.iter().find(|key| key.id == id) else { continue };
            // Before anything is counted: a use of a key that cannot be handed out is none.
            let (key, secrets) = match self.keys.open_known(tenant, key).await? {
                Opened::Whole(opened) => *opened,
                Opened::Unreadable => {
                    passed_over.push(PassedOver { id, reason: Reason::Unreadable, free_at: None });
                    continue;
                }
                Opened::Gone => continue,
            };
            let seen = usage.get(&id).copied().unwrap_or_default();
            let (begun, nonce) = (at_work(id, claim.as_deref()), self.platform.ids.bytes());
            let is_new = begun.is_none();
            let lease = begun.unwrap_or(Lease { id, revision: key.revision, granted_at: now, nonce });
            if let Some(claim) = claim.as_deref_mut().filter(|_| is_new)
                && !self.note(claim, &lease, true).await?
            {
                return Ok(None);
            }
            match self.keys.count(tenant, &key, seen, &lease.nonce).await? {
                Counted::Granted(usage) => {
                    let grant = Grant { lease, key, usage, secrets, replayed: false };
                    return self.hand_out(grant, claim).await;
                }
                Counted::Refused(usage) => passed_over.extend(objection(&key, &usage, now)),
                Counted::Busy => passed_over.push(busy(id, now)),
                Counted::Gone => {}
            }
        }
        // With no reason at all, every key was deleted while it was being chosen.
        metrics::denied(main_reason(&passed_over).map_or("no_key", Reason::name));
        Err(none_free(provider, &keys, &passed_over, now))
    }

    /// The lease that was begun, if its use has been counted.
    async fn counted(&self, tenant: &Tenant, claim: &Claim<'_>) -> Result<Option<Lease>, TableError> {
        let Some(lease) = &claim.begun else { return Ok(None) };
        let is_counted = self.keys.was_counted(tenant, lease.id, &lease.nonce).await?;
        Ok(is_counted.then(|| lease.clone()))
    }

    /// Writes what has begun, or what it has come to. False where another request under the same key was quicker.
    async fn note(&self, claim: &mut Claim<'_>, lease: &Lease, begun: bool) -> Result<bool, TableError> {
        let (table, ids) = (&self.platform.table, &self.platform.ids);
        let Wanted { provider, model } = claim.wanted;
        let (provider, model) = (provider.to_owned(), model.map(str::to_owned));
        let record = Remembered { lease: lease.to_string(), provider, model, at: ids.now(), begun };
        let written = match claim.version {
            Some(version) => table.replace(&claim.place, record, version).await,
            None => table.create(&claim.place, record, ids.uuid()).await,
        };
        match written {
            Ok(stored) => {
                claim.version = Some(stored.version);
                Ok(true)
            }
            Err(TableError::Exists | TableError::Contended) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Hands out what was counted, under the revision of the credential that it holds.
    async fn hand_out(&self, grant: Grant, claim: Option<&mut Claim<'_>>) -> Result<Option<Grant>, ApiError> {
        let lease = Lease { revision: grant.key.revision, ..grant.lease };
        if let Some(claim) = claim
            && !self.note(claim, &lease, false).await?
        {
            return Ok(None);
        }
        Ok(Some(Grant { lease, ..grant }))
    }
}

/// True for a key that is to be given to nobody, whatever its limits.
fn is_taken_back(key: &Key) -> bool {
    !key.is_active || key.health.status() == HealthStatus::Unhealthy
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
