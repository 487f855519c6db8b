//! `GET /v1/integrations/vaults/{owner}/{repo}/sync/diff`: how every name stands between the two sides. Names only.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Query};

use super::input::{Compared, NamedVault};
use super::wire::Reply;
use crate::Vaults;
use crate::model::Direction;
use crate::model::plan::Standing;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Diff {
    direction: Direction,
    names: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    standing: &'static str,
    /// True if a sync of this vault wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
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
        };
        Self { name, standing, managed }
    }
}

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
