//! The operator's commands: tokens, upstreams, invoking a function.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::SignedDuration;
use serde_json::Value;
use shared::Platform;
use shared::auth::{Grant, Permission, Tenant, TokenRecord};
use shared::clock::Ids;
use shared::config::{AwsConfig, Config, ConfigError, EgressConfig, Policy};
use shared::egress::{Allowed, Egress, EgressError, Upstream};
use shared::table::TableError;
use url::Url;

use crate::demo::DevFile;
use crate::deployed::{self, DeployedError, Named};
use crate::stack::scheduled_event;
use crate::token_view::View;

/// Which stack a command is for: the local one, or a deployed one with `--stack`.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The data folder of the running local stack.
    #[arg(long, default_value = ".causeway", value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// A deployed stack's name, as CloudFormation has it.
    #[arg(long, value_name = "NAME")]
    pub stack: Option<String>,
    /// The deployed stack's table (its output `Table`); CloudFormation is asked for it unless given.
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
        /// Print JSON: an array of tokens.
        #[arg(long)]
        json: bool,
        /// Which stack.
        #[command(flatten)]
        target: Target,
    },
    /// Show what is known of a token; the token itself cannot be had again.
    Show {
        /// The token's id, as `list` shows it.
        id: String,
        /// Whose token it is; every tenant's are looked through unless given.
        #[arg(long)]
        tenant: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Which stack.
        #[command(flatten)]
        target: Target,
    },
    /// Mint a token in place of another, with the same permissions, and let the old one end.
    Rotate(RotateToken),
    /// Revoke a token by its id. It stops working within a minute.
    Revoke {
        /// The token's id, as `list` shows it.
        id: String,
        /// Whose token it is.
        #[arg(long)]
        tenant: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Which stack.
        #[command(flatten)]
        target: Target,
    },
}

/// Options of `causeway token rotate`.
#[derive(Debug, Clone, Args)]
pub struct RotateToken {
    /// The old token's id, as `list` shows it.
    pub id: String,
    /// Whose token it is.
    #[arg(long)]
    pub tenant: String,
    /// For how many hours the old token goes on working, at most 8760; 0 revokes it at once.
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(..=8_760))]
    pub grace: u32,
    /// For how many days the new one works, at most 36500; as long as the old one was meant to unless given.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub expires_in: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Which stack.
    #[command(flatten)]
    pub target: Target,
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
    /// What it may do, comma-separated; `all`, `none`, or `read-only` for everything that shows no secret.
    #[arg(long, value_delimiter = ',', default_value = "all")]
    pub permissions: Vec<String>,
    /// For how many days it works, at most 36500; for ever unless given.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub expires_in: Option<u32>,
    /// The client that it is issued to, for the wallets group; its secret is minted and shown with it.
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
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
    /// See [`DeployedError`].
    #[error(transparent)]
    Deployed(#[from] DeployedError),
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
        let (table, profile, region) = (self.table.as_deref(), self.profile.as_deref(), self.region.as_deref());
        Ok(Named { stack, table, profile, region }.platform().await?)
    }

    /// Where a deployed stack's token was changed, as a line for whoever did it.
    fn place(&self, platform: &Platform, out: &mut impl Write) -> io::Result<()> {
        match &self.stack {
            Some(stack) => writeln!(out, "in the stack {stack}, table {}", platform.table.name()),
            None => Ok(()),
        }
    }

    /// What it means that the table did not do as it was asked.
    pub(crate) fn failed(&self, what: &'static str) -> impl Fn(TableError) -> OperateError + use<> {
        let folder = self.stack.is_none().then(|| self.data_dir.clone());
        move |source| match (source, &folder) {
            (TableError::Unavailable(_), Some(folder)) => OperateError::Silent { folder: folder.clone() },
            (source, _) => match deployed::explained(&source) {
                Some(explained) => OperateError::Deployed(explained),
                None => OperateError::Table { what, source },
            },
        }
    }

    /// The same, where there may be no such token.
    fn missing(
        &self,
        tenant: Option<&Tenant>,
        id: &str,
        what: &'static str,
    ) -> impl Fn(TableError) -> OperateError + use<> {
        let nothing = match tenant {
            Some(tenant) => format!("{tenant} has no token {id}; `causeway token list` shows them"),
            None => format!("there is no token {id}; `causeway token list` shows them"),
        };
        let failed = self.failed(what);
        move |error| match error {
            TableError::Missing => OperateError::Argument(nothing.clone()),
            error => failed(error),
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
    match command {
        TokenCommand::Create(options) => create(options).await,
        TokenCommand::List { tenant, json, target } => list(tenant, json, &target).await,
        TokenCommand::Show { id, tenant, json, target } => show(&id, tenant, json, &target).await,
        TokenCommand::Rotate(options) => rotate(options).await,
        TokenCommand::Revoke { id, tenant, json, target } => revoke(&id, &tenant, json, &target).await,
    }
}

/// Once a token is lost, it can only be replaced.
const SHOWN_ONCE: &str = "This is the only time that it is shown.";

async fn create(options: CreateToken) -> Result<(), OperateError> {
    let grant = options.grant()?;
    let platform = options.target.platform().await?;
    let client = grant.client.clone();
    let minted = platform.tokens.mint(grant).await.map_err(options.target.failed("the token could not be minted"))?;
    let view = View { record: &minted.record, now: platform.ids.now() };
    let client_secret = client.as_ref().map(|(_, secret)| shared::credentials::disclose(secret));
    let mut out = io::stdout().lock();
    if options.json {
        let more = [("token", minted.token.reveal().into()), ("client_secret", client_secret.into())];
        return Ok(writeln!(out, "{:#}", view.json_with(more))?);
    }
    writeln!(out, "id             {}", minted.record.id)?;
    writeln!(out, "token          {}", minted.token.reveal())?;
    if let Some((client_id, _)) = &client {
        writeln!(out, "client id      {client_id}")?;
        writeln!(out, "client secret  {}", client_secret.unwrap_or_default())?;
    }
    writeln!(out, "expires        {}", expiry(&minted.record))?;
    options.target.place(&platform, &mut out)?;
    Ok(writeln!(out, "{SHOWN_ONCE}")?)
}

async fn list(tenant: Option<String>, json: bool, target: &Target) -> Result<(), OperateError> {
    let tenant = tenant.map(|tenant| parse_tenant(&tenant)).transpose()?;
    let platform = target.platform().await?;
    let tenants = match tenant {
        Some(tenant) => vec![tenant],
        None => platform.tokens.tenants().await.map_err(target.failed("the tenants could not be listed"))?,
    };
    let mut records = Vec::new();
    for tenant in tenants {
        records.extend(platform.tokens.list(&tenant).await.map_err(target.failed("the tokens could not be listed"))?);
    }
    let now = platform.ids.now();
    let views = records.iter().map(|record| View { record, now });
    let mut out = io::stdout().lock();
    if json {
        return Ok(writeln!(out, "{:#}", views.map(|view| view.json()).collect::<Value>())?);
    }
    for view in views {
        writeln!(out, "{}", view.row())?;
    }
    Ok(())
}

async fn show(id: &str, tenant: Option<String>, json: bool, target: &Target) -> Result<(), OperateError> {
    let tenant = tenant.map(|tenant| parse_tenant(&tenant)).transpose()?;
    let platform = target.platform().await?;
    let found = match &tenant {
        Some(tenant) => platform.tokens.read(tenant, id).await,
        None => platform.tokens.find(id).await,
    };
    let record = found.map_err(target.missing(tenant.as_ref(), id, "the token could not be read"))?;
    let view = View { record: &record, now: platform.ids.now() };
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{:#}", view.json())?
    } else {
        view.page(&mut out)?
    };
    Ok(())
}

async fn rotate(options: RotateToken) -> Result<(), OperateError> {
    let (id, target) = (&options.id, &options.target);
    let tenant = parse_tenant(&options.tenant)?;
    let platform = target.platform().await?;
    let now = platform.ids.now();
    let old = platform.tokens.read(&tenant, id).await;
    let old = old.map_err(target.missing(Some(&tenant), id, "the token could not be read"))?;
    if let Some(other) = &old.replaced_by {
        return Err(OperateError::Argument(format!("{id} was replaced by {other} already")));
    }
    if !old.works_at(now) {
        let nothing = format!("{id} does not work any more, so there is nothing to replace; mint one with `create`");
        return Err(OperateError::Argument(nothing));
    }
    let after = |hours: u32| now.checked_add(SignedDuration::from_hours(i64::from(hours))).ok();
    let expires_at = options.expires_in.and_then(|days| after(days.saturating_mul(24)));
    let until = Some(options.grace).filter(|hours| *hours > 0).and_then(after);
    let rotated = platform.tokens.rotate(&old, expires_at, until).await;
    let (minted, old) = rotated.map_err(target.failed("the token could not be replaced"))?;
    let mut out = io::stdout().lock();
    let view = View { record: &minted.record, now };
    if options.json {
        let replaces = View { record: &old, now }.json();
        let more = [("token", minted.token.reveal().into()), ("replaces", replaces)];
        return Ok(writeln!(out, "{:#}", view.json_with(more))?);
    }
    writeln!(out, "id             {}", minted.record.id)?;
    writeln!(out, "token          {}", minted.token.reveal())?;
    if let Some(client_id) = &minted.record.client_id {
        writeln!(out, "client id      {client_id} (with the same secret as before)")?;
    }
    writeln!(out, "expires        {}", expiry(&minted.record))?;
    target.place(&platform, &mut out)?;
    writeln!(out, "{SHOWN_ONCE}")?;
    match old.revoked_at {
        Some(_) => writeln!(out, "{id} is revoked. It stops working within a minute.")?,
        None => writeln!(out, "{id} works until {}. `causeway token revoke` ends it sooner.", expiry(&old))?,
    }
    Ok(())
}

async fn revoke(id: &str, tenant: &str, json: bool, target: &Target) -> Result<(), OperateError> {
    let tenant = parse_tenant(tenant)?;
    let platform = target.platform().await?;
    let revoked = platform.tokens.revoke(&tenant, id).await;
    let record = revoked.map_err(target.missing(Some(&tenant), id, "the token could not be revoked"))?;
    let view = View { record: &record, now: platform.ids.now() };
    let mut out = io::stdout().lock();
    if json {
        return Ok(writeln!(out, "{:#}", view.json())?);
    }
    writeln!(out, "{}", view.row())?;
    Ok(target.place(&platform, &mut out)?)
}

/// When a token stops working by itself.
fn expiry(record: &TokenRecord) -> String {
    record.token_expires_at.map_or_else(|| "never".to_owned(), |at| format!("{at:.0}"))
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
                ("none", _) => {}
                ("read-only", _) => permissions.extend(Permission::ALL.iter().filter(|one| one.is_plain_read())),
                (_, Some(permission)) => permissions.push(permission),
                _ => {
                    let known: Vec<&str> = Permission::ALL.iter().map(|permission| permission.name()).collect();
                    let known = known.join(", ");
                    return Err(OperateError::Argument(format!(
                        "{name:?} is no permission; they are all, none, read-only, {known}"
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
