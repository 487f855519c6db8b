//! `GET /v1/integrations/vaults/{owner}/{repo}/sync/status`: what a first sync would meet.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Query};

use super::input::{Compared, NamedVault};
use super::wire::Reply;
use crate::Vaults;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    is_first_sync: bool,
    vault_is_empty: bool,
    provider_has_secrets: bool,
    provider_secret_count: usize,
}

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
