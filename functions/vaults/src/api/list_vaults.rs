//! `GET /v1/vaults`: the tenant's vaults with their environments, by name.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::clock::iso_milliseconds;
use shared::http::ApiError;
use utoipa::ToSchema;

use super::wire::{Envelope, Reply};
use crate::Vaults;
use crate::store::VaultRow;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Vaults)]
struct List {
    vaults: Vec<VaultBody>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Vault)]
struct VaultBody {
    owner: String,
    repo: String,
    environments: Vec<EnvironmentBody>,
    #[schema(format = DateTime)]
    created_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Environment)]
struct EnvironmentBody {
    name: String,
    version: u64,
    secret_count: usize,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl EnvironmentBody {
    fn of(row: &VaultRow) -> Option<Self> {
        let (name, present) = (row.name.as_ref()?, row.versions.last()?);
        Some(Self {
            name: name.to_string(),
            version: present.number,
            secret_count: present.names,
            updated_at: iso_milliseconds(present.at),
        })
    }
}

/// Lists the vaults with their environments, by name.
#[utoipa::path(
    get,
    path = "/v1/vaults",
    tag = "vaults",
    security(("bearer" = ["vaults:read"])),
    responses(
        (status = 200, description = "Every vault.", body = Envelope<List>),
    ),
)]
pub(super) async fn list_vaults(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsRead>,
    reply: Reply,
) -> Result<Response, ApiError> {
    let mut bodies: Vec<VaultBody> = Vec::new();
    for row in vaults.environments.list(caller.tenant()).await? {
        let (owner, repo) = row.vault.parts();
        match (EnvironmentBody::of(&row), bodies.last_mut()) {
            // A vault comes before its environments.
            (Some(environment), Some(body)) if body.owner == owner && body.repo == repo => {
                body.environments.push(environment);
            }
            (environment, _) => bodies.push(VaultBody {
                owner: owner.to_owned(),
                repo: repo.to_owned(),
                environments: environment.into_iter().collect(),
                created_at: iso_milliseconds(row.created_at),
            }),
        }
    }
    Ok(reply.ok(List { vaults: bodies }))
}
