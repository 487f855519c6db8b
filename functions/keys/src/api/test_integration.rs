//! `POST /api/v1/integrations/{id}/test`: asks the provider whether a key works, and takes the verdict in.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, OptionalBody};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Named;
use super::wire::{Integration, iso};
use crate::Group;
use crate::model::{KeyId, Verdict};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TestReport {
    /// True if the key works.
    success: bool,
    verdict: Verdict,
    message: String,
    latency_ms: u64,
    #[schema(format = DateTime)]
    checked_at: String,
    integration: Integration,
}

/// Asks the provider whether a key works, and takes the verdict in.
#[utoipa::path(
    post,
    path = "/api/v1/integrations/{id}/test",
    tag = "health",
    security(("bearer" = ["keys:write"])),
    params(
        ("id" = KeyId, Path, description = "The key's id."),
    ),
    responses(
        (status = 200, description = "The verdict.", body = TestReport),
    ),
)]
pub(super) async fn test_integration(
    State(group): State<Group>,
    caller: Caller<needs::KeysWrite>,
    Named(id): Named,
    OptionalBody(fields): OptionalBody,
) -> Result<Json<TestReport>, ApiError> {
    fields.finish()?;
    let (key, secrets) = group.keys.open(caller.tenant(), id).await?;
    let (began, started) = (group.platform.ids.now(), Instant::now());
    let probe = group.probe(&key, &secrets).await;
    let latency = started.elapsed();
    let key = group.record(caller.tenant(), id, key.revision, began, &probe).await?;
    let usage = group.keys.usage(caller.tenant(), &key).await?;
    let now = group.platform.ids.now();
    Ok(Json(TestReport {
        success: probe.verdict.is_success(),
        verdict: probe.verdict,
        message: probe.message,
        latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
        checked_at: iso(now),
        integration: Integration::of(key, &usage, now),
    }))
}
