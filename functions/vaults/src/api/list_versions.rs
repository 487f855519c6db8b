//! `GET /v1/vaults/{owner}/{repo}/environments/{environment}/versions`: the versions that are kept, the newest first.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::clock::iso_milliseconds;
use shared::http::ApiError;

use super::input::NamedEnvironment;
use super::wire::Reply;
use crate::Vaults;
use crate::model::{Environment, Version};

#[derive(Debug, Serialize)]
struct List {
    versions: Vec<VersionBody>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionBody {
    version: u64,
    created_at: String,
    created_by: String,
    secret_count: usize,
    /// The version whose content it took over.
    #[serde(skip_serializing_if = "Option::is_none")]
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
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    environment: String,
    #[serde(flatten)]
    version: Option<VersionBody>,
}

impl From<Environment> for Written {
    fn from(environment: Environment) -> Self {
        let version = environment.present().map(VersionBody::from);
        Self { environment: environment.name.into(), version }
    }
}

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
