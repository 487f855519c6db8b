//! `POST /api/integrations`: connects a service. The credential is not tested here; `POST …/test` does that.

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Map, Value};
use shared::auth::{Caller, needs};
use shared::http::{ApiError, Body, Fields, Reserved, line};
use utoipa::ToSchema;

use super::wire::Detail;
use crate::Services;
use crate::model::Kind;
use crate::providers::{self, Config};

/// The longest name, in characters.
pub(super) const NAME: usize = 200;
pub(super) const NAME_ACCEPTED: &str = "text of 1 to 200 characters";

/// A service to connect.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct CreateIntegrationRequest {
    /// What people call it.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Its type.
    #[schema(rename = "type")]
    kind: Kind,
    /// What the type asks for; `GET /api/integration-types` describes it.
    #[schema(value_type = Object)]
    config: Map<String, Value>,
}

/// Connects a service.
///
/// The credential is not tested here; a test is an operation of its own.
#[utoipa::path(
    post,
    path = "/api/integrations",
    tag = "integrations",
    security(("bearer" = ["services:write"])),
    request_body = CreateIntegrationRequest,
    responses(
        (status = 201, description = "The integration, without its secrets.", body = Detail, headers(("location" = String, description = "The address of what was created."))),
    ),
)]
pub(super) async fn create_integration(
    State(services): State<Services>,
    caller: Caller<needs::ServicesWrite>,
    Reserved(reservation): Reserved,
    OriginalUri(uri): OriginalUri,
    Body(mut fields): Body,
) -> Result<Response, ApiError> {
    let name = fields.required("name", NAME_ACCEPTED, |value| line(value, NAME));
    let (kind, config) = kind_and_config(fields, &services).await?;
    let name = name.ok_or_else(|| ApiError::field("name", "required", NAME_ACCEPTED))?;
    let integration = services.integrations.create(caller.tenant(), &reservation, name, kind, &config).await?;
    let location = format!("{}/{}", uri.path().trim_end_matches('/'), integration.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(Detail::without_secrets(integration)))
        .into_response())
}

/// Reads `type` and a complete `config` of it, and ends the reading of the body.
pub(super) async fn kind_and_config(mut fields: Fields, services: &Services) -> Result<(Kind, Config), ApiError> {
    let kind = fields.required("type", &Kind::accepted(), |value| Kind::named(value.as_str()?));
    let given = fields.required("config", "an object", object);
    let mut config = None;
    if let (Some(kind), Some(given)) = (kind, given) {
        match providers::complete(kind, given, &services.platform.egress).await {
            Ok(complete) => config = Some((kind, complete)),
            Err(problems) => fields.problems(problems),
        }
    }
    fields.finish()?;
    config.ok_or_else(|| ApiError::field("config", "required", "is missing: an object"))
}

pub(super) fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}
