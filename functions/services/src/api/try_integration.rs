//! `POST /api/integrations/test`: tests a config before it is saved. Nothing is stored.

use axum::Json;
use axum::extract::State;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body, Reserved};

use super::create_integration::kind_and_config;
use super::test_integration::{judge, truth};
use super::wire::TestReport;
use crate::Services;

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
