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
use axum::extract::{FromRequestParts, OriginalUri, Path};
use axum::middleware::from_fn;
use axum::routing::{get, post};
use http::request::Parts;
use shared::Platform;
use shared::auth::{Permission, needs};
use shared::http::{Api, ApiError, Audits, FieldProblem, Fields, Group, idempotent};

use crate::model::IntegrationId;
use crate::operations::OPERATIONS;
use crate::{GROUP, Services};

pub use openapi::openapi;

const AUDITS: Audits =
    Audits { reveals: &[("/api/integrations/{integrationId}", Permission::ServicesSecrets)], apart: &[] };

/// The group's routes in its frame.
pub fn router(platform: &Platform) -> Router {
    let acts = || from_fn(idempotent::<needs::ServicesWrite>);
    let routes = Router::new()
        .route(
            "/api/integrations",
            get(list_integrations::list_integrations)
                .merge(post(create_integration::create_integration).route_layer(acts())),
        )
        .route("/api/integrations/test", post(try_integration::try_integration).route_layer(acts()))
        .route(
            "/api/integrations/{integrationId}",
            get(get_integration::get_integration)
                .put(update_integration::update_integration)
                .delete(delete_integration::delete_integration),
        )
        .route("/api/integrations/{integrationId}/test", post(test_integration::test_integration).route_layer(acts()))
        .route("/api/integrations/{integrationId}/send", post(send_message::send_message).route_layer(acts()))
        .route("/api/integration-types", get(list_integration_types::list_integration_types))
        .route("/openapi.json", get(async |uri: OriginalUri| openapi::DESCRIBED.answer_document(&uri)))
        .route("/docs", get(async || openapi::DESCRIBED.answer_page()))
        .with_state(Services::new(platform));
    let group =
        Group { name: GROUP, function: "services-api", present: wire::present, operations: OPERATIONS, audits: AUDITS };
    Api::frame(platform, group, routes)
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
