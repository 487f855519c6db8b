//! The group's integrations in the table and in Secrets Manager.
//!
//! The item is the commit point: it names the version of the secret that belongs to it. Creating writes the secret, then
//! the item; changing stages a version, writes the item that names it, then lets the old version go; deleting removes the
//! item, then the secret. Whatever stops in between leaves either the old state or the new one, and at worst a secret that
//! nothing names, for the sweep.

use jiff::SignedDuration;
use shared::Platform;
use shared::auth::Tenant;
use shared::clock::{Ids, Reservation};
use shared::credentials::{CredentialError, Credentials, SecretOwner, SecretVersion};
use shared::http::ApiError;
use shared::table::{Index, Key, Page, Record, Stored, Table, TableError, keys};

use crate::GROUP;
use crate::model::{CheckState, Integration, IntegrationId, Kind, Report, SecretPart};
use crate::providers::Config;

/// The daily job's queues. Several, so that no one partition of the index takes every write.
pub const CHECK_QUEUES: u8 = 4;
const TRIES: u32 = 12;

/// The name of a queue of the daily job.
#[must_use]
pub fn check_queue(number: u8) -> String {
    format!("services-check#{number}")
}

impl Record for Integration {
    fn index(&self) -> Index {
        let spread = self.id.as_str().bytes().fold(0_u8, u8::wrapping_add) % CHECK_QUEUES;
        Index {
            kind_order: Some(kind_order(self.kind, &self.id)),
            due: Some((check_queue(spread), self.check.due_at)),
            ..Index::default()
        }
    }
}

fn kind_order(kind: Kind, id: &IntegrationId) -> String {
    format!("{}#{id}", kind.name())
}

/// The services group's integrations. Every method takes the tenant; another tenant's id is a missing one.
#[derive(Debug, Clone)]
pub struct Integrations {
    table: Table,
    credentials: Credentials,
    ids: Ids,
}

impl Integrations {
    /// The integrations on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { table: platform.table.clone(), credentials: platform.credentials.clone(), ids: platform.ids.clone() }
    }

    fn key(tenant: &Tenant, id: &IntegrationId) -> Key {
        keys::integration(tenant, GROUP, id.as_str())
    }

    fn owner(tenant: &Tenant, id: &IntegrationId) -> SecretOwner {
        SecretOwner::new(tenant, GROUP, id.as_str())
    }

    /// Up to `limit` integrations after `after`, of one type or of all, the oldest first: one Query.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the table does not answer.
    pub async fn list(
        &self,
        tenant: &Tenant,
        kind: Option<Kind>,
        after: Option<&IntegrationId>,
        limit: usize,
    ) -> Result<Page<Integration>, ApiError> {
        let (table, partition) = (self.table.for_lists(GROUP), keys::integrations(tenant, GROUP));
        let after = after.map(|id| (id, format!("{}{id}", keys::INTEGRATION)));
        let page = match kind {
            None => {
                let after = after.as_ref().map(|(_, sort)| sort.as_str());
                table.page(&partition, keys::INTEGRATION, after, limit).await?
            }
            Some(kind) => {
                let after = after.map(|(id, sort)| (kind_order(kind, id), sort));
                let after = after.as_ref().map(|(order, sort)| (order.as_str(), sort.as_str()));
                table.page_by_kind(&partition, &format!("{}#", kind.name()), after, limit).await?
            }
        };
        Ok(page)
    }

    /// One integration.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such integration.
    pub async fn read(&self, tenant: &Tenant, id: &IntegrationId) -> Result<Integration, ApiError> {
        Ok(self.stored(tenant, id).await?.record)
    }

    async fn stored(&self, tenant: &Tenant, id: &IntegrationId) -> Result<Stored<Integration>, ApiError> {
        self.table.get(&Self::key(tenant, id)).await.map_err(not_found)
    }

    /// One integration with its whole config.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such integration.
    pub async fn open(&self, tenant: &Tenant, id: &IntegrationId) -> Result<(Integration, Config), ApiError> {
        let (stored, config) = self.open_stored(tenant, id).await?;
        Ok((stored.record, config))
    }

    async fn open_stored(
        &self,
        tenant: &Tenant,
        id: &IntegrationId,
    ) -> Result<(Stored<Integration>, Config), ApiError> {
        let mut stored = self.stored(tenant, id).await?;
        loop {
            match self.config(tenant, &stored.record).await {
                Ok(config) => return Ok((stored, config)),
                // Changed since it was read, and the version it named is gone already.
                Err(CredentialError::Missing) => {
                    let fresh = self.stored(tenant, id).await?;
                    if fresh.version == stored.version {
                        return Err(CredentialError::Missing.into());
                    }
                    stored = fresh;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn config(&self, tenant: &Tenant, integration: &Integration) -> Result<Config, CredentialError> {
        let document = match &integration.secret {
            Some(secret) => Some(self.credentials.read(&Self::owner(tenant, &integration.id), secret.version).await?),
            None => None,
        };
        let fields = integration.kind.provider().fields();
        Config::from_parts(fields, &integration.config, document.as_deref()).map_err(CredentialError::Malformed)
    }

    /// Creates an integration under the names that `reservation` gives, so that a repeated creation ends with one.
    ///
    /// # Errors
    /// [`ApiError::PayloadTooLarge`] if the secrets are too large, [`ApiError::Internal`] if it could not be stored; then
    /// nothing of it can be seen.
    pub async fn create(
        &self,
        tenant: &Tenant,
        reservation: &Reservation,
        name: String,
        kind: Kind,
        config: &Config,
    ) -> Result<Integration, ApiError> {
        let id = IntegrationId::of(reservation);
        let owner = Self::owner(tenant, &id);
        let mut secret = None;
        if let Some((keys, document)) = config.secret_document() {
            let version = SecretVersion(reservation.uuid());
            self.credentials.create(&owner, version, &document).await?;
            secret = Some(SecretPart { version, keys });
        }
        let integration = Integration {
            id,
            name,
            kind,
            is_managed: false,
            config: config.plain(),
            secret,
            revision: 1,
            last_test: None,
            needs_attention: false,
            created_at: reservation.at,
            updated_at: reservation.at,
            check: CheckState::waiting_since(reservation.at),
        };
        let key = Self::key(tenant, &integration.id);
        match self.table.create(&key, integration.clone(), reservation.uuid()).await {
            Ok(stored) => Ok(stored.record),
            // A repetition of a creation that succeeded, and was changed since.
            Err(TableError::Exists) => self.read(tenant, &integration.id).await,
            // Without an answer the item may be there, so its secret must stay; the sweep looks again.
            Err(error @ TableError::Unavailable(_)) => Err(error.into()),
            Err(error) => {
                if integration.secret.is_some()
                    && let Err(error) = self.credentials.delete(&owner).await
                {
                    tracing::warn!(%error, "a secret without an item is left to the sweep");
                }
                Err(error.into())
            }
        }
    }

    /// Changes an integration. `change` is given the integration and its config, and gives the new config; it runs again
    /// when another change got in between.
    ///
    /// # Errors
    /// What `change` says, and [`ApiError::NotFound`] if the tenant has no such integration.
    pub async fn change(
        &self,
        tenant: &Tenant,
        id: &IntegrationId,
        change: impl Fn(&mut Integration, Config) -> Result<Config, ApiError>,
    ) -> Result<Integration, ApiError> {
        let owner = Self::owner(tenant, id);
        for attempt in 0..TRIES {
            let (Stored { record: before, version }, config_before) = self.open_stored(tenant, id).await?;
            let mut after = before.clone();
            let config = change(&mut after, config_before.clone())?;
            if after == before && config == config_before {
                return Ok(before);
            }
            after.updated_at = self.ids.now().max(before.updated_at);
            if config != config_before {
                after.config = config.plain();
                after.revision = before.revision.saturating_add(1);
                after.needs_attention = false;
                after.last_test = None;
            }
            let mut staged = None;
            if !config.same_secrets(&config_before) {
                after.secret = None;
                if let Some((keys, document)) = config.secret_document() {
                    let version = SecretVersion(self.ids.uuid());
                    self.credentials.stage(&owner, version, &document).await?;
                    staged = Some(version);
                    after.secret = Some(SecretPart { version, keys });
                }
            }
            let written = self.table.replace(&Self::key(tenant, id), after, version).await;
            match (written, staged) {
                (Ok(stored), Some(version)) => {
                    self.credentials.promote(&owner, version, before.secret.map(|secret| secret.version)).await;
                    return Ok(stored.record);
                }
                (Ok(stored), None) => {
                    if before.secret.is_some() && stored.record.secret.is_none() {
                        self.remove_secret(&owner).await;
                    }
                    return Ok(stored.record);
                }
                (Err(TableError::Contended), staged) => {
                    if let Some(version) = staged {
                        self.undo_stage(tenant, id, &owner, version).await?;
                    }
                    self.table.pause(attempt).await;
                }
                // Without an answer the item may name the staged version, so it must stay.
                (Err(error), _) => return Err(error.into()),
            }
        }
        Err(TableError::Contended.into())
    }

    /// Takes back a version that no item came to name: just its label, or the whole secret if the integration was deleted
    /// meanwhile.
    async fn undo_stage(
        &self,
        tenant: &Tenant,
        id: &IntegrationId,
        owner: &SecretOwner,
        version: SecretVersion,
    ) -> Result<(), ApiError> {
        match self.read(tenant, id).await {
            // It was written after all, the answer was lost, and another change of the integration followed.
            Ok(integration) if integration.secret.as_ref().is_some_and(|secret| secret.version == version) => {}
            Ok(_) => self.credentials.let_go(owner, version).await,
            Err(ApiError::NotFound { what }) => {
                self.remove_secret(owner).await;
                return Err(ApiError::NotFound { what });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Deletes an integration and its secret.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such integration.
    pub async fn delete(&self, tenant: &Tenant, id: &IntegrationId) -> Result<(), ApiError> {
        let integration = self.read(tenant, id).await?;
        self.table.delete(&Self::key(tenant, id)).await?;
        if integration.secret.is_some() {
            self.remove_secret(&Self::owner(tenant, id)).await;
        }
        Ok(())
    }

    async fn remove_secret(&self, owner: &SecretOwner) {
        if let Err(error) = self.credentials.delete(owner).await {
            tracing::warn!(%error, "a secret without an item is left to the sweep");
        }
    }

    /// Records a test of the stored credential, unless the config has changed since `revision`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such integration.
    pub async fn record_test(
        &self,
        tenant: &Tenant,
        id: &IntegrationId,
        revision: u64,
        report: &Report,
    ) -> Result<(), ApiError> {
        let at = self.ids.now();
        let record = |integration: &mut Integration| -> Result<bool, TableError> {
            Ok(integration.record(revision, report, at))
        };
        self.table.update(&Self::key(tenant, id), record).await.map_err(not_found)?;
        Ok(())
    }

    /// Up to `limit` integrations of a queue that belong to the run with this cutoff.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn due(
        &self,
        queue: u8,
        cutoff: jiff::Timestamp,
        limit: usize,
    ) -> Result<Vec<(Tenant, IntegrationId)>, TableError> {
        let keys = self.table.due(&check_queue(queue), cutoff, limit).await?;
        let named = keys.iter().filter_map(keys::integration_of);
        Ok(named.filter_map(|(tenant, id)| Some((tenant, IntegrationId::parse(id)?))).collect())
    }

    /// Claims an integration for a run: the integration and the lease's fencing number, or `None` if it is not there, not
    /// due in that run, or held by another worker.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn claim(
        &self,
        tenant: &Tenant,
        id: &IntegrationId,
        cutoff: jiff::Timestamp,
        lease: SignedDuration,
    ) -> Result<Option<(Integration, u64)>, TableError> {
        let now = self.ids.now();
        let claim = |integration: &mut Integration| -> Result<_, TableError> {
            Ok(integration.check.claim(cutoff, now, lease))
        };
        match self.table.update(&Self::key(tenant, id), claim).await {
            Ok((stored, fence)) => Ok(fence.map(|fence| (stored.record, fence))),
            Err(TableError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends a claim: with a report it is done with for this run, without one it stays due. False if the claim was lost or
    /// the config has changed, and nothing was recorded.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn release(
        &self,
        tenant: &Tenant,
        claimed: &Integration,
        fence: u64,
        cutoff: jiff::Timestamp,
        report: Option<&Report>,
    ) -> Result<bool, TableError> {
        let at = self.ids.now();
        let release = |integration: &mut Integration| -> Result<bool, TableError> {
            let current = integration.revision == claimed.revision;
            let held = integration.check.release(fence, current && report.is_some(), cutoff);
            Ok(held && report.is_some_and(|report| integration.record(claimed.revision, report, at)))
        };
        match self.table.update(&Self::key(tenant, &claimed.id), release).await {
            Ok((_, recorded)) => Ok(recorded),
            Err(TableError::Missing) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn not_found(error: TableError) -> ApiError {
    match error {
        TableError::Missing => ApiError::NotFound { what: "Integration" },
        other => other.into(),
    }
}
