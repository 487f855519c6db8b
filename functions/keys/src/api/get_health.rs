//! `GET /api/v1/integrations/health`: how the pool is, and what to do about it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::ApiError;
use utoipa::ToSchema;

use super::wire::{iso, label};
use crate::Group;
use crate::model::{HealthStatus, Key, KeyId, Outage};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
pub(super) struct Overview {
    success: bool,
    summary: Summary,
    integrations: Vec<Row>,
    recommendations: Vec<String>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = HealthSummary)]
struct Summary {
    total: usize,
    healthy: usize,
    degraded: usize,
    unhealthy: usize,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthOfIntegration)]
struct Row {
    id: KeyId,
    provider_name: String,
    #[schema(required = true)]
    key_label: Option<String>,
    is_active: bool,
    health_status: HealthStatus,
    consecutive_failures: u32,
    #[schema(required = true, format = DateTime)]
    cooling_until: Option<String>,
    #[schema(required = true)]
    last_error: Option<ErrorBody>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LastError)]
struct ErrorBody {
    code: String,
    message: String,
    #[schema(format = DateTime)]
    at: String,
}

/// Shows how the pool is, and what to do about it.
#[utoipa::path(
    get,
    path = "/api/v1/integrations/health",
    tag = "health",
    security(("bearer" = ["keys:read"])),
    responses(
        (status = 200, description = "The pool's health.", body = Overview),
    ),
)]
pub(super) async fn get_health(
    State(group): State<Group>,
    caller: Caller<needs::KeysRead>,
) -> Result<Json<Overview>, ApiError> {
    let keys = group.keys.in_order(caller.tenant()).await?;
    let now = group.platform.ids.now();
    let mut summary = Summary { total: keys.len(), ..Summary::default() };
    for key in &keys {
        match key.health.status() {
            HealthStatus::Healthy => summary.healthy += 1,
            HealthStatus::Degraded => summary.degraded += 1,
            HealthStatus::Unhealthy => summary.unhealthy += 1,
        }
    }
    let recommendations = recommendations(&keys, now);
    let integrations = keys.into_iter().map(|key| Row::of(key, now)).collect();
    Ok(Json(Overview { success: true, summary, integrations, recommendations }))
}

impl Row {
    fn of(key: Key, now: Timestamp) -> Self {
        Self {
            health_status: key.health.status(),
            consecutive_failures: key.health.failures,
            cooling_until: key.health.cooling(now).map(iso),
            last_error: key.health.last_error.map(|error| ErrorBody {
                code: error.code,
                message: error.message,
                at: iso(error.at),
            }),
            id: key.id,
            provider_name: key.provider,
            key_label: key.label,
            is_active: key.is_active,
        }
    }
}

/// What a person should do: about each key that will not come back by itself, and about providers that nothing is left of.
fn recommendations(keys: &[Key], now: Timestamp) -> Vec<String> {
    let mut told = Vec::new();
    let mut usable: BTreeMap<&str, bool> = BTreeMap::new();
    for key in keys.iter().filter(|key| key.is_active) {
        let name = key.label.clone().unwrap_or_else(|| format!("{} key {}", label(&key.provider), key.id));
        let advice = match key.health.outage {
            Some(Outage::ConfirmedInvalid) => Some("does not work any more; rotate or delete it"),
            Some(Outage::ReportedInvalid) => Some("was refused in use; test it"),
            Some(Outage::Exhausted) => Some("has no credit left; top it up"),
            None if key.health.status() == HealthStatus::Unhealthy => Some("keeps failing; test it"),
            None => None,
        };
        told.extend(advice.map(|advice| format!("{name} {advice}.")));
        if key.spend_exceeded(now) {
            told.push(format!("{name} has crossed its spend limit; raise it or wait for the next period."));
        }
        let works = key.health.status() != HealthStatus::Unhealthy && key.blocked_until(now).is_none();
        *usable.entry(&key.provider).or_default() |= works;
    }
    let without = usable.into_iter().filter(|(_, usable)| !usable);
    told.extend(without.map(|(provider, _)| format!("No {} key can be used; add one.", label(provider))));
    told
}
