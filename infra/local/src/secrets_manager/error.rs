//! How an operation fails: the service's own error names, with messages a person can act on.

use axum::http::StatusCode;

/// A refused or failed operation. The text is what the client sees; it never holds a secret's value.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    InvalidParameter(String),
    #[error("{0}")]
    InvalidRequest(String),
    #[error("You provided an invalid NextToken value.")]
    InvalidNextToken,
    #[error("{0}")]
    LimitExceeded(String),
    #[error("{0}")]
    ResourceExists(String),
    #[error("{0}")]
    ResourceNotFound(String),
    /// The body is not JSON, or a member has another type than the operation's.
    #[error("{0}")]
    Serialization(String),
    #[error("{0}")]
    UnknownOperation(String),
    #[error("1 validation error detected: {0}")]
    Validation(String),
    /// Not the client's fault. The cause is for the log.
    #[error("An error occurred on the server side.")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// The secret does not exist, or no longer does.
    pub(super) fn no_such_secret() -> Self {
        Self::ResourceNotFound("Secrets Manager can't find the specified secret.".to_owned())
    }

    /// The secret exists but not the version asked for; `what` names it.
    pub(super) fn no_such_version(what: &str) -> Self {
        Self::ResourceNotFound(format!("Secrets Manager can't find the specified secret value for {what}"))
    }

    /// A member breaks a rule of its shape.
    pub(super) fn constraint(member: &str, rule: &str) -> Self {
        Self::Validation(format!("Value at '{member}' failed to satisfy constraint: Member must {rule}"))
    }

    /// The name the service gives to this failure (`__type`).
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::InvalidParameter(_) => "InvalidParameterException",
            Self::InvalidRequest(_) => "InvalidRequestException",
            Self::InvalidNextToken => "InvalidNextTokenException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::ResourceExists(_) => "ResourceExistsException",
            Self::ResourceNotFound(_) => "ResourceNotFoundException",
            Self::Serialization(_) => "SerializationException",
            Self::UnknownOperation(_) => "UnknownOperationException",
            Self::Validation(_) => "ValidationException",
            Self::Internal(_) => "InternalServiceError",
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Internal(Box::new(error))
    }
}
