//! The vaults group: deploy platforms that a product's customers connect, and secrets that are synced with their projects.
//!
//! # Theory of operation
//! A connection is a deploy platform's account, reached by OAuth or by a pasted token. A vault holds secrets by owner,
//! repository and environment ([`store`]). A sync compares one environment of a vault with one environment of a project,
//! either way: both sides are read, [`model::plan`] says what is to be created, changed, deleted and left alone, and the
//! provider is told with as few calls as it allows ([`providers`]); [`sync`] carries that out. The planner sees no values,
//! only keyed fingerprints of them.
//!
//! `vaults-api` serves [`api::router`]; `vaults-sync` runs [`sync::job`] on the table's stream and every few minutes;
//! `vaults-refresh` runs [`refresh::job`], which renews tokens before they end.

pub mod api;
pub mod connect;
pub mod grant;
pub mod model;
pub mod operations;
pub mod providers;
pub mod refresh;
pub mod store;
pub mod sync;

use secrecy::SecretString;
use shared::Platform;
use shared::auth::Tenant;
use shared::credentials::CredentialError;
use shared::http::ApiError;
use shared::table::TableError;
use uuid::Uuid;

use crate::model::{Connection, Status, Target};
use crate::providers::{Client, Held, Project, Provider, Session, Trouble};
use crate::store::{Authorizations, Connections, Environments, Links};

/// The group's name in keys, secrets and logs.
pub const GROUP: &str = "vaults";

/// What the group's handlers and jobs work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vaults {
    /// Platforms' accounts.
    pub connections: Connections,
    /// Vaults and their environments.
    pub environments: Environments,
    /// What is synced with what.
    pub links: Links,
    /// What OAuth callbacks come back to.
    pub authorizations: Authorizations,
    /// The platform they stand on.
    pub platform: Platform,
}

/// A connection that is ready to be used.
#[derive(Clone)]
pub struct Open {
    /// Its provider.
    pub provider: &'static dyn Provider,
    /// The connection.
    pub connection: Connection,
    held: Held,
    /// True if the token was refused and is a new one now.
    renewed: bool,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("connection", &self.connection.id).finish_non_exhaustive()
    }
}

/// What stands in the way of a sync.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// The request, or ourselves.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The provider.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<TableError> for Obstacle {
    fn from(error: TableError) -> Self {
        Self::Api(error.into())
    }
}

impl From<CredentialError> for Obstacle {
    fn from(error: CredentialError) -> Self {
        Self::Api(error.into())
    }
}

impl From<Obstacle> for ApiError {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Api(error) => error,
            Obstacle::Trouble(trouble) => trouble.into(),
        }
    }
}

impl Vaults {
    /// The group on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self {
            connections: Connections::new(platform),
            environments: Environments::new(platform),
            links: Links::new(platform),
            authorizations: Authorizations::new(platform),
            platform: platform.clone(),
        }
    }

    /// The operator's OAuth client with a provider, if there is one.
    ///
    /// # Errors
    /// [`CredentialError`] if it cannot be told.
    pub async fn client(&self, provider: &str) -> Result<Option<Client>, CredentialError> {
        let client = self.platform.oauth_client(provider).await?;
        Ok(client.map(|client| Client { id: client.id, secret: client.secret, slug: client.slug }))
    }

    /// A connection with a token that is good now, renewed first if it has ended.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such connection, [`Trouble::Unauthorized`] if it must be connected again.
    pub async fn open(&self, tenant: &Tenant, id: Uuid) -> Result<Open, Obstacle> {
        let connection = refresh::usable(self, tenant, id).await?;
        let name = connection.provider.clone();
        let provider = providers::named(&name)
            .ok_or_else(|| Trouble::Unexpected(format!("The provider {name} is no longer known here.")))?;
        if connection.status == Status::NeedsReauth {
            let platform = provider.entry().display_name;
            let message = format!("{platform} does not accept the connection's token any more. Connect it again.");
            return Err(Trouble::Unauthorized(message).into());
        }
        let held = self.connections.held(tenant, &connection).await?;
        Ok(Open { provider, connection, held, renewed: false })
    }

    /// The same target in the platform's own words, if the connection is the tenant's.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such connection.
    pub async fn settled(&self, tenant: &Tenant, target: Target) -> Result<Target, ApiError> {
        let connection = self.connections.read(tenant, target.connection_id).await?;
        let Some(provider) = providers::named(&connection.provider) else { return Ok(target) };
        let provider_environment = provider.environment(&target.provider_environment);
        let project_id = provider.project(&target.project_id);
        Ok(Target { provider_environment, project_id, ..target })
    }

    /// A connection as its provider sees it.
    #[must_use]
    pub fn session<'a>(&self, open: &'a Open) -> Session<'a> {
        let Open { connection, held, .. } = open;
        let team = connection.team_id.as_deref();
        Session::new(&connection.account_id, team, &held.access, &self.platform.egress, self.platform.ids.now())
    }

    /// Passes on what a provider answered. Nothing, if it did not accept the token and there is a new one now: it is to be
    /// asked again. A token that cannot be renewed, or was, is noted as refused.
    ///
    /// # Errors
    /// What the provider said, or [`ApiError::Internal`] if that could not be noted.
    pub async fn heard<T>(
        &self,
        tenant: &Tenant,
        open: &mut Open,
        answer: Result<T, Trouble>,
    ) -> Result<Option<T>, Obstacle> {
        let Err(Trouble::Unauthorized(_)) = &answer else { return Ok(Some(answer?)) };
        if open.connection.is_renewable()
            && !open.renewed
            && let Some(connection) = refresh::replaced(self, tenant, &open.connection).await?
        {
            open.held = self.connections.held(tenant, &connection).await?;
            open.connection = connection;
            open.renewed = true;
            return Ok(None);
        }
        self.connections.need_reauth(tenant, &open.connection).await?;
        Ok(Some(answer?))
    }

    /// Every project of a connection's account, by name.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such connection, [`Trouble`] if the platform does not tell.
    pub async fn projects(&self, tenant: &Tenant, id: Uuid) -> Result<Vec<Project>, Obstacle> {
        let mut open = self.open(tenant, id).await?;
        loop {
            let found = open.provider.projects(&self.session(&open)).await;
            if let Some(projects) = self.heard(tenant, &mut open, found).await? {
                return Ok(projects);
            }
        }
    }

    /// Deletes a connection with everything that hangs on it; the grant is taken back at the provider, where it can be.
    ///
    /// The connection goes last but for its secret, which the sweep knows: whatever interrupts this, asking again ends it.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such connection.
    pub async fn disconnect(&self, tenant: &Tenant, id: Uuid) -> Result<(), ApiError> {
        let connection = self.connections.read(tenant, id).await?;
        match self.connections.held(tenant, &connection).await {
            Ok(held) => refresh::revoke(self, &connection, held).await,
            // There is nothing left to take it back with.
            Err(CredentialError::Missing | CredentialError::Malformed(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.links.remove_of(tenant, id).await?;
        self.connections.delete(tenant, id).await?;
        // A sync that was under way may have made one again.
        if let Err(error) = self.links.remove_of(tenant, id).await {
            tracing::warn!(%error, connection = %id, "links of a deleted connection are left to the job");
        }
        self.connections.remove_secret_of(tenant, id).await;
        Ok(())
    }
}

/// A token without the blanks around it, as a secret.
#[must_use]
pub fn token(provider: &dyn Provider, text: &str) -> SecretString {
    SecretString::from(provider.tidy(text))
}

/// The group's functions by name, as they are deployed.
#[must_use]
pub fn functions(platform: &Platform) -> Vec<(&'static str, shared::function::Function)> {
    use shared::function::Function;
    vec![
        ("vaults-api", Function::Api(api::router(platform))),
        (sync::FUNCTION, Function::job(platform, sync::FUNCTION, sync::job(platform))),
        (refresh::FUNCTION, Function::job(platform, refresh::FUNCTION, refresh::job(platform))),
    ]
}
