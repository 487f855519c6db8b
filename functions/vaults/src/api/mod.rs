//! The group's HTTP API: one file an operation. A handler parses, takes the tenant out of the permission check, makes one
//! domain call, and presents. The list of providers and the OAuth callback are for everybody.

mod authorize_provider;
mod complete_authorization;
mod connect_provider;
mod delete_connection;
mod execute_sync;
mod get_secrets;
mod get_sync_diff;
mod get_sync_status;
mod input;
mod list_connections;
mod list_projects;
mod list_providers;
mod list_sync_links;
mod list_sync_runs;
mod list_vaults;
mod list_versions;
mod openapi;
mod preview_sync;
mod put_vault;
mod replace_secrets;
mod rollback_secrets;
mod set_sync_link;
mod update_secrets;
mod wire;

use axum::Router;
use axum::extract::OriginalUri;
use axum::middleware::from_fn;
use axum::routing::{delete, get, post, put};
use shared::Platform;
use shared::auth::{Permission, needs};
use shared::http::{Api, Audits, Group, idempotent};

use crate::operations::OPERATIONS;
use crate::{GROUP, Vaults};

pub use openapi::openapi;

/// An authorization hands out an address that connects an account. Its callback, which carries no token, writes its own
/// entries.
const AUDITS: Audits = Audits {
    reveals: &[
        ("/v1/vaults/{owner}/{repo}/environments/{environment}/secrets", Permission::SecretsRead),
        ("/v1/integrations/{provider}/authorize", Permission::VaultsWrite),
    ],
    apart: &[],
};

/// The group's routes in its frame.
pub fn router(platform: &Platform) -> Router {
    let connects = || from_fn(idempotent::<needs::VaultsWrite>);
    let syncs = || from_fn(idempotent::<needs::VaultsSync>);
    let writes = || from_fn(idempotent::<needs::SecretsWrite>);
    let routes = Router::new()
        .route("/v1/integrations", get(list_providers::list_providers))
        .route("/v1/integrations/connections", get(list_connections::list_connections))
        .route("/v1/integrations/connections/{id}", delete(delete_connection::delete_connection))
        .route("/v1/integrations/connections/{id}/projects", get(list_projects::list_projects))
        .route("/v1/integrations/{provider}/authorize", get(authorize_provider::authorize_provider))
        .route("/v1/integrations/{provider}/callback", get(complete_authorization::complete_authorization))
        .route("/v1/integrations/{provider}/connect", post(connect_provider::connect_provider).route_layer(connects()))
        .route("/v1/integrations/vaults/{owner}/{repo}/sync/status", get(get_sync_status::get_sync_status))
        .route("/v1/integrations/vaults/{owner}/{repo}/sync/preview", get(preview_sync::preview_sync))
        .route("/v1/integrations/vaults/{owner}/{repo}/sync", post(execute_sync::execute_sync).route_layer(syncs()))
        .route("/v1/integrations/vaults/{owner}/{repo}/sync/diff", get(get_sync_diff::get_sync_diff))
        .route("/v1/integrations/vaults/{owner}/{repo}/sync/history", get(list_sync_runs::list_sync_runs))
        .route(
            "/v1/integrations/vaults/{owner}/{repo}/sync/links",
            get(list_sync_links::list_sync_links).put(set_sync_link::set_sync_link),
        )
        .route("/v1/vaults", get(list_vaults::list_vaults))
        .route("/v1/vaults/{owner}/{repo}", put(put_vault::put_vault))
        .route(
            "/v1/vaults/{owner}/{repo}/environments/{environment}/secrets",
            get(get_secrets::get_secrets).put(replace_secrets::replace_secrets).patch(update_secrets::update_secrets),
        )
        .route("/v1/vaults/{owner}/{repo}/environments/{environment}/versions", get(list_versions::list_versions))
        .route(
            "/v1/vaults/{owner}/{repo}/environments/{environment}/rollback",
            post(rollback_secrets::rollback_secrets).route_layer(writes()),
        )
        .route("/openapi.json", get(async |uri: OriginalUri| openapi::DESCRIBED.answer_document(&uri)))
        .route("/docs", get(async || openapi::DESCRIBED.answer_page()))
        .with_state(Vaults::new(platform));
    let group =
        Group { name: GROUP, function: "vaults-api", present: wire::present, operations: OPERATIONS, audits: AUDITS };
    Api::frame(platform, group, routes)
}
