//! `PATCH /api/v1/integrations/{id}`: changes a key's settings. Its provider, its address and its credential stay: a
//! stored credential never goes anywhere else, and a new one is rotated in.

use axum::Json;
use axum::extract::State;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body};

use super::Named;
use super::input::{Settings, body_with_settings};
use super::wire::One;
use crate::Group;
use crate::model::{Key, KeyId, Spent};

body_with_settings! {
    /// What to change; what is left out stays.
    struct UpdateIntegrationRequest {}
}

/// Changes a key's settings.
///
/// Its provider, its address and its credential stay: a stored credential never goes anywhere else, and a new one is rotated in.
#[utoipa::path(
    patch,
    path = "/api/v1/integrations/{id}",
    tag = "pool",
    security(("bearer" = ["keys:write"])),
    params(
        ("id" = KeyId, Path, description = "The key's id."),
    ),
    request_body = UpdateIntegrationRequest,
    responses(
        (status = 200, description = "The key as it is now.", body = One),
    ),
)]
pub(super) async fn update_integration(
    State(group): State<Group>,
    caller: Caller<needs::KeysWrite>,
    Named(id): Named,
    Body(mut fields): Body,
) -> Result<Json<One>, ApiError> {
    let settings = Settings::read(&mut fields);
    fields.finish()?;
    let now = group.platform.ids.now();
    let spent =
        if settings.limits_spend() { group.keys.spent(caller.tenant(), id, now).await? } else { Spent::default() };
    let change = |key: &mut Key| {
        let limit = settings.spend_limit(key.spend_limit);
        let limit = limit.map_err(|problem| ApiError::InvalidInput(vec![problem]))?;
        if limit != key.spend_limit {
            key.spend_limit = limit;
            key.judge_spend(spent, now);
        }
        key.label = settings.label.clone().unwrap_or_else(|| key.label.take());
        key.is_active = settings.is_active.unwrap_or(key.is_active);
        key.is_primary = settings.is_primary.unwrap_or(key.is_primary);
        key.own_priority = settings.priority.or(key.own_priority);
        key.daily_limit = settings.daily_limit.unwrap_or(key.daily_limit);
        key.minute_limit = settings.minute_limit.unwrap_or(key.minute_limit);
        Ok(())
    };
    let (key, ()) = group.keys.change(caller.tenant(), id, change).await?;
    let usage = group.keys.usage(caller.tenant(), &key).await?;
    Ok(Json(One::of(key, &usage, now)))
}
