//! What a platform's trouble is to an API's caller, outside of a sync.

use shared::http::ApiError;

use super::{OAuthError, Trouble};

impl From<Trouble> for ApiError {
    fn from(trouble: Trouble) -> Self {
        let detail = trouble.to_string();
        let refused = |hint: Option<&str>| Self::ProviderRefused {
            detail: detail.clone(),
            hint: hint.map(str::to_owned),
            retry_after: None,
        };
        match trouble {
            // Nobody's failure: the account has to be connected again.
            Trouble::Unauthorized(detail) => Self::conflict(detail),
            Trouble::Forbidden(_) => refused(Some("Connect again with a token that may do this.")),
            Trouble::NotFound(detail) => Self::Absent { detail },
            Trouble::Wait { for_, .. } => Self::RateLimited { retry_after: for_ },
            Trouble::TimedOut(detail) => Self::ProviderTimeout { detail, repeatable: true },
            Trouble::Refused(_) | Trouble::Down(_) | Trouble::Unexpected(_) => refused(None),
        }
    }
}

impl From<OAuthError> for Trouble {
    fn from(error: OAuthError) -> Self {
        match error {
            OAuthError::InvalidGrant => Self::Unauthorized("The platform does not accept the grant any more.".into()),
            OAuthError::InvalidClient => {
                Self::Unexpected("The platform does not accept the operator's OAuth client.".into())
            }
            OAuthError::Trouble(trouble) => trouble,
        }
    }
}
