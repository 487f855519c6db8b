//! `POST /api/integrations/test`: tests a config before it is saved. Nothing is stored.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value};
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body, Reserved};
use utoipa::ToSchema;

use super::create_integration::kind_and_config;
use super::test_integration::{judge, truth};
use super::wire::TestReport;
use crate::Services;
use crate::model::Kind;

/// A config to test.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct TryIntegrationRequest {
    /// Its type.
    #[schema(rename = "type")]
    kind: Kind,
    /// What the type asks for; `GET /api/integration-types` describes it.
    #[schema(value_type = Object)]
    config: Map<String, Value>,
    /// True has a webhook sent a signed ping.
    #[schema(nullable = false)]
    send_ping: Option<bool>,
}

/// Tests a config before it is saved. Nothing is stored.
#[utoipa::path(
    post,
    path = "/api/integrations/test",
    tag = "tests",
    security(("bearer" = ["services:write"])),
    request_body = TryIntegrationRequest,
    responses(
        (status = 200, description = "What the provider says.", body = TestReport),
    ),
)]
pub(super) async fn try_integration(
    State(services): State<Services>,
    _caller: Caller<needs::ServicesWrite>,
    Reserved(reservation): Reserved,
    Body(mut fields): Body,
) -> Result<Json<TestReport>, ApiError> {
    let ping = fields.optional("sendPing", "true or false", truth).unwrap_or(false);
    let (kind, config) = kind_and_config(fields, &services).await?;
    let ping = ping.then(|| reservation.uuid().to_string());
    let (_, answer) = judge(&services, kind, &config, ping.as_deref()).await;
    Ok(Json(answer))
}
