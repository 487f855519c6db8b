//! The group's OpenAPI document: its operations, gathered, and what is served of it.

use serde_json::Value;
use shared::http::Described;
use shared::openapi;
use utoipa::OpenApi;

use super::wire::ProblemBody;
use super::{
    authorize_provider, complete_authorization, connect_provider, delete_connection, execute_sync, get_secrets,
    get_sync_diff, get_sync_status, list_connections, list_projects, list_providers, list_sync_links, list_sync_runs,
    list_vaults, list_versions, preview_sync, put_vault, replace_secrets, rollback_secrets, set_sync_link,
    update_secrets,
};

/// The committed document and its page, as they are served.
pub(super) const DESCRIBED: Described = Described {
    document: include_str!("../../../../infra/openapi/vaults.json"),
    page: include_str!("../../../../infra/openapi/vaults.html"),
};

#[derive(OpenApi)]
#[openapi(
    paths(
        list_providers::list_providers,
        list_connections::list_connections,
        delete_connection::delete_connection,
        list_projects::list_projects,
        authorize_provider::authorize_provider,
        complete_authorization::complete_authorization,
        connect_provider::connect_provider,
        get_sync_status::get_sync_status,
        preview_sync::preview_sync,
        execute_sync::execute_sync,
        get_sync_diff::get_sync_diff,
        list_sync_runs::list_sync_runs,
        list_sync_links::list_sync_links,
        set_sync_link::set_sync_link,
        list_vaults::list_vaults,
        put_vault::put_vault,
        get_secrets::get_secrets,
        replace_secrets::replace_secrets,
        update_secrets::update_secrets,
        list_versions::list_versions,
        rollback_secrets::rollback_secrets,
    ),
    components(schemas(ProblemBody<'static>)),
    tags(
        (name = "connections", description = "The deploy platforms, and the accounts there."),
        (name = "syncs", description = "Between a vault and a platform's project."),
        (name = "vaults", description = "Secrets by repository and environment."),
    )
)]
struct Document;

const GROUP: openapi::Described = openapi::Described {
    title: "Causeway vaults",
    description: "Secrets by repository and environment, synced with deploy platforms.",
    invalid: 400,
    errors: "application/problem+json",
    asks_for_client: false,
    idempotent: &["connect_provider", "execute_sync", "rollback_secrets"],
    examples: include_str!("../../../../infra/openapi/examples/vaults.json"),
};

/// The group's OpenAPI document, made from the code. What is served is the file that `causeway openapi` writes of it.
///
/// # Errors
/// What the examples' file has wrong.
pub fn openapi() -> Result<Value, serde_json::Error> {
    openapi::finished(&Document::openapi(), &GROUP)
}
