//! `POST /api/integrations/{integrationId}/test`: asks the provider whether the stored credential works, or the one that
//! `configOverrides` would make. Overrides are never saved, and a test with overrides says nothing about what is stored.
//! They take a stored secret to another address only for who may see it.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value};
use shared::auth::{Caller, Permission, needs};
use shared::http::{ApiError, OptionalBody, Reserved};
use shared::telemetry::metrics;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::create_integration::object;
use super::wire::TestReport;
use super::{Named, noted};
use crate::model::{Kind, Report};
use crate::providers::{self, Config, ConfigChange};
use crate::{GROUP, Services};

const OVERRIDES: &str = "configOverrides";

/// How to test.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct TestIntegrationRequest {
    /// What is merged over the stored config for this test alone.
    #[schema(nullable = false, value_type = Option<Object>)]
    config_overrides: Option<Map<String, Value>>,
    /// True has a webhook sent a signed ping.
    #[schema(nullable = false)]
    send_ping: Option<bool>,
}

/// Asks the provider whether the credential works.
///
/// The stored one, or the one that `configOverrides` would make: they are never saved.
#[utoipa::path(
    post,
    path = "/api/integrations/{integrationId}/test",
    tag = "tests",
    security(("bearer" = ["services:write"])),
    params(
        ("integrationId" = String, Path, description = "The integration's id."),
    ),
    request_body = Option<TestIntegrationRequest>,
    responses(
        (status = 200, description = "What the provider says; `status` is `error` for a credential that does not work or could not be judged.", body = TestReport),
    ),
)]
pub(super) async fn test_integration(
    State(services): State<Services>,
    caller: Caller<needs::ServicesWrite>,
    Named(id): Named,
    Reserved(reservation): Reserved,
    OptionalBody(mut fields): OptionalBody,
) -> Result<Json<TestReport>, ApiError> {
    let overrides = fields.optional(OVERRIDES, "an object", object).unwrap_or_default();
    let ping = fields.optional("sendPing", "true or false", truth).unwrap_or(false);
    let (integration, stored) = services.integrations.open(caller.tenant(), &id).await?;
    let kind = integration.kind;
    let change = noted(&mut fields, ConfigChange::parse(kind.provider().fields(), OVERRIDES, overrides));
    let overridden = !change.is_empty();
    fields.problems(providers::unreachable(kind, &change, OVERRIDES, &services.platform.egress).await);
    let may_see = caller.may(Permission::ServicesSecrets);
    let config = noted(&mut fields, providers::changed(kind, stored, change, OVERRIDES, may_see));
    fields.finish()?;
    let ping = ping.then(|| reservation.uuid().to_string());
    let (report, answer) = judge(&services, kind, &config, ping.as_deref()).await;
    if !overridden {
        services.integrations.record_test(caller.tenant(), &id, integration.revision, &report).await?;
    }
    Ok(Json(answer))
}

/// Asks the provider, and times it.
pub(super) async fn judge(
    services: &Services,
    kind: Kind,
    config: &Config,
    ping: Option<&str>,
) -> (Report, TestReport) {
    let started = Instant::now();
    let egress = services.platform.egress.hiding(config.confidential());
    let report = match ping {
        Some(key) => kind.provider().ping(config, key, services.platform.ids.now(), &egress).await,
        None => kind.provider().check(config, &egress).await,
    };
    metrics::judged(GROUP, report.verdict.name());
    let answer = TestReport::new(report.clone(), started.elapsed(), services.platform.ids.now());
    (report, answer)
}

/// A body's `sendPing`.
pub(super) fn truth(value: Value) -> Option<bool> {
    value.as_bool()
}
