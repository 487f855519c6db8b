//! Bearer tokens: opaque ones are minted, stored by their hash and looked up; JWTs of the operator's issuer are verified.
//! Either way the outcome is remembered for at most a minute.

use std::time::Duration;

use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::jwt::Verified;
use super::oidc::{Issuer, IssuerError, Unverifiable};
use super::{Permission, Principal, Tenant};
use crate::clock::Ids;
use crate::digest::sha256_hex;
use crate::egress::Egress;
use crate::table::{Record, Table, TableError, Uncommitted, keys};

/// For how long a look-up is remembered, so also how long a revoked token may still work.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(60);
const REMEMBERED_TOKENS: usize = 10_000;
/// A tenant's clients are not read anew for a client that is not among them before this.
const CLIENTS_AGAIN: SignedDuration = SignedDuration::from_secs(5);
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

    /// True for what has the form of a JWT. What is minted here has no dot.
    fn is_jwt(&self) -> bool {
        let text = self.0.expose_secret();
        !text.starts_with(PREFIX) && text.contains('.')
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

/// The client that a request shows besides its token.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: SecretString,
}

impl Client {
    /// Names the client to whom it belongs to, without its secret.
    fn hash(&self, tenant: &Tenant) -> String {
        client_hash(tenant, &self.id, &sha256_hex(self.secret.expose_secret().as_bytes()))
    }
}

/// Names a client whose secret is known by its hash.
fn client_hash(tenant: &Tenant, id: &str, secret_hash: &str) -> String {
    sha256_hex(format!("{tenant}\n{secret_hash}\n{id}").as_bytes())
}

/// A token as it is stored; for a JWT, the same made of its claims.
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
    /// The id of the token that was minted in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// True for a JWT of the operator's issuer. Such a record is stored nowhere.
    #[serde(skip)]
    pub by_issuer: bool,
}

impl Record for TokenRecord {}

impl TokenRecord {
    /// What a JWT stands for. Its id is the same for every JWT that says the same: they live for minutes only.
    fn verified(hash: String, verified: Verified, now: Timestamp) -> Self {
        let Verified { tenant, user, permissions, client_id, issued_at, expires_at } = verified;
        let bearer = format!("{tenant}\n{user}\n{}", client_id.as_deref().unwrap_or_default());
        let bearer: String = sha256_hex(bearer.as_bytes()).chars().take(21).collect();
        Self {
            id: format!("jwt_{bearer}"),
            hash,
            tenant,
            user,
            name: "a JWT of the issuer".into(),
            permissions,
            created_at: issued_at.unwrap_or(now),
            token_expires_at: Some(expires_at),
            revoked_at: None,
            client_id,
            client_secret_hash: None,
            replaced_by: None,
            by_issuer: true,
        }
    }

    /// True if the token works at `now`.
    #[must_use]
    pub fn works_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.token_expires_at.is_none_or(|at| now < at)
    }

    /// Lets it work until `until` at the latest.
    fn end_by(&mut self, until: Timestamp) {
        self.token_expires_at = Some(self.token_expires_at.map_or(until, |at| at.min(until)));
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
        let (client_id, client_secret) = grant.client.clone().unzip();
        let secret_hash = client_secret.map(|secret| sha256_hex(secret.expose_secret().as_bytes()));
        self.mint_for(grant, client_id.zip(secret_hash)).await
    }

    /// Mints a token in place of another: for the same tenant and user, with the same permissions, for the same client.
    /// It lives as long as the other was meant to, unless `expires_at` says otherwise. The other one works until `until`,
    /// or not at all from now on.
    ///
    /// Should the process end half-way, both work: doing it again is safe.
    ///
    /// # Errors
    /// [`TableError::Missing`] if the tenant has no such token, or [`TableError`] if the table does not answer.
    pub async fn rotate(
        &self,
        old: &TokenRecord,
        expires_at: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<(Minted, TokenRecord), TableError> {
        let lifetime = old.token_expires_at.map(|at| at.duration_since(old.created_at));
        let same_again = lifetime.and_then(|lifetime| self.ids.now().checked_add(lifetime).ok());
        let grant = Grant {
            tenant: old.tenant.clone(),
            user: old.user.clone(),
            name: old.name.clone(),
            permissions: old.permissions.clone(),
            expires_at: expires_at.or(same_again),
            client: None,
        };
        let client = old.client_id.clone().zip(old.client_secret_hash.clone());
        let minted = self.mint_for(grant, client).await?;
        let now = self.ids.now();
        let change = |record: &mut TokenRecord| {
            record.replaced_by = Some(minted.record.id.clone());
            match until {
                Some(until) => record.end_by(until),
                None => _ = record.revoked_at.get_or_insert(now),
            }
        };
        let old = self.change(&old.tenant, &old.id, change).await?;
        Ok((minted, old))
    }

    /// Mints a token for a client whose secret is known by its hash.
    async fn mint_for(&self, grant: Grant, client: Option<(String, String)>) -> Result<Minted, TableError> {
        let token = Token(SecretString::from(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.ids.bytes::<32>()))));
        let reservation = self.ids.reserve();
        let (client_id, client_secret_hash) = client.unzip();
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
            client_secret_hash,
            replaced_by: None,
            by_issuer: false,
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
        let now = self.ids.now();
        self.change(tenant, id, |record| {
            record.revoked_at.get_or_insert(now);
        })
        .await
    }

    async fn change(
        &self,
        tenant: &Tenant,
        id: &str,
        change: impl Fn(&mut TokenRecord),
    ) -> Result<TokenRecord, TableError> {
        let listed = self.read(tenant, id).await?;
        let change = |record: &mut TokenRecord| -> Result<(), TableError> {
            change(record);
            Ok(())
        };
        // What counts first, what is shown second: a crash between leaves a token that is shown as live but is not,
        // and doing it again mends that.
        self.table.update(&keys::token(&listed.hash), change).await?;
        let (stored, ()) = self.table.update(&keys::Key::new(keys::tokens_of(tenant), id), change).await?;
        Ok(stored.record)
    }

    /// A tenant's token by its id.
    ///
    /// # Errors
    /// [`TableError::Missing`] if the tenant has no such token, or [`TableError`] if the table does not answer.
    pub async fn read(&self, tenant: &Tenant, id: &str) -> Result<TokenRecord, TableError> {
        Ok(self.table.get::<TokenRecord>(&keys::Key::new(keys::tokens_of(tenant), id)).await?.record)
    }

    /// A token by its id, whosever it is: one look for each tenant.
    ///
    /// # Errors
    /// [`TableError::Missing`] if there is none, or [`TableError`] if the table does not answer.
    pub async fn find(&self, id: &str) -> Result<TokenRecord, TableError> {
        for tenant in self.tenants().await? {
            match self.read(&tenant, id).await {
                Err(TableError::Missing) => {}
                found => return found,
            }
        }
        Err(TableError::Missing)
    }

    /// The hashes of the clients that the tenant's tokens that work at `now` were issued to.
    async fn clients(&self, tenant: &Tenant, now: Timestamp) -> Result<Vec<String>, TableError> {
        let records = self.list(tenant).await?;
        let clients = records.iter().filter(|record| record.works_at(now)).filter_map(|record| {
            Some(client_hash(tenant, record.client_id.as_deref()?, record.client_secret_hash.as_deref()?))
        });
        Ok(clients.collect())
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
    /// The operator's issuer did not answer, so that nothing can be said of a JWT.
    #[error("the token could not be verified")]
    Unverifiable(#[source] IssuerError),
}

/// Looks tokens up, or verifies them, and remembers the good ones for a minute.
#[derive(Debug)]
pub struct Authenticator {
    store: TokenStore,
    ids: Ids,
    issuer: Option<Issuer>,
    remembered: Cache<String, (Timestamp, TokenRecord)>,
    clients: Cache<String, Timestamp>,
    /// When a tenant's clients were read.
    read: Cache<Tenant, Timestamp>,
}

impl Authenticator {
    /// An authenticator over `store`, and over the operator's issuer if `egress` knows one.
    #[must_use]
    pub fn new(store: TokenStore, egress: &Egress, ids: Ids) -> Self {
        let issuer = egress.oidc().map(|config| Issuer::new(config.clone(), egress.clone(), ids.clone()));
        let (remembered, clients) = (Cache::new(REMEMBERED_TOKENS), Cache::new(REMEMBERED_TOKENS));
        Self { store, ids, issuer, remembered, clients, read: Cache::new(REMEMBERED_TOKENS) }
    }

    /// Gets ready for JWTs while nobody waits: at a function's start. Without an issuer there is nothing to do.
    pub async fn prepare(&self) {
        if let Some(issuer) = &self.issuer {
            issuer.prepare().await;
        }
    }

    /// The record of a token that works now, together with this client if one must be shown.
    ///
    /// An opaque token was issued to one client, with its secret. A JWT names its client, and the secret must be that
    /// under which this client is known for the tenant: that of an opaque token that works.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub async fn authenticate_with(
        &self,
        token: &Token,
        client: Option<&Client>,
    ) -> Result<TokenRecord, Unauthenticated> {
        let record = self.authenticate(token).await?;
        let fits = match client {
            None => true,
            Some(client) if record.by_issuer => {
                record.client_id.as_ref() == Some(&client.id) && self.knows_client(&record.tenant, client).await?
            }
            Some(client) => record.was_issued_to(&client.id, &client.secret),
        };
        if fits { Ok(record) } else { Err(Unauthenticated::Unknown) }
    }

    /// Whether a token of the tenant that works was issued to this client, with this secret. It is not counted as a request,
    /// so a wrong one must cost little: all the tenant's clients are read at once, and not again for a few seconds.
    async fn knows_client(&self, tenant: &Tenant, client: &Client) -> Result<bool, Unauthenticated> {
        let now = self.ids.now();
        let hash = client.hash(tenant);
        if self.clients.get(&hash).is_some_and(|at| now.duration_since(at) < REMEMBERED) {
            return Ok(true);
        }
        if self.read.get(tenant).is_some_and(|at| now.duration_since(at) < CLIENTS_AGAIN) {
            return Ok(false);
        }
        let clients = self.store.clients(tenant, now).await.map_err(Unauthenticated::Unavailable)?;
        let known = clients.contains(&hash);
        for client in clients {
            self.clients.insert(client, now);
        }
        self.read.insert(tenant.clone(), now);
        Ok(known)
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
        let record = match &self.issuer {
            Some(issuer) if token.is_jwt() => Some(verified(issuer, token, &hash, now).await?),
            _ => self.store.look_up(&hash).await.map_err(Unauthenticated::Unavailable)?,
        };
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

/// What a JWT stands for. Why one is refused is for the log; who shows it is told no more than of any other token.
async fn verified(issuer: &Issuer, token: &Token, hash: &str, now: Timestamp) -> Result<TokenRecord, Unauthenticated> {
    match issuer.verify(token.0.expose_secret()).await {
        Ok(verified) => Ok(TokenRecord::verified(hash.to_owned(), verified, now)),
        Err(Unverifiable::Refused(refusal)) => {
            tracing::info!(%refusal, "a JWT was refused");
            Err(Unauthenticated::Unknown)
        }
        Err(Unverifiable::Unknown(error)) => Err(Unauthenticated::Unverifiable(error)),
    }
}
