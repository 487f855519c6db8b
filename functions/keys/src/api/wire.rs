//! What several operations write: an integration, an error.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::http::{ApiError, FieldProblem, Problem};
use utoipa::ToSchema;

use crate::acquire::PassedOverKey;
use crate::model::{HealthStatus, Key, KeyId, Period, SpendAction, Usage};
use crate::providers;

/// ISO 8601 in UTC with seconds and `Z`.
pub(super) fn iso(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// A pooled key, as it is documented: `null` and absent are not the same.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Integration {
    id: KeyId,
    provider_name: String,
    provider_label: String,
    #[schema(required = true)]
    key_label: Option<String>,
    is_active: bool,
    is_primary: bool,
    priority: u16,
    #[schema(required = true)]
    daily_limit: Option<u64>,
    daily_count: u64,
    #[schema(required = true)]
    minute_limit: Option<u64>,
    minute_count: u64,
    health_status: HealthStatus,
    consecutive_failures: u32,
    #[schema(required = true, format = DateTime)]
    last_used_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    spend_limit_amount: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    spend_limit_period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    spend_limit_action: Option<SpendAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    spend_limit_exceeded: Option<bool>,
    #[schema(required = true)]
    cached_balance: Option<f64>,
    #[schema(required = true)]
    cached_usage_today: Option<f64>,
    #[schema(required = true)]
    cached_usage_month: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cached_currency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    billing_synced_at: Option<String>,
    key_preview: BTreeMap<String, String>,
    /// Only where a key has an address of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    base_url: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl Integration {
    /// A key as it is at `now`. A use changes it too, so it is `updated_at` where that is later.
    pub(super) fn of(key: Key, usage: &Usage, now: Timestamp) -> Self {
        let amounts = key.billing.as_ref().map(|told| &told.amounts);
        let updated_at = usage.last_used_at.map_or(key.updated_at, |used| used.max(key.updated_at));
        Self {
            provider_label: label(&key.provider),
            is_active: key.is_active,
            is_primary: key.is_primary,
            priority: key.priority(),
            daily_limit: key.daily_limit,
            daily_count: usage.day_count_at(now),
            minute_limit: key.minute_limit,
            minute_count: usage.minute_count_at(now),
            health_status: key.health.status(),
            consecutive_failures: key.health.failures,
            last_used_at: usage.last_used_at.map(iso),
            spend_limit_amount: key.spend_limit.map(|limit| limit.amount),
            spend_limit_period: key.spend_limit.map(|limit| limit.period),
            spend_limit_action: key.spend_limit.map(|limit| limit.action),
            spend_limit_exceeded: key.spend_limit.map(|_| key.spend_exceeded(now)),
            cached_balance: amounts.and_then(|amounts| amounts.balance),
            cached_usage_today: amounts.and_then(|amounts| amounts.used_today),
            cached_usage_month: amounts.and_then(|amounts| amounts.used_month),
            cached_currency: amounts.map(|amounts| amounts.currency.clone()),
            billing_synced_at: key.billing.as_ref().map(|told| iso(told.at)),
            base_url: key.base_url.as_ref().map(ToString::to_string),
            created_at: iso(key.created_at),
            updated_at: iso(updated_at),
            id: key.id,
            provider_name: key.provider,
            key_label: key.label,
            key_preview: key.previews,
        }
    }
}

/// What people call a provider; one that is not known is called by its name.
pub(super) fn label(provider: &str) -> String {
    providers::named(provider).map_or_else(|| provider.to_owned(), |known| known.entry().label.to_owned())
}

/// One integration.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OneIntegration)]
pub(super) struct One {
    success: bool,
    integration: Integration,
}

impl One {
    /// A key as it is at `now`.
    pub(super) fn of(key: Key, usage: &Usage, now: Timestamp) -> Self {
        Self { success: true, integration: Integration::of(key, usage, now) }
    }
}

/// An error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody<'a> {
    /// Always false.
    success: bool,
    /// What is wrong, in a few words.
    error: String,
    detail: Detail,
    request_id: &'a str,
}

/// What is wrong: a text; of bad input each problem; where no key is free why each was passed over.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ErrorDetail)]
enum Detail {
    /// In words.
    Text(String),
    /// By the places in the request.
    Problems(Vec<InputProblem>),
    /// By the keys that were passed over.
    PassedOver(PassedOverKeys),
}

/// Why each key was passed over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = Vec<PassedOverKey>)]
struct PassedOverKeys(Value);

/// A part of the request that cannot be used.
#[derive(Debug, Serialize, ToSchema)]
struct InputProblem {
    /// Where: `body`, `query` or `header`, then the path in it.
    loc: Vec<String>,
    msg: String,
    /// What kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What was sent, in the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    input: Option<String>,
}

/// The group's envelope: `{success: false, error, detail, request_id}`.
pub(super) fn present(Problem { error, request_id, .. }: Problem<'_>) -> Response {
    let status = match error {
        ApiError::InvalidInput(_) => StatusCode::UNPROCESSABLE_ENTITY,
        other => other.status(),
    };
    let (error, detail) = described(error);
    (status, Json(ErrorBody { success: false, error, detail, request_id })).into_response()
}

fn described(error: &ApiError) -> (String, Detail) {
    let title = match error {
        ApiError::InvalidInput(problems) => {
            let problems = problems.iter().map(InputProblem::of).collect();
            return ("The request is not valid".into(), Detail::Problems(problems));
        }
        ApiError::NoneFree { message, reasons, .. } => {
            return (message.clone(), Detail::PassedOver(PassedOverKeys(reasons.clone())));
        }
        ApiError::NotFound { what } => {
            let missing = format!("{what} not found");
            return (missing.clone(), Detail::Text(missing));
        }
        ApiError::CredentialRefused { .. } => "The credential was refused",
        ApiError::Unauthorized { .. } => "Unauthorized",
        ApiError::Forbidden { .. } => "Forbidden",
        ApiError::NotAllowed { .. } => "Not allowed",
        ApiError::Absent { .. } => "Not found",
        ApiError::NotConfigured { .. } => "Not configured",
        ApiError::MethodNotAllowed => "Method not allowed",
        ApiError::Conflict { .. } => "Conflict",
        ApiError::PayloadTooLarge { .. } => "The request is too large",
        ApiError::UnsupportedMediaType { .. } => "Unsupported media type",
        ApiError::TooManyRequests { .. } | ApiError::RateLimited { .. } => "Too many requests",
        ApiError::Internal(_) => "Internal error",
        ApiError::ProviderRefused { .. } => "The provider refused",
        ApiError::ProviderTimeout { .. } => "The provider did not answer in time",
    };
    let detail = match error {
        ApiError::Internal(_) => {
            "Something went wrong on our side. Try again; if it goes on, report the request_id.".into()
        }
        other => other.sentence(),
    };
    (title.into(), Detail::Text(detail))
}

impl InputProblem {
    fn of(problem: &FieldProblem) -> Self {
        let place = problem.place.name();
        let whole = problem.field == place;
        let path = problem.field.split('.').filter(|_| !whole);
        Self {
            loc: std::iter::once(place).chain(path).map(str::to_owned).collect(),
            msg: problem.message.clone(),
            kind: problem.code,
            input: problem.input.clone(),
        }
    }
}
