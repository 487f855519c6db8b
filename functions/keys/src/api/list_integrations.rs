//! `GET /api/v1/integrations`: the pool, primary keys first, then by priority.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Query};
use utoipa::ToSchema;

use super::input;
use super::wire::Integration;
use crate::Group;
use crate::model::HealthStatus;
use crate::store::Filter;

const LIMIT: usize = 50;
const LARGEST: usize = 100;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Integrations)]
pub(super) struct List {
    success: bool,
    integrations: Vec<Integration>,
    total: usize,
    limit: usize,
    offset: usize,
}

/// Lists the keys of the pool.
///
/// Primary keys first, then by priority, then by id. Filters combine; `total` counts what they match.
#[utoipa::path(
    get,
    path = "/api/v1/integrations",
    tag = "pool",
    security(("bearer" = ["keys:read"])),
    params(
        ("provider_name" = Option<String>, Query, description = "Of this provider only.", min_length = 1, max_length = 64, pattern = "^[a-z0-9_-]+$"),
        ("health_status" = Option<HealthStatus>, Query, description = "In this state of health only."),
        ("is_active" = Option<bool>, Query, description = "Active keys only, or inactive ones only."),
        ("limit" = Option<u32>, Query, description = "How many at most; 50 unless given.", minimum = 1, maximum = 100),
        ("offset" = Option<usize>, Query, description = "How many to leave out first; 0 unless given.", minimum = 0),
    ),
    responses(
        (status = 200, description = "A page of the pool.", body = List),
    ),
)]
pub(super) async fn list_integrations(
    State(group): State<Group>,
    caller: Caller<needs::KeysRead>,
    mut query: Query,
) -> Result<Json<List>, ApiError> {
    let filter = Filter {
        provider: query.parsed("provider_name", input::PROVIDER, input::provider),
        health: query.parsed("health_status", "one of healthy, degraded, unhealthy", HealthStatus::named),
        is_active: query.parsed("is_active", "true or false", truth),
    };
    let limit = query.whole("limit", 1, LARGEST).unwrap_or(LIMIT);
    let offset = query.whole("offset", 0, usize::MAX).unwrap_or_default();
    query.finish()?;
    let listed = group.keys.list(caller.tenant(), &filter, limit, offset).await?;
    let now = group.platform.ids.now();
    let integrations = listed.keys.into_iter().map(|(key, usage)| Integration::of(key, &usage, now)).collect();
    Ok(Json(List { success: true, integrations, total: listed.total, limit, offset }))
}

fn truth(text: &str) -> Option<bool> {
    text.parse().ok()
}
