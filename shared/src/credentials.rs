//! Credentials, in Secrets Manager and nowhere else.
//!
//! # Theory of operation
//! One secret belongs to one integration and holds one JSON document. The integration's item in the table is the commit
//! point: it names the *version* of the secret that belongs to it, and only that version is ever read. A change is
//! therefore: [`stage`](Credentials::stage) a new version, write the item that names it, then
//! [`promote`](Credentials::promote) it. Whatever stops in between leaves an item that names a whole, readable version.
//!
//! Secrets Manager forgets versions that carry no label, and AWSPREVIOUS is moved on by every change, so a staged version
//! carries a label of its own (`keep-<version>`) that nothing else can take away; it comes off when a later version has
//! taken its place. AWSCURRENT follows the item for the eyes of an operator; nothing here relies on it.
//!
//! Deleting schedules: for seven days a secret can be had back. When an item names a secret that is scheduled for deletion
//! (a change that added a secret overtook one that removed it), reading restores it. What no item names is removed by
//! the `sweep` function.

use std::fmt;
use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};
use jiff::{SignedDuration, Timestamp};
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::auth::Tenant;
use crate::clock::Ids;

/// The largest document Secrets Manager keeps.
pub const LARGEST: usize = 65_536;
const RECOVERY_DAYS: i64 = 7;
/// A version never changes, so this bounds only for how long a secret stays in memory.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(60);
const REMEMBERED_SECRETS: usize = 1_000;
const CURRENT: &str = "AWSCURRENT";

/// Whose secret it is: `<stack>/<tenant>/<group>/<integration id>[/<part>]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretOwner {
    /// The customer.
    pub tenant: Tenant,
    /// The group.
    pub group: String,
    /// The integration.
    pub id: String,
    /// Which of several secrets of that integration.
    pub part: Option<String>,
}

impl SecretOwner {
    /// The one secret of an integration.
    #[must_use]
    pub fn new(tenant: &Tenant, group: &str, id: &str) -> Self {
        Self { tenant: tenant.clone(), group: group.into(), id: id.into(), part: None }
    }

    fn parse(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        let tenant = Tenant::parse(parts.next()?)?;
        let (group, id) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let part = parts.next().map(str::to_owned);
        parts.next().is_none().then_some(Self { tenant, group, id, part })
    }
}

impl fmt::Display for SecretOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.group, self.id)?;
        self.part.iter().try_for_each(|part| write!(f, "/{part}"))
    }
}

/// One version of a secret. Its document never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretVersion(pub Uuid);

impl SecretVersion {
    fn id(self) -> String {
        self.0.to_string()
    }

    fn label(self) -> String {
        format!("keep-{}", self.0)
    }
}

/// Why Secrets Manager did not do as it was asked. Holds names, never values.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// There is no such secret or version.
    #[error("no such secret")]
    Missing,
    /// The document is too large.
    #[error("the secret is larger than {limit} bytes")]
    TooLarge {
        /// The largest that is kept.
        limit: usize,
    },
    /// The secret is not what the code expects.
    #[error("the secret cannot be read: {0}")]
    Malformed(&'static str),
    /// Secrets Manager refused.
    #[error("Secrets Manager refused the request: {code}")]
    Refused {
        /// Its name for the reason.
        code: String,
        /// The SDK's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Secrets Manager did not answer. It may have acted.
    #[error("Secrets Manager did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CredentialError {
    /// True if the secret takes no more versions, or no more labels, just now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "LimitExceededException")
    }
}

/// A secret as the sweep sees it: no value.
#[derive(Debug, Clone)]
pub struct SecretEntry {
    /// Whose it is; `None` for the stack's own.
    pub owner: Option<SecretOwner>,
    /// When it was last created or changed.
    pub changed_at: Timestamp,
    /// True if it is scheduled for deletion.
    pub deleted: bool,
    /// The version that is AWSCURRENT.
    pub current: Option<SecretVersion>,
    /// The versions that carry a label of their own.
    pub kept: Vec<SecretVersion>,
}

/// A page of [`SecretEntry`].
#[derive(Debug, Clone)]
pub struct SecretEntries {
    /// The entries.
    pub entries: Vec<SecretEntry>,
    /// Where the next page starts.
    pub next: Option<String>,
}

/// Documents by secret and version, with when they were read.
type Remembered = Cache<(SecretOwner, SecretVersion), (Timestamp, Arc<SecretString>)>;

/// The secrets of one stack. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Credentials {
    client: Client,
    stack: Arc<str>,
    kms_key: Option<Arc<str>>,
    ids: Ids,
    remembered: Arc<Remembered>,
}

impl Credentials {
    /// The secrets whose names start with `<stack>/`.
    #[must_use]
    pub fn new(client: Client, stack: &str, ids: Ids) -> Self {
        let remembered = Arc::new(Cache::new(REMEMBERED_SECRETS));
        Self { client, stack: stack.into(), kms_key: None, ids, remembered }
    }

    /// The same, whose new secrets are encrypted with a key of the operator's.
    #[must_use]
    pub fn encrypted_with(self, kms_key: Option<&str>) -> Self {
        Self { kms_key: kms_key.map(Into::into), ..self }
    }

    /// The SDK's client, for tools that look at what is stored.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn name(&self, owner: &SecretOwner) -> String {
        format!("{}/{owner}", self.stack)
    }

    /// Creates the secret with its first version. Repeated with the same version and document it changes nothing.
    ///
    /// # Errors
    /// [`CredentialError::TooLarge`], or whatever keeps Secrets Manager from doing so.
    pub async fn create(
        &self,
        owner: &SecretOwner,
        version: SecretVersion,
        document: &SecretString,
    ) -> Result<(), CredentialError> {
        fits(document)?;
        let created = self
            .client
            .create_secret()
            .name(self.name(owner))
            .client_request_token(version.id())
            .set_kms_key_id(self.kms_key.as_deref().map(str::to_owned))
            .secret_string(document.expose_secret())
            .send()
            .await;
        match created.map(drop).map_err(refine) {
            // One that was deleted is in the way (or a request that came twice found its own): add a version to it.
            Err(CredentialError::Refused { code, .. })
                if matches!(code.as_str(), "InvalidRequestException" | "ResourceExistsException") =>
            {
                self.put(owner, version, document).await
            }
            outcome => outcome,
        }
    }

    /// Adds a version beside the one in use, creating the secret if there is none.
    ///
    /// # Errors
    /// [`CredentialError::TooLarge`], or whatever keeps Secrets Manager from doing so.
    pub async fn stage(
        &self,
        owner: &SecretOwner,
        version: SecretVersion,
        document: &SecretString,
    ) -> Result<(), CredentialError> {
        fits(document)?;
        match self.put(owner, version, document).await {
            Err(CredentialError::Missing) => self.create(owner, version, document).await,
            outcome => outcome,
        }
    }

    /// Adds a version that keeps itself; a secret that is scheduled for deletion is restored first.
    async fn put(
        &self,
        owner: &SecretOwner,
        version: SecretVersion,
        document: &SecretString,
    ) -> Result<(), CredentialError> {
        match self.put_once(owner, version, document).await {
            Err(CredentialError::Refused { code, .. }) if code == "InvalidRequestException" => {
                self.restore(owner).await?;
                self.put_once(owner, version, document).await
            }
            outcome => outcome,
        }
    }

    async fn put_once(
        &self,
        owner: &SecretOwner,
        version: SecretVersion,
        document: &SecretString,
    ) -> Result<(), CredentialError> {
        let put = self.client.put_secret_value().secret_id(self.name(owner)).client_request_token(version.id());
        let put = put.secret_string(document.expose_secret()).version_stages(version.label());
        put.send().await.map(drop).map_err(refine)
    }

    /// Gives a version a label of its own, as every staged one has: what was created keeps itself only while it is current
    /// or previous.
    ///
    /// # Errors
    /// Whatever keeps Secrets Manager from doing so.
    pub async fn keep(&self, owner: &SecretOwner, version: SecretVersion) -> Result<(), CredentialError> {
        let update = self.client.update_secret_version_stage().secret_id(self.name(owner));
        let update = update.version_stage(version.label()).move_to_version_id(version.id());
        update.send().await.map(drop).map_err(refine)
    }

    /// Makes AWSCURRENT follow the item, and lets go of the version that was in use before. Nothing relies on it, so what
    /// fails is left to the sweep.
    pub async fn promote(&self, owner: &SecretOwner, version: SecretVersion, before: Option<SecretVersion>) {
        self.follow(owner, version, before).await;
        if let Some(before) = before {
            self.let_go(owner, before).await;
        }
    }

    /// Makes AWSCURRENT follow the item; the version that was in use before stays, where it has a label of its own. Nothing
    /// relies on it, so what fails is left to the sweep.
    pub async fn follow(&self, owner: &SecretOwner, version: SecretVersion, before: Option<SecretVersion>) {
        let moved = self
            .client
            .update_secret_version_stage()
            .secret_id(self.name(owner))
            .version_stage(CURRENT)
            .move_to_version_id(version.id())
            .set_remove_from_version_id(before.map(SecretVersion::id))
            .send()
            .await;
        if let Err(error) = moved.map_err(refine) {
            tracing::info!(%error, "AWSCURRENT is left to the sweep");
        }
    }

    /// Takes a version's own label off, so that Secrets Manager may forget it once it is neither current nor previous.
    pub async fn let_go(&self, owner: &SecretOwner, version: SecretVersion) {
        let update = self.client.update_secret_version_stage().secret_id(self.name(owner));
        let update = update.version_stage(version.label()).remove_from_version_id(version.id());
        // A first version never had the label, which is refused; that is as good.
        if let Err(error) = update.send().await.map_err(refine) {
            tracing::debug!(%error, "a version's label stays");
        }
    }

    /// Reads the document of one version: remembered for a minute, and asked for once however many ask.
    ///
    /// # Errors
    /// [`CredentialError::Missing`], or whatever keeps Secrets Manager from answering.
    pub async fn read(
        &self,
        owner: &SecretOwner,
        version: SecretVersion,
    ) -> Result<Arc<SecretString>, CredentialError> {
        let key = (owner.clone(), version);
        let now = self.ids.now();
        self.remembered.remove_if(&key, |(at, _)| now.duration_since(*at) >= REMEMBERED);
        let read = async { Ok((now, Arc::new(self.fetch(owner, version).await?))) };
        let (_, document) = self.remembered.get_or_insert_async(&key, read).await?;
        Ok(document)
    }

    async fn fetch(&self, owner: &SecretOwner, version: SecretVersion) -> Result<SecretString, CredentialError> {
        match self.fetch_once(owner, version).await {
            // The caller has just read an item that names it, so it was not meant to go.
            Err(CredentialError::Refused { code, .. }) if code == "InvalidRequestException" => {
                self.restore(owner).await?;
                self.fetch_once(owner, version).await
            }
            outcome => outcome,
        }
    }

    async fn fetch_once(&self, owner: &SecretOwner, version: SecretVersion) -> Result<SecretString, CredentialError> {
        let get = self.client.get_secret_value().secret_id(self.name(owner)).version_id(version.id());
        let output = get.send().await.map_err(refine)?;
        let text = output.secret_string.ok_or(CredentialError::Malformed("it is binary"))?;
        Ok(SecretString::from(text))
    }

    /// Takes a scheduled deletion back.
    ///
    /// # Errors
    /// Whatever keeps Secrets Manager from doing so.
    pub async fn restore(&self, owner: &SecretOwner) -> Result<(), CredentialError> {
        self.client.restore_secret().secret_id(self.name(owner)).send().await.map(drop).map_err(refine)
    }

    /// Schedules the secret's deletion in seven days. One that is gone, or scheduled already, is as good as deleted.
    ///
    /// # Errors
    /// Whatever keeps Secrets Manager from doing so; the sweep will.
    pub async fn delete(&self, owner: &SecretOwner) -> Result<(), CredentialError> {
        let delete = self.client.delete_secret().secret_id(self.name(owner)).recovery_window_in_days(RECOVERY_DAYS);
        match delete.send().await.map(drop).map_err(refine) {
            Err(CredentialError::Missing) => Ok(()),
            Err(CredentialError::Refused { code, .. }) if code == "InvalidRequestException" => Ok(()),
            outcome => outcome,
        }
    }

    /// A page of the stack's secrets, those scheduled for deletion included.
    ///
    /// # Errors
    /// Whatever keeps Secrets Manager from answering.
    pub async fn list(&self, start: Option<String>) -> Result<SecretEntries, CredentialError> {
        let prefix = format!("{}/", self.stack);
        let output = self
            .client
            .list_secrets()
            .filters(Filter::builder().key(FilterNameStringType::Name).values(&prefix).build())
            .include_planned_deletion(true)
            .max_results(100)
            .set_next_token(start)
            .send()
            .await
            .map_err(refine)?;
        let entries = output.secret_list.unwrap_or_default();
        let entries = entries.into_iter().filter_map(|entry| {
            let path = entry.name.as_deref()?.strip_prefix(&prefix)?.to_owned();
            let changed_at = entry.last_changed_date.or(entry.created_date)?;
            let mut kept = Vec::new();
            let mut current = None;
            for (id, labels) in entry.secret_versions_to_stages.unwrap_or_default() {
                let Ok(version) = Uuid::parse_str(&id).map(SecretVersion) else { continue };
                if labels.iter().any(|label| label == CURRENT) {
                    current = Some(version);
                }
                if labels.contains(&version.label()) {
                    kept.push(version);
                }
            }
            Some(SecretEntry {
                owner: SecretOwner::parse(&path),
                changed_at: Timestamp::from_millisecond(changed_at.to_millis().ok()?).ok()?,
                deleted: entry.deleted_date.is_some(),
                current,
                kept,
            })
        });
        Ok(SecretEntries { entries: entries.collect(), next: output.next_token })
    }

    /// One of the stack's own secrets, `<stack>/<path>`, in its current version.
    ///
    /// # Errors
    /// [`CredentialError::Missing`] if the operator has not set it, or whatever keeps Secrets Manager from answering.
    pub async fn own(&self, path: &str) -> Result<SecretString, CredentialError> {
        let get = self.client.get_secret_value().secret_id(format!("{}/{path}", self.stack));
        let output = get.send().await.map_err(refine)?;
        output.secret_string.map(SecretString::from).ok_or(CredentialError::Malformed("it is binary"))
    }

    /// Creates one of the stack's own secrets if it is not there. What is there stays.
    ///
    /// # Errors
    /// Whatever keeps Secrets Manager from doing so.
    pub async fn ensure_own(&self, path: &str, value: &SecretString) -> Result<(), CredentialError> {
        let create = self.client.create_secret().name(format!("{}/{path}", self.stack));
        let create = create.client_request_token(self.ids.uuid().to_string()).secret_string(value.expose_secret());
        match create.send().await.map(drop).map_err(refine) {
            Err(CredentialError::Refused { code, .. }) if code == "ResourceExistsException" => Ok(()),
            outcome => outcome,
        }
    }
}

/// Shows a secret to a caller who has the permission to see it: the one door out, easy to find.
#[must_use]
pub fn disclose(secret: &SecretString) -> &str {
    secret.expose_secret()
}

fn fits(document: &SecretString) -> Result<(), CredentialError> {
    if document.expose_secret().len() > LARGEST {
        return Err(CredentialError::TooLarge { limit: LARGEST });
    }
    Ok(())
}

fn refine<E, R>(error: SdkError<E, R>) -> CredentialError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some("ResourceNotFoundException") => CredentialError::Missing,
        Some(code) => CredentialError::Refused { code: code.to_owned(), source: Box::new(error) },
        None => CredentialError::Unavailable(Box::new(error)),
    }
}
