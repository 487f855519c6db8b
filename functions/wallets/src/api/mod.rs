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

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use shared::Platform;
use shared::auth::needs;
use shared::handler;
use shared::http::{Api, ApiError, Group, Operations, Routes};

use crate::imports::LARGEST;
use crate::model::WalletId;
use crate::{GROUP, Wallets};

pub use openapi::openapi;

/// The group's operations, each named once: the routes, the names in logs and metrics and the audit log come from here.
///
/// No `GET` of this group reveals anything secret: its functions cannot read a secret.
fn routes() -> Routes<Wallets> {
    Routes::default()
        .get("/v1/integrations", handler!(list_integrations))
        .post("/v1/integrations", handler!(create_integration).idempotent::<needs::IntegrationsWrite>())
        .post(
            "/v1/integrations/csv",
            handler!(import_csv).idempotent::<needs::IntegrationsWrite>().reads_at_most(LARGEST),
        )
        .get("/v1/integrations/{walletId}", handler!(get_integration))
        .patch("/v1/integrations/{walletId}", handler!(update_integration))
        .delete("/v1/integrations/{walletId}", handler!(delete_integration))
        .post("/v1/integrations/{walletId}/sync", handler!(sync_integration).idempotent::<needs::IntegrationsWrite>())
        .get("/v1/integrations/{walletId}/transactions", handler!(list_transactions))
        .get("/v1/providers", handler!(list_providers))
}

/// What is known of the group's operations.
#[must_use]
pub fn operations() -> Operations {
    routes().operations()
}

/// The group's operations in its frame.
pub fn router(platform: &Platform) -> Router {
    let group = Group { name: GROUP, function: "wallets-api", present: wire::present, described: openapi::DESCRIBED };
    Api::frame_for_clients(platform, group, routes(), Wallets::new(platform))
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
