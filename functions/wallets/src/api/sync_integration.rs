//! `POST /v1/integrations/{walletId}/sync`: asks for a sync of what is new, or of everything once more.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use shared::auth::{Caller, needs};
use shared::http::{ApiError, OptionalBody};

use super::Named;
use crate::Wallets;
use crate::model::{Mode, Status};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    wallet_id: String,
    status: Status,
}

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
