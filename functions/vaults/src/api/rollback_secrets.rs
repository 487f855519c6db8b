//! `POST /v1/vaults/{owner}/{repo}/environments/{environment}/rollback`: makes a new version with the content of a kept one.

use axum::extract::State;
use axum::response::Response;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body};

use super::input::NamedEnvironment;
use super::list_versions::Written;
use super::wire::Reply;
use crate::Vaults;
use crate::store::Edit;

pub(super) async fn rollback_secrets(
    State(vaults): State<Vaults>,
    caller: Caller<needs::SecretsWrite>,
    NamedEnvironment(vault, name): NamedEnvironment,
    reply: Reply,
    Body(mut fields): Body,
) -> Result<Response, ApiError> {
    let number = fields.required("version", "a version's number", |value| value.as_u64());
    fields.finish()?;
    let environment = vaults.environments.read(caller.tenant(), &vault, &name).await?;
    let edit = Edit::Restore(number.unwrap_or_default());
    let place = (&environment.vault, &environment.name);
    let environment = vaults.environments.edit(caller.tenant(), place, caller.user(), &edit).await?;
    Ok(reply.ok(Written::from(environment)))
}
