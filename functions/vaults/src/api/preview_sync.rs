//! `GET /v1/integrations/vaults/{owner}/{repo}/sync/preview`: the plan that an execution would carry out. Names only.

use axum::extract::State;
use axum::response::Response;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Query};

use super::input::{Compared, NamedVault};
use super::wire::Reply;
use crate::Vaults;

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
