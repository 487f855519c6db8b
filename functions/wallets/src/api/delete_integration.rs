//! `DELETE /v1/integrations/{walletId}`: removes an integration, its records and its secret.

use axum::extract::State;
use http::StatusCode;
use shared::auth::{Caller, needs};
use shared::http::ApiError;

use super::Named;
use crate::Wallets;

pub(super) async fn delete_integration(
    State(wallets): State<Wallets>,
    caller: Caller<needs::IntegrationsWrite>,
    Named(id): Named,
) -> Result<StatusCode, ApiError> {
    wallets.integrations.delete(caller.tenant(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
