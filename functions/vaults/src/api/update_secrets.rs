//! `PATCH /v1/vaults/{owner}/{repo}/environments/{environment}/secrets`: a JSON map of names and values over those that are
//! there; null takes a name away.

use axum::extract::State;
use axum::response::Response;
use shared::auth::{Caller, needs};
use shared::http::ApiError;

use super::input::{NamedEnvironment, SecretsMap, SecretsRequest};
use super::list_versions::Written;
use super::wire::{Envelope, Reply};
use crate::Vaults;
use crate::store::Edit;

/// Changes values of an environment; a null takes a name away.
#[utoipa::path(
    patch,
    path = "/v1/vaults/{owner}/{repo}/environments/{environment}/secrets",
    tag = "vaults",
    security(("bearer" = ["secrets:write"])),
    params(
        ("owner" = String, Path, description = "The repository's owner.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("repo" = String, Path, description = "The repository.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("environment" = String, Path, description = "The vault's environment.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
    ),
    request_body = SecretsRequest,
    responses(
        (status = 200, description = "The new version.", body = Envelope<Written>),
    ),
)]
pub(super) async fn update_secrets(
    State(vaults): State<Vaults>,
    caller: Caller<needs::SecretsWrite>,
    NamedEnvironment(vault, name): NamedEnvironment,
    reply: Reply,
    map: SecretsMap,
) -> Result<Response, ApiError> {
    let edit = Edit::Merge(map.parse()?);
    let environment = vaults.environments.edit(caller.tenant(), (&vault, &name), caller.user(), &edit).await?;
    Ok(reply.ok(Written::from(environment)))
}
