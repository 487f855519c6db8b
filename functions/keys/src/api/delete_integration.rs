//! `DELETE /api/v1/integrations/{id}`: takes a key out of the pool, and its credential.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::ApiError;
use utoipa::ToSchema;

use super::Named;
use crate::Group;
use crate::model::KeyId;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeletedIntegration)]
pub(super) struct Deleted {
    success: bool,
    message: &'static str,
    deleted_id: KeyId,
}

/// Takes a key out of the pool, and deletes its credential.
#[utoipa::path(
    delete,
    path = "/api/v1/integrations/{id}",
    tag = "pool",
    security(("bearer" = ["keys:write"])),
    params(
        ("id" = KeyId, Path, description = "The key's id."),
    ),
    responses(
        (status = 200, description = "It is gone.", body = Deleted),
    ),
)]
pub(super) async fn delete_integration(
    State(group): State<Group>,
    caller: Caller<needs::KeysWrite>,
    Named(id): Named,
) -> Result<Json<Deleted>, ApiError> {
    group.keys.delete(caller.tenant(), id).await?;
    Ok(Json(Deleted { success: true, message: "Integration deleted", deleted_id: id }))
}
