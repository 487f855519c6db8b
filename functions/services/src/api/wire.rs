//! What several operations write: an integration, a test's report, an error.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::clock::iso_milliseconds;
use shared::http::{ApiError, Problem};
use utoipa::ToSchema;

use crate::model::{Integration, Kind, LastTest, Report, Verdict};

/// An integration in full.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Integration)]
pub(super) struct Detail {
    id: String,
    name: String,
    #[serde(rename = "type")]
    #[schema(value_type = Kind)]
    kind: &'static str,
    is_managed: bool,
    #[schema(value_type = Object)]
    config: Map<String, Value>,
    stored_secret_keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_test: Option<LastTestBody>,
    needs_attention: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LastTest)]
struct LastTestBody {
    verdict: Verdict,
    message: String,
    #[schema(format = DateTime)]
    checked_at: String,
}

impl Detail {
    /// An integration with the part of its config that may be seen.
    pub(super) fn without_secrets(integration: Integration) -> Self {
        let config = integration.config.clone();
        Self::with_config(integration, config)
    }

    /// An integration with this config.
    pub(super) fn with_config(integration: Integration, config: Map<String, Value>) -> Self {
        let stored_secret_keys = integration.stored_secret_keys().to_vec();
        let last_test = integration.last_test.map(|LastTest { verdict, message, checked_at }| LastTestBody {
            verdict,
            message,
            checked_at: iso_milliseconds(checked_at),
        });
        Self {
            id: integration.id.to_string(),
            name: integration.name,
            kind: integration.kind.name(),
            is_managed: integration.is_managed,
            config,
            stored_secret_keys,
            last_test,
            needs_attention: integration.needs_attention,
            created_at: iso_milliseconds(integration.created_at),
            updated_at: iso_milliseconds(integration.updated_at),
        }
    }
}

/// A test's report.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestReport {
    status: &'static str,
    message: String,
    #[schema(required = false)]
    verdict: Verdict,
    #[schema(required = false)]
    latency_ms: u64,
    #[schema(format = DateTime, required = false)]
    checked_at: String,
}

impl TestReport {
    /// A report on a test that ended at `at` and took `latency`.
    pub(super) fn new(report: Report, latency: Duration, at: Timestamp) -> Self {
        Self {
            status: if report.verdict.is_success() { "success" } else { "error" },
            message: report.message,
            verdict: report.verdict,
            latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            checked_at: iso_milliseconds(at),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody<'a> {
    error: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    fields: Option<BTreeMap<&'a str, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    required_scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after: Option<u64>,
    request_id: &'a str,
}

/// The group's envelope: `{error, detail, hint?, fields?, request_id}`.
pub(super) fn present(Problem { error, request_id, .. }: Problem<'_>) -> Response {
    let mut body = ErrorBody {
        error: code(error),
        detail: error.sentence(),
        hint: None,
        fields: None,
        required_scope: None,
        retry_after: None,
        request_id,
    };
    match error {
        ApiError::InvalidInput(problems) => {
            let mut fields: BTreeMap<&str, String> = BTreeMap::new();
            for problem in problems {
                let message = fields.entry(&problem.field).or_default();
                if !message.is_empty() {
                    message.push_str("; ");
                }
                message.push_str(&problem.message);
            }
            let sentences: Vec<String> = fields.iter().map(|(field, message)| format!("{field} {message}")).collect();
            body.detail = format!("{}.", sentences.join("; "));
            body.fields = Some(fields);
        }
        ApiError::Unauthorized { .. } => {
            body.hint = Some("Send `Authorization: Bearer <token>` with a token that is still in force.".into());
        }
        ApiError::Forbidden { required } => {
            body.hint = Some("Use a token that has it.".into());
            body.required_scope = Some(required.name());
        }
        ApiError::TooManyRequests { retry_after }
        | ApiError::RateLimited { retry_after }
        | ApiError::NoneFree { retry_after, .. } => body.retry_after = Some(seconds(*retry_after)),
        ApiError::Internal(_) => body.hint = Some("Try again; if it goes on, report the request_id.".into()),
        ApiError::ProviderRefused { hint, retry_after, .. } => {
            body.hint.clone_from(hint);
            body.retry_after = retry_after.map(seconds);
        }
        ApiError::ProviderTimeout { repeatable, .. } => {
            let hint = if *repeatable {
                "Repeat the request with the same Idempotency-Key; without one look at the channel before you send it again."
            } else {
                "Look at the channel before you send it again."
            };
            body.hint = Some(hint.into());
        }
        _ => {}
    }
    (error.status(), Json(body)).into_response()
}

fn code(error: &ApiError) -> &'static str {
    match error {
        ApiError::InvalidInput(_) => "invalid_input",
        ApiError::CredentialRefused { .. } => "credential_refused",
        ApiError::Unauthorized { .. } => "unauthorized",
        ApiError::Forbidden { .. } => "insufficient_scope",
        ApiError::NotAllowed { .. } => "not_allowed",
        ApiError::NotFound { .. } | ApiError::Absent { .. } => "not_found",
        ApiError::NotConfigured { .. } => "not_configured",
        ApiError::MethodNotAllowed => "method_not_allowed",
        ApiError::Conflict { .. } => "conflict",
        ApiError::PayloadTooLarge { .. } => "payload_too_large",
        ApiError::UnsupportedMediaType { .. } => "unsupported_media_type",
        ApiError::TooManyRequests { .. } | ApiError::RateLimited { .. } | ApiError::NoneFree { .. } => "rate_limited",
        ApiError::Internal(_) => "internal_error",
        ApiError::ProviderRefused { .. } => "provider_refused",
        ApiError::ProviderTimeout { .. } => "provider_timeout",
    }
}

/// Whole seconds, rounded up, at least one.
fn seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}
