//! `GET /v1/vaults/{owner}/{repo}/environments/{environment}/versions`: the versions that are kept, the newest first.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::clock::iso_milliseconds;
use shared::http::ApiError;
use utoipa::ToSchema;

use super::input::NamedEnvironment;
use super::wire::{Envelope, Reply};
use crate::Vaults;
use crate::model::{Environment, Version};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Versions)]
struct List {
    versions: Vec<VersionBody>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Version)]
struct VersionBody {
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    created_by: String,
    secret_count: usize,
    /// The version whose content it took over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    restored: Option<u64>,
}

impl From<&Version> for VersionBody {
    fn from(version: &Version) -> Self {
        Self {
            version: version.number,
            created_at: iso_milliseconds(version.at),
            created_by: version.by.clone(),
            secret_count: version.names,
            restored: version.restored,
        }
    }
}

/// What a change of an environment came to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WrittenVersion)]
pub(super) struct Written {
    environment: String,
    #[serde(flatten)]
    #[schema(required = true)]
    version: Option<VersionBody>,
}

impl From<Environment> for Written {
    fn from(environment: Environment) -> Self {
        let version = environment.present().map(VersionBody::from);
        Self { environment: environment.name.into(), version }
    }
}

/// Lists the versions that are kept, the newest first.
#[utoipa::path(
    get,
    path = "/v1/vaults/{owner}/{repo}/environments/{environment}/versions",
    tag = "vaults",
    security(("bearer" = ["vaults:read"])),
    params(
        ("owner" = String, Path, description = "The repository's owner.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("repo" = String, Path, description = "The repository.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("environment" = String, Path, description = "The vault's environment.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
    ),
    responses(
        (status = 200, description = "Every version that is kept.", body = Envelope<List>),
        (status = 400, description = "Something in the request cannot be used. All problems are named at once."),
    ),
)]
pub(super) async fn list_versions(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsRead>,
    NamedEnvironment(vault, name): NamedEnvironment,
    reply: Reply,
) -> Result<Response, ApiError> {
    let environment = vaults.environments.read(caller.tenant(), &vault, &name).await?;
    let versions = environment.versions.iter().rev().map(VersionBody::from).collect();
    Ok(reply.ok(List { versions }))
}
