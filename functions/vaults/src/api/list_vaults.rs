//! `GET /v1/vaults`: the tenant's vaults with their environments, by name.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::clock::iso_milliseconds;
use shared::http::ApiError;

use super::wire::Reply;
use crate::Vaults;
use crate::store::VaultRow;

#[derive(Debug, Serialize)]
struct List {
    vaults: Vec<VaultBody>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VaultBody {
    owner: String,
    repo: String,
    environments: Vec<EnvironmentBody>,
    created_at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EnvironmentBody {
    name: String,
    version: u64,
    secret_count: usize,
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
