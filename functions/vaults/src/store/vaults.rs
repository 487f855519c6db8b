//! Vaults and their environments.
//!
//! # How an edit happens
//! The environment's item is read, the values are read from the secrets that it names, changed and spread again; each part
//! that has changed is staged as a new version of its secret, and the item is written on condition that it is still as it
//! was read. Who loses that race takes back what it staged and starts again on what the winner wrote, so edits of different
//! names merge and none is lost. A crash in between leaves an item whose versions are all readable, and labels that the
//! sweep takes off.
//!
//! Secrets Manager keeps about a hundred versions of a secret and forgets none within a day, whatever its labels, so a part
//! that is changed more often than that has no room for another. Such a part is moved: its values go to a fresh secret, and
//! the old one goes when no kept version needs it. A secret has few labels too, and edits that are under way at the same
//! time may have them all; that passes, so a part is moved only when it goes on.
//!
//! Every version that the item names carries a label of its own, so that Secrets Manager does not forget it; what falls out
//! of the kept versions is let go, and a secret that no kept version needs is deleted.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use shared::Platform;
use shared::auth::Tenant;
use shared::clock::Ids;
use shared::credentials::{CredentialError, Credentials, LARGEST, SecretOwner, SecretVersion};
use shared::http::ApiError;
use shared::table::{Index, Key, Record, Stored, Table, TableError, Uncommitted, keys};

use super::values::{MOST_PARTS, Values, number_of};
use super::{TRIES, queue};
use crate::GROUP;
use crate::model::vault::Parts;
use crate::model::{Environment, EnvironmentName, VaultName, Version};
use crate::sync::FUNCTION;

const KIND: &str = "vault#";

impl Record for Environment {
    fn index(&self) -> Index {
        Index {
            kind_order: Some(format!("{KIND}{}#{}", self.vault, self.name)),
            due: self.look_at.map(|at| (queue(FUNCTION, &self.id), at)),
            ..Index::default()
        }
    }
}

/// A vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Vault {
    vault: VaultName,
    created_at: Timestamp,
}

impl Record for Vault {
    fn index(&self) -> Index {
        Index { kind_order: Some(format!("{KIND}{}", self.vault)), ..Index::default() }
    }
}

/// A vault, or one of its environments, as the list reads them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VaultRow {
    /// The vault.
    pub vault: VaultName,
    /// The environment; nothing in the vault's own row.
    #[serde(default)]
    pub name: Option<EnvironmentName>,
    /// The environment's kept versions.
    #[serde(default)]
    pub versions: Vec<Version>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Record for VaultRow {}

impl VaultRow {
    fn place(&self) -> (String, String) {
        match &self.name {
            None => (format!("{KIND}{}", self.vault), format!("V#{}", self.vault)),
            Some(name) => {
                let sort = format!("{}{}", keys::INTEGRATION, name.id_in(&self.vault));
                (format!("{KIND}{}#{name}", self.vault), sort)
            }
        }
    }
}

/// A change of an environment.
#[derive(Debug, Clone)]
pub enum Edit {
    /// These values and no others.
    Replace(Values),
    /// These values over those that are there; nothing takes a name away.
    Merge(BTreeMap<String, Option<SecretString>>),
    /// The content of a kept version.
    Restore(u64),
}

/// What an attempt came to.
enum Attempt {
    Done(Environment),
    /// Another change got in between.
    Again,
    /// A secret takes no more versions or labels just now.
    Full,
}

/// What was staged of a change.
#[derive(Default)]
struct Staged {
    versions: Parts,
    /// Parts that were moved to a fresh secret, and where.
    moved: BTreeMap<String, String>,
}

/// After so many refusals of a full secret in a row it is not others' edits that have its labels.
const PATIENCE: u32 = 4;

/// The group's vaults. Every method takes the tenant.
#[derive(Debug, Clone)]
pub struct Environments {
    table: Table,
    credentials: Credentials,
    ids: Ids,
}

impl Environments {
    /// The vaults on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { table: platform.table.clone(), credentials: platform.credentials.clone(), ids: platform.ids.clone() }
    }

    fn key(tenant: &Tenant, id: &str) -> Key {
        keys::integration(tenant, GROUP, id)
    }

    fn owner(tenant: &Tenant, id: &str, part: &str) -> SecretOwner {
        SecretOwner { part: Some(part.to_owned()), ..SecretOwner::new(tenant, GROUP, id) }
    }

    /// Makes a vault. False if it was there.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the table does not answer.
    pub async fn create(&self, tenant: &Tenant, vault: &VaultName) -> Result<bool, ApiError> {
        let record = Vault { vault: vault.clone(), created_at: self.ids.now() };
        match self.table.create(&keys::vaults::vault(tenant, vault.as_str()), record, self.ids.uuid()).await {
            Ok(_) => Ok(true),
            Err(TableError::Exists) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the vault is there.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such vault.
    pub async fn require(&self, tenant: &Tenant, vault: &VaultName) -> Result<(), ApiError> {
        match self.table.get::<Vault>(&keys::vaults::vault(tenant, vault.as_str())).await {
            Ok(_) => Ok(()),
            Err(TableError::Missing) => Err(ApiError::NotFound { what: "Vault" }),
            Err(error) => Err(error.into()),
        }
    }

    /// Every vault followed by its environments, by name: one Query for each megabyte.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the table does not answer.
    pub async fn list(&self, tenant: &Tenant) -> Result<Vec<VaultRow>, ApiError> {
        let partition = keys::integrations(tenant, GROUP);
        let mut rows: Vec<VaultRow> = Vec::new();
        loop {
            let after = rows.last().map(VaultRow::place);
            let after = after.as_ref().map(|(order, sort)| (order.as_str(), sort.as_str()));
            let page = self.table.page_by_kind(&partition, KIND, after, 1_000).await?;
            rows.extend(page.records);
            if !page.more {
                return Ok(rows);
            }
        }
    }

    async fn stored(
        &self,
        tenant: &Tenant,
        vault: &VaultName,
        name: &EnvironmentName,
    ) -> Result<Option<Stored<Environment>>, TableError> {
        match self.table.get(&Self::key(tenant, &name.id_in(vault))).await {
            Ok(stored) => Ok(Some(stored)),
            Err(TableError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An environment that may not be there yet; its vault must be.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such vault.
    pub async fn find(
        &self,
        tenant: &Tenant,
        vault: &VaultName,
        name: &EnvironmentName,
    ) -> Result<Option<Environment>, ApiError> {
        match self.stored(tenant, vault, name).await? {
            Some(stored) => Ok(Some(stored.record)),
            None => self.require(tenant, vault).await.map(|()| None),
        }
    }

    /// An environment.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such vault or environment.
    pub async fn read(
        &self,
        tenant: &Tenant,
        vault: &VaultName,
        name: &EnvironmentName,
    ) -> Result<Environment, ApiError> {
        self.find(tenant, vault, name).await?.ok_or(ApiError::NotFound { what: "Environment" })
    }

    /// An environment by its id; what a job learns from the due index.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn by_id(&self, tenant: &Tenant, id: &str) -> Result<Option<Environment>, TableError> {
        match self.table.get::<Environment>(&Self::key(tenant, id)).await {
            Ok(stored) => Ok(Some(stored.record)),
            Err(TableError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The present values of an environment, with the environment as it was when they were its own: an edit may get in
    /// between.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if Secrets Manager does not answer.
    pub async fn values(&self, tenant: &Tenant, environment: Environment) -> Result<(Environment, Values), ApiError> {
        let mut environment = environment;
        for attempt in 0..TRIES {
            let parts = environment.present().map(|version| version.parts.clone()).unwrap_or_default();
            match self.parts(tenant, &environment.id, &parts).await {
                Ok(parts) => return Ok((environment, Values::joined(parts.into_values()))),
                // So many versions were made meanwhile that this one is gone.
                Err(CredentialError::Missing) => {
                    self.table.pause(attempt).await;
                    let present = self.by_id(tenant, &environment.id).await?;
                    environment = present.ok_or(ApiError::NotFound { what: "Environment" })?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(CredentialError::Missing.into())
    }

    async fn parts(
        &self,
        tenant: &Tenant,
        id: &str,
        parts: &Parts,
    ) -> Result<BTreeMap<String, Values>, CredentialError> {
        let read = parts.iter().map(|(part, version)| async move {
            let document = self.credentials.read(&Self::owner(tenant, id, part), *version).await?;
            Ok::<_, CredentialError>((part.clone(), Values::of_document(&document)?))
        });
        Ok(try_join_all(read).await?.into_iter().collect())
    }

    /// Changes an environment, which is made if it is not there, and its vault with it. What changes nothing makes no version.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for a version that is not kept, [`ApiError::PayloadTooLarge`] if there would be too much in it,
    /// [`ApiError::Conflict`] if too many change it at once.
    pub async fn edit(
        &self,
        tenant: &Tenant,
        (vault, name): (&VaultName, &EnvironmentName),
        by: &str,
        edit: &Edit,
    ) -> Result<Environment, ApiError> {
        let mut refusals = 0;
        for attempt in 0..TRIES {
            let stored = self.stored(tenant, vault, name).await?;
            match self.attempt(tenant, (vault, name), stored, by, (edit, refusals >= PATIENCE)).await? {
                Attempt::Done(environment) => return Ok(environment),
                Attempt::Again => refusals = 0,
                Attempt::Full => refusals += 1,
            }
            self.table.pause(attempt).await;
        }
        Err(TableError::Contended.into())
    }

    async fn attempt(
        &self,
        tenant: &Tenant,
        (vault, name): (&VaultName, &EnvironmentName),
        stored: Option<Stored<Environment>>,
        by: &str,
        (edit, may_move): (&Edit, bool),
    ) -> Result<Attempt, ApiError> {
        let read = stored.as_ref().map(|stored| stored.version);
        let now = self.ids.now();
        let before = stored.map_or_else(|| Environment::new(vault, name, now), |stored| stored.record);
        let mut version = Version {
            number: before.number() + 1,
            at: now,
            by: by.to_owned(),
            names: 0,
            parts: Parts::new(),
            restored: None,
        };
        let mut staged = Staged::default();
        if let Edit::Restore(number) = edit {
            let restored = before.version(*number).ok_or(ApiError::NotFound { what: "Version" })?;
            version.names = restored.names;
            version.parts.clone_from(&restored.parts);
            version.restored = Some(*number);
        } else {
            let present = before.present().map(|version| version.parts.clone()).unwrap_or_default();
            let there = match self.parts(tenant, &before.id, &present).await {
                Ok(parts) => parts,
                Err(CredentialError::Missing) => return Ok(Attempt::Again),
                Err(error) => return Err(error.into()),
            };
            let values = match edit {
                Edit::Merge(changes) => Values::joined(there.values().cloned()).merged(changes),
                Edit::Replace(values) => values.clone(),
                Edit::Restore(_) => Values::default(),
            };
            version.names = values.len();
            let too_large = ApiError::PayloadTooLarge { what: "The environment", limit: MOST_PARTS * LARGEST };
            let parts = values.spread(&there).ok_or(too_large)?;
            if read.is_some() && parts == there {
                return Ok(Attempt::Done(before));
            }
            match self.stage(tenant, &before, &there, &parts, may_move).await? {
                Some(fresh) => staged = fresh,
                None => return Ok(Attempt::Full),
            }
            let named = |part: &String| {
                let part = staged.moved.get(part).unwrap_or(part);
                let of_part = staged.versions.get(part).or_else(|| present.get(part))?;
                Some((part.clone(), *of_part))
            };
            version.parts = parts.keys().filter_map(named).collect();
        }
        let mut after = before.clone();
        after.add(version);
        if self.commit(tenant, &after, read).await? {
            self.tidy(tenant, &before, &after).await;
            return Ok(Attempt::Done(after));
        }
        self.undo(tenant, &before.id, &staged.versions).await?;
        Ok(Attempt::Again)
    }

    /// Stages every part that has changed. `None` if a secret has no room and may not be moved.
    async fn stage(
        &self,
        tenant: &Tenant,
        before: &Environment,
        there: &BTreeMap<String, Values>,
        parts: &BTreeMap<String, Values>,
        may_move: bool,
    ) -> Result<Option<Staged>, ApiError> {
        let mut staged = Staged::default();
        for (part, values) in parts.iter().filter(|(part, values)| there.get(*part) != Some(values)) {
            let version = SecretVersion(self.ids.uuid());
            staged.versions.insert(part.clone(), version);
            let mut outcome = self.stage_part(tenant, before, part, version, values).await;
            if may_move && outcome.as_ref().is_err_and(CredentialError::is_full) {
                let fresh = moved(part, version);
                staged.versions.remove(part);
                staged.versions.insert(fresh.clone(), version);
                outcome = self.stage_part(tenant, before, &fresh, version, values).await;
                staged.moved.insert(part.clone(), fresh);
            }
            if let Err(error) = outcome {
                self.undo(tenant, &before.id, &staged.versions).await?;
                return if error.is_full() { Ok(None) } else { Err(error.into()) };
            }
        }
        Ok(Some(staged))
    }

    async fn stage_part(
        &self,
        tenant: &Tenant,
        before: &Environment,
        part: &str,
        version: SecretVersion,
        values: &Values,
    ) -> Result<(), CredentialError> {
        let owner = Self::owner(tenant, &before.id, part);
        self.credentials.stage(&owner, version, &values.document()).await?;
        // A new secret's first version has no label of its own.
        if before.parts.contains_key(part) { Ok(()) } else { self.credentials.keep(&owner, version).await }
    }

    /// Writes the item, if it is still the version that was read. False if not.
    async fn commit(&self, tenant: &Tenant, after: &Environment, read: Option<u64>) -> Result<bool, TableError> {
        let key = Self::key(tenant, &after.id);
        let mut transaction = self.table.transaction();
        match read {
            Some(read) => transaction.replace(&key, after, read)?,
            None => {
                transaction.create(&key, after)?;
                let vault = keys::vaults::vault(tenant, after.vault.as_str());
                match self.table.get::<Vault>(&vault).await {
                    Ok(_) => {}
                    Err(TableError::Missing) => {
                        let record = Vault { vault: after.vault.clone(), created_at: after.created_at };
                        transaction.create(&vault, &record)?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        match self.table.commit(transaction).await {
            Ok(()) => Ok(true),
            Err(Uncommitted::Conditions(_) | Uncommitted::Table(TableError::Contended)) => Ok(false),
            Err(Uncommitted::Table(error)) => Err(error),
        }
    }

    /// Lets AWSCURRENT follow, and lets go of what no kept version names any more. What fails is left to the sweep.
    async fn tidy(&self, tenant: &Tenant, before: &Environment, after: &Environment) {
        for (part, versions) in &after.parts {
            let current = before.parts.get(part).and_then(|versions| versions.first());
            if let (Some(version), Some(current)) = (versions.first(), current)
                && version != current
            {
                self.credentials.follow(&Self::owner(tenant, &after.id, part), *version, Some(*current)).await;
            }
        }
        for (part, versions) in &before.parts {
            let owner = Self::owner(tenant, &after.id, part);
            let Some(named) = after.parts.get(part) else {
                self.remove(&owner).await;
                continue;
            };
            for version in versions.iter().filter(|version| !named.contains(version)) {
                self.credentials.let_go(&owner, *version).await;
            }
        }
    }

    /// Takes back versions that no item came to name: their labels, or a secret that nobody needs.
    async fn undo(&self, tenant: &Tenant, id: &str, staged: &Parts) -> Result<(), TableError> {
        if staged.is_empty() {
            return Ok(());
        }
        let named: BTreeSet<String> = match self.by_id(tenant, id).await? {
            Some(environment) => environment.parts.into_keys().collect(),
            None => BTreeSet::new(),
        };
        for (part, version) in staged {
            let owner = Self::owner(tenant, id, part);
            if named.contains(part) {
                self.credentials.let_go(&owner, *version).await;
            } else {
                self.remove(&owner).await;
            }
        }
        Ok(())
    }

    async fn remove(&self, owner: &SecretOwner) {
        if let Err(error) = self.credentials.delete(owner).await {
            tracing::warn!(%error, "a secret without an item is left to the sweep");
        }
    }

    /// Changes what an environment's item says of its links; one that is not there stays so.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn change(&self, tenant: &Tenant, id: &str, change: impl Fn(&mut Environment)) -> Result<(), TableError> {
        let change = |one: &mut Environment| -> Result<(), TableError> {
            change(one);
            Ok(())
        };
        match self.table.update(&Self::key(tenant, id), change).await {
            Err(TableError::Missing) => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

/// The name of the fresh secret that a part is moved to: its number, and what nothing else has.
fn moved(part: &str, version: SecretVersion) -> String {
    let id = version.0.simple().to_string();
    let unique = id.get(20..).unwrap_or_default();
    format!("{}.{unique}", number_of(part))
}
