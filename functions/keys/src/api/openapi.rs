//! The group's OpenAPI document: its operations, gathered, and what is served of it.

use serde_json::Value;
use shared::http::Described;
use shared::openapi;
use utoipa::OpenApi;

use super::wire::ErrorBody;
use super::{
    acquire_integration, create_integration, delete_integration, get_health, get_integration, get_usage,
    list_integrations, report_lease, reset_integration, rotate_integration, sync_billing, test_integration,
    update_integration,
};

/// The committed document and its page, as they are served.
pub(super) const DESCRIBED: Described = Described {
    document: include_str!("../../../../infra/openapi/keys.json"),
    page: include_str!("../../../../infra/openapi/keys.html"),
};

#[derive(OpenApi)]
#[openapi(
    paths(
        list_integrations::list_integrations,
        create_integration::create_integration,
        get_integration::get_integration,
        update_integration::update_integration,
        delete_integration::delete_integration,
        rotate_integration::rotate_integration,
        test_integration::test_integration,
        reset_integration::reset_integration,
        acquire_integration::acquire_integration,
        report_lease::report_lease,
        get_health::get_health,
        sync_billing::sync_billing,
        get_usage::get_usage,
    ),
    components(schemas(ErrorBody<'static>)),
    tags(
        (name = "pool", description = "The keys of the pool."),
        (name = "use", description = "Acquiring a key, and reporting how its use went."),
        (name = "health", description = "Which keys work."),
        (name = "money", description = "What is left and what was used."),
    )
)]
struct Document;

const GROUP: openapi::Described = openapi::Described {
    title: "Causeway keys",
    description: "Pooled API keys of providers: acquire one, use it, report how that went. Limits, health and spend \
        decide which key is next.",
    invalid: 422,
    errors: "application/json",
    asks_for_client: false,
    idempotent: &[
        "create_integration",
        "rotate_integration",
        "test_integration",
        "reset_integration",
        "acquire_integration",
        "sync_billing",
    ],
    examples: include_str!("../../../../infra/openapi/examples/keys.json"),
};

/// The group's OpenAPI document, made from the code. What is served is the file that `causeway openapi` writes of it.
///
/// # Errors
/// What the examples' file has wrong.
pub fn openapi() -> Result<Value, serde_json::Error> {
    openapi::finished(&Document::openapi(), &GROUP)
}
