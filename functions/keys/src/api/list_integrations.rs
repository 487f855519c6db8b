//! `GET /api/v1/integrations`: the pool, primary keys first, then by priority.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Query};

use super::input;
use super::wire::Integration;
use crate::Group;
use crate::model::HealthStatus;
use crate::store::Filter;

const LIMIT: usize = 50;
const LARGEST: usize = 100;

#[derive(Debug, Serialize)]
pub(super) struct List {
    success: bool,
    integrations: Vec<Integration>,
    total: usize,
    limit: usize,
    offset: usize,
}

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
