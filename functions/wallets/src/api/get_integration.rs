//! `GET /v1/integrations/{walletId}`: one integration, with how far its sync has come.

use axum::Json;
use axum::extract::State;
use shared::auth::{Caller, needs};
use shared::http::ApiError;

use super::Named;
use super::wire::Detail;
use crate::Wallets;

/// Shows an integration, with how far its sync has come.
#[utoipa::path(
    get,
    path = "/v1/integrations/{walletId}",
    tag = "integrations",
    security(("bearer" = ["integrations:read"])),
    params(
        ("walletId" = String, Path, description = "The integration's id."),
    ),
    responses(
        (status = 200, description = "The integration.", body = Detail),
    ),
)]
pub(super) async fn get_integration(
    State(wallets): State<Wallets>,
    caller: Caller<needs::IntegrationsRead>,
    Named(id): Named,
) -> Result<Json<Detail>, ApiError> {
    Ok(Json(Detail::of(wallets.integrations.read(caller.tenant(), &id).await?)))
}
