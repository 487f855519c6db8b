//! `GET /api/integrations/{integrationId}`: one integration with its config; its secrets only for who may see them.

use axum::Json;
use axum::extract::State;
use shared::auth::{Caller, Permission, needs};
use shared::http::ApiError;

use super::Named;
use super::wire::Detail;
use crate::Services;

pub(super) async fn get_integration(
    State(services): State<Services>,
    caller: Caller<needs::ServicesRead>,
    Named(id): Named,
) -> Result<Json<Detail>, ApiError> {
    if !caller.may(Permission::ServicesSecrets) {
        let integration = services.integrations.read(caller.tenant(), &id).await?;
        return Ok(Json(Detail::without_secrets(integration)));
    }
    let (integration, config) = services.integrations.open(caller.tenant(), &id).await?;
    let config = config.disclosed(integration.kind.provider().fields());
    Ok(Json(Detail::with_config(integration, config)))
}
