//! `DELETE /v1/integrations/{walletId}`: removes an integration, its records and its secret.

use axum::extract::State;
use http::StatusCode;
use shared::auth::{Caller, needs};
use shared::http::ApiError;

use super::Named;
use crate::Wallets;

/// Removes an integration, its records and its secret.
#[utoipa::path(
    delete,
    path = "/v1/integrations/{walletId}",
    tag = "integrations",
    security(("bearer" = ["integrations:write"])),
    params(
        ("walletId" = String, Path, description = "The integration's id."),
    ),
    responses(
        (status = 204, description = "It is gone."),
    ),
)]
pub(super) async fn delete_integration(
    State(wallets): State<Wallets>,
    caller: Caller<needs::IntegrationsWrite>,
    Named(id): Named,
) -> Result<StatusCode, ApiError> {
    wallets.integrations.delete(caller.tenant(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
