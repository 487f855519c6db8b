//! What several operations write: the envelope of success, an error as a problem document, a connection, a run.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::Serialize;
use shared::clock::iso_milliseconds;
use shared::http::{ApiError, Problem, RequestId, escape_html};
use utoipa::ToSchema;

use crate::model::link::Failure;
use crate::model::{Connection, Direction, Outcome, Run, Status, Way};

/// Writes successes: `{data, meta: {requestId}}`.
pub(super) struct Reply(String);

impl<S: Send + Sync> FromRequestParts<S> for Reply {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let id = parts.extensions.get::<RequestId>();
        id.map(|id| Self(id.as_str().to_owned())).ok_or_else(|| ApiError::internal("a request without an id"))
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Envelope<T> {
    data: T,
    meta: Meta,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Meta {
    request_id: String,
}

impl Reply {
    pub(super) fn ok(self, data: impl Serialize) -> Response {
        self.with(StatusCode::OK, data)
    }

    pub(super) fn with(self, status: StatusCode, data: impl Serialize) -> Response {
        let mut response = (status, Json(Envelope { data, meta: Meta { request_id: self.0 } })).into_response();
        // What is shown may be secret.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// A connection as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Connection)]
pub(super) struct ConnectionBody {
    id: String,
    provider: String,
    provider_account_id: String,
    #[schema(required = false)]
    provider_account_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provider_user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provider_team_id: Option<String>,
    #[schema(required = false)]
    status: Status,
    #[schema(required = false)]
    connected_by: Way,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime, required = false)]
    updated_at: String,
}

impl From<Connection> for ConnectionBody {
    fn from(connection: Connection) -> Self {
        Self {
            id: connection.id.to_string(),
            provider: connection.provider,
            provider_account_id: connection.account_id,
            provider_account_name: connection.account_name,
            provider_user_id: connection.user_id,
            provider_team_id: connection.team_id,
            status: connection.status,
            connected_by: connection.way,
            created_at: iso_milliseconds(connection.created_at),
            updated_at: iso_milliseconds(connection.updated_at),
        }
    }
}

/// What a sync came to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SyncRun)]
pub(super) struct RunBody {
    status: Outcome,
    #[serde(flatten)]
    counts: Counts,
    #[schema(required = false)]
    success: bool,
    #[schema(required = false)]
    stats: Stats,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    #[schema(required = false)]
    run_id: String,
}

/// How many names met which fate.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = SyncCounts)]
struct Counts {
    created: usize,
    updated: usize,
    deleted: usize,
    skipped: usize,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncStats)]
struct Stats {
    #[serde(flatten)]
    counts: Counts,
    /// Every name that the sync looked at, those that failed included.
    total: usize,
}

impl Counts {
    fn of(run: &Run) -> Self {
        Self { created: run.created, updated: run.updated, deleted: run.deleted, skipped: run.skipped }
    }
}

impl From<Run> for RunBody {
    fn from(run: Run) -> Self {
        let counts = Counts::of(&run);
        let total = run.created + run.updated + run.deleted + run.skipped + run.failed.len();
        Self {
            status: run.status,
            counts,
            success: run.status == Outcome::Success,
            stats: Stats { counts, total },
            failed: run.failed,
            reason: run.reason,
            run_id: run.id.to_string(),
        }
    }
}

/// A run as the history shows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PastSyncRun)]
pub(super) struct PastRun {
    id: String,
    #[schema(format = DateTime)]
    at: String,
    by: String,
    automatic: bool,
    direction: Direction,
    keyway_environment: String,
    connection_id: String,
    provider: String,
    project_id: String,
    provider_environment: String,
    status: PastOutcome,
    #[serde(flatten)]
    counts: Counts,
    failed: Vec<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
}

/// How a run of the history ended, if it did.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PastSyncOutcome)]
enum PastOutcome {
    /// Everything was done, or nothing was to be done.
    Success,
    /// Some was done.
    Partial,
    /// Nothing was done of what was to be.
    Failed,
    /// It goes on.
    Running,
    /// It died: what it wrote is not known here, and the next run ends it.
    Interrupted,
}

impl PastRun {
    /// A run as it stands at the moment `now`.
    pub(super) fn at(now: Timestamp, run: Run) -> Self {
        let status = match run.status {
            _ if run.is_dead(now) => PastOutcome::Interrupted,
            _ if run.running => PastOutcome::Running,
            Outcome::Success => PastOutcome::Success,
            Outcome::Partial => PastOutcome::Partial,
            Outcome::Failed => PastOutcome::Failed,
        };
        Self {
            status,
            id: run.id.to_string(),
            at: iso_milliseconds(run.at),
            counts: Counts::of(&run),
            by: run.by,
            automatic: run.automatic,
            direction: run.direction,
            keyway_environment: run.environment.to_string(),
            connection_id: run.connection_id.to_string(),
            provider: run.provider,
            project_id: run.project_id,
            provider_environment: run.provider_environment,
            failed: run.failed,
            reason: run.reason,
        }
    }
}

/// RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Error)]
pub(super) struct ProblemBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    instance: &'a str,
    trace_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldBody<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InputProblem)]
struct FieldBody<'a> {
    field: &'a str,
    code: &'static str,
    message: &'a str,
}

/// The group's envelope of errors: a problem document.
pub(super) fn present(Problem { error, request_id, path }: Problem<'_>) -> Response {
    let (kind, title) = described(error);
    let errors = match error {
        ApiError::InvalidInput(problems) => problems
            .iter()
            .map(|problem| FieldBody { field: &problem.field, code: problem.code, message: &problem.message })
            .collect(),
        _ => Vec::new(),
    };
    let status = error.status();
    let body = ProblemBody {
        kind,
        title,
        status: status.as_u16(),
        detail: detail(error),
        instance: path,
        trace_id: request_id,
        errors,
    };
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

fn detail(error: &ApiError) -> String {
    match error {
        ApiError::InvalidInput(problems) => {
            let sentences: Vec<_> =
                problems.iter().map(|problem| format!("{} {}", problem.field, problem.message)).collect();
            format!("{}.", sentences.join("; "))
        }
        ApiError::Unauthorized { detail } => (*detail).into(),
        ApiError::Forbidden { required } => format!("The token lacks the permission {required}."),
        ApiError::NotFound { what } => format!("{what} not found."),
        ApiError::MethodNotAllowed => "This path does not take this method.".into(),
        ApiError::Conflict { detail, .. }
        | ApiError::CredentialRefused { detail }
        | ApiError::NotAllowed { detail }
        | ApiError::Absent { detail }
        | ApiError::NotConfigured { detail }
        | ApiError::ProviderTimeout { detail, .. } => detail.clone(),
        ApiError::ProviderRefused { detail, hint, .. } => match hint {
            Some(hint) => format!("{detail} {hint}"),
            None => detail.clone(),
        },
        ApiError::PayloadTooLarge { what, limit } => format!("{what} is larger than {limit} bytes."),
        ApiError::UnsupportedMediaType { accepted } => {
            format!("The body must be sent with `Content-Type: {accepted}`.")
        }
        ApiError::TooManyRequests { retry_after } => {
            format!("Too many requests with this token. Try again in {} s.", retry_after.as_secs().max(1))
        }
        ApiError::RateLimited { retry_after } => {
            format!("The provider asks to wait {} s.", retry_after.as_secs().max(1))
        }
        ApiError::NoneFree { message, .. } => message.clone(),
        ApiError::Internal(_) => {
            "Something went wrong on our side. Try again; if it goes on, report the traceId.".into()
        }
    }
}

/// The kind of problem as a URI, and what it is called.
fn described(error: &ApiError) -> (&'static str, &'static str) {
    match error {
        ApiError::InvalidInput(_) => ("urn:causeway:problem:invalid-input", "Invalid input"),
        ApiError::CredentialRefused { .. } => ("urn:causeway:problem:credential-refused", "Credential refused"),
        ApiError::Unauthorized { .. } => ("urn:causeway:problem:unauthorized", "Unauthorized"),
        ApiError::Forbidden { .. } => ("urn:causeway:problem:forbidden", "Forbidden"),
        ApiError::NotAllowed { .. } => ("urn:causeway:problem:not-allowed", "Not allowed"),
        ApiError::NotFound { .. } | ApiError::Absent { .. } => ("urn:causeway:problem:not-found", "Not found"),
        ApiError::MethodNotAllowed => ("urn:causeway:problem:method-not-allowed", "Method not allowed"),
        ApiError::Conflict { .. } => ("urn:causeway:problem:conflict", "Conflict"),
        ApiError::PayloadTooLarge { .. } => ("urn:causeway:problem:payload-too-large", "Payload too large"),
        ApiError::UnsupportedMediaType { .. } => {
            ("urn:causeway:problem:unsupported-media-type", "Unsupported media type")
        }
        ApiError::TooManyRequests { .. } | ApiError::RateLimited { .. } | ApiError::NoneFree { .. } => {
            ("urn:causeway:problem:rate-limited", "Too many requests")
        }
        ApiError::Internal(_) => ("urn:causeway:problem:internal", "Internal error"),
        ApiError::ProviderRefused { .. } => ("urn:causeway:problem:provider-failed", "The provider failed"),
        ApiError::NotConfigured { .. } => ("urn:causeway:problem:not-configured", "Not configured"),
        ApiError::ProviderTimeout { .. } => ("urn:causeway:problem:provider-timeout", "The provider timed out"),
    }
}

/// A plain page that says one thing, without scripts, and tells nobody where its reader came from.
pub(super) fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let (title, text) = (escape_html(title), escape_html(text));
    let body = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n<p>{text}</p>\n</main>\n</body>\n</html>\n"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}
