//! `GET /v1/integrations/vaults/{owner}/{repo}/sync/diff`: how every name stands between the two sides. Names only.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Query};
use utoipa::ToSchema;

use super::input::{Compared, NamedVault};
use super::wire::{Envelope, Reply};
use crate::Vaults;
use crate::model::Direction;
use crate::model::plan::Standing;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SyncDiff)]
struct Diff {
    direction: Direction,
    names: Vec<Row>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncDiffRow)]
struct Row {
    name: String,
    standing: &'static str,
    /// True if a sync of this vault wrote it, and nobody has since.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    managed: Option<bool>,
}

impl Row {
    fn of((name, standing): (String, Standing)) -> Self {
        let (standing, managed) = match standing {
            Standing::Missing => ("missing", None),
            Standing::Extra { managed } => ("extra", Some(managed)),
            Standing::Same => ("same", None),
            Standing::Different => ("different", None),
            Standing::Drifted => ("drifted", None),
            Standing::Unknown => ("unknown", None),
            Standing::Unreadable => ("unreadable", None),
            Standing::Reserved => ("reserved", None),
        };
        Self { name, standing, managed }
    }
}

/// Shows how every name stands between the two sides. Names only.
#[utoipa::path(
    get,
    path = "/v1/integrations/vaults/{owner}/{repo}/sync/diff",
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
    ),
    responses(
        (status = 200, description = "Every name.", body = Envelope<Diff>),
        (status = 429, description = "The platform asks to wait."),
        (status = 502, description = "The platform refused or could not be understood."),
        (status = 504, description = "The platform did not answer in time."),
        (status = 409, description = "The account has to be connected again."),
    ),
)]
pub(super) async fn get_sync_diff(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsRead>,
    NamedVault(vault): NamedVault,
    reply: Reply,
    query: Query,
) -> Result<Response, ApiError> {
    let Compared { target, direction, .. } = Compared::parse(vault, query, "keywayEnvironment")?;
    let target = vaults.settled(caller.tenant(), target).await?;
    let survey = vaults.survey(caller.tenant(), &target, direction).await?;
    let names = survey.standings(direction).into_iter().map(Row::of).collect();
    Ok(reply.ok(Diff { direction, names }))
}
