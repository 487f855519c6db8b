//! `DELETE /api/integrations/{integrationId}`: removes an integration and its secret.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::ApiError;

use super::Named;
use crate::Services;

#[derive(Debug, Serialize)]
pub(super) struct Deleted {
    success: bool,
}

pub(super) async fn delete_integration(
    State(services): State<Services>,
    caller: Caller<needs::ServicesWrite>,
    Named(id): Named,
) -> Result<Json<Deleted>, ApiError> {
    services.integrations.delete(caller.tenant(), &id).await?;
    Ok(Json(Deleted { success: true }))
}
