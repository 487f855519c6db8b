//! The pool in the table and in Secrets Manager.
//!
//! # Theory of operation
//! A key is one item; its credential is one secret, and the item names the version that belongs to it ([`Keys::create`],
//! [`Keys::rotate`]). Its uses are counted in an item of their own, which is created and deleted with it (`usage`), and
//! which stands in a partition of the key's own: a pool of several keys can be used several times as often as one.
//!
//! Every change of a key that anybody can see raises the *generation* of its provider's pool in the same transaction. An
//! acquisition reads the generation together with the live usage, so keys can be remembered by generation and are read
//! again only when one has changed. Changes that concern which key is the primary also require the generation that they
//! were decided on, so that there is never a second primary.
//!
//! Ids are given by a counter before anything else is written: they rise and are never given twice, and an interrupted
//! creation leaves a gap.

mod report;
mod usage;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, ReturnConsumedCapacity, ReturnValue, TransactWriteItem, Update,
};
use jiff::{SignedDuration, Timestamp};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use shared::Platform;
use shared::auth::Tenant;
use shared::clock::{Ids, Reservation};
use shared::credentials::{CredentialError, Credentials, SecretOwner, SecretVersion};
use shared::http::ApiError;
use shared::table::keys::{self as places, pool};
use shared::table::{Index, Key as Place, Record, Stored, Table, TableError, Transaction, Uncommitted, refine};

use crate::GROUP;
use crate::model::{HealthStatus, Key, KeyId, SecretPart, Usage, Work};
use crate::providers::Secrets;

pub use report::{Day, Reported};
pub use usage::{Counted, Pool};

/// The most keys of a tenant: a pool is read whole where it is filtered.
pub const MOST_KEYS: usize = 1_000;
/// Each job's queues. Several, so that no one partition of the index takes every write.
pub const QUEUES: u8 = 4;
const TRIES: u32 = 12;
const PAGE: usize = 500;
/// The most items of a BatchGetItem.
const BATCH: usize = 100;
/// Pools that are remembered, by tenant and provider.
const REMEMBERED_POOLS: usize = 1_000;
const CREATIONS_KEPT: SignedDuration = SignedDuration::from_hours(48);

/// The name of a queue of the monitor.
#[must_use]
pub fn monitor_queue(number: u8) -> String {
    format!("keys-monitor#{number}")
}

/// The name of a queue of the billing job.
#[must_use]
pub fn billing_queue(number: u8) -> String {
    format!("keys-billing#{number}")
}

fn spread(id: KeyId) -> u8 {
    u8::try_from(id.number() % u64::from(QUEUES)).unwrap_or_default()
}

impl Record for Key {
    fn index(&self) -> Index {
        let (rank, inverse, id) = self.order();
        let due = self.needs_monitor().then(|| (monitor_queue(spread(id)), self.monitor.due_at));
        let kind_order = Some(format!("{ORDER}{rank}#{inverse:04}#{}", id.sort()));
        Index { kind_order, due, ..Index::default() }
    }
}

/// What a key's place in the list starts with.
const ORDER: &str = "L#";

/// When a key's balance is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct BillingWork {
    id: KeyId,
    work: Work,
}

impl Record for BillingWork {
    fn index(&self) -> Index {
        Index { due: Some((billing_queue(spread(self.id)), self.work.due_at)), ..Index::default() }
    }
}

/// What a creation came to, so that a repeated one ends with one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CreatedKey {
    id: KeyId,
    at: Timestamp,
}

impl Record for CreatedKey {
    fn index(&self) -> Index {
        Index { expires_at: self.at.saturating_add(CREATIONS_KEPT).ok(), ..Index::default() }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Counter {
    #[serde(default)]
    total: usize,
}

impl Record for Counter {}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Generation {
    generation: u64,
}

impl Record for Generation {}

/// Which keys a list is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this provider.
    pub provider: Option<String>,
    /// In this health.
    pub health: Option<HealthStatus>,
    /// Switched on or off.
    pub is_active: Option<bool>,
}

impl Filter {
    fn takes(&self, key: &Key) -> bool {
        self.provider.as_ref().is_none_or(|provider| *provider == key.provider)
            && self.health.is_none_or(|health| health == key.health.status())
            && self.is_active.is_none_or(|is_active| is_active == key.is_active)
    }
}

/// A run of keys with their usage, and how many there are in all.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The keys in order.
    pub keys: Vec<(Key, Usage)>,
    /// How many the filter takes.
    pub total: usize,
}

/// A key that was read a while ago, opened.
#[derive(Debug)]
pub enum Opened {
    /// The key as it is now, with its credential.
    Whole(Box<(Key, Secrets)>),
    /// Its credential is not there or cannot be read, and asking again would change nothing.
    Unreadable,
    /// The key has been deleted.
    Gone,
}

/// What changes with every use.
#[derive(Debug, Default)]
struct Live {
    usage: HashMap<KeyId, Usage>,
    /// 0 before a pool's first key.
    generation: u64,
}

type Remembered = Cache<(Tenant, String), (u64, Arc<Vec<Key>>)>;

/// The keys of the pool. Every method takes the tenant; another tenant's id is a missing one.
#[derive(Debug, Clone)]
pub struct Keys {
    table: Table,
    credentials: Credentials,
    ids: Ids,
    remembered: Arc<Remembered>,
    /// Made when first needed: only acquiring counts.
    counting: Arc<OnceLock<Client>>,
}

impl Keys {
    /// The keys on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self {
            table: platform.table.clone(),
            credentials: platform.credentials.clone(),
            ids: platform.ids.clone(),
            remembered: Arc::new(Cache::new(REMEMBERED_POOLS)),
            counting: Arc::default(),
        }
    }

    fn place(tenant: &Tenant, id: KeyId) -> Place {
        places::integration(tenant, GROUP, &id.sort())
    }

    fn owner(tenant: &Tenant, id: KeyId) -> SecretOwner {
        SecretOwner::new(tenant, GROUP, &id.sort())
    }

    /// Up to `limit` keys from `offset` on. The first keys of an unfiltered list cost one Query over them; anything else
    /// reads the pool.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the table does not answer.
    pub async fn list(
        &self,
        tenant: &Tenant,
        filter: &Filter,
        limit: usize,
        offset: usize,
    ) -> Result<Listed, ApiError> {
        let (keys, total) = if *filter == Filter::default() && offset == 0 {
            let partition = places::integrations(tenant, GROUP);
            let page = self.table.page_by_kind::<Key>(&partition, ORDER, None, limit).await?;
            let total = if page.more { self.total(tenant).await? } else { page.records.len() };
            (page.records, total)
        } else {
            let taken: Vec<Key> = self.in_order(tenant).await?.into_iter().filter(|key| filter.takes(key)).collect();
            let total = taken.len();
            (taken.into_iter().skip(offset).take(limit).collect(), total)
        };
        let usage = self.live(tenant, &keys, None).await?.usage;
        let keys = keys.into_iter().map(|key| {
            let used = usage.get(&key.id).copied().unwrap_or_default();
            (key, used)
        });
        Ok(Listed { keys: keys.collect(), total })
    }

    async fn total(&self, tenant: &Tenant) -> Result<usize, TableError> {
        match self.table.get::<Counter>(&pool::counter(tenant)).await {
            Ok(stored) => Ok(stored.record.total),
            Err(TableError::Missing) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Every key of a tenant, in the list's order.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn in_order(&self, tenant: &Tenant) -> Result<Vec<Key>, TableError> {
        let partition = places::integrations(tenant, GROUP);
        let mut keys: Vec<Key> = Vec::new();
        loop {
            let after = keys.last().map(|last| {
                let order = last.index().kind_order.unwrap_or_default();
                (order, format!("{}{}", places::INTEGRATION, last.id.sort()))
            });
            let after = after.as_ref().map(|(order, sort)| (order.as_str(), sort.as_str()));
            let page = self.table.page_by_kind::<Key>(&partition, ORDER, after, PAGE).await?;
            let more = page.more && !page.records.is_empty();
            keys.extend(page.records);
            if !more {
                return Ok(keys);
            }
        }
    }

    /// The live usage of some keys, and with it the generation of a provider's pool, by one BatchGetItem a hundred items.
    async fn live(&self, tenant: &Tenant, keys: &[Key], provider: Option<&str>) -> Result<Live, TableError> {
        let places = keys.iter().map(|key| pool::usage(tenant, &key.id.sort()));
        let generation = provider.map(|provider| pool::generation(tenant, provider));
        let places: Vec<_> = generation.into_iter().chain(places).map(|place| place.attributes()).collect();
        let mut live = Live::default();
        for some in places.chunks(BATCH) {
            let mut asked = Some(some.to_vec());
            for attempt in 0..TRIES {
                let Some(wanted) = asked.take().filter(|wanted| !wanted.is_empty()) else { break };
                let request = KeysAndAttributes::builder()
                    .set_keys(Some(wanted))
                    .consistent_read(true)
                    .projection_expression(usage::PROJECTION)
                    .build()
                    .map_err(|error| TableError::Unavailable(Box::new(error)))?;
                let batch = self.table.client().batch_get_item().request_items(self.table.name(), request);
                let batch = batch.return_consumed_capacity(ReturnConsumedCapacity::Total);
                let output = batch.send().await.map_err(refine)?;
                let items = output.responses.unwrap_or_default().remove(self.table.name()).unwrap_or_default();
                for item in &items {
                    match usage::id_of(item) {
                        Some(id) => live.usage.extend([(id, usage::of(item))]),
                        None => live.generation = whole(item, "generation").unwrap_or_default(),
                    }
                }
                let left = output.unprocessed_keys.unwrap_or_default().remove(self.table.name());
                asked = left.map(|left| left.keys);
                if asked.is_some() {
                    self.table.pause(attempt).await;
                }
            }
            // What is left out would look as if it had never been used.
            if asked.is_some_and(|left| !left.is_empty()) {
                return Err(TableError::Contended);
            }
        }
        Ok(live)
    }

    /// One key.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such key.
    pub async fn read(&self, tenant: &Tenant, id: KeyId) -> Result<Key, ApiError> {
        Ok(self.stored(tenant, id).await?.record)
    }

    /// A key's live usage.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the table does not answer.
    pub async fn usage(&self, tenant: &Tenant, key: &Key) -> Result<Usage, ApiError> {
        let usage = self.live(tenant, std::slice::from_ref(key), None).await?.usage;
        Ok(usage.get(&key.id).copied().unwrap_or_default())
    }

    async fn stored(&self, tenant: &Tenant, id: KeyId) -> Result<Stored<Key>, ApiError> {
        self.table.get(&Self::place(tenant, id)).await.map_err(not_found)
    }

    /// The credential that a key names.
    ///
    /// # Errors
    /// [`CredentialError`]; [`CredentialError::Missing`] if it has been rotated away since the key was read.
    pub async fn secrets(&self, tenant: &Tenant, key: &Key) -> Result<Secrets, CredentialError> {
        Secrets::parse(&*self.credentials.read(&Self::owner(tenant, key.id), key.secret.version).await?)
    }

    /// One key with its credential; read again if it was rotated in between.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such key.
    pub async fn open(&self, tenant: &Tenant, id: KeyId) -> Result<(Key, Secrets), ApiError> {
        let mut key = self.read(tenant, id).await?;
        loop {
            match self.secrets(tenant, &key).await {
                Ok(secrets) => return Ok((key, secrets)),
                Err(CredentialError::Missing) => {
                    let fresh = self.read(tenant, id).await?;
                    if fresh.secret.version == key.secret.version {
                        return Err(CredentialError::Missing.into());
                    }
                    key = fresh;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Opens a key that was read a while ago; it is read again if it was rotated since.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the table or Secrets Manager does not answer.
    pub async fn open_known(&self, tenant: &Tenant, key: &Key) -> Result<Opened, ApiError> {
        let mut key = key.clone();
        let error = loop {
            match self.secrets(tenant, &key).await {
                Ok(secrets) => return Ok(Opened::Whole(Box::new((key, secrets)))),
                Err(CredentialError::Missing) => {
                    let fresh = match self.read(tenant, key.id).await {
                        Ok(fresh) => fresh,
                        Err(ApiError::NotFound { .. }) => return Ok(Opened::Gone),
                        Err(error) => return Err(error),
                    };
                    if fresh.secret.version == key.secret.version {
                        break CredentialError::Missing;
                    }
                    key = fresh;
                }
                Err(error) if is_passing(&error) => return Err(error.into()),
                Err(error) => break error,
            }
        };
        tracing::error!(tenant = tenant.as_str(), integration = key.id.number(), %error, "a credential could not be read");
        Ok(Opened::Unreadable)
    }

    /// Creates a key. `complete` is given the id, the place of the credential and the moment, and gives the key.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] if the tenant has as many keys as it may have; [`ApiError::PayloadTooLarge`] if the
    /// credential is too large; [`ApiError::Internal`] if it could not be stored.
    pub async fn create(
        &self,
        tenant: &Tenant,
        reservation: &Reservation,
        secrets: &Secrets,
        complete: impl Fn(KeyId, SecretPart, Timestamp) -> Key,
    ) -> Result<Key, ApiError> {
        let id = self.next_id(tenant).await?;
        let owner = Self::owner(tenant, id);
        let version = SecretVersion(reservation.uuid());
        self.credentials.create(&owner, version, &secrets.document()).await?;
        let key = complete(id, SecretPart { version, keys: secrets.names() }, reservation.at);
        let outcome = self.insert(tenant, reservation, &key).await;
        // Without an answer the item may be there, so its secret must stay; the sweep looks again.
        if !matches!(&outcome, Ok(created) if created.id == id) && !matches!(&outcome, Err(ApiError::Internal(_))) {
            self.remove_secret(&owner).await;
        }
        outcome
    }

    async fn insert(&self, tenant: &Tenant, reservation: &Reservation, key: &Key) -> Result<Key, ApiError> {
        let marker = pool::creation(tenant, reservation.uuid());
        for attempt in 0..TRIES {
            let mut transaction = self.table.transaction();
            transaction.create(&marker, &CreatedKey { id: key.id, at: reservation.at })?;
            transaction.push(self.count_keys(tenant, 1)?);
            transaction.create(&Self::place(tenant, key.id), key)?;
            transaction.create(&pool::usage(tenant, &key.id.sort()), &usage::Fresh::of(key.id))?;
            let work = Work::due_since(key.created_at);
            transaction.create(&pool::billing(tenant, &key.id.sort()), &BillingWork { id: key.id, work })?;
            self.raise(tenant, key, key.is_primary, &mut transaction).await?;
            match self.table.commit(transaction).await {
                Ok(()) => return Ok(key.clone()),
                Err(error) if error.failed_at(0) => {
                    let created = self.table.get::<CreatedKey>(&marker).await?;
                    return self.read(tenant, created.record.id).await;
                }
                Err(error) if error.failed_at(1) => {
                    return Err(ApiError::conflict(format!(
                        "There are {MOST_KEYS} integrations already, which is the most. Delete one first."
                    )));
                }
                Err(error) if error.is_contention() => self.table.pause(attempt).await,
                Err(error) => return Err(failed(error)),
            }
        }
        Err(TableError::Contended.into())
    }

    /// Takes the next id, again while transactions that create or delete a key have the counter. One that is taken and not
    /// used is a gap.
    async fn next_id(&self, tenant: &Tenant) -> Result<KeyId, ApiError> {
        for attempt in 0..TRIES {
            let update = self
                .table
                .client()
                .update_item()
                .table_name(self.table.name())
                .set_key(Some(pool::counter(tenant).attributes()))
                .update_expression("ADD last_id :one")
                .expression_attribute_values(":one", number(1))
                .return_values(ReturnValue::UpdatedNew);
            let counted = match update.send().await.map_err(refine) {
                Ok(counted) => counted,
                Err(TableError::Contended) => {
                    self.table.pause(attempt).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let last = counted.attributes.as_ref().and_then(|attributes| whole(attributes, "last_id"));
            let unreadable = || ApiError::internal("the counter of keys cannot be read");
            return last.and_then(KeyId::new).ok_or_else(unreadable);
        }
        Err(TableError::Contended.into())
    }

    fn count_keys(&self, tenant: &Tenant, by: i64) -> Result<TransactWriteItem, TableError> {
        let mut update = Update::builder()
            .table_name(self.table.name())
            .set_key(Some(pool::counter(tenant).attributes()))
            .update_expression("ADD #total :by")
            .expression_attribute_names("#total", "total")
            .expression_attribute_values(":by", number(by));
        if by > 0 {
            update = update
                .condition_expression("attribute_not_exists(#total) OR #total < :most")
                .expression_attribute_values(":most", AttributeValue::N(MOST_KEYS.to_string()));
        }
        written(update)
    }

    /// Adds to a transaction what goes with every change of a key: the pool's generation rises, and where the key becomes
    /// the primary, the one before is none any more. That is decided on the generation that it was read in.
    async fn raise(
        &self,
        tenant: &Tenant,
        key: &Key,
        becomes_primary: bool,
        transaction: &mut Transaction,
    ) -> Result<(), ApiError> {
        let place = pool::generation(tenant, &key.provider);
        let mut update = Update::builder()
            .table_name(self.table.name())
            .set_key(Some(place.attributes()))
            .update_expression("ADD generation :one")
            .expression_attribute_values(":one", number(1));
        if becomes_primary {
            let seen = match self.table.get::<Generation>(&place).await {
                Ok(stored) => Some(stored.record.generation),
                Err(TableError::Missing) => None,
                Err(error) => return Err(error.into()),
            };
            update = match seen {
                Some(seen) => update
                    .condition_expression("generation = :seen")
                    .expression_attribute_values(":seen", AttributeValue::N(seen.to_string())),
                None => update.condition_expression("attribute_not_exists(generation)"),
            };
            let partition = places::integrations(tenant, GROUP);
            for Stored { record: other, version } in self.table.all::<Key>(&partition, places::INTEGRATION).await? {
                if other.provider == key.provider && other.is_primary && other.id != key.id {
                    let demoted = Key { is_primary: false, updated_at: key.updated_at, ..other };
                    transaction.replace(&Self::place(tenant, demoted.id), &demoted, version)?;
                }
            }
        }
        transaction.push(written(update)?);
        Ok(())
    }

    /// Changes a key. `change` runs again when another change got in between; where it changes nothing, nothing is
    /// written.
    ///
    /// # Errors
    /// What `change` says, and [`ApiError::NotFound`] if the tenant has no such key.
    pub async fn change<T>(
        &self,
        tenant: &Tenant,
        id: KeyId,
        change: impl Fn(&mut Key) -> Result<T, ApiError>,
    ) -> Result<(Key, T), ApiError> {
        for attempt in 0..TRIES {
            let Stored { record: before, version } = self.stored(tenant, id).await?;
            let mut after = before.clone();
            let value = change(&mut after)?;
            if after == before {
                return Ok((before, value));
            }
            let place = Self::place(tenant, id);
            if after.looks_like(&before) {
                match self.table.replace(&place, after, version).await {
                    Ok(stored) => return Ok((stored.record, value)),
                    Err(TableError::Contended) => self.table.pause(attempt).await,
                    Err(error) => return Err(error.into()),
                }
                continue;
            }
            self.touch(&before, &mut after);
            let mut transaction = self.table.transaction();
            transaction.replace(&place, &after, version)?;
            self.raise(tenant, &after, after.is_primary && !before.is_primary, &mut transaction).await?;
            match self.table.commit(transaction).await {
                Ok(()) => return Ok((after, value)),
                Err(error) if error.is_contention() => self.table.pause(attempt).await,
                Err(error) => return Err(failed(error)),
            }
        }
        Err(TableError::Contended.into())
    }

    /// Marks a changed key as changed now, and as due for the monitor from now on where it was not before.
    fn touch(&self, before: &Key, after: &mut Key) {
        let now = self.ids.now();
        after.updated_at = now.max(before.updated_at);
        if after.needs_monitor() && !before.needs_monitor() {
            after.monitor.due_at = now;
        }
    }

    /// Replaces a key's credential by one that was found good. The version before stays one step back in Secrets Manager.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such key.
    pub async fn rotate(
        &self,
        tenant: &Tenant,
        id: KeyId,
        version: SecretVersion,
        secrets: &Secrets,
        change: impl Fn(&mut Key),
    ) -> Result<Key, ApiError> {
        let owner = Self::owner(tenant, id);
        self.credentials.stage(&owner, version, &secrets.document()).await?;
        let rotated = self.change(tenant, id, |key| {
            if key.secret.version != version {
                key.previous = Some(key.secret.version);
                key.secret = SecretPart { version, keys: secrets.names() };
                key.previews = secrets.previews();
                key.revision = key.revision.saturating_add(1);
                change(key);
            }
            Ok(())
        });
        match rotated.await {
            Ok((key, ())) => {
                self.credentials.promote(&owner, version, key.previous).await;
                Ok(key)
            }
            Err(error @ ApiError::NotFound { .. }) => {
                self.remove_secret(&owner).await;
                Err(error)
            }
            Err(error @ ApiError::Conflict { .. }) => {
                self.credentials.let_go(&owner, version).await;
                Err(error)
            }
            // Without an answer the item may name the staged version, so it must stay.
            Err(error) => Err(error),
        }
    }

    /// Deletes a key and its credential.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such key.
    pub async fn delete(&self, tenant: &Tenant, id: KeyId) -> Result<(), ApiError> {
        for attempt in 0..TRIES {
            let Stored { record: key, version } = self.stored(tenant, id).await?;
            let mut transaction = self.table.transaction();
            transaction.delete(&Self::place(tenant, id), Some(version))?;
            transaction.delete(&pool::usage(tenant, &id.sort()), None)?;
            transaction.delete(&pool::billing(tenant, &id.sort()), None)?;
            transaction.push(self.count_keys(tenant, -1)?);
            self.raise(tenant, &key, false, &mut transaction).await?;
            match self.table.commit(transaction).await {
                Ok(()) => {
                    self.remove_secret(&Self::owner(tenant, id)).await;
                    return Ok(());
                }
                Err(error) if error.is_contention() => self.table.pause(attempt).await,
                Err(error) => return Err(failed(error)),
            }
        }
        Err(TableError::Contended.into())
    }

    async fn remove_secret(&self, owner: &SecretOwner) {
        if let Err(error) = self.credentials.delete(owner).await {
            tracing::warn!(%error, "a secret without an item is left to the sweep");
        }
    }

    /// Up to `limit` keys of a queue of the monitor that belong to the run with this cutoff.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn due_for_monitor(
        &self,
        queue: u8,
        cutoff: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Tenant, KeyId)>, TableError> {
        let due = self.table.due(&monitor_queue(queue), cutoff, limit).await?;
        let named = due.iter().filter_map(places::integration_of);
        Ok(named.filter_map(|(tenant, id)| Some((tenant, KeyId::parse_sort(id)?))).collect())
    }

    /// The same for the billing job.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn due_for_billing(
        &self,
        queue: u8,
        cutoff: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Tenant, KeyId)>, TableError> {
        let due = self.table.due(&billing_queue(queue), cutoff, limit).await?;
        let named = due.iter().filter_map(pool::billing_of);
        Ok(named.filter_map(|(tenant, id)| Some((tenant, KeyId::parse_sort(id)?))).collect())
    }

    /// Claims a key's billing work for a run: the lease's fencing number, or `None` if it is not there, not due in that
    /// run, or held by another worker.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn claim_billing(
        &self,
        tenant: &Tenant,
        id: KeyId,
        cutoff: Timestamp,
        lease: SignedDuration,
    ) -> Result<Option<u64>, TableError> {
        let now = self.ids.now();
        self.billing_work(tenant, id, |work| work.claim(cutoff, now, lease)).await.map(Option::flatten)
    }

    /// Ends a claim. False if it was lost.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn release_billing(
        &self,
        tenant: &Tenant,
        id: KeyId,
        fence: u64,
        cutoff: Timestamp,
    ) -> Result<bool, TableError> {
        Ok(self.billing_work(tenant, id, |work| work.release(fence, cutoff)).await?.unwrap_or(false))
    }

    async fn billing_work<T>(
        &self,
        tenant: &Tenant,
        id: KeyId,
        change: impl Fn(&mut Work) -> T,
    ) -> Result<Option<T>, TableError> {
        let place = pool::billing(tenant, &id.sort());
        let change = |stored: &mut BillingWork| -> Result<T, TableError> { Ok(change(&mut stored.work)) };
        match self.table.update(&place, change).await {
            Ok((_, value)) => Ok(Some(value)),
            Err(TableError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// True for trouble of Secrets Manager's own, which says nothing of the one secret.
fn is_passing(error: &CredentialError) -> bool {
    const TROUBLE: [&str; 4] =
        ["InternalServiceError", "InternalServiceErrorException", "ThrottlingException", "RequestLimitExceeded"];
    match error {
        CredentialError::Unavailable(_) => true,
        CredentialError::Refused { code, .. } => TROUBLE.contains(&code.as_str()),
        _ => false,
    }
}

fn not_found(error: TableError) -> ApiError {
    match error {
        TableError::Missing => ApiError::NotFound { what: "Integration" },
        other => other.into(),
    }
}

fn failed(error: Uncommitted) -> ApiError {
    match error {
        Uncommitted::Table(error) => error.into(),
        Uncommitted::Conditions(_) => TableError::Contended.into(),
    }
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn whole<T: std::str::FromStr>(item: &HashMap<String, AttributeValue>, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn written(update: aws_sdk_dynamodb::types::builders::UpdateBuilder) -> Result<TransactWriteItem, TableError> {
    let update = update.build().map_err(|error| TableError::Unavailable(Box::new(error)))?;
    Ok(TransactWriteItem::builder().update(update).build())
}
