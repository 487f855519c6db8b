//! The operator's commands: tokens, upstreams, invoking a function.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use aws_config::BehaviorVersion;
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::Platform;
use shared::auth::{Grant, Permission, Tenant, TokenRecord};
use shared::clock::Ids;
use shared::config::{AwsConfig, Config, ConfigError, EgressConfig, Identity, Policy};
use shared::egress::{Allowed, Egress, EgressError, Upstream};
use shared::table::TableError;
use url::Url;

use crate::demo::DevFile;
use crate::stack::scheduled_event;

/// Which stack a command is for: the local one, or a deployed one with `--stack`.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The data folder of the running local stack.
    #[arg(long, default_value = ".causeway", value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// A deployed stack's name; its table is found by --table.
    #[arg(long, value_name = "NAME")]
    pub stack: Option<String>,
    /// The deployed stack's table (its output `Table`).
    #[arg(long, value_name = "NAME", requires = "stack")]
    pub table: Option<String>,
    /// The AWS profile to use for a deployed stack.
    #[arg(long, requires = "stack")]
    pub profile: Option<String>,
    /// The AWS region of the deployed stack.
    #[arg(long, requires = "stack")]
    pub region: Option<String>,
}

/// `causeway token …`
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Mint a token. It is shown once and cannot be had again.
    Create(CreateToken),
    /// List tokens: of one tenant, or of all.
    List {
        /// Whose tokens.
        #[arg(long)]
        tenant: Option<String>,
        /// Which stack.
        #[command(flatten)]
        target: Target,
    },
    /// Revoke a token by its id. It stops working within a minute.
    Revoke {
        /// The token's id, as `list` shows it.
        id: String,
        /// Whose token it is.
        #[arg(long)]
        tenant: String,
        /// Which stack.
        #[command(flatten)]
        target: Target,
    },
}

/// Options of `causeway token create`.
#[derive(Debug, Clone, Args)]
pub struct CreateToken {
    /// The customer whose things it opens: 1 to 63 lower-case letters, digits, - and _.
    #[arg(long)]
    pub tenant: String,
    /// The user it stands for.
    #[arg(long, default_value = "operator")]
    pub user: String,
    /// What it is for.
    #[arg(long, default_value = "unnamed")]
    pub name: String,
    /// What it may do, comma-separated; `all`, or `read-only` for everything that shows no secret.
    #[arg(long, value_delimiter = ',', default_value = "all")]
    pub permissions: Vec<String>,
    /// For how many days it works, at most 36500; for ever unless given.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub expires_in: Option<u32>,
    /// The client that it is issued to, for the wallets group; its secret is minted and shown with it.
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// Which stack.
    #[command(flatten)]
    pub target: Target,
}

/// Why a command failed. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// No local stack runs.
    #[error("no stack runs in {} ({source}). Start one with `causeway dev`, or name a deployed one with --stack", folder.display())]
    NoStack {
        /// The data folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The local stack has stopped, or hangs.
    #[error("the stack of {} does not answer. Start it with `causeway dev`, or name a deployed one with --stack", folder.display())]
    Silent {
        /// The data folder.
        folder: PathBuf,
    },
    /// A deployed stack's table was not named.
    #[error("--stack needs --table: the stack's output `Table`")]
    NoTable,
    /// A deployed stack's region is not known.
    #[error("no AWS region is set: use --region, or set one in the profile")]
    NoRegion,
    /// An argument cannot be used.
    #[error("{0}")]
    Argument(String),
    /// The table did not do as it was asked.
    #[error("{what}: {source}")]
    Table {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: TableError,
    },
    /// See [`ConfigError`].
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The local stack did not answer.
    #[error("the stack at {url} could not be asked: {source}. Is it running?")]
    Unreachable {
        /// Its URL.
        url: String,
        /// Why.
        #[source]
        source: EgressError,
    },
    /// The function failed.
    #[error("the function failed")]
    Failed,
    /// A file could not be read, or standard output is closed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Target {
    pub(crate) async fn platform(&self) -> Result<Platform, OperateError> {
        let Some(stack) = &self.stack else {
            let file = self.dev_file()?;
            let mut aws = AwsConfig::emulated(([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 0).into());
            aws.dynamodb_endpoint = Url::parse(&file.aws.dynamodb_endpoint).ok();
            aws.secrets_manager_endpoint = Url::parse(&file.aws.secretsmanager_endpoint).ok();
            aws.table = file.aws.table;
            return Ok(Platform::new(
                &Config { aws, egress: EgressConfig::default(), policy: Policy::default() },
                Ids::default(),
            ));
        };
        let table = self.table.clone().ok_or(OperateError::NoTable)?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &self.region {
            loader = loader.region(aws_config::Region::new(region.clone()));
        }
        let sdk = loader.load().await;
        let region = sdk.region().ok_or(OperateError::NoRegion)?.to_string();
        let aws = AwsConfig {
            stack: stack.clone(),
            table,
            kms_key: None,
            region,
            dynamodb_endpoint: None,
            secrets_manager_endpoint: None,
            identity: Identity::Environment,
        };
        Ok(Platform::with_sdk(&sdk, &aws, Egress::new(EgressConfig::default()), Ids::default()))
    }

    /// What it means that the table did not do as it was asked.
    pub(crate) fn failed(&self, what: &'static str) -> impl Fn(TableError) -> OperateError + use<> {
        let folder = self.stack.is_none().then(|| self.data_dir.clone());
        move |source| match (source, &folder) {
            (TableError::Unavailable(_), Some(folder)) => OperateError::Silent { folder: folder.clone() },
            (source, _) => OperateError::Table { what, source },
        }
    }

    fn dev_file(&self) -> Result<DevFile, OperateError> {
        DevFile::read(&self.data_dir).map_err(|source| OperateError::NoStack { folder: self.data_dir.clone(), source })
    }
}

/// Runs `causeway token …`.
///
/// # Errors
/// [`OperateError`].
pub async fn token(command: TokenCommand) -> Result<(), OperateError> {
    let mut out = io::stdout().lock();
    match command {
        TokenCommand::Create(create) => {
            let grant = create.grant()?;
            let platform = create.target.platform().await?;
            let client = grant.client.clone();
            let minted =
                platform.tokens.mint(grant).await.map_err(create.target.failed("the token could not be minted"))?;
            writeln!(out, "id             {}", minted.record.id)?;
            writeln!(out, "token          {}", minted.token.reveal())?;
            if let Some((client_id, client_secret)) = client {
                writeln!(out, "client id      {client_id}")?;
                writeln!(out, "client secret  {}", shared::credentials::disclose(&client_secret))?;
            }
            writeln!(out, "This is the only time that it is shown.")?;
        }
        TokenCommand::List { tenant, target } => {
            let platform = target.platform().await?;
            let tenants = match tenant {
                Some(tenant) => vec![parse_tenant(&tenant)?],
                None => platform.tokens.tenants().await.map_err(target.failed("the tenants could not be listed"))?,
            };
            for tenant in tenants {
                let records = platform.tokens.list(&tenant).await;
                for record in records.map_err(target.failed("the tokens could not be listed"))? {
                    writeln!(out, "{}", row(&record, platform.ids.now()))?;
                }
            }
        }
        TokenCommand::Revoke { id, tenant, target } => {
            let platform = target.platform().await?;
            let tenant = parse_tenant(&tenant)?;
            match platform.tokens.revoke(&tenant, &id).await {
                Ok(record) => writeln!(out, "{}", row(&record, platform.ids.now()))?,
                Err(TableError::Missing) => {
                    return Err(OperateError::Argument(format!(
                        "{tenant} has no token {id}; `causeway token list` shows them"
                    )));
                }
                Err(source) => return Err(target.failed("the token could not be revoked")(source)),
            }
        }
    }
    Ok(())
}

fn row(record: &TokenRecord, now: Timestamp) -> String {
    let state = match (record.revoked_at, record.token_expires_at) {
        (Some(at), _) => format!("revoked {at:.0}"),
        (None, Some(at)) if at <= now => format!("expired {at:.0}"),
        (None, Some(at)) => format!("until {at:.0}"),
        (None, None) => "active".into(),
    };
    let permissions: Vec<&str> = record.permissions.iter().map(|permission| permission.name()).collect();
    format!("{}  {}  {}  {}  {state}  {}", record.id, record.tenant, record.user, record.name, permissions.join(","))
}

pub(crate) fn parse_tenant(text: &str) -> Result<Tenant, OperateError> {
    let accepted = "a tenant's name is 1 to 63 lower-case letters, digits, - and _, starting with a letter or a digit; \
                    operator and oauth are taken";
    Tenant::parse(text).ok_or_else(|| OperateError::Argument(format!("{text:?} names no tenant: {accepted}")))
}

impl CreateToken {
    fn grant(&self) -> Result<Grant, OperateError> {
        let mut permissions: Vec<Permission> = Vec::new();
        for name in &self.permissions {
            match (name.as_str(), Permission::named(name)) {
                ("all", _) => permissions.extend(Permission::ALL),
                ("read-only", _) => permissions.extend(Permission::ALL.iter().filter(|one| one.is_plain_read())),
                (_, Some(permission)) => permissions.push(permission),
                _ => {
                    let known: Vec<&str> = Permission::ALL.iter().map(|permission| permission.name()).collect();
                    let known = known.join(", ");
                    return Err(OperateError::Argument(format!(
                        "{name:?} is no permission; they are all, read-only, {known}"
                    )));
                }
            }
        }
        permissions.sort();
        permissions.dedup();
        let ids = Ids::default();
        let days = self.expires_in.map(|days| SignedDuration::from_hours(i64::from(days) * 24));
        let client_secret = || format!("cws_{}", shared::digest::hex(&ids.bytes::<32>())).into();
        Ok(Grant {
            tenant: parse_tenant(&self.tenant)?,
            user: self.user.clone(),
            name: self.name.clone(),
            permissions,
            expires_at: days.and_then(|days| ids.now().checked_add(days).ok()),
            client: self.client_id.clone().map(|id| (id, client_secret())),
        })
    }
}

/// Runs `causeway upstreams`: every upstream's variable, and its base URL in force.
///
/// # Errors
/// [`OperateError`].
pub fn upstreams() -> Result<(), OperateError> {
    let egress = Egress::new(EgressConfig::from_variables(std::env::vars())?);
    let mut out = io::stdout().lock();
    for upstream in Upstream::ALL.iter().copied() {
        let (base, default) = (egress.base(upstream), upstream.default_url());
        let note = if base == default { String::new() } else { format!("  (overridden: {base})") };
        writeln!(out, "CAUSEWAY_ENDPOINT_{:<16}{default}{note}", upstream.name())?;
    }
    Ok(())
}

/// Options of `causeway invoke`.
#[derive(Debug, Clone, Args)]
pub struct Invoke {
    /// The function: its binary's name.
    pub function: String,
    /// A file with the event, or `-` for standard input. Without one a scheduled event of now is sent.
    pub event: Option<PathBuf>,
    /// The data folder of the running local stack.
    #[arg(long, default_value = ".causeway", value_name = "FOLDER")]
    pub data_dir: PathBuf,
}

/// Runs `causeway invoke`: sends an event to a function of the running local stack and prints its result.
///
/// # Errors
/// [`OperateError`], also when the function fails.
pub async fn invoke(options: Invoke) -> Result<(), OperateError> {
    let target = Target { data_dir: options.data_dir, stack: None, table: None, profile: None, region: None };
    let file = target.dev_file()?;
    let event = match options.event {
        None => scheduled_event(&target.platform().await?).to_string(),
        Some(path) if path.as_os_str() == "-" => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            text
        }
        Some(path) => std::fs::read_to_string(&path)
            .map_err(|error| OperateError::Argument(format!("{} cannot be read: {error}", path.display())))?,
    };
    let path = format!("{}/2015-03-31/functions/{}/invocations", file.url, options.function);
    let url = Url::parse(&path).map_err(|error| OperateError::Argument(format!("{path}: {error}")))?;
    let stack = Url::parse(&file.url).ok();
    let allow = stack.and_then(|url| Allowed::parse(&format!("{}:{}", url.host()?, url.port_or_known_default()?)));
    let egress = Egress::new(EgressConfig { allow: allow.into_iter().collect(), ..EgressConfig::default() });
    let request = egress.user_url(http::Method::POST, &url).body("application/json", event.into());
    let answer = request
        .patience(Duration::from_secs(920))
        .read_at_most(8 * 1024 * 1024)
        .send()
        .await
        .map_err(|source| OperateError::Unreachable { url: file.url.clone(), source })?;
    let text = answer.text();
    let pretty = answer.json::<Value>().and_then(|value| serde_json::to_string_pretty(&value).ok());
    writeln!(io::stdout(), "{}", pretty.as_deref().unwrap_or(&text))?;
    if answer.is_success() && answer.header("x-amz-function-error").is_none() {
        Ok(())
    } else {
        Err(OperateError::Failed)
    }
}
