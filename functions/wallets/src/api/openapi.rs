//! The group's OpenAPI document: its operations, gathered, and what is served of it.

use serde_json::Value;
use shared::http::Described;
use shared::openapi;
use utoipa::OpenApi;

use super::wire::ErrorBody;
use super::{
    create_integration, delete_integration, get_integration, import_csv, list_integrations, list_providers,
    list_transactions, sync_integration, update_integration,
};

/// The committed document and its page, as they are served.
pub(super) const DESCRIBED: Described = Described {
    document: include_str!("../../../../infra/openapi/wallets.json"),
    page: include_str!("../../../../infra/openapi/wallets.html"),
};

#[derive(OpenApi)]
#[openapi(
    paths(
        list_integrations::list_integrations,
        create_integration::create_integration,
        get_integration::get_integration,
        update_integration::update_integration,
        delete_integration::delete_integration,
        sync_integration::sync_integration,
        import_csv::import_csv,
        list_transactions::list_transactions,
        list_providers::list_providers,
    ),
    components(schemas(ErrorBody<'static>)),
    tags(
        (name = "integrations", description = "The connected exchanges, wallets, chains and files."),
        (name = "syncs", description = "Bringing histories in."),
        (name = "providers", description = "What can be connected."),
    )
)]
struct Document;

const GROUP: openapi::Described = openapi::Described {
    title: "Causeway wallets",
    description: "Exchanges, wallets, chains and exported files: their histories are brought in and kept up to date.",
    invalid: 400,
    errors: "application/json",
    asks_for_client: true,
    idempotent: &["create_integration", "sync_integration", "import_csv"],
    examples: include_str!("../../../../infra/openapi/examples/wallets.json"),
};

/// The group's OpenAPI document, made from the code. What is served is the file that `causeway openapi` writes of it.
///
/// # Errors
/// What the examples' file has wrong.
pub fn openapi() -> Result<Value, serde_json::Error> {
    openapi::finished(&Document::openapi(), &GROUP)
}
