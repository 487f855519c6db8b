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
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use shared::Platform;
use shared::auth::needs;
use shared::handler;
use shared::http::{Api, ApiError, Operations, Routes};

use crate::model::KeyId;
use crate::{GROUP, Group};

pub use openapi::openapi;

/// The group's operations, each named once: the routes, the names in logs and metrics and the audit log come from here.
///
/// Acquiring has its own way with idempotency keys, because its answer holds a credential that must not be kept; a lease is
/// reported once anyway. A use is one write on the key's own partition. Entries of the audit log share one partition, which
/// would make a pool as slow as that, and double what a use costs.
fn routes() -> Routes<Group> {
    Routes::default()
        .get("/api/v1/integrations", handler!(list_integrations))
        .post("/api/v1/integrations", handler!(create_integration).idempotent::<needs::KeysWrite>())
        .post(
            "/api/v1/integrations/acquire",
            handler!(acquire_integration)
                .not_audited("as frequent as the product's own requests; the log of requests has each"),
        )
        .post(
            "/api/v1/integrations/report",
            handler!(report_lease).not_audited("the same, and it belongs to an acquisition"),
        )
        .get("/api/v1/integrations/health", handler!(get_health))
        .post("/api/v1/integrations/sync-billing", handler!(sync_billing).idempotent::<needs::KeysWrite>())
        .get("/api/v1/integrations/{id}", handler!(get_integration))
        .patch("/api/v1/integrations/{id}", handler!(update_integration))
        .delete("/api/v1/integrations/{id}", handler!(delete_integration))
        .post("/api/v1/integrations/{id}/rotate", handler!(rotate_integration).idempotent::<needs::KeysWrite>())
        .post("/api/v1/integrations/{id}/test", handler!(test_integration).idempotent::<needs::KeysWrite>())
        .post("/api/v1/integrations/{id}/reset", handler!(reset_integration).idempotent::<needs::KeysWrite>())
        .get("/api/v1/integrations/{id}/usage", handler!(get_usage))
}

/// What is known of the group's operations.
#[must_use]
pub fn operations() -> Operations {
    routes().operations()
}

/// The group's operations in its frame.
pub fn router(platform: &Platform) -> Router {
    let group = shared::http::Group {
        name: GROUP,
        function: "keys-api",
        present: wire::present,
        described: openapi::DESCRIBED,
    };
    Api::frame(platform, group, routes(), Group::new(platform))
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
