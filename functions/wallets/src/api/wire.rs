//! What several operations write: an integration, an error.

use axum::Json;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use shared::http::{ApiError, Place, Problem, Received};
use utoipa::ToSchema;

use crate::imports::LARGEST;
use crate::model::{Category, Integration, Origin, Status};
use crate::providers;

/// Stands where a provider is no longer in the catalogue.
const UNKNOWN_LOGO: &str = "https://cdn.jsdelivr.net/gh/spothq/cryptocurrency-icons@0.18.1/svg/color/generic.svg";

/// An integration as the list shows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = IntegrationRow)]
pub(super) struct Row {
    provider: String,
    provider_public_name: String,
    #[schema(required = true)]
    public_address: Option<String>,
    wallet_id: String,
    logo_url: &'static str,
    is_contract: bool,
    alias: String,
    status: Status,
    added_on: i64,
    #[schema(required = true)]
    last_synced_at: Option<i64>,
    category: Category,
    #[serde(rename = "type")]
    origin: Origin,
    total_transactions: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
}

impl Row {
    pub(super) fn of(integration: Integration) -> Self {
        let alias = integration.shown_name().to_owned();
        Self {
            logo_url: providers::entry(&integration.provider).map_or(UNKNOWN_LOGO, |entry| entry.logo_url),
            provider: integration.provider,
            provider_public_name: integration.public_name,
            public_address: integration.address,
            wallet_id: integration.wallet_id.to_string(),
            is_contract: integration.is_contract,
            alias,
            status: integration.status,
            added_on: integration.added_on.as_millisecond(),
            last_synced_at: integration.last_synced_at.map(Timestamp::as_millisecond),
            category: integration.category,
            origin: integration.origin,
            total_transactions: integration.total_transactions,
            message: integration.message.filter(|_| integration.status == Status::Failed),
        }
    }
}

/// An integration by itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Integration)]
pub(super) struct Detail {
    #[serde(flatten)]
    row: Row,
    #[schema(required = true)]
    account_name: Option<String>,
    chains: Vec<String>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    progress: Option<Progress>,
}

/// How far a sync has come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncProgress)]
struct Progress {
    fetched: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expected: Option<u64>,
    /// What keeps it from going on just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
}

impl Detail {
    pub(super) fn of(integration: Integration) -> Self {
        let progress = (integration.status == Status::Ongoing).then(|| Progress {
            fetched: integration.sync.fetched,
            expected: integration.sync.expected,
            message: integration.message.clone(),
        });
        Self {
            account_name: integration.account_name.clone(),
            chains: integration.chains.clone(),
            warnings: integration.warnings.clone(),
            progress,
            row: Row::of(integration),
        }
    }
}

/// What to do about a file that is too large.
const TOO_LARGE: &str = "The file is larger than 4.5 MB. Split it, not between rows of the same second: give each part the \
    header line of the whole, import the first part, and import the others with the walletId of its answer. Rows that are in \
    two parts are counted once.";

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody<'a> {
    error: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<DetailBody<'a>>,
    #[serde(rename = "walletId", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    wallet_id: Option<&'a str>,
    request_id: &'a str,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InputProblem)]
struct DetailBody<'a> {
    path: &'a str,
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expected: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    received: Option<&'a str>,
}

/// The group's envelope: `{error, message, details?, request_id}`; where something is there already, `walletId` names it.
pub(super) fn present(Problem { error, request_id, .. }: Problem<'_>) -> Response {
    let mut body =
        ErrorBody { error: code(error), message: message(error), details: Vec::new(), wallet_id: None, request_id };
    match error {
        ApiError::InvalidInput(problems) => {
            body.details = problems
                .iter()
                .map(|problem| DetailBody {
                    path: &problem.field,
                    code: problem.code,
                    message: &problem.message,
                    expected: problem.expected.as_deref(),
                    received: problem.input.as_deref().or(problem.received.map(Received::name)),
                })
                .collect();
        }
        ApiError::Conflict { existing, .. } => body.wallet_id = existing.as_deref(),
        _ => {}
    }
    (error.status(), Json(body)).into_response()
}

fn message(error: &ApiError) -> String {
    match error {
        ApiError::InvalidInput(problems) if problems.iter().all(|problem| problem.place == Place::Query) => {
            "Invalid query parameters".into()
        }
        ApiError::InvalidInput(_) => "Invalid request body".into(),
        // Nothing but a file may be so large; what reads the body before us may take a little more.
        ApiError::PayloadTooLarge { limit: LARGEST.., .. } => TOO_LARGE.into(),
        ApiError::Internal(_) => {
            "Something went wrong on our side. Try again; if it goes on, report the request_id.".into()
        }
        other => other.sentence(),
    }
}

fn code(error: &ApiError) -> &'static str {
    match error {
        ApiError::InvalidInput(_) | ApiError::CredentialRefused { .. } => "invalid_parameters",
        ApiError::Unauthorized { .. } => "unauthorized",
        ApiError::Forbidden { .. } => "forbidden",
        ApiError::NotAllowed { .. } => "not_allowed",
        ApiError::NotFound { .. } | ApiError::Absent { .. } => "not_found",
        ApiError::NotConfigured { .. } => "not_configured",
        ApiError::MethodNotAllowed => "method_not_allowed",
        ApiError::Conflict { .. } => "conflict",
        ApiError::PayloadTooLarge { .. } => "payload_too_large",
        ApiError::UnsupportedMediaType { .. } => "unsupported_media_type",
        ApiError::TooManyRequests { .. } | ApiError::RateLimited { .. } | ApiError::NoneFree { .. } => {
            "rate_limit_exceeded"
        }
        ApiError::Internal(_) => "internal_server_error",
        ApiError::ProviderRefused { .. } => "provider_refused",
        ApiError::ProviderTimeout { .. } => "provider_timeout",
    }
}
