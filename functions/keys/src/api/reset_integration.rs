//! `POST /api/v1/integrations/{id}/reset`: forgets a key's failures, cooldown and verdicts.

use axum::Json;
use axum::extract::State;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, OptionalBody};

use super::Named;
use super::wire::One;
use crate::Group;
use crate::model::{Event, Key, KeyId};

/// Forgets a key's failures, cooldown and verdicts.
#[utoipa::path(
    post,
    path = "/api/v1/integrations/{id}/reset",
    tag = "health",
    security(("bearer" = ["keys:write"])),
    params(
        ("id" = KeyId, Path, description = "The key's id."),
    ),
    responses(
        (status = 200, description = "The key as it is now.", body = One),
    ),
)]
pub(super) async fn reset_integration(
    State(group): State<Group>,
    caller: Caller<needs::KeysWrite>,
    Named(id): Named,
    OptionalBody(fields): OptionalBody,
) -> Result<Json<One>, ApiError> {
    fields.finish()?;
    let now = group.platform.ids.now();
    let reset = |key: &mut Key| {
        key.health.on(Event::Reset, now);
        Ok(())
    };
    let (key, ()) = group.keys.change(caller.tenant(), id, reset).await?;
    let usage = group.keys.usage(caller.tenant(), &key).await?;
    Ok(Json(One::of(key, &usage, now)))
}
