//! `GET /v1/integrations/connections`: the tenant's connected accounts, the oldest first.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::ApiError;

use super::wire::{ConnectionBody, Reply};
use crate::Vaults;

#[derive(Debug, Serialize)]
struct List {
    connections: Vec<ConnectionBody>,
}

pub(super) async fn list_connections(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsRead>,
    reply: Reply,
) -> Result<Response, ApiError> {
    let connections = vaults.connections.list(caller.tenant()).await?;
    Ok(reply.ok(List { connections: connections.into_iter().map(ConnectionBody::from).collect() }))
}
