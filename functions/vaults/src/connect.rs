//! Connecting an account: whose tokens these are is asked before they are saved.

use jiff::SignedDuration;
use shared::auth::Tenant;
use shared::http::ApiError;
use shared::telemetry::metrics;
use uuid::Uuid;

use crate::model::{Connection, Way};
use crate::providers::{Account, Entry, Held, Provider, Session, Trouble};
use crate::store::NewConnection;
use crate::{GROUP, Vaults};

/// What was granted, and what is wanted of it.
#[derive(Debug)]
pub struct Grant {
    /// The tokens.
    pub held: Held,
    /// How they were got.
    pub way: Way,
    /// For how long the access token is good, where it ends.
    pub lives: Option<SignedDuration>,
    /// The team that the tokens are for, where the provider told.
    pub team_id: Option<String>,
    /// The user that the tokens are of, where the provider told.
    pub user_id: Option<String>,
    /// The provider's id of the installation, where there is one.
    pub installation_id: Option<String>,
    /// Which of the token's accounts is meant.
    pub account: Option<String>,
    /// The connection that this is to be.
    pub reconnects: Option<Uuid>,
}

impl Grant {
    /// Of which nothing more is known and wanted.
    #[must_use]
    pub fn of(held: Held, way: Way) -> Self {
        Self {
            held,
            way,
            lives: None,
            team_id: None,
            user_id: None,
            installation_id: None,
            account: None,
            reconnects: None,
        }
    }
}

/// Which account is meant.
struct Wanted {
    /// What the provider is asked for.
    asked: String,
    /// Its id, where it is known. Otherwise it is the one whose id or name was asked for.
    id: Option<String>,
}

impl Wanted {
    /// That of a connection. Some providers are asked for an account by another word than its id.
    fn of(before: Connection) -> Self {
        let asked = before.team_id.unwrap_or_else(|| before.account_id.clone());
        Self { asked, id: Some(before.account_id) }
    }

    fn is(&self, account: &Account) -> bool {
        match &self.id {
            Some(id) => account.id == *id,
            None => account.id == self.asked || account.name == self.asked,
        }
    }
}

/// Tries the tokens, finds the account, and keeps the connection.
///
/// # Errors
/// [`ApiError::CredentialRefused`] if the provider does not accept the token, [`ApiError::InvalidInput`] if it gives access
/// to several accounts and none was chosen, [`ApiError::Conflict`] if another account's connection was to be renewed.
pub async fn connect(
    vaults: &Vaults,
    tenant: &Tenant,
    provider: &'static dyn Provider,
    grant: Grant,
) -> Result<Connection, ApiError> {
    let wanted = match (grant.account, grant.reconnects) {
        (Some(named), _) => Some(Wanted { asked: named, id: None }),
        (None, Some(id)) => Some(Wanted::of(vaults.connections.read(tenant, id).await?)),
        (None, None) => None,
    };
    let told = accounts(vaults, provider, &grant.held, grant.team_id.as_deref(), wanted.as_ref()).await;
    let accounts = told.map_err(|trouble| refused(provider.entry(), grant.way, trouble))?;
    let mut account = chosen(accounts, wanted.as_ref(), grant.reconnects.is_some())?;
    account.user_id = account.user_id.or(grant.user_id);
    let new = NewConnection {
        provider: provider.entry().name,
        account,
        held: grant.held,
        way: grant.way,
        lives: grant.lives,
        installation_id: grant.installation_id,
        reconnects: grant.reconnects,
    };
    vaults.connections.connect(tenant, &new).await
}

/// The accounts that a token gives access to. One that is wanted and not told of by itself is asked for.
async fn accounts(
    vaults: &Vaults,
    provider: &dyn Provider,
    held: &Held,
    team: Option<&str>,
    wanted: Option<&Wanted>,
) -> Result<Vec<Account>, Trouble> {
    let platform = &vaults.platform;
    let session = |team| Session::new("", team, &held.access, &platform.egress, platform.ids.now());
    let told = provider.accounts(&session(team)).await;
    metrics::judged(GROUP, told.as_ref().map_or_else(Trouble::verdict, |_| "valid"));
    let told = told?;
    match (team, wanted) {
        (None, Some(wanted)) if !told.iter().any(|account| wanted.is(account)) => {
            let asked = provider.accounts(&session(Some(&wanted.asked))).await.unwrap_or_default();
            Ok(if asked.iter().any(|account| wanted.is(account)) { asked } else { told })
        }
        _ => Ok(told),
    }
}

/// A token that is to be saved and does not work is its sender's to put right. A provider's own words are about one that
/// has worked, which this one never did.
fn refused(entry: &Entry, way: Way, trouble: Trouble) -> ApiError {
    let name = entry.display_name;
    match (trouble, way) {
        (Trouble::Unauthorized(_), Way::Token) => {
            let help = entry.token_help.unwrap_or_default();
            let detail = format!(
                "{name} does not accept this token. It may be incomplete, of another kind, expired or revoked. {help}"
            );
            ApiError::CredentialRefused { detail: detail.trim_end().to_owned() }
        }
        (Trouble::Unauthorized(_), Way::Oauth) => {
            let detail = format!("{name} does not accept the token that it has just given out. Connect again.");
            ApiError::CredentialRefused { detail }
        }
        (Trouble::Forbidden(detail), _) => ApiError::CredentialRefused { detail },
        (other, _) => other.into(),
    }
}

/// The account that is meant. A connection that is to be renewed gets whatever account there is, for the store to compare.
fn chosen(accounts: Vec<Account>, wanted: Option<&Wanted>, reconnects: bool) -> Result<Account, ApiError> {
    let mut meant = accounts.iter().filter(|account| wanted.is_none_or(|wanted| wanted.is(account)));
    match (meant.next(), meant.next(), accounts.as_slice()) {
        (Some(only), None, _) => Ok(only.clone()),
        (None, _, [first, ..]) if reconnects => Ok(first.clone()),
        (_, _, []) => {
            let detail = "The token is good, but gives access to no account.";
            Err(ApiError::CredentialRefused { detail: detail.into() })
        }
        _ => {
            let known: Vec<_> = accounts.iter().map(|account| format!("{} ({})", account.id, account.name)).collect();
            let message = format!("must be one of the token's accounts: {}", known.join(", "));
            Err(ApiError::field("account", if wanted.is_some() { "value" } else { "required" }, message))
        }
    }
}
