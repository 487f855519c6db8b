//! The group's HTTP API: one file an operation. A handler parses, takes the tenant out of the permission check, makes one
//! domain call, and presents.

mod create_integration;
mod delete_integration;
mod get_integration;
mod list_integration_types;
mod list_integrations;
mod openapi;
mod send_message;
mod test_integration;
mod try_integration;
mod update_integration;
mod wire;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use shared::Platform;
use shared::auth::{Permission, needs};
use shared::handler;
use shared::http::{Api, ApiError, FieldProblem, Fields, Group, Operations, Routes};

use crate::model::IntegrationId;
use crate::{GROUP, Services};

pub use openapi::openapi;

/// The group's operations, each named once: the routes, the names in logs and metrics and the audit log come from here.
fn routes() -> Routes<Services> {
    Routes::default()
        .get("/api/integrations", handler!(list_integrations))
        .post("/api/integrations", handler!(create_integration).idempotent::<needs::ServicesWrite>())
        .post("/api/integrations/test", handler!(try_integration).idempotent::<needs::ServicesWrite>())
        .get("/api/integrations/{integrationId}", handler!(get_integration).reveals(Permission::ServicesSecrets))
        .put("/api/integrations/{integrationId}", handler!(update_integration))
        .delete("/api/integrations/{integrationId}", handler!(delete_integration))
        .post("/api/integrations/{integrationId}/test", handler!(test_integration).idempotent::<needs::ServicesWrite>())
        .post("/api/integrations/{integrationId}/send", handler!(send_message).idempotent::<needs::ServicesWrite>())
        .get("/api/integration-types", handler!(list_integration_types))
}

/// What is known of the group's operations.
#[must_use]
pub fn operations() -> Operations {
    routes().operations()
}

/// The group's operations in its frame.
pub fn router(platform: &Platform) -> Router {
    let group = Group { name: GROUP, function: "services-api", present: wire::present, described: openapi::DESCRIBED };
    Api::frame(platform, group, routes(), Services::new(platform))
}

/// What was read, or as good as nothing where there were problems, which are noted.
fn noted<T: Default>(fields: &mut Fields, read: Result<T, Vec<FieldProblem>>) -> T {
    read.unwrap_or_else(|problems| {
        fields.problems(problems);
        T::default()
    })
}

/// The integration that a path names. What has not the form of an id names nothing.
struct Named(IntegrationId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let missing = ApiError::NotFound { what: "Integration" };
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else { return Err(missing) };
        IntegrationId::parse(&text).map(Self).ok_or(missing)
    }
}
