//! The group's OpenAPI document: its operations, gathered, and what is served of it.

use serde_json::Value;
use shared::http::Described;
use shared::openapi;
use utoipa::OpenApi;

use super::wire::ErrorBody;
use super::{
    create_integration, delete_integration, get_integration, list_integration_types, list_integrations, send_message,
    test_integration, try_integration, update_integration,
};

/// The committed document and its page, as they are served.
pub(super) const DESCRIBED: Described = Described {
    document: include_str!("../../../../infra/openapi/services.json"),
    page: include_str!("../../../../infra/openapi/services.html"),
};

#[derive(OpenApi)]
#[openapi(
    paths(
        list_integrations::list_integrations,
        create_integration::create_integration,
        get_integration::get_integration,
        update_integration::update_integration,
        delete_integration::delete_integration,
        test_integration::test_integration,
        try_integration::try_integration,
        send_message::send_message,
        list_integration_types::list_integration_types,
    ),
    components(schemas(ErrorBody<'static>)),
    tags(
        (name = "integrations", description = "The connected services."),
        (name = "tests", description = "Whether a credential works, without anyone noticing."),
        (name = "messages", description = "Sending through a channel."),
        (name = "types", description = "What can be connected."),
    )
)]
struct Document;

const GROUP: openapi::Described = openapi::Described {
    title: "Causeway services",
    description: "Notification channels and outside services: connect them, test them, send through them.",
    invalid: 400,
    errors: "application/json",
    asks_for_client: false,
    idempotent: &["create_integration", "test_integration", "try_integration", "send_message"],
    examples: include_str!("../../../../infra/openapi/examples/services.json"),
};

/// The group's OpenAPI document, made from the code. What is served is the file that `causeway openapi` writes of it.
///
/// # Errors
/// What the examples' file has wrong.
pub fn openapi() -> Result<Value, serde_json::Error> {
    openapi::finished(&Document::openapi(), &GROUP)
}
