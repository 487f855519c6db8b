//! `GET /v1/vaults/{owner}/{repo}/environments/{environment}/secrets`: an environment's names, and their values for a caller
//! who may see them.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::auth::{Caller, Permission, needs};
use shared::clock::iso_milliseconds;
use shared::http::ApiError;
use utoipa::ToSchema;

use super::input::NamedEnvironment;
use super::wire::{Envelope, Reply};
use crate::Vaults;
use crate::model::Environment;
use crate::store::Values;

/// An environment as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Secrets {
    environment: String,
    version: u64,
    names: Vec<String>,
    /// Only for who may see values.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<BTreeMap<String, String>>)]
    secrets: Option<Map<String, Value>>,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl Secrets {
    fn of(environment: &Environment, values: &Values, shows_values: bool) -> Self {
        let at = environment.present().map_or(environment.created_at, |version| version.at);
        Self {
            environment: environment.name.to_string(),
            version: environment.number(),
            names: values.iter().map(|(name, _)| name.clone()).collect(),
            secrets: shows_values.then(|| values.shown()),
            updated_at: iso_milliseconds(at),
        }
    }
}

/// Shows an environment's names.
///
/// A token that has `secrets:read` too is shown their values.
#[utoipa::path(
    get,
    path = "/v1/vaults/{owner}/{repo}/environments/{environment}/secrets",
    tag = "vaults",
    security(("bearer" = ["vaults:read"])),
    params(
        ("owner" = String, Path, description = "The repository's owner.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("repo" = String, Path, description = "The repository.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("environment" = String, Path, description = "The vault's environment.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
    ),
    responses(
        (status = 200, description = "The environment.", body = Envelope<Secrets>),
        (status = 400, description = "Something in the request cannot be used. All problems are named at once."),
    ),
)]
pub(super) async fn get_secrets(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsRead>,
    NamedEnvironment(vault, name): NamedEnvironment,
    reply: Reply,
) -> Result<Response, ApiError> {
    let environment = vaults.environments.read(caller.tenant(), &vault, &name).await?;
    let (environment, values) = vaults.environments.values(caller.tenant(), environment).await?;
    Ok(reply.ok(Secrets::of(&environment, &values, caller.may(Permission::SecretsRead))))
}
