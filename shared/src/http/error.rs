//! The closed error of every group. A group presents it in its own envelope; no internal detail is in it.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::Value;

use crate::auth::Permission;
use crate::credentials::CredentialError;
use crate::table::TableError;

/// The part of a request that a problem is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The body.
    Body,
    /// The query.
    Query,
    /// The headers.
    Header,
}

impl Place {
    /// Its name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

/// What kind of value a field of a JSON body had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It was not there.
    Nothing,
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A string.
    Text,
    /// An array.
    List,
    /// An object.
    Object,
}

impl Received {
    /// What kind this value is.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Object,
        }
    }

    /// Its name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::Text => "text",
            Self::List => "list",
            Self::Object => "object",
        }
    }
}

/// One thing that is wrong with the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// The part of the request.
    pub place: Place,
    /// Where: a path such as `config.webhookUrl`, or a parameter's or header's name.
    pub field: String,
    /// A machine's name for it: `required`, `unknown`, `type`, `value`.
    pub code: &'static str,
    /// What is wrong and what is accepted.
    pub message: String,
    /// What was sent, where it can hold no secret: in the query.
    pub input: Option<String>,
    /// What is accepted, by itself.
    pub expected: Option<Box<str>>,
    /// What kind of value a field had instead. Never the value, which may be secret.
    pub received: Option<Received>,
}

impl FieldProblem {
    /// A problem of `field` in the body.
    #[must_use]
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            place: Place::Body,
            field: field.into(),
            code,
            message: message.into(),
            input: None,
            expected: None,
            received: None,
        }
    }

    /// The same in the query, which said `input`.
    #[must_use]
    pub fn in_query(self, input: impl Into<String>) -> Self {
        Self { place: Place::Query, input: Some(input.into()), ..self }
    }

    /// The same in the headers.
    #[must_use]
    pub fn in_header(self) -> Self {
        Self { place: Place::Header, ..self }
    }

    /// The same, saying what is accepted.
    #[must_use]
    pub fn expecting(self, expected: impl Into<Box<str>>) -> Self {
        Self { expected: Some(expected.into()), ..self }
    }

    /// The same, saying what kind of value came instead.
    #[must_use]
    pub fn receiving(self, received: Received) -> Self {
        Self { received: Some(received), ..self }
    }
}

/// Everything that can go wrong, as a client may know it.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400: the input cannot be used.
    #[error("the input cannot be used")]
    InvalidInput(Vec<FieldProblem>),
    /// 400: a credential that its provider does not accept.
    #[error("the credential was refused")]
    CredentialRefused {
        /// What the provider objects to and what to do.
        detail: String,
    },
    /// 401: nobody known asks.
    #[error("unauthorized: {detail}")]
    Unauthorized {
        /// Which part of the proof is missing or wrong.
        detail: &'static str,
    },
    /// 403: the token lacks the permission.
    #[error("the token lacks {required}")]
    Forbidden {
        /// What it lacks.
        required: Permission,
    },
    /// 403: whatever the token, the operator does not allow it.
    #[error("not allowed: {detail}")]
    NotAllowed {
        /// What is not allowed and what to do.
        detail: String,
    },
    /// 404: there is no such thing for this tenant.
    #[error("{what} not found")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
    },
    /// 404: a provider does not have what was named.
    #[error("the provider does not have it: {detail}")]
    Absent {
        /// What is missing, and what there is instead where that is known.
        detail: String,
    },
    /// 405.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// 409: the present state does not allow it.
    #[error("conflict: {detail}")]
    Conflict {
        /// What stands in the way and what to do.
        detail: String,
        /// When it may be worth trying again.
        retry_after: Option<Duration>,
        /// The id of what stands in the way, where that is the caller's own.
        existing: Option<String>,
    },
    /// 413.
    #[error("{what} is larger than {limit} bytes")]
    PayloadTooLarge {
        /// What is too large: `The body`.
        what: &'static str,
        /// The largest that is taken.
        limit: usize,
    },
    /// 415.
    #[error("the body's media type is not accepted")]
    UnsupportedMediaType {
        /// What is accepted.
        accepted: &'static str,
    },
    /// 429: the token has used up what it may ask for.
    #[error("the token has used up its requests")]
    TooManyRequests {
        /// When it may ask again.
        retry_after: Duration,
    },
    /// 429: a provider asks to wait.
    #[error("rate limited")]
    RateLimited {
        /// When to try again.
        retry_after: Duration,
    },
    /// 429: everything that could serve the request is in use or at a limit.
    #[error("none is free: {message}")]
    NoneFree {
        /// What was asked for.
        message: String,
        /// Why each was passed over.
        reasons: Value,
        /// When the first is free again.
        retry_after: Duration,
    },
    /// 500: our fault. The source is logged once and never shown.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// 502: the provider refused what was asked of it.
    #[error("the provider refused: {detail}")]
    ProviderRefused {
        /// What the provider objects to.
        detail: String,
        /// What to do about it.
        hint: Option<String>,
        /// When the provider says to try again.
        retry_after: Option<Duration>,
    },
    /// 503: the operator has not set it up.
    #[error("not configured: {detail}")]
    NotConfigured {
        /// What is missing, in words for who calls.
        detail: String,
    },
    /// 504: the provider did not answer in time, so it is not known whether it acted.
    #[error("the provider did not answer in time")]
    ProviderTimeout {
        /// What is known and what to do.
        detail: String,
        /// True if the provider takes a repetition under the same name for one, so that it does no harm.
        repeatable: bool,
    },
}

/// An error with what the envelope also needs.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// The error.
    pub error: &'a ApiError,
    /// The request's id.
    pub request_id: &'a str,
    /// The request's path, from the group's root.
    pub path: &'a str,
}

impl ApiError {
    /// One field is wrong.
    #[must_use]
    pub fn field(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::InvalidInput(vec![FieldProblem::new(field, code, message)])
    }

    /// A conflict with the present state.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::Conflict { detail: detail.into(), retry_after: None, existing: None }
    }

    /// What is to be created is there already, under this id.
    #[must_use]
    pub fn exists(detail: impl Into<String>, existing: impl Into<String>) -> Self {
        Self::Conflict { detail: detail.into(), retry_after: None, existing: Some(existing.into()) }
    }

    /// Something else is at it just now.
    #[must_use]
    pub fn busy(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self::Conflict { detail: detail.into(), retry_after: Some(retry_after), existing: None }
    }

    /// Our own fault.
    #[must_use]
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// A layer that should be there is not.
    #[must_use]
    pub(crate) fn misassembled(what: &'static str) -> Self {
        Self::Internal(what.into())
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::InvalidInput(_) | Self::CredentialRefused { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } | Self::NotAllowed { .. } => StatusCode::FORBIDDEN,
            Self::NotFound { .. } | Self::Absent { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests { .. } | Self::RateLimited { .. } | Self::NoneFree { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ProviderRefused { .. } => StatusCode::BAD_GATEWAY,
            Self::NotConfigured { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::ProviderTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// What it is, in words for whoever asked. A group says it in its own where it knows more, or where its envelope wants
    /// something else.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::InvalidInput(problems) => {
                let problems: Vec<String> =
                    problems.iter().map(|problem| format!("{} {}", problem.field, problem.message)).collect();
                format!("{}.", problems.join("; "))
            }
            Self::Unauthorized { detail } => (*detail).into(),
            Self::Forbidden { required } => format!("The token lacks the permission {required}."),
            Self::NotFound { what } => format!("{what} not found."),
            Self::MethodNotAllowed => "This path does not take this method.".into(),
            Self::Conflict { detail, .. }
            | Self::CredentialRefused { detail }
            | Self::NotAllowed { detail }
            | Self::Absent { detail }
            | Self::NotConfigured { detail }
            | Self::ProviderRefused { detail, .. }
            | Self::ProviderTimeout { detail, .. } => detail.clone(),
            Self::PayloadTooLarge { what, limit } => format!("{what} is larger than {limit} bytes."),
            Self::UnsupportedMediaType { accepted } => {
                format!("The body must be sent with `Content-Type: {accepted}`.")
            }
            Self::TooManyRequests { .. } | Self::RateLimited { .. } => "Too many requests.".into(),
            Self::NoneFree { message, .. } => message.clone(),
            Self::Internal(_) => "Something went wrong on our side. Nothing of it is your fault.".into(),
        }
    }

    /// True if what was asked for may have been done, and doing it again would do it twice.
    #[must_use]
    pub fn may_have_acted(&self) -> bool {
        matches!(self, Self::ProviderTimeout { repeatable: false, .. })
    }

    /// When to try again, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { retry_after }
            | Self::RateLimited { retry_after }
            | Self::NoneFree { retry_after, .. } => Some(*retry_after),
            Self::Conflict { retry_after, .. } | Self::ProviderRefused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<TableError> for ApiError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Contended => Self::busy(
                "Too many requests are changing this at once. Nothing was changed; try again.",
                Duration::from_secs(1),
            ),
            other => Self::internal(other),
        }
    }
}

impl From<CredentialError> for ApiError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::TooLarge { limit } => Self::PayloadTooLarge { what: "The secret part", limit },
            other => Self::internal(other),
        }
    }
}

/// The error travels in the extensions until the group's presenter writes it.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(std::sync::Arc::new(self));
        response
    }
}
