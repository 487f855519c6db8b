//! `POST /v1/integrations/{walletId}/sync`: asks for a sync of what is new, or of everything once more.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, OptionalBody};
use utoipa::ToSchema;

use super::Named;
use crate::Wallets;
use crate::model::{Mode, Status};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SyncAnswer)]
pub(super) struct Asked {
    wallet_id: String,
    status: Status,
}

/// How to sync.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
struct SyncIntegrationRequest {
    /// What to bring; `latest` unless given.
    #[schema(nullable = false)]
    mode: Option<Mode>,
}

/// Asks for a sync of what is new, or of everything once more.
///
/// One that waits or runs already is answered with its status.
#[utoipa::path(
    post,
    path = "/v1/integrations/{walletId}/sync",
    tag = "syncs",
    security(("bearer" = ["integrations:write"])),
    params(
        ("walletId" = String, Path, description = "The integration's id."),
    ),
    request_body = Option<SyncIntegrationRequest>,
    responses(
        (status = 202, description = "It will be done.", body = Asked),
    ),
)]
pub(super) async fn sync_integration(
    State(wallets): State<Wallets>,
    caller: Caller<needs::IntegrationsWrite>,
    Named(id): Named,
    OptionalBody(mut fields): OptionalBody,
) -> Result<(StatusCode, Json<Asked>), ApiError> {
    let mode = fields.optional("mode", &Mode::accepted(), |value| Mode::named(value.as_str()?));
    fields.finish()?;
    let mode = mode.unwrap_or(Mode::Latest);
    let integration = wallets.integrations.request_sync(caller.tenant(), &id, mode).await?;
    Ok((StatusCode::ACCEPTED, Json(Asked { wallet_id: id.to_string(), status: integration.status })))
}
