//! `PUT /v1/vaults/{owner}/{repo}`: makes a vault. One that is there stays as it is.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::ApiError;

use super::input::NamedVault;
use super::wire::Reply;
use crate::Vaults;

#[derive(Debug, Serialize)]
struct VaultBody<'a> {
    owner: &'a str,
    repo: &'a str,
}

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
