//! The extractor that turns a request's token into a tenant, if the token has the permission.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use secrecy::SecretString;

use super::{Client, Needs, Permission, Tenant, Token, TokenRecord, Unauthenticated};
use crate::Platform;
use crate::http::{ApiError, rate_limit};

/// Whoever sent the request, known to have the permission `P`.
#[derive(Debug)]
pub struct Caller<P> {
    record: Arc<TokenRecord>,
    needed: PhantomData<P>,
}

impl<P: Needs> Caller<P> {
    /// Whose things may be seen.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.record.tenant
    }

    /// Who acts.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.record.user
    }

    /// True if the caller has this permission too.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.record.permissions.contains(&permission)
    }
}

impl<P: Needs, S: Send + Sync> FromRequestParts<S> for Caller<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(Self { record: authorize::<P>(parts).await?, needed: PhantomData })
    }
}

/// The record of a token that has the permission `P`.
pub(crate) async fn authorize<P: Needs>(parts: &mut Parts) -> Result<Arc<TokenRecord>, ApiError> {
    let record = authenticate(parts).await?;
    if record.permissions.contains(&P::PERMISSION) {
        Ok(record)
    } else {
        Err(ApiError::Forbidden { required: P::PERMISSION })
    }
}

/// Says of a request that its token counts only together with the client that it was issued to. The frame of a group
/// that asks for that puts it there, so that nothing inside can be reached past it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsksForClient;

/// The token's record, looked up and counted once a request.
pub(crate) async fn authenticate(parts: &mut Parts) -> Result<Arc<TokenRecord>, ApiError> {
    if let Some(record) = parts.extensions.get::<Arc<TokenRecord>>() {
        return Ok(Arc::clone(record));
    }
    let platform = parts.extensions.get::<Platform>().cloned().ok_or(ApiError::misassembled("no platform"))?;
    let token = bearer(parts)?;
    let client = match parts.extensions.get::<AsksForClient>() {
        Some(AsksForClient) => Some(client_of(parts)?),
        None => None,
    };
    // With a client, one text for whatever is wrong: it must not tell which part of a guess was right.
    let unknown = ApiError::Unauthorized {
        detail: match client {
            Some(_) => "The token is unknown, expired or revoked, or was not issued to this client.",
            None => "The token is unknown, expired or revoked.",
        },
    };
    let record = match platform.authenticator.authenticate_with(&token, client.as_ref()).await {
        Ok(record) => record,
        Err(Unauthenticated::Unknown) => return Err(unknown),
        Err(Unauthenticated::Unavailable(source)) => return Err(ApiError::from(source)),
        Err(Unauthenticated::Unverifiable(source)) => return Err(ApiError::internal(source)),
    };
    let record = Arc::new(record);
    let span = tracing::Span::current();
    span.record("tenant", record.tenant.as_str()).record("user", &*record.user).record("token", &*record.id);
    rate_limit::count(&platform.rate_limiter, parts, &record).await?;
    parts.extensions.insert(Arc::clone(&record));
    Ok(record)
}

fn bearer(parts: &Parts) -> Result<Token, ApiError> {
    let mut values = parts.headers.get_all(http::header::AUTHORIZATION).iter();
    let value = values.next().ok_or(ApiError::Unauthorized { detail: "The Authorization header is missing." })?;
    let malformed = ApiError::Unauthorized { detail: "The Authorization header is not `Bearer <token>`." };
    let (Ok(text), None) = (value.to_str(), values.next()) else { return Err(malformed) };
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(Token::shown(token.trim()))
        }
        _ => Err(malformed),
    }
}

/// The client that a request shows.
fn client_of(parts: &Parts) -> Result<Client, ApiError> {
    let shown = |name: &str| {
        let mut values = parts.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?.trim().to_owned();
        (!value.is_empty() && values.next().is_none()).then_some(value)
    };
    let id = shown("x-client-id").ok_or(ApiError::Unauthorized { detail: "The X-Client-Id header is missing." })?;
    let secret = shown("x-client-secret").map(SecretString::from);
    let secret = secret.ok_or(ApiError::Unauthorized { detail: "The X-Client-Secret header is missing." })?;
    Ok(Client { id, secret })
}
