//! `GET /v1/integrations/vaults/{owner}/{repo}/sync/links[?environment=]`: what an environment of the vault is synced with.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::clock::iso_milliseconds;
use shared::http::{ApiError, Query};
use utoipa::ToSchema;

use super::input::NamedVault;
use super::wire::{Envelope, Reply};
use crate::Vaults;
use crate::model::{Direction, EnvironmentName, Link, Outcome};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncLinks)]
struct List {
    links: Vec<LinkBody>,
}

/// A link as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SyncLink)]
pub(super) struct LinkBody {
    id: String,
    keyway_environment: String,
    connection_id: String,
    project_id: String,
    provider_environment: String,
    auto: bool,
    allow_delete: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_run: Option<LastRunBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    drift: Option<DriftBody>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LastSyncRun)]
struct LastRunBody {
    id: String,
    #[schema(format = DateTime)]
    at: String,
    direction: Direction,
    status: Outcome,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Drift)]
struct DriftBody {
    #[schema(format = DateTime)]
    at: String,
    count: usize,
    names: Vec<String>,
}

impl From<Link> for LinkBody {
    fn from(link: Link) -> Self {
        Self {
            id: link.id,
            keyway_environment: link.environment.to_string(),
            connection_id: link.connection_id.to_string(),
            project_id: link.project_id,
            provider_environment: link.provider_environment,
            auto: link.auto,
            allow_delete: link.allow_delete,
            created_at: iso_milliseconds(link.created_at),
            last_run: link.last_run.map(|run| LastRunBody {
                id: run.id.to_string(),
                at: iso_milliseconds(run.at),
                direction: run.direction,
                status: run.status,
            }),
            drift: link.drift.map(|drift| DriftBody {
                at: iso_milliseconds(drift.at),
                count: drift.count,
                names: drift.names,
            }),
        }
    }
}

/// Lists what an environment of the vault is synced with.
#[utoipa::path(
    get,
    path = "/v1/integrations/vaults/{owner}/{repo}/sync/links",
    tag = "syncs",
    security(("bearer" = ["vaults:read"])),
    params(
        ("owner" = String, Path, description = "The repository's owner.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("repo" = String, Path, description = "The repository.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("environment" = Option<String>, Query, description = "The vault's environment; `production` unless given.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
    ),
    responses(
        (status = 200, description = "Every link.", body = Envelope<List>),
    ),
)]
pub(super) async fn list_sync_links(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsRead>,
    NamedVault(vault): NamedVault,
    reply: Reply,
    mut query: Query,
) -> Result<Response, ApiError> {
    let environment = query.parsed("environment", EnvironmentName::ACCEPTED, EnvironmentName::parse);
    query.finish()?;
    let environment = environment.unwrap_or_else(EnvironmentName::production);
    vaults.environments.require(caller.tenant(), &vault).await?;
    let links = vaults.links.listed(caller.tenant(), &environment.id_in(&vault)).await?;
    Ok(reply.ok(List { links: links.into_iter().map(LinkBody::from).collect() }))
}
