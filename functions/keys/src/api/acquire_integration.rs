//! `POST /api/v1/integrations/acquire`: chooses a key, counts the use, and hands out the credential.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use shared::auth::{Caller, Tenant, needs};
use shared::http::{ApiError, Body, FieldProblem, line};
use utoipa::ToSchema;

use super::input;
use super::wire::{Integration, iso};
use crate::Group;
use crate::acquire::{Grant, Wanted};

#[derive(Serialize, ToSchema)]
struct Acquired {
    success: bool,
    lease_id: String,
    integration: Integration,
    credentials: BTreeMap<String, String>,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// What a key is wanted for.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct AcquireIntegrationRequest {
    /// A provider's name.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9_-]+$")]
    provider_name: String,
    /// The model that is to be used, for the log.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    model: Option<String>,
}

/// Chooses a key, counts the use, and hands out its credential.
///
/// A limit is never passed, whatever the concurrency. With an `Idempotency-Key` a repetition gets the same key under the same lease and counts once.
#[utoipa::path(
    post,
    path = "/api/v1/integrations/acquire",
    tag = "use",
    security(("bearer" = ["keys:use"])),
    request_body = AcquireIntegrationRequest,
    responses(
        (status = 200, description = "The key, its credential, and the lease to report on.", body = Acquired),
        (status = 404, description = "No key of this provider is in the pool."),
        (status = 429, description = "Every key of this provider is at a limit or out; `detail` says why each was passed over."),
    ),
)]
pub(super) async fn acquire_integration(
    State(group): State<Group>,
    caller: Caller<needs::KeysUse>,
    headers: HeaderMap,
    Body(mut fields): Body,
) -> Result<Response, ApiError> {
    let provider = input::provider_name(&mut fields);
    let model = fields.optional("model", "text of 1 to 200 characters", |value| line(value, 200));
    fields.finish()?;
    let provider = provider.ok_or_else(|| ApiError::field("provider_name", "required", "is missing"))?;
    let grant = match idempotency_key(&headers)? {
        Some(key) => {
            let wanted = Wanted { provider: &provider, model: model.as_deref() };
            group.acquire_once(caller.tenant(), wanted, key).await?
        }
        None => group.acquire(caller.tenant(), &provider).await?,
    };
    tracing::info!(provider, model, integration = grant.key.id.number(), "acquired");
    present(&group, caller.tenant(), grant).await
}

async fn present(group: &Group, tenant: &Tenant, grant: Grant) -> Result<Response, ApiError> {
    let Grant { lease, key, usage, secrets, replayed } = grant;
    let body = Acquired {
        success: true,
        lease_id: lease.seal(group.platform.signing_key().await?, tenant),
        integration: Integration::of(key, &usage, group.platform.ids.now()),
        credentials: secrets.disclosed(),
        expires_at: iso(lease.expires_at()),
    };
    let mut response = ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response();
    if replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| (1..=255).contains(&key.len()));
    let problem = FieldProblem::new("Idempotency-Key", "value", "must be 1 to 255 printable ASCII characters");
    key.map(Some).ok_or_else(|| ApiError::InvalidInput(vec![problem.in_header()]))
}
