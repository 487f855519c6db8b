//! `DELETE /api/integrations/{integrationId}`: removes an integration and its secret.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::ApiError;
use utoipa::ToSchema;

use super::Named;
use crate::Services;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeletedIntegration)]
pub(super) struct Deleted {
    success: bool,
}

/// Removes an integration and its secret.
#[utoipa::path(
    delete,
    path = "/api/integrations/{integrationId}",
    tag = "integrations",
    security(("bearer" = ["services:write"])),
    params(
        ("integrationId" = String, Path, description = "The integration's id."),
    ),
    responses(
        (status = 200, description = "It is gone.", body = Deleted),
    ),
)]
pub(super) async fn delete_integration(
    State(services): State<Services>,
    caller: Caller<needs::ServicesWrite>,
    Named(id): Named,
) -> Result<Json<Deleted>, ApiError> {
    services.integrations.delete(caller.tenant(), &id).await?;
    Ok(Json(Deleted { success: true }))
}
