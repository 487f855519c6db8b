//! Opaque bearer tokens: minting, storage by hash, a look-up that is remembered for at most a minute.

use std::time::Duration;

use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{Permission, Principal, Tenant};
use crate::clock::Ids;
use crate::digest::sha256_hex;
use crate::table::{Record, Table, TableError, Uncommitted, keys};

/// For how long a look-up is remembered, so also how long a revoked token may still work.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(60);
const REMEMBERED_TOKENS: usize = 10_000;
/// Tokens begin so, which lets secret scanners find them.
const PREFIX: &str = "cwy_";

/// A token as its bearer shows it.
#[derive(Debug, Clone)]
pub struct Token(SecretString);

impl Token {
    /// Takes what a bearer shows, whatever it is: what was never minted is found nowhere.
    #[must_use]
    pub fn shown(text: &str) -> Self {
        Self(SecretString::from(text))
    }

    /// The hash that is stored in its place: SHA-256 in hexadecimal. 256 random bits need no salt and no stretching.
    #[must_use]
    pub fn hash(&self) -> String {
        sha256_hex(self.0.expose_secret().as_bytes())
    }

    /// The token itself, to be shown once to whom it was minted for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

/// What a token is to stand for.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Whose things may be seen.
    pub tenant: Tenant,
    /// Who acts.
    pub user: String,
    /// What it is for, in its operator's words.
    pub name: String,
    /// What may be done.
    pub permissions: Vec<Permission>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// The client that it is issued to, with the client's secret, where a group asks for one.
    pub client: Option<(String, SecretString)>,
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Names the token to its operator.
    pub id: String,
    /// The SHA-256 of what its bearer shows.
    pub hash: String,
    /// Whose things may be seen.
    pub tenant: Tenant,
    /// Who acts.
    pub user: String,
    /// What it is for.
    pub name: String,
    /// What may be done.
    pub permissions: Vec<Permission>,
    /// When it was minted.
    pub created_at: Timestamp,
    /// When it stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// The client that it was issued to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The SHA-256 of that client's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_hash: Option<String>,
}

impl Record for TokenRecord {}

impl TokenRecord {
    fn works_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.token_expires_at.is_none_or(|at| now < at)
    }

    /// True if the token was issued to this client and this is the client's secret.
    #[must_use]
    pub fn was_issued_to(&self, client_id: &str, client_secret: &SecretString) -> bool {
        let (Some(id), Some(hash)) = (&self.client_id, &self.client_secret_hash) else { return false };
        let shown = sha256_hex(client_secret.expose_secret().as_bytes());
        id == client_id && constant_time::verify_slices_are_equal(shown.as_bytes(), hash.as_bytes()).is_ok()
    }

    /// Who the token stands for.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal { tenant: self.tenant.clone(), user: self.user.clone(), permissions: self.permissions.clone() }
    }
}

/// A name in the list of tenants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TenantRecord {
    tenant: Tenant,
}

impl Record for TenantRecord {}

/// A token just minted: the only moment at which it can be seen.
#[derive(Debug)]
pub struct Minted {
    /// The token.
    pub token: Token,
    /// Its record.
    pub record: TokenRecord,
}

/// Tokens in the table.
#[derive(Debug, Clone)]
pub struct TokenStore {
    table: Table,
    ids: Ids,
}

impl TokenStore {
    /// The tokens in `table`.
    #[must_use]
    pub fn new(table: Table, ids: Ids) -> Self {
        Self { table, ids }
    }

    /// Mints a token for `grant`.
    ///
    /// # Errors
    /// [`TableError`] if it could not be stored; it does not work then.
    pub async fn mint(&self, grant: Grant) -> Result<Minted, TableError> {
        let token = Token(SecretString::from(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.ids.bytes::<32>()))));
        let reservation = self.ids.reserve();
        let (client_id, client_secret) = grant.client.unzip();
        let record = TokenRecord {
            id: format!("tok_{}", reservation.sortable()),
            hash: token.hash(),
            tenant: grant.tenant,
            user: grant.user,
            name: grant.name,
            permissions: grant.permissions,
            created_at: reservation.at,
            token_expires_at: grant.expires_at,
            revoked_at: None,
            client_id,
            client_secret_hash: client_secret.map(|secret| sha256_hex(secret.expose_secret().as_bytes())),
        };
        let tenant = TenantRecord { tenant: record.tenant.clone() };
        let listed = keys::Key::new(keys::tokens_of(&record.tenant), &record.id);
        let mut transaction = self.table.transaction();
        transaction.create(&keys::token(&record.hash), &record)?;
        transaction.create(&listed, &record)?;
        transaction.put(&keys::Key::new(keys::TENANTS, record.tenant.as_str()), &tenant)?;
        self.table.commit(transaction).await.map_err(|error| match error {
            Uncommitted::Conditions(_) => TableError::Exists,
            Uncommitted::Table(error) => error,
        })?;
        Ok(Minted { token, record })
    }

    /// Every tenant that has tokens, by name.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, TableError> {
        let mut tenants: Vec<Tenant> = Vec::new();
        loop {
            let after = tenants.last().map(|tenant| tenant.as_str().to_owned());
            let page = self.table.page::<TenantRecord>(keys::TENANTS, "", after.as_deref(), 500).await?;
            tenants.extend(page.records.into_iter().map(|record| record.tenant));
            if !page.more {
                return Ok(tenants);
            }
        }
    }

    /// Every token of a tenant, the oldest first.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn list(&self, tenant: &Tenant) -> Result<Vec<TokenRecord>, TableError> {
        let mut records: Vec<TokenRecord> = Vec::new();
        loop {
            let after = records.last().map(|record| record.id.clone());
            let page = self.table.page(&keys::tokens_of(tenant), "", after.as_deref(), 200).await?;
            records.extend(page.records);
            if !page.more {
                return Ok(records);
            }
        }
    }

    /// Revokes a token by its id. It may go on working for up to a minute where it was looked up just before.
    ///
    /// # Errors
    /// [`TableError::Missing`] if the tenant has no such token, or [`TableError`] if the table does not answer.
    pub async fn revoke(&self, tenant: &Tenant, id: &str) -> Result<TokenRecord, TableError> {
        let row = keys::Key::new(keys::tokens_of(tenant), id);
        let listed = self.table.get::<TokenRecord>(&row).await?.record;
        let now = self.ids.now();
        let revoke = |record: &mut TokenRecord| -> Result<(), TableError> {
            record.revoked_at.get_or_insert(now);
            Ok(())
        };
        // What counts first, what is shown second: a crash between leaves a token that is shown as live but is not,
        // and revoking it again mends that.
        self.table.update(&keys::token(&listed.hash), revoke).await?;
        let (stored, ()) = self.table.update(&row, revoke).await?;
        Ok(stored.record)
    }

    async fn look_up(&self, hash: &str) -> Result<Option<TokenRecord>, TableError> {
        match self.table.get::<TokenRecord>(&keys::token(hash)).await {
            Ok(stored) => Ok(Some(stored.record)),
            Err(TableError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Why a request has no principal.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// No token, or one that is unknown, expired or revoked.
    #[error("the token is unknown, expired or revoked")]
    Unknown,
    /// The table did not answer.
    #[error("the token could not be looked up")]
    Unavailable(#[source] TableError),
}

/// Looks tokens up and remembers the good ones for a minute.
#[derive(Debug)]
pub struct Authenticator {
    store: TokenStore,
    ids: Ids,
    remembered: Cache<String, (Timestamp, TokenRecord)>,
}

impl Authenticator {
    /// An authenticator over `store`.
    #[must_use]
    pub fn new(store: TokenStore, ids: Ids) -> Self {
        Self { store, ids, remembered: Cache::new(REMEMBERED_TOKENS) }
    }

    /// The record of a token that works now.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub async fn authenticate(&self, token: &Token) -> Result<TokenRecord, Unauthenticated> {
        let now = self.ids.now();
        let hash = token.hash();
        if let Some((at, record)) = self.remembered.get(&hash) {
            if now.duration_since(at) < REMEMBERED {
                return if record.works_at(now) { Ok(record) } else { Err(Unauthenticated::Unknown) };
            }
            self.remembered.remove(&hash);
        }
        let record = self.store.look_up(&hash).await.map_err(Unauthenticated::Unavailable)?;
        let record = record.filter(|record| record.works_at(now)).ok_or(Unauthenticated::Unknown)?;
        self.remembered.insert(hash, (now, record.clone()));
        Ok(record)
    }

    /// The longest time for which a revoked token may still work.
    #[must_use]
    pub fn remembers_for() -> Duration {
        REMEMBERED.unsigned_abs()
    }
}
