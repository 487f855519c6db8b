//! The group's HTTP API: one file an operation. A handler parses, takes the tenant out of the permission check, makes one
//! domain call, and presents.

mod acquire_integration;
mod create_integration;
mod delete_integration;
mod get_health;
mod get_integration;
mod get_usage;
mod input;
mod list_integrations;
mod openapi;
mod report_lease;
mod reset_integration;
mod rotate_integration;
mod sync_billing;
mod test_integration;
mod update_integration;
mod wire;

use axum::Router;
use axum::extract::{FromRequestParts, OriginalUri, Path};
use axum::middleware::from_fn;
use axum::routing::{get, post};
use http::request::Parts;
use shared::Platform;
use shared::auth::needs;
use shared::http::{Api, ApiError, Audits, idempotent};

use crate::model::KeyId;
use crate::operations::OPERATIONS;
use crate::{GROUP, Group};

pub use openapi::openapi;

/// A use is one write on the key's own partition. Entries of the audit log share one partition, which would make a pool as
/// slow as that, and double what a use costs.
const AUDITS: Audits = Audits {
    reveals: &[],
    apart: &[
        (
            "POST /api/v1/integrations/acquire",
            "as frequent as the product's own requests; the log of requests has each",
        ),
        ("POST /api/v1/integrations/report", "the same, and it belongs to an acquisition"),
    ],
};

/// The group's routes in its frame. Acquiring has its own way with idempotency keys, because its answer holds a credential
/// that must not be kept; a lease is reported once anyway.
pub fn router(platform: &Platform) -> Router {
    let acts = || from_fn(idempotent::<needs::KeysWrite>);
    let routes = Router::new()
        .route(
            "/api/v1/integrations",
            get(list_integrations::list_integrations)
                .merge(post(create_integration::create_integration).route_layer(acts())),
        )
        .route("/api/v1/integrations/acquire", post(acquire_integration::acquire_integration))
        .route("/api/v1/integrations/report", post(report_lease::report_lease))
        .route("/api/v1/integrations/health", get(get_health::get_health))
        .route("/api/v1/integrations/sync-billing", post(sync_billing::sync_billing).route_layer(acts()))
        .route(
            "/api/v1/integrations/{id}",
            get(get_integration::get_integration)
                .patch(update_integration::update_integration)
                .delete(delete_integration::delete_integration),
        )
        .route("/api/v1/integrations/{id}/rotate", post(rotate_integration::rotate_integration).route_layer(acts()))
        .route("/api/v1/integrations/{id}/test", post(test_integration::test_integration).route_layer(acts()))
        .route("/api/v1/integrations/{id}/reset", post(reset_integration::reset_integration).route_layer(acts()))
        .route("/api/v1/integrations/{id}/usage", get(get_usage::get_usage))
        .route("/openapi.json", get(async |uri: OriginalUri| openapi::DESCRIBED.answer_document(&uri)))
        .route("/docs", get(async || openapi::DESCRIBED.answer_page()))
        .with_state(Group::new(platform));
    let group = shared::http::Group {
        name: GROUP,
        function: "keys-api",
        present: wire::present,
        operations: OPERATIONS,
        audits: AUDITS,
    };
    Api::frame(platform, group, routes)
}

/// The key that a path names. What has not the form of an id names nothing.
struct Named(KeyId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let missing = ApiError::NotFound { what: "Integration" };
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else { return Err(missing) };
        KeyId::parse(&text).map(Self).ok_or(missing)
    }
}
