//! Connections: an item, a secret with the tokens, and a row that makes an account the tenant's only connection of it.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use shared::Platform;
use shared::auth::Tenant;
use shared::clock::Ids;
use shared::credentials::{CredentialError, Credentials, SecretOwner, SecretVersion};
use shared::http::ApiError;
use shared::table::{Index, Key, Record, Stored, Table, TableError, Uncommitted, keys};
use uuid::Uuid;

use super::{TRIES, queue};
use crate::model::link::hashed;
use crate::model::{Connection, Refresh, SecretPart, Status, Way};
use crate::providers::{Account, Held};
use crate::{GROUP, refresh};

impl Record for Connection {
    fn index(&self) -> Index {
        Index {
            kind_order: Some(order(self)),
            due: self.refresh.due_at.map(|at| (queue(refresh::FUNCTION, &self.id.to_string()), at)),
            ..Index::default()
        }
    }
}

const KIND: &str = "connection#";

fn order(connection: &Connection) -> String {
    format!("{KIND}{:013}#{}", connection.created_at.as_millisecond().max(0), connection.id)
}

/// The connection that has an account.
#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    id: Uuid,
}

impl Record for Identity {}

/// What a connection is made of.
#[derive(Debug)]
pub struct NewConnection {
    /// The platform.
    pub provider: &'static str,
    /// The account.
    pub account: Account,
    /// The tokens.
    pub held: Held,
    /// How they were got.
    pub way: Way,
    /// For how long the access token is good, where it ends.
    pub lives: Option<SignedDuration>,
    /// The platform's id of the installation, where there is one.
    pub installation_id: Option<String>,
    /// The connection that this is to be: the account must be its own.
    pub reconnects: Option<Uuid>,
}

impl NewConnection {
    fn identity(&self) -> String {
        hashed(&[self.provider, &self.account.id])
    }
}

/// The group's connections. Every method takes the tenant; another tenant's id is a missing one.
#[derive(Debug, Clone)]
pub struct Connections {
    table: Table,
    credentials: Credentials,
    ids: Ids,
}

impl Connections {
    /// The connections on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { table: platform.table.clone(), credentials: platform.credentials.clone(), ids: platform.ids.clone() }
    }

    /// Where a connection is.
    #[must_use]
    pub fn key(tenant: &Tenant, id: Uuid) -> Key {
        keys::integration(tenant, GROUP, &id.to_string())
    }

    fn owner(tenant: &Tenant, id: Uuid) -> SecretOwner {
        SecretOwner::new(tenant, GROUP, &id.to_string())
    }

    /// Every connection, the oldest first.
    ///
    /// # Errors
    /// [`ApiError::Internal`] if the table does not answer.
    pub async fn list(&self, tenant: &Tenant) -> Result<Vec<Connection>, ApiError> {
        let partition = keys::integrations(tenant, GROUP);
        let mut all: Vec<Connection> = Vec::new();
        loop {
            let after = all.last().map(|last| (order(last), Self::key(tenant, last.id).sort));
            let after = after.as_ref().map(|(order, sort)| (order.as_str(), sort.as_str()));
            let page = self.table.page_by_kind(&partition, KIND, after, 500).await?;
            all.extend(page.records);
            if !page.more {
                return Ok(all);
            }
        }
    }

    /// One connection.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such connection.
    pub async fn read(&self, tenant: &Tenant, id: Uuid) -> Result<Connection, ApiError> {
        self.table.get(&Self::key(tenant, id)).await.map(|stored| stored.record).map_err(not_found)
    }

    /// A connection's tokens.
    ///
    /// # Errors
    /// [`CredentialError::Missing`] if it was changed since it was read and the version it named is gone.
    pub async fn held(&self, tenant: &Tenant, connection: &Connection) -> Result<Held, CredentialError> {
        let owner = Self::owner(tenant, connection.id);
        Held::of_document(self.credentials.read(&owner, connection.secret.version).await?.as_ref())
    }

    /// Adds a connection, or gives the tenant's connection of this account new tokens: it keeps its id and its age.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] if another account's connection was to be renewed, [`ApiError::NotFound`] if there is none
    /// such, [`ApiError::Internal`] if it could not be stored.
    pub async fn connect(&self, tenant: &Tenant, new: &NewConnection) -> Result<Connection, ApiError> {
        for attempt in 0..TRIES {
            if let Some(id) = new.reconnects {
                let before = self.read(tenant, id).await?;
                if before.provider != new.provider || before.account_id != new.account.id {
                    return Err(another_account(&before));
                }
            }
            let identity = keys::identity(tenant, GROUP, &new.identity());
            let done = match self.table.get::<Identity>(&identity).await {
                Ok(stored) => self.renew(tenant, stored.record.id, new).await?,
                Err(TableError::Missing) => self.add(tenant, &identity, new).await?,
                Err(error) => return Err(error.into()),
            };
            match done {
                Some(connection) => return Ok(connection),
                None => self.table.pause(attempt).await,
            }
        }
        Err(TableError::Contended.into())
    }

    /// `None` if another connection of the account got in between.
    async fn add(&self, tenant: &Tenant, identity: &Key, new: &NewConnection) -> Result<Option<Connection>, ApiError> {
        let (now, id) = (self.ids.now(), self.ids.uuid());
        let owner = Self::owner(tenant, id);
        let (document, names) = new.held.document();
        let version = SecretVersion(self.ids.uuid());
        self.credentials.create(&owner, version, &document).await?;
        let connection = filled(id, now, SecretPart { version, keys: names }, new, now);
        let mut transaction = self.table.transaction();
        transaction.create(&Self::key(tenant, id), &connection)?;
        transaction.create(identity, &Identity { id })?;
        match self.table.commit(transaction).await {
            Ok(()) => Ok(Some(connection)),
            Err(Uncommitted::Conditions(_)) => {
                self.remove_secret(&owner).await;
                Ok(None)
            }
            // Without an answer the item may be there, so its secret must stay; the sweep looks again.
            Err(Uncommitted::Table(error)) => Err(error.into()),
        }
    }

    /// `None` if another change got in between.
    async fn renew(&self, tenant: &Tenant, id: Uuid, new: &NewConnection) -> Result<Option<Connection>, ApiError> {
        let Stored { record: before, version: read } = match self.table.get::<Connection>(&Self::key(tenant, id)).await
        {
            Ok(stored) => stored,
            // It is being deleted just now.
            Err(TableError::Missing) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (document, names) = new.held.document();
        let version = SecretVersion(self.ids.uuid());
        let owner = Self::owner(tenant, id);
        self.credentials.stage(&owner, version, &document).await?;
        let secret = SecretPart { version, keys: names };
        let mut after = filled(id, before.created_at, secret, new, self.ids.now());
        // A renewal of the old token that is under way must not be written over the new one.
        after.refresh.fence = before.refresh.fence + 1;
        match self.table.replace(&Self::key(tenant, id), after.clone(), read).await {
            Ok(_) => {
                self.credentials.promote(&owner, version, Some(before.secret.version)).await;
                Ok(Some(after))
            }
            Err(TableError::Contended) => {
                self.undo_stage(tenant, id, version).await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn undo_stage(&self, tenant: &Tenant, id: Uuid, version: SecretVersion) -> Result<(), TableError> {
        let owner = Self::owner(tenant, id);
        match self.table.get::<Connection>(&Self::key(tenant, id)).await {
            Ok(_) => self.credentials.let_go(&owner, version).await,
            Err(TableError::Missing) => self.remove_secret(&owner).await,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes on the renewal of a connection's token, if it is due or `early` and nobody else has it: the connection and the
    /// fencing number.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn claim_refresh(
        &self,
        tenant: &Tenant,
        id: Uuid,
        early: bool,
    ) -> Result<Option<(Connection, u64)>, TableError> {
        let now = self.ids.now();
        let claim = |one: &mut Connection| -> Result<_, TableError> { Ok(one.claim_refresh(now, early)) };
        match self.table.update(&Self::key(tenant, id), claim).await {
            Ok((stored, Some(fence))) => Ok(Some((stored.record, fence))),
            Ok((_, None)) | Err(TableError::Missing | TableError::Contended) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores a renewed token. False if the connection was connected again meanwhile, or is gone; the token is then of no use.
    /// Repeated with the same version it does the same.
    ///
    /// # Errors
    /// [`ApiError`] if it could not be stored.
    pub async fn refreshed(
        &self,
        tenant: &Tenant,
        (before, fence): (&Connection, u64),
        (version, held): (SecretVersion, &Held),
        lives: Option<SignedDuration>,
    ) -> Result<bool, ApiError> {
        let owner = Self::owner(tenant, before.id);
        let (document, names) = held.document();
        self.credentials.stage(&owner, version, &document).await?;
        let secret = SecretPart { version, keys: names };
        let now = self.ids.now();
        let change =
            |one: &mut Connection| -> Result<_, TableError> { Ok(one.refreshed(fence, secret.clone(), now, lives)) };
        match self.table.update(&Self::key(tenant, before.id), change).await {
            Ok((_, true)) => {
                self.credentials.promote(&owner, version, Some(before.secret.version)).await;
                Ok(true)
            }
            Ok((_, false)) | Err(TableError::Missing) => {
                self.undo_stage(tenant, before.id, version).await?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Changes a connection; one that is gone stays so.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn change(&self, tenant: &Tenant, id: Uuid, change: impl Fn(&mut Connection)) -> Result<(), TableError> {
        let change = |one: &mut Connection| -> Result<(), TableError> {
            change(one);
            Ok(())
        };
        match self.table.update(&Self::key(tenant, id), change).await {
            Err(TableError::Missing) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Notes that the platform does not accept the token of this version any more. One that was renewed meanwhile stays.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn need_reauth(&self, tenant: &Tenant, connection: &Connection) -> Result<(), TableError> {
        let now = self.ids.now();
        self.change(tenant, connection.id, |one| {
            if one.secret.version == connection.secret.version {
                one.need_reauth(now);
            }
        })
        .await
    }

    /// Deletes a connection; its secret is had back for seven days. Gives what it was.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such connection.
    pub async fn delete(&self, tenant: &Tenant, id: Uuid) -> Result<Connection, ApiError> {
        for attempt in 0..TRIES {
            let key = Self::key(tenant, id);
            let Stored { record, version } = self.table.get::<Connection>(&key).await.map_err(not_found)?;
            let identity = hashed(&[&record.provider, &record.account_id]);
            let mut transaction = self.table.transaction();
            transaction.delete(&key, Some(version))?;
            transaction.delete(&keys::identity(tenant, GROUP, &identity), None)?;
            match self.table.commit(transaction).await {
                Ok(()) => return Ok(record),
                Err(Uncommitted::Conditions(_)) => self.table.pause(attempt).await,
                Err(Uncommitted::Table(error)) => return Err(error.into()),
            }
        }
        Err(TableError::Contended.into())
    }

    /// Removes the secret of a deleted connection; what fails is left to the sweep.
    pub async fn remove_secret_of(&self, tenant: &Tenant, id: Uuid) {
        self.remove_secret(&Self::owner(tenant, id)).await;
    }

    async fn remove_secret(&self, owner: &SecretOwner) {
        if let Err(error) = self.credentials.delete(owner).await {
            tracing::warn!(%error, "a secret without an item is left to the sweep");
        }
    }
}

fn filled(
    id: Uuid,
    created_at: jiff::Timestamp,
    secret: SecretPart,
    new: &NewConnection,
    now: jiff::Timestamp,
) -> Connection {
    let (token_expires_at, due_at) = Connection::ends(now, new.lives);
    Connection {
        id,
        provider: new.provider.into(),
        account_id: new.account.id.clone(),
        account_name: new.account.name.clone(),
        user_id: new.account.user_id.clone(),
        team_id: new.account.team_id.clone(),
        installation_id: new.installation_id.clone(),
        way: new.way,
        status: Status::Active,
        created_at,
        updated_at: now,
        secret,
        token_expires_at,
        refresh: Refresh { due_at: due_at.filter(|_| new.held.refresh.is_some()), ..Refresh::default() },
        not_before: None,
    }
}

fn another_account(before: &Connection) -> ApiError {
    ApiError::conflict(format!(
        "This is another account than the one that the connection {} is of ({}). Sign in to that one, or connect this one as a \
         connection of its own.",
        before.id, before.account_name
    ))
}

fn not_found(error: TableError) -> ApiError {
    match error {
        TableError::Missing => ApiError::NotFound { what: "Connection" },
        other => other.into(),
    }
}
