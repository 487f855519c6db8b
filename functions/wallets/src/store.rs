//! The group's integrations in the table and in Secrets Manager, for whoever asks by HTTP; [`sync`](crate::sync) has the
//! worker's side.
//!
//! # What is where
//! An integration is one small item, so that a page of them is one cheap Query. Beside it stand: one item for each thing
//! that makes it the tenant's only integration of that account (an API key, an address on a chain), the tenant's count,
//! and, once it has been synced, where its sync stands (the cursor may be large). They are created and removed in one
//! transaction. Its records live in a partition of their own.
//!
//! The item is the commit point for its secret, as in the other groups: secret first, item second; the item names the
//! version that belongs to it.
//!
//! Deleting is one transaction too, and leaves a note of what is still to be removed: the records, however many. The
//! request removes what it can; the job the rest. A worker cannot add to what is being removed, for every page it stores
//! is conditional on the integration's item.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::auth::Tenant;
use shared::clock::{Ids, Reservation};
use shared::credentials::{CredentialError, Credentials, SecretOwner, SecretVersion};
use shared::http::ApiError;
use shared::table::{Index, Key, Page, Record as Item, Stored, Table, TableError, Transaction, Uncommitted, keys};
use shared::{Platform, deadline};

use crate::GROUP;
use crate::model::{Integration, Mode, Origin, Record, SecretPart, Slim, Status, Sync, Tempo, WalletId};
use crate::providers::{Account, Checked, Entry, Source, identity_hash};

/// The worker's queues. Several, so that no one partition of the index takes every write.
pub const QUEUES: u8 = 4;
const TRIES: u32 = 12;
/// Records are removed so many at a time.
const REMOVED_AT_ONCE: usize = 500;

/// The name of a queue of the worker.
#[must_use]
pub fn queue(number: u8) -> String {
    format!("wallets-sync#{number}")
}

fn queue_of(id: &WalletId) -> String {
    queue(id.as_str().bytes().fold(0_u8, u8::wrapping_add) % QUEUES)
}

impl Item for Integration {
    fn index(&self) -> Index {
        Index {
            slim_order: Some(self.wallet_id.to_string()),
            due: self.sync.due_at.map(|at| (queue_of(&self.wallet_id), at)),
            ..Index::default()
        }
    }
}

impl Item for Slim {}

/// What makes an account the tenant's only one: the integration that has it.
#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    wallet_id: WalletId,
}

impl Item for Identity {}

#[derive(Debug, Serialize, Deserialize)]
struct Count {
    #[serde(default)]
    count: u64,
}

impl Item for Count {}

/// Where a sync stands in its provider's history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// What the source said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// How time is kept with the provider.
    #[serde(default)]
    pub tempo: Tempo,
}

impl Item for SyncState {}

/// What is left to remove of a deleted integration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    wallet_id: WalletId,
    since: Timestamp,
    has_secret: bool,
}

impl Item for Removal {
    fn index(&self) -> Index {
        Index { due: Some((queue_of(&self.wallet_id), self.since)), ..Index::default() }
    }
}

/// Longer ids of providers are stored as hashes: a key of the table has room for no more.
const LONGEST_ID: usize = 512;

/// A record's sort key within its integration: what makes it the same record when it is given again.
#[must_use]
pub fn sort_of(record: &Record) -> String {
    let (kind, id) = (record.kind.name(), &record.provider_id);
    if id.len() <= LONGEST_ID {
        format!("{kind}#{id}")
    } else {
        format!("{kind}#sha256:{}", shared::digest::sha256_hex(id.as_bytes()))
    }
}

/// Where a record stands in the order of time.
#[must_use]
pub fn order_of(record: &Record) -> String {
    format!("{:013}#{}", record.time.as_millisecond().max(0), sort_of(record))
}

impl Item for Record {
    fn index(&self) -> Index {
        Index { kind_order: Some(order_of(self)), ..Index::default() }
    }
}

/// What a new integration is made of.
#[derive(Debug)]
pub struct NewIntegration {
    /// The provider.
    pub entry: &'static Entry,
    /// The source's name.
    pub source: &'static str,
    /// Whose history it is.
    pub account: Account,
    /// What its owner calls it.
    pub alias: Option<String>,
    /// Which of its owner's accounts it is.
    pub account_name: Option<String>,
    /// What is known of the credential.
    pub checked: Checked,
    /// How time was kept with the provider meanwhile.
    pub tempo: Tempo,
}

/// A change of what an integration is asked with.
#[derive(Debug)]
pub struct NewCredentials {
    /// The account with its new secrets.
    pub account: Account,
    /// What is known of them.
    pub checked: Checked,
    /// How time was kept with the provider meanwhile.
    pub tempo: Tempo,
}

/// The wallets group's integrations. Every method takes the tenant; another tenant's id is a missing one.
#[derive(Debug, Clone)]
pub struct Integrations {
    pub(crate) table: Table,
    pub(crate) credentials: Credentials,
    pub(crate) ids: Ids,
}

impl Integrations {
    /// The integrations on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { table: platform.table.clone(), credentials: platform.credentials.clone(), ids: platform.ids.clone() }
    }

    pub(crate) fn key(tenant: &Tenant, id: &WalletId) -> Key {
        keys::integration(tenant, GROUP, id.as_str())
    }

    pub(crate) fn state_key(tenant: &Tenant, id: &WalletId) -> Key {
        keys::sync_state(tenant, GROUP, id.as_str())
    }

    fn owner(tenant: &Tenant, id: &WalletId) -> SecretOwner {
        SecretOwner::new(tenant, GROUP, id.as_str())
    }

    /// The first `limit` integrations, the oldest first: one Query.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the table does not answer.
    pub async fn first(&self, tenant: &Tenant, limit: usize) -> Result<Page<Integration>, ApiError> {
        let partition = keys::integrations(tenant, GROUP);
        Ok(self.table.for_lists(GROUP).page(&partition, keys::INTEGRATION, None, limit).await?)
    }

    /// How many integrations there are: one GetItem.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the table does not answer.
    pub async fn count(&self, tenant: &Tenant) -> Result<u64, ApiError> {
        match self.table.get::<Count>(&keys::count(tenant, GROUP)).await {
            Ok(stored) => Ok(stored.record.count),
            Err(TableError::Missing) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// What a search needs of the first `limit` integrations, the oldest first.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the table does not answer.
    pub async fn slim(&self, tenant: &Tenant, limit: usize) -> Result<Page<Slim>, ApiError> {
        Ok(self.table.for_lists(GROUP).slim(&keys::integrations(tenant, GROUP), limit).await?)
    }

    /// These integrations, in this order. One that was deleted meanwhile, or cannot be read, is left out.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the table does not answer.
    pub async fn several(&self, tenant: &Tenant, ids: &[WalletId]) -> Result<Vec<Integration>, ApiError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: Vec<Key> = ids.iter().map(|id| Self::key(tenant, id)).collect();
        let found = self.table.for_lists(GROUP).get_several::<Integration>(&wanted).await?;
        let mut found: HashMap<WalletId, Integration> =
            found.into_iter().map(|one| (one.wallet_id.clone(), one)).collect();
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    /// One integration.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such integration.
    pub async fn read(&self, tenant: &Tenant, id: &WalletId) -> Result<Integration, ApiError> {
        Ok(self.stored(tenant, id).await?.record)
    }

    pub(crate) async fn stored(&self, tenant: &Tenant, id: &WalletId) -> Result<Stored<Integration>, ApiError> {
        self.table.get(&Self::key(tenant, id)).await.map_err(not_found)
    }

    /// The account of an integration with its secrets.
    ///
    /// # Errors
    /// [`CredentialError::Missing`] if the integration was changed since it was read and the version it named is gone.
    pub async fn account(&self, tenant: &Tenant, integration: &Integration) -> Result<Account, CredentialError> {
        let account = Account {
            public_address: integration.address.clone(),
            chains: integration.chains.clone(),
            settings: integration.settings.clone(),
            ..Account::default()
        };
        match &integration.secret {
            None => Ok(account),
            Some(secret) => {
                let owner = Self::owner(tenant, &integration.wallet_id);
                let document = self.credentials.read(&owner, secret.version).await?;
                account.with_document(&document).map_err(CredentialError::Malformed)
            }
        }
    }

    /// Where an integration's sync stands; at the beginning, if it has never been synced.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn state(&self, tenant: &Tenant, id: &WalletId) -> Result<SyncState, TableError> {
        match self.table.get::<SyncState>(&Self::state_key(tenant, id)).await {
            Ok(stored) => Ok(stored.record),
            Err(TableError::Missing) => Ok(SyncState::default()),
            Err(error) => Err(error),
        }
    }

    /// Adds an integration under the names that `reservation` gives, so that a repeated creation ends with one.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] with the integration that has this account already, [`ApiError::PayloadTooLarge`] if the
    /// secrets are too large, [`ApiError::Internal`] if it could not be stored; then nothing of it can be seen.
    pub async fn create(
        &self,
        tenant: &Tenant,
        reservation: &Reservation,
        new: NewIntegration,
    ) -> Result<Integration, ApiError> {
        let id = WalletId::of(reservation);
        let owner = Self::owner(tenant, &id);
        let mut secret = None;
        if let Some((keys, document)) = new.account.secret_document() {
            let version = SecretVersion(reservation.uuid());
            self.credentials.create(&owner, version, &document).await?;
            secret = Some(SecretPart { version, keys });
        }
        let (identities, account_identity) = identities_of(new.source, &new.account, &new.checked);
        let integration = Integration {
            wallet_id: id,
            provider: new.entry.id.into(),
            public_name: new.entry.public_name.into(),
            category: new.entry.category,
            origin: Origin::Api,
            source: Some(new.source.into()),
            alias: new.alias,
            account_name: new.account_name,
            address: new.account.public_address,
            chains: new.account.chains,
            settings: new.account.settings,
            secret,
            identities,
            account_identity,
            is_contract: new.checked.is_contract,
            warnings: new.checked.warnings,
            added_on: reservation.at,
            status: Status::Queued,
            total_transactions: 0,
            last_synced_at: None,
            message: None,
            sync: Sync::queued(reservation.at),
            importing: None,
        };
        match self.add(tenant, &integration, Some(SyncState { cursor: None, tempo: new.tempo })).await {
            Ok(()) => Ok(integration),
            // A repetition of a creation that succeeded.
            Err(AddError::Exists) => self.read(tenant, &integration.wallet_id).await,
            // Without an answer the item may be there, so its secret must stay; the sweep looks again.
            Err(AddError::Table(error @ TableError::Unavailable(_))) => Err(error.into()),
            Err(error) => {
                if integration.secret.is_some() {
                    self.remove_secret(&owner).await;
                }
                Err(error.into())
            }
        }
    }

    /// Adds an integration's items: itself, where its sync stands, what makes it the only one, and one to the count.
    ///
    /// # Errors
    /// [`AddError`]; nothing is written then, unless the table did not answer.
    pub async fn add(
        &self,
        tenant: &Tenant,
        integration: &Integration,
        state: Option<SyncState>,
    ) -> Result<(), AddError> {
        let mut transaction = self.table.transaction();
        transaction.create(&Self::key(tenant, &integration.wallet_id), integration)?;
        transaction.add(&keys::count(tenant, GROUP), "count", 1)?;
        if let Some(state) = state {
            transaction.put(&Self::state_key(tenant, &integration.wallet_id), &state)?;
        }
        let before = transaction.len();
        let holder = Identity { wallet_id: integration.wallet_id.clone() };
        for hash in &integration.identities {
            transaction.create(&keys::identity(tenant, GROUP, hash), &holder)?;
        }
        match self.table.commit(transaction).await {
            Ok(()) => Ok(()),
            Err(Uncommitted::Conditions(unmet)) if unmet.contains(&0) => Err(AddError::Exists),
            Err(Uncommitted::Conditions(unmet)) => {
                let taken = unmet.first().and_then(|number| integration.identities.get(number.checked_sub(before)?));
                let holder = match taken {
                    Some(hash) => self.holder(tenant, hash).await?,
                    None => None,
                };
                Err(AddError::Taken(holder))
            }
            Err(Uncommitted::Table(error)) => Err(error.into()),
        }
    }

    /// The integration that has the account with this hash.
    async fn holder(&self, tenant: &Tenant, hash: &str) -> Result<Option<WalletId>, TableError> {
        match self.table.get::<Identity>(&keys::identity(tenant, GROUP, hash)).await {
            Ok(stored) => Ok(Some(stored.record.wallet_id)),
            Err(TableError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes an integration. `change` runs again when another change got in between.
    ///
    /// # Errors
    /// What `change` says, and [`ApiError::NotFound`] if the tenant has no such integration.
    pub async fn change(
        &self,
        tenant: &Tenant,
        id: &WalletId,
        change: impl Fn(&mut Integration) -> Result<(), ApiError>,
    ) -> Result<Integration, ApiError> {
        let key = Self::key(tenant, id);
        let change = |one: &mut Integration| change(one).map_err(ChangeError::Api);
        match self.table.update(&key, change).await {
            Ok((stored, ())) => Ok(stored.record),
            Err(ChangeError::Api(error)) => Err(error),
            Err(ChangeError::Table(error)) => Err(not_found(error)),
        }
    }

    /// Asks for a sync; one that is asked for or under way already stays as it is.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such integration, [`ApiError::Conflict`] if there is nobody to ask.
    pub async fn request_sync(&self, tenant: &Tenant, id: &WalletId, mode: Mode) -> Result<Integration, ApiError> {
        let now = self.ids.now();
        self.change(tenant, id, |integration| {
            if integration.source.is_none() {
                return Err(ApiError::conflict(
                    "This integration was imported from a file, so there is nobody to ask. Import a newer file instead.",
                ));
            }
            integration.request_sync(mode, now);
            Ok(())
        })
        .await
    }

    /// Changes what an integration is called and asked with. New credentials must be of the same account; they begin a
    /// sync.
    ///
    /// # Errors
    /// What `change` says, [`ApiError::Conflict`] if the credentials are of another account or belong to another
    /// integration, [`ApiError::NotFound`] if the tenant has no such integration.
    pub async fn change_credentials(
        &self,
        tenant: &Tenant,
        id: &WalletId,
        new: NewCredentials,
        change: impl Fn(&mut Integration),
    ) -> Result<Integration, ApiError> {
        let owner = Self::owner(tenant, id);
        let key = Self::key(tenant, id);
        for attempt in 0..TRIES {
            let Stored { record: before, version: read } = self.stored(tenant, id).await?;
            let mut after = before.clone();
            change(&mut after);
            let source = before.source.as_deref().unwrap_or_default();
            let (identities, account_identity) = identities_of(source, &new.account, &new.checked);
            if let (Some(one), Some(other)) = (&before.account_identity, &account_identity)
                && one != other
            {
                return Err(ApiError::conflict(
                    "These credentials are of another account, whose history must not be mixed with this one's. Connect it \
                     as an integration of its own.",
                ));
            }
            after.account_identity = account_identity.or(before.account_identity.clone());
            after.identities = identities;
            if let Some(hash) = &after.account_identity
                && !after.identities.contains(hash)
            {
                after.identities.push(hash.clone());
            }
            after.settings.clone_from(&new.account.settings);
            after.is_contract = new.checked.is_contract;
            after.warnings.clone_from(&new.checked.warnings);
            after.restart_sync(self.ids.now());
            let mut staged = None;
            if let Some((keys, document)) = new.account.secret_document() {
                let version = SecretVersion(self.ids.uuid());
                self.credentials.stage(&owner, version, &document).await?;
                staged = Some(version);
                after.secret = Some(SecretPart { version, keys });
            }
            let mut transaction = self.table.transaction();
            transaction.replace(&key, &after, read)?;
            let state = self.state(tenant, id).await?;
            transaction.put(
                &Self::state_key(tenant, id),
                &SyncState { tempo: new.tempo.clone().after(&state.tempo), ..state },
            )?;
            let before_identities = transaction.len();
            let gained: Vec<&String> =
                after.identities.iter().filter(|hash| !before.identities.contains(hash)).collect();
            for hash in &gained {
                let holder = Identity { wallet_id: id.clone() };
                transaction.create(&keys::identity(tenant, GROUP, hash), &holder)?;
            }
            for hash in before.identities.iter().filter(|hash| !after.identities.contains(hash)) {
                transaction.delete(&keys::identity(tenant, GROUP, hash), None)?;
            }
            match self.table.commit(transaction).await {
                Ok(()) => {
                    if let Some(version) = staged {
                        self.credentials.promote(&owner, version, before.secret.map(|secret| secret.version)).await;
                    }
                    return Ok(after);
                }
                Err(Uncommitted::Conditions(unmet)) => {
                    self.undo_stage(tenant, id, &owner, staged).await?;
                    if !unmet.contains(&0) {
                        let taken = unmet.first().and_then(|number| gained.get(number.checked_sub(before_identities)?));
                        let holder = match taken {
                            Some(hash) => self.holder(tenant, hash).await?,
                            None => None,
                        };
                        return Err(AddError::Taken(holder).into());
                    }
                    self.table.pause(attempt).await;
                }
                // Without an answer the item may name the staged version, so it must stay.
                Err(Uncommitted::Table(error)) => return Err(error.into()),
            }
        }
        Err(TableError::Contended.into())
    }

    /// Takes back a version that no item came to name: just its label, or the whole secret if the integration was deleted
    /// meanwhile.
    async fn undo_stage(
        &self,
        tenant: &Tenant,
        id: &WalletId,
        owner: &SecretOwner,
        staged: Option<SecretVersion>,
    ) -> Result<(), ApiError> {
        let Some(version) = staged else { return Ok(()) };
        match self.read(tenant, id).await {
            Ok(_) => self.credentials.let_go(owner, version).await,
            Err(ApiError::NotFound { what }) => {
                self.remove_secret(owner).await;
                return Err(ApiError::NotFound { what });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Deletes an integration, its records and its secret. What there is no time for, the job removes.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such integration.
    pub async fn delete(&self, tenant: &Tenant, id: &WalletId) -> Result<(), ApiError> {
        let note = keys::removal(tenant, GROUP, id.as_str());
        for attempt in 0..TRIES {
            let Stored { record, version } = self.stored(tenant, id).await?;
            let removal = Removal { wallet_id: id.clone(), since: self.ids.now(), has_secret: record.secret.is_some() };
            let mut transaction = self.table.transaction();
            transaction.delete(&Self::key(tenant, id), Some(version))?;
            transaction.add(&keys::count(tenant, GROUP), "count", -1)?;
            transaction.delete(&Self::state_key(tenant, id), None)?;
            transaction.put(&note, &removal)?;
            for hash in &record.identities {
                transaction.delete(&keys::identity(tenant, GROUP, hash), None)?;
            }
            match self.table.commit(transaction).await {
                Ok(()) => {
                    // It is deleted; what fails from here on is the job's.
                    if let Err(error) = self.remove_rest(tenant, id).await {
                        tracing::warn!(%error, wallet = id.as_str(), "the rest of a deleted integration is left to the job");
                    }
                    return Ok(());
                }
                Err(Uncommitted::Conditions(_)) => self.table.pause(attempt).await,
                Err(Uncommitted::Table(error)) => return Err(error.into()),
            }
        }
        Err(TableError::Contended.into())
    }

    /// Removes what is left of a deleted integration. False if time ran out.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer; the note stays.
    pub async fn remove_rest(&self, tenant: &Tenant, id: &WalletId) -> Result<bool, TableError> {
        let note = keys::removal(tenant, GROUP, id.as_str());
        let removal = match self.table.get::<Removal>(&note).await {
            Ok(stored) => stored.record,
            Err(TableError::Missing) => return Ok(true),
            Err(error) => return Err(error),
        };
        let records = keys::transactions(tenant, GROUP, id.as_str());
        loop {
            if deadline::left().is_some_and(|left| left < Duration::from_secs(5)) {
                return Ok(false);
            }
            let some = self.table.keys_in(&records, REMOVED_AT_ONCE).await?;
            if some.is_empty() {
                break;
            }
            self.table.delete_several(&some).await?;
        }
        if removal.has_secret {
            self.remove_secret(&Self::owner(tenant, id)).await;
        }
        self.table.delete(&note).await?;
        Ok(true)
    }

    async fn remove_secret(&self, owner: &SecretOwner) {
        if let Err(error) = self.credentials.delete(owner).await {
            tracing::warn!(%error, "a secret without an item is left to the sweep");
        }
    }

    /// Writes an integration as `change` leaves it, and creates those of `records` that are not stored yet, in one
    /// transaction: at most [`Self::AT_ONCE`] of them, each under its own sort key. `change` is given how many are created;
    /// where it says false, nothing is written. It runs again when another writer got in between, on what that one wrote.
    /// In the end `held` is what is stored, and `records` holds those that were created.
    ///
    /// # Errors
    /// [`NotStored`]; nothing is written then, unless the table did not answer.
    pub async fn store(
        &self,
        tenant: &Tenant,
        held: &mut Stored<Integration>,
        records: &mut Vec<(String, Record)>,
        state: Option<&SyncState>,
        change: impl Fn(&mut Integration, u64) -> bool,
    ) -> Result<(), NotStored> {
        let id = held.record.wallet_id.clone();
        let (key, partition) = (Self::key(tenant, &id), keys::transactions(tenant, GROUP, id.as_str()));
        for attempt in 0..TRIES {
            let mut after = held.record.clone();
            if !change(&mut after, records.len() as u64) {
                return Err(NotStored::Stopped);
            }
            let mut transaction = self.table.transaction();
            transaction.replace(&key, &after, held.version)?;
            for (sort, record) in records.iter() {
                transaction.create(&Key::new(&partition, sort), record)?;
            }
            if let Some(state) = state {
                transaction.put(&Self::state_key(tenant, &id), state)?;
            }
            let unmet = match self.table.commit(transaction).await {
                Ok(()) => {
                    *held = Stored { record: after, version: held.version.saturating_add(1) };
                    return Ok(());
                }
                Err(Uncommitted::Conditions(unmet)) => unmet,
                Err(Uncommitted::Table(error)) => return Err(error.into()),
            };
            // Number 0 is the integration's; behind the others are records that are stored already.
            let mut number = 1..;
            records.retain(|_| number.next().is_none_or(|number| !unmet.contains(&number)));
            if unmet.contains(&0) {
                *held = match self.table.get(&key).await {
                    Ok(stored) => stored,
                    Err(TableError::Missing) => return Err(NotStored::Stopped),
                    Err(error) => return Err(error.into()),
                };
                self.table.pause(attempt).await;
            }
        }
        Err(TableError::Contended.into())
    }

    /// Writes what a test of the credential has found that could not be made when it was given, with `change`; where that
    /// says false, nothing is written. The account's own name makes the integration the tenant's only one of it; where
    /// another has it already, a warning names that one. False, and nothing is written, if the credential is of another
    /// account than the history.
    ///
    /// # Errors
    /// [`NotStored`]; nothing is written then, unless the table did not answer.
    pub async fn learn(
        &self,
        tenant: &Tenant,
        held: &mut Stored<Integration>,
        checked: &Checked,
        change: impl Fn(&mut Integration) -> bool,
    ) -> Result<bool, NotStored> {
        let key = Self::key(tenant, &held.record.wallet_id);
        let mut is_taken = false;
        for attempt in 0..TRIES {
            let mut after = held.record.clone();
            if !change(&mut after) {
                return Err(NotStored::Stopped);
            }
            after.is_contract = checked.is_contract;
            after.warnings.clone_from(&checked.warnings);
            let mut transaction = self.table.transaction();
            let own = account_hash(held.record.source.as_deref().unwrap_or_default(), checked);
            match (&held.record.account_identity, own) {
                (Some(before), Some(own)) if *before != own => return Ok(false),
                (None, Some(own)) if is_taken => {
                    let holder = self.holder(tenant, &own).await?;
                    let holder = holder.map_or_else(|| "another integration".to_owned(), |id| id.to_string());
                    after.warnings.push(format!(
                        "This account is connected already, as {holder}, and its history is in both. Delete one of them."
                    ));
                    transaction.replace(&key, &after, held.version)?;
                }
                (None, Some(own)) => {
                    let is_new = !after.identities.contains(&own);
                    after.identities.extend(is_new.then(|| own.clone()));
                    after.account_identity = Some(own.clone());
                    transaction.replace(&key, &after, held.version)?;
                    if is_new {
                        let holder = Identity { wallet_id: after.wallet_id.clone() };
                        transaction.create(&keys::identity(tenant, GROUP, &own), &holder)?;
                    }
                }
                _ => transaction.replace(&key, &after, held.version)?,
            }
            let unmet = match self.table.commit(transaction).await {
                Ok(()) => {
                    *held = Stored { record: after, version: held.version.saturating_add(1) };
                    return Ok(true);
                }
                Err(Uncommitted::Conditions(unmet)) => unmet,
                Err(Uncommitted::Table(error)) => return Err(error.into()),
            };
            if unmet.contains(&0) {
                *held = match self.table.get(&key).await {
                    Ok(stored) => stored,
                    Err(TableError::Missing) => return Err(NotStored::Stopped),
                    Err(error) => return Err(error.into()),
                };
                self.table.pause(attempt).await;
            }
            is_taken |= unmet.contains(&1);
        }
        Err(TableError::Contended.into())
    }

    /// So many records are stored at once; the integration and its state are written with them.
    pub const AT_ONCE: usize = Transaction::MOST - 2;

    /// Up to `limit` records of an integration, the newest first, after the one with this order and sort key.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the table does not answer.
    pub async fn transactions(
        &self,
        tenant: &Tenant,
        id: &WalletId,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Page<Record>, ApiError> {
        let partition = keys::transactions(tenant, GROUP, id.as_str());
        Ok(self.table.for_lists(GROUP).page_by_kind_backwards(&partition, "", after, limit).await?)
    }
}

/// The hashes of what makes an account the only one, and the one among them of the provider's own name for it.
fn identities_of(source: &str, account: &Account, checked: &Checked) -> (Vec<String>, Option<String>) {
    let mut identities: Vec<String> =
        account.identities.iter().map(|identity| identity_hash(source, identity)).collect();
    let own = account_hash(source, checked);
    identities.extend(own.clone());
    identities.sort_unstable();
    identities.dedup();
    (identities, own)
}

/// The hash of the provider's own name for an account.
fn account_hash(source: &str, checked: &Checked) -> Option<String> {
    checked.account_id.as_ref().map(|id| identity_hash(source, &format!("account:{id}")))
}

/// The source that an integration is asked from.
#[must_use]
pub fn source_of(integration: &Integration) -> Option<&'static dyn Source> {
    crate::providers::entry(&integration.provider)?.source(integration.source.as_deref()?)
}

/// Why an integration was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It is there already.
    #[error("the integration exists already")]
    Exists,
    /// Another integration has this account.
    #[error("the account is connected already")]
    Taken(Option<WalletId>),
    /// The table did not do as it was asked.
    #[error("the table failed")]
    Table(#[from] TableError),
}

impl From<AddError> for ApiError {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Taken(Some(id)) => {
                Self::exists(format!("This account is connected already, as {id}. Delete that one first."), id.as_str())
            }
            AddError::Taken(None) | AddError::Exists => Self::conflict("This account is connected already."),
            AddError::Table(error) => error.into(),
        }
    }
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum NotStored {
    /// It was not to be, or the integration is gone.
    #[error("the integration is another worker's, or gone")]
    Stopped,
    /// The table did not do as it was asked.
    #[error("the table failed")]
    Table(#[from] TableError),
}

enum ChangeError {
    Api(ApiError),
    Table(TableError),
}

impl From<TableError> for ChangeError {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

pub(crate) fn not_found(error: TableError) -> ApiError {
    match error {
        TableError::Missing => ApiError::NotFound { what: "Integration" },
        other => other.into(),
    }
}
