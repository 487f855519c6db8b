//! `PATCH /v1/vaults/{owner}/{repo}/environments/{environment}/secrets`: a JSON map of names and values over those that are
//! there; null takes a name away.

use axum::extract::State;
use axum::response::Response;
use shared::auth::{Caller, needs};
use shared::http::ApiError;

use super::input::{NamedEnvironment, SecretsMap};
use super::list_versions::Written;
use super::wire::Reply;
use crate::Vaults;
use crate::store::Edit;

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
