//! Two demo tenants with tokens, and `dev.json`, which tells other programs where everything is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use shared::Platform;
use shared::auth::{Grant, Permission, Tenant, Token};
use shared::table::TableError;

/// The file's name in the data folder.
pub const FILE: &str = "dev.json";
const TENANTS: &[&str] = &["acme", "globex"];

/// What `dev.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DevFile {
    /// The stack's URL.
    pub url: String,
    /// Each group's base URL.
    pub groups: BTreeMap<String, GroupEntry>,
    /// The demo tenants.
    pub tenants: Vec<DemoTenant>,
    /// The emulators.
    pub aws: AwsEntry,
}

/// A group in `dev.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupEntry {
    /// What the documented paths follow.
    pub base_url: String,
}

/// The emulators in `dev.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AwsEntry {
    /// Where DynamoDB answers.
    pub dynamodb_endpoint: String,
    /// Where Secrets Manager answers.
    pub secretsmanager_endpoint: String,
    /// The table's name.
    pub table: String,
}

/// A demo tenant. Its tokens are for this machine only; the file that holds them can be read by its owner alone.
#[derive(Clone, Serialize, Deserialize)]
pub struct DemoTenant {
    /// The tenant's name.
    pub name: String,
    /// The user that its tokens stand for.
    pub user_id: String,
    /// The client that its tokens are issued to.
    pub client_id: String,
    /// That client's secret.
    pub client_secret: String,
    /// Its tokens.
    pub tokens: DemoTokens,
}

/// A demo tenant's tokens.
#[derive(Clone, Serialize, Deserialize)]
pub struct DemoTokens {
    /// All permissions.
    pub admin: String,
    /// Every `…:read` but `secrets:read`.
    pub read_only: String,
    /// None.
    pub no_permissions: String,
}

impl std::fmt::Debug for DemoTenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DemoTenant").field("name", &self.name).finish_non_exhaustive()
    }
}

impl DevFile {
    /// Reads the file of a data folder.
    ///
    /// # Errors
    /// [`io::Error`] if it is not there or not one.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let text = std::fs::read(folder.join(FILE))?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    }

    /// Writes the file whole or not at all, for its owner's eyes only.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        let (path, unfinished) = (folder.join(FILE), folder.join("dev.json.unfinished"));
        let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)?;
        Ok(path)
    }
}

/// The demo tenants: those of an earlier start whose tokens still work, or new ones.
///
/// # Errors
/// [`TableError`] if the table does not answer.
pub async fn tenants(platform: &Platform, earlier: Vec<DemoTenant>) -> Result<Vec<DemoTenant>, TableError> {
    let mut tenants = Vec::new();
    for name in TENANTS {
        let known = earlier.iter().find(|tenant| tenant.name == *name);
        match known {
            Some(known) if still_works(platform, known).await => tenants.push(known.clone()),
            _ => tenants.push(mint(platform, name).await?),
        }
    }
    Ok(tenants)
}

async fn still_works(platform: &Platform, tenant: &DemoTenant) -> bool {
    let tokens = &tenant.tokens;
    for token in [&tokens.admin, &tokens.read_only, &tokens.no_permissions] {
        if platform.authenticator.authenticate(&Token::shown(token)).await.is_err() {
            return false;
        }
    }
    true
}

async fn mint(platform: &Platform, name: &str) -> Result<DemoTenant, TableError> {
    let tenant = Tenant::parse(name).ok_or(TableError::Missing)?;
    let user_id = format!("user_{name}");
    let client_id = format!("client_{name}");
    let client_secret = SecretString::from(format!("cws_{}", shared::digest::hex(&platform.ids.bytes::<32>())));
    let grant = |purpose: &str, permissions: Vec<Permission>| Grant {
        tenant: tenant.clone(),
        user: user_id.clone(),
        name: format!("demo {purpose}"),
        permissions,
        expires_at: None,
        client: Some((client_id.clone(), client_secret.clone())),
    };
    let plain_reads = Permission::ALL.iter().copied().filter(|permission| permission.is_plain_read()).collect();
    let admin = platform.tokens.mint(grant("admin", Permission::ALL.to_vec())).await?;
    let read_only = platform.tokens.mint(grant("read_only", plain_reads)).await?;
    let no_permissions = platform.tokens.mint(grant("no_permissions", Vec::new())).await?;
    Ok(DemoTenant {
        name: name.to_owned(),
        user_id: user_id.clone(),
        client_id: client_id.clone(),
        client_secret: client_secret.expose_secret().to_owned(),
        tokens: DemoTokens {
            admin: admin.token.reveal().to_owned(),
            read_only: read_only.token.reveal().to_owned(),
            no_permissions: no_permissions.token.reveal().to_owned(),
        },
    })
}
