//! The group's HTTP API: one file an operation. A handler parses, takes the tenant out of the permission check, makes one
//! domain call, and presents. A token counts only with the client that it was issued to.

mod create_integration;
mod delete_integration;
mod get_integration;
mod import_csv;
mod input;
mod list_integrations;
mod list_providers;
mod list_transactions;
mod openapi;
mod sync_integration;
mod update_integration;
mod wire;

use axum::extract::{FromRequestParts, OriginalUri, Path};
use axum::middleware::from_fn;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::request::Parts;
use shared::Platform;
use shared::auth::needs;
use shared::http::{Api, ApiError, Audits, BodyLimit, Group, idempotent};

use crate::imports::LARGEST;
use crate::model::WalletId;
use crate::operations::OPERATIONS;
use crate::{GROUP, Wallets};

pub use openapi::openapi;

/// No `GET` of this group reveals anything secret: its functions cannot read a secret.
const AUDITS: Audits = Audits { reveals: &[], apart: &[] };

/// The group's routes in its frame.
pub fn router(platform: &Platform) -> Router {
    let acts = || from_fn(idempotent::<needs::IntegrationsWrite>);
    let routes = Router::new()
        .route(
            "/v1/integrations",
            get(list_integrations::list_integrations)
                .merge(post(create_integration::create_integration).route_layer(acts())),
        )
        .route(
            "/v1/integrations/csv",
            post(import_csv::import_csv).route_layer(acts()).route_layer(Extension(BodyLimit(LARGEST))),
        )
        .route(
            "/v1/integrations/{walletId}",
            get(get_integration::get_integration)
                .patch(update_integration::update_integration)
                .delete(delete_integration::delete_integration),
        )
        .route("/v1/integrations/{walletId}/sync", post(sync_integration::sync_integration).route_layer(acts()))
        .route("/v1/integrations/{walletId}/transactions", get(list_transactions::list_transactions))
        .route("/v1/providers", get(list_providers::list_providers))
        .route("/openapi.json", get(async |uri: OriginalUri| openapi::DESCRIBED.answer_document(&uri)))
        .route("/docs", get(async || openapi::DESCRIBED.answer_page()))
        .with_state(Wallets::new(platform));
    let group =
        Group { name: GROUP, function: "wallets-api", present: wire::present, operations: OPERATIONS, audits: AUDITS };
    Api::frame_for_clients(platform, group, routes)
}

/// The integration that a path names. What has not the form of an id names nothing.
struct Named(WalletId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let missing = ApiError::NotFound { what: "Integration" };
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else { return Err(missing) };
        WalletId::parse(&text).map(Self).ok_or(missing)
    }
}
