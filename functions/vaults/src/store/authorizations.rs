//! Authorizations that were begun: what an OAuth callback comes back to. Each is used once, within ten minutes. Nothing in
//! it is secret: its state is known by its hash only, and the PKCE verifier is derived from the state.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::Platform;
use shared::auth::Tenant;
use shared::clock::Ids;
use shared::digest::sha256_hex;
use shared::table::{Index, Key, Record, Stored, Table, TableError, Uncommitted, keys};
use uuid::Uuid;

/// How long a person has to consent.
pub const LIVES: SignedDuration = SignedDuration::from_mins(10);

/// An authorization that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// Who began it.
    pub tenant: Tenant,
    /// Which of its users.
    pub user: String,
    /// The platform.
    pub provider: String,
    /// The address that the platform was told to come back to.
    pub callback: String,
    /// Where the browser is to be sent in the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_uri: Option<String>,
    /// Which of the token's accounts is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The connection that is to be renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnects: Option<Uuid>,
    /// Until when it may be used.
    pub until: Timestamp,
}

impl Record for Authorization {
    fn index(&self) -> Index {
        Index { expires_at: Some(self.until), ..Index::default() }
    }
}

/// An authorization that a state was found to belong to, and that is not taken yet.
#[derive(Debug)]
pub struct Found {
    key: Key,
    stored: Stored<Authorization>,
}

impl Found {
    /// What was begun.
    #[must_use]
    pub fn authorization(&self) -> &Authorization {
        &self.stored.record
    }
}

/// The authorizations of all tenants: a callback carries nobody's token, and its state tells whose it is.
#[derive(Debug, Clone)]
pub struct Authorizations {
    table: Table,
    ids: Ids,
}

impl Authorizations {
    /// The authorizations on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { table: platform.table.clone(), ids: platform.ids.clone() }
    }

    /// Keeps what comes back under `state`.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn begin(&self, state: &str, authorization: Authorization) -> Result<(), TableError> {
        let key = keys::vaults::authorization(&sha256_hex(state.as_bytes()));
        self.table.create(&key, authorization, self.ids.uuid()).await.map(drop)
    }

    /// What was kept under `state`. `None` if there is nothing.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn find(&self, state: &str) -> Result<Option<Found>, TableError> {
        let key = keys::vaults::authorization(&sha256_hex(state.as_bytes()));
        match self.table.get::<Authorization>(&key).await {
            Ok(stored) => Ok(Some(Found { key, stored })),
            Err(TableError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes what was found, once. `None` if somebody else has taken it, or it is too late for it.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn take(&self, found: Found) -> Result<Option<Authorization>, TableError> {
        let Found { key, stored } = found;
        let mut transaction = self.table.transaction();
        transaction.delete(&key, Some(stored.version))?;
        match self.table.commit(transaction).await {
            Ok(()) => Ok(Some(stored.record).filter(|one| self.ids.now() < one.until)),
            Err(Uncommitted::Conditions(_)) => Ok(None),
            Err(Uncommitted::Table(error)) => Err(error),
        }
    }
}
