//! `GET /v1/integrations/connections`: the tenant's connected accounts, the oldest first.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::ApiError;
use utoipa::ToSchema;

use super::wire::{ConnectionBody, Envelope, Reply};
use crate::Vaults;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connections)]
struct List {
    connections: Vec<ConnectionBody>,
}

/// Lists the connected accounts, the oldest first.
#[utoipa::path(
    get,
    path = "/v1/integrations/connections",
    tag = "connections",
    security(("bearer" = ["vaults:read"])),
    responses(
        (status = 200, description = "Every connection.", body = Envelope<List>),
    ),
)]
pub(super) async fn list_connections(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsRead>,
    reply: Reply,
) -> Result<Response, ApiError> {
    let connections = vaults.connections.list(caller.tenant()).await?;
    Ok(reply.ok(List { connections: connections.into_iter().map(ConnectionBody::from).collect() }))
}
