//! `POST /api/v1/integrations/report`: how the use of a lease went. The first report of a lease counts; a second one
//! changes nothing and is answered the same.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body, Fields};
use utoipa::ToSchema;

use super::wire::iso;
use crate::Group;
use crate::lease::Lease;
use crate::model::{HealthStatus, KeyId, Outcome, Report};

const A_DAY: f64 = 86_400.0;
/// The least cost that is told from none: costs are added up to the ninth decimal.
const LEAST_COST: f64 = 0.000_000_001;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reported)]
pub(super) struct Answer {
    success: bool,
    integration_id: KeyId,
    outcome: Outcome,
    health_status: HealthStatus,
    consecutive_failures: u32,
    #[schema(required = true, format = DateTime)]
    cooling_until: Option<String>,
    #[schema(format = DateTime)]
    reported_at: String,
}

/// How a use went.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct ReportLeaseRequest {
    /// The `lease_id` of an acquisition.
    lease_id: String,
    /// How it went.
    outcome: Outcome,
    /// What it cost.
    #[schema(nullable = false, minimum = 0, maximum = 1_000_000_000)]
    cost: Option<f64>,
    /// For how many seconds the provider asked to wait.
    #[schema(nullable = false, minimum = 0, maximum = 86400)]
    retry_after: Option<f64>,
}

/// Reports how the use of a lease went.
///
/// The first report of a lease counts; a second one changes nothing and is answered the same.
#[utoipa::path(
    post,
    path = "/api/v1/integrations/report",
    tag = "use",
    security(("bearer" = ["keys:use"])),
    request_body = ReportLeaseRequest,
    responses(
        (status = 200, description = "What the report came to.", body = Answer),
        (status = 404, description = "There is no such lease, or it can be reported on no more."),
    ),
)]
pub(super) async fn report_lease(
    State(group): State<Group>,
    caller: Caller<needs::KeysUse>,
    Body(mut fields): Body,
) -> Result<Json<Answer>, ApiError> {
    let lease = fields.required("lease_id", "the lease_id of an acquisition", |value| Some(value.as_str()?.to_owned()));
    let report = read(&mut fields);
    fields.finish()?;
    let missing = || ApiError::NotFound { what: "Lease" };
    let report = report.ok_or_else(|| ApiError::field("outcome", "required", "is missing"))?;
    let signing_key = group.platform.signing_key().await?;
    let lease = lease.and_then(|lease| Lease::open(signing_key, caller.tenant(), &lease)).ok_or_else(missing)?;
    if !lease.is_reportable(group.platform.ids.now()) {
        return Err(missing());
    }
    let reported = group.keys.report(caller.tenant(), &lease, &report).await?;
    Ok(Json(Answer {
        success: true,
        integration_id: reported.id,
        outcome: reported.outcome,
        health_status: reported.health,
        consecutive_failures: reported.failures,
        cooling_until: reported.cooling_until.map(iso),
        reported_at: iso(reported.at),
    }))
}

fn read(fields: &mut Fields) -> Option<Report> {
    let outcome = fields.required("outcome", Outcome::ACCEPTED, |value| Outcome::named(value.as_str()?));
    let cost =
        fields.optional("cost", "a number from 0", |value| value.as_f64().filter(|cost| (0.0..=1e9).contains(cost)));
    let retry_after = fields.optional("retry_after", "a number of seconds from 0 to 86400", |value| {
        let seconds = value.as_f64().filter(|seconds| (0.0..=A_DAY).contains(seconds))?;
        Duration::try_from_secs_f64(seconds).ok()
    });
    let cost = cost.filter(|cost| *cost >= LEAST_COST).unwrap_or_default();
    Some(Report { outcome: outcome?, cost, retry_after })
}
