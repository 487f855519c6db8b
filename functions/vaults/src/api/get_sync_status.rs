//! `GET /v1/integrations/vaults/{owner}/{repo}/sync/status`: what a first sync would meet.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Query};
use utoipa::ToSchema;

use super::input::{Compared, NamedVault};
use super::wire::{Envelope, Reply};
use crate::Vaults;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SyncStatus)]
struct Status {
    is_first_sync: bool,
    vault_is_empty: bool,
    provider_has_secrets: bool,
    provider_secret_count: usize,
}

/// Shows what a first sync would meet.
#[utoipa::path(
    get,
    path = "/v1/integrations/vaults/{owner}/{repo}/sync/status",
    tag = "syncs",
    security(("bearer" = ["vaults:read"])),
    params(
        ("owner" = String, Path, description = "The repository's owner.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("repo" = String, Path, description = "The repository.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("connectionId" = Uuid, Query, description = "The connection."),
        ("projectId" = String, Query, description = "The platform's project.", min_length = 1, max_length = 300),
        ("environment" = Option<String>, Query, description = "The vault's environment; `production` unless given.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
    ),
    responses(
        (status = 200, description = "How both sides stand.", body = Envelope<Status>),
        (status = 429, description = "The platform asks to wait."),
        (status = 502, description = "The platform refused or could not be understood."),
        (status = 504, description = "The platform did not answer in time."),
        (status = 409, description = "The account has to be connected again."),
    ),
)]
pub(super) async fn get_sync_status(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsRead>,
    NamedVault(vault): NamedVault,
    reply: Reply,
    query: Query,
) -> Result<Response, ApiError> {
    let Compared { target, direction, .. } = Compared::parse(vault, query, "environment")?;
    let target = vaults.settled(caller.tenant(), target).await?;
    let survey = vaults.survey(caller.tenant(), &target, direction).await?;
    let count = survey.contents.variables.len();
    Ok(reply.ok(Status {
        is_first_sync: !vaults.links.any(caller.tenant(), &target).await?,
        vault_is_empty: survey.values.is_empty(),
        provider_has_secrets: count > 0,
        provider_secret_count: count,
    }))
}
