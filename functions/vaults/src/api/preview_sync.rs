//! `GET /v1/integrations/vaults/{owner}/{repo}/sync/preview`: the plan that an execution would carry out. Names only.

use axum::extract::State;
use axum::response::Response;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Query};

use super::input::{Compared, NamedVault};
use super::wire::{Envelope, Reply};
use crate::Vaults;
use crate::model::plan::Plan;
use crate::model::{DeleteScope, Direction};

/// Shows the plan that a sync would carry out. Names only.
#[utoipa::path(
    get,
    path = "/v1/integrations/vaults/{owner}/{repo}/sync/preview",
    tag = "syncs",
    security(("bearer" = ["vaults:read"])),
    params(
        ("owner" = String, Path, description = "The repository's owner.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("repo" = String, Path, description = "The repository.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("connectionId" = Uuid, Query, description = "The connection."),
        ("projectId" = String, Query, description = "The platform's project.", min_length = 1, max_length = 300),
        ("keywayEnvironment" = Option<String>, Query, description = "The vault's environment; `production` unless given.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("providerEnvironment" = Option<String>, Query, description = "The platform's environment; `production` unless given.", min_length = 1, max_length = 300),
        ("direction" = Option<Direction>, Query, description = "Which way; `push` unless given."),
        ("allowDelete" = Option<bool>, Query, description = "Delete what the source lacks; false unless given."),
        ("deleteScope" = Option<DeleteScope>, Query, description = "What may be deleted; `all` unless given."),
    ),
    responses(
        (status = 200, description = "The plan.", body = Envelope<Plan>),
        (status = 429, description = "The platform asks to wait."),
        (status = 502, description = "The platform refused or could not be understood."),
        (status = 504, description = "The platform did not answer in time."),
        (status = 409, description = "The account has to be connected again."),
    ),
)]
pub(super) async fn preview_sync(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsRead>,
    NamedVault(vault): NamedVault,
    reply: Reply,
    query: Query,
) -> Result<Response, ApiError> {
    let Compared { target, direction, delete } = Compared::parse(vault, query, "keywayEnvironment")?;
    let target = vaults.settled(caller.tenant(), target).await?;
    let survey = vaults.survey(caller.tenant(), &target, direction).await?;
    Ok(reply.ok(survey.plan(direction, delete)))
}
