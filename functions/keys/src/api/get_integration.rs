//! `GET /api/v1/integrations/{id}`: one key of the pool.

use axum::Json;
use axum::extract::State;
use shared::auth::{Caller, needs};
use shared::http::ApiError;

use super::Named;
use super::wire::One;
use crate::Group;
use crate::model::KeyId;

/// Shows a key.
#[utoipa::path(
    get,
    path = "/api/v1/integrations/{id}",
    tag = "pool",
    security(("bearer" = ["keys:read"])),
    params(
        ("id" = KeyId, Path, description = "The key's id."),
    ),
    responses(
        (status = 200, description = "The key.", body = One),
    ),
)]
pub(super) async fn get_integration(
    State(group): State<Group>,
    caller: Caller<needs::KeysRead>,
    Named(id): Named,
) -> Result<Json<One>, ApiError> {
    let key = group.keys.read(caller.tenant(), id).await?;
    let usage = group.keys.usage(caller.tenant(), &key).await?;
    Ok(Json(One::of(key, &usage, group.platform.ids.now())))
}
