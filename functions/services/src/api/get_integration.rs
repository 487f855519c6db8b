//! `GET /api/integrations/{integrationId}`: one integration with its config; its secrets only for who may see them, in an
//! answer that nothing on the way keeps.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use shared::auth::{Caller, Permission, needs};
use shared::http::ApiError;

use super::Named;
use super::wire::Detail;
use crate::Services;

/// Shows an integration with its config.
///
/// The secret values of the config are shown to a token that has `services:secrets` too.
#[utoipa::path(
    get,
    path = "/api/integrations/{integrationId}",
    tag = "integrations",
    security(("bearer" = ["services:read"])),
    params(
        ("integrationId" = String, Path, description = "The integration's id."),
    ),
    responses(
        (status = 200, description = "The integration.", body = Detail),
    ),
)]
pub(super) async fn get_integration(
    State(services): State<Services>,
    caller: Caller<needs::ServicesRead>,
    Named(id): Named,
) -> Result<Response, ApiError> {
    if !caller.may(Permission::ServicesSecrets) {
        let integration = services.integrations.read(caller.tenant(), &id).await?;
        return Ok(Json(Detail::without_secrets(integration)).into_response());
    }
    let (integration, config) = services.integrations.open(caller.tenant(), &id).await?;
    let config = config.disclosed(integration.kind.provider().fields());
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Detail::with_config(integration, config))).into_response())
}
