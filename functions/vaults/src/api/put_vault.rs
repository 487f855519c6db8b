//! `PUT /v1/vaults/{owner}/{repo}`: makes a vault. One that is there stays as it is.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::ApiError;
use utoipa::ToSchema;

use super::input::NamedVault;
use super::wire::{Envelope, Reply};
use crate::Vaults;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VaultName)]
struct VaultBody<'a> {
    owner: &'a str,
    repo: &'a str,
}

/// Makes a vault. One that is there stays as it is.
#[utoipa::path(
    put,
    path = "/v1/vaults/{owner}/{repo}",
    tag = "vaults",
    security(("bearer" = ["vaults:write"])),
    params(
        ("owner" = String, Path, description = "The repository's owner.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
        ("repo" = String, Path, description = "The repository.", min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$"),
    ),
    responses(
        (status = 200, description = "It was there.", body = Envelope<VaultBody>),
        (status = 201, description = "It is new.", body = Envelope<VaultBody>),
        (status = 400, description = "Something in the request cannot be used. All problems are named at once."),
    ),
)]
pub(super) async fn put_vault(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsWrite>,
    NamedVault(vault): NamedVault,
    reply: Reply,
) -> Result<Response, ApiError> {
    let is_new = vaults.environments.create(caller.tenant(), &vault).await?;
    let (owner, repo) = vault.parts();
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(reply.with(status, VaultBody { owner, repo }))
}
