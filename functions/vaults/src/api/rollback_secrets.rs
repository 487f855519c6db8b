//! `POST /v1/vaults/{owner}/{repo}/environments/{environment}/rollback`: makes a new version with the content of a kept one.

use axum::extract::State;
use axum::response::Response;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body};
use utoipa::ToSchema;

use super::input::NamedEnvironment;
use super::list_versions::Written;
use super::wire::{Envelope, Reply};
use crate::Vaults;
use crate::store::Edit;

/// Which version.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct RollbackSecretsRequest {
    /// Its number.
    version: u64,
}

/// Makes a new version with the content of a kept one.
#[utoipa::path(
    post,
    path = "/v1/vaults/{owner}/{repo}/environments/{environment}/rollback",
    tag = "vaults",
    security(("bearer" = ["secrets:write"])),
    params(
        ("owner" = String, Path, description = "The repository's owner.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("repo" = String, Path, description = "The repository.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("environment" = String, Path, description = "The vault's environment.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
    ),
    request_body = RollbackSecretsRequest,
    responses(
        (status = 200, description = "The new version.", body = Envelope<Written>),
    ),
)]
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
