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
use shared::Platform;
use shared::auth::{Permission, needs};
use shared::handler;
use shared::http::{Api, Group, Operations, Routes};

use crate::{GROUP, Vaults};

pub use openapi::openapi;

/// The group's operations, each named once: the routes, the names in logs and metrics and the audit log come from here.
///
/// An authorization hands out an address that connects an account. Its callback, which carries no token, writes its own
/// entries.
fn routes() -> Routes<Vaults> {
    let secrets = "/v1/vaults/{owner}/{repo}/environments/{environment}/secrets";
    Routes::default()
        .get("/v1/integrations", handler!(list_providers))
        .get("/v1/integrations/connections", handler!(list_connections))
        .delete("/v1/integrations/connections/{id}", handler!(delete_connection))
        .get("/v1/integrations/connections/{id}/projects", handler!(list_projects))
        .get("/v1/integrations/{provider}/authorize", handler!(authorize_provider).reveals(Permission::VaultsWrite))
        .get("/v1/integrations/{provider}/callback", handler!(complete_authorization))
        .post("/v1/integrations/{provider}/connect", handler!(connect_provider).idempotent::<needs::VaultsWrite>())
        .get("/v1/integrations/vaults/{owner}/{repo}/sync/status", handler!(get_sync_status))
        .get("/v1/integrations/vaults/{owner}/{repo}/sync/preview", handler!(preview_sync))
        .post("/v1/integrations/vaults/{owner}/{repo}/sync", handler!(execute_sync).idempotent::<needs::VaultsSync>())
        .get("/v1/integrations/vaults/{owner}/{repo}/sync/diff", handler!(get_sync_diff))
        .get("/v1/integrations/vaults/{owner}/{repo}/sync/history", handler!(list_sync_runs))
        .get("/v1/integrations/vaults/{owner}/{repo}/sync/links", handler!(list_sync_links))
        .put("/v1/integrations/vaults/{owner}/{repo}/sync/links", handler!(set_sync_link))
        .get("/v1/vaults", handler!(list_vaults))
        .put("/v1/vaults/{owner}/{repo}", handler!(put_vault))
        .get(secrets, handler!(get_secrets).reveals(Permission::SecretsRead))
        .put(secrets, handler!(replace_secrets))
        .patch(secrets, handler!(update_secrets))
        .get("/v1/vaults/{owner}/{repo}/environments/{environment}/versions", handler!(list_versions))
        .post(
            "/v1/vaults/{owner}/{repo}/environments/{environment}/rollback",
            handler!(rollback_secrets).idempotent::<needs::SecretsWrite>(),
        )
}

/// What is known of the group's operations.
#[must_use]
pub fn operations() -> Operations {
    routes().operations()
}

/// The group's operations in its frame.
pub fn router(platform: &Platform) -> Router {
    let group = Group { name: GROUP, function: "vaults-api", present: wire::present, described: openapi::DESCRIBED };
    Api::frame(platform, group, routes(), Vaults::new(platform))
}
