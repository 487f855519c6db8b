//! What the group's operations are called in logs and metrics: each documented route with the name of its handler. A
//! route that is not here goes by the name `none`.

use shared::http::Operations;

/// The group's operations.
pub const OPERATIONS: Operations = Operations(&[
    ("GET /v1/integrations", "list_providers"),
    ("GET /v1/integrations/connections", "list_connections"),
    ("DELETE /v1/integrations/connections/{id}", "delete_connection"),
    ("GET /v1/integrations/connections/{id}/projects", "list_projects"),
    ("GET /v1/integrations/{provider}/authorize", "authorize_provider"),
    ("GET /v1/integrations/{provider}/callback", "complete_authorization"),
    ("POST /v1/integrations/{provider}/connect", "connect_provider"),
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/status", "get_sync_status"),
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/preview", "preview_sync"),
    ("POST /v1/integrations/vaults/{owner}/{repo}/sync", "execute_sync"),
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/diff", "get_sync_diff"),
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/history", "list_sync_runs"),
    ("GET /v1/integrations/vaults/{owner}/{repo}/sync/links", "list_sync_links"),
    ("PUT /v1/integrations/vaults/{owner}/{repo}/sync/links", "set_sync_link"),
    ("GET /v1/vaults", "list_vaults"),
    ("PUT /v1/vaults/{owner}/{repo}", "put_vault"),
    ("GET /v1/vaults/{owner}/{repo}/environments/{environment}/secrets", "get_secrets"),
    ("PUT /v1/vaults/{owner}/{repo}/environments/{environment}/secrets", "replace_secrets"),
    ("PATCH /v1/vaults/{owner}/{repo}/environments/{environment}/secrets", "update_secrets"),
    ("GET /v1/vaults/{owner}/{repo}/environments/{environment}/versions", "list_versions"),
    ("POST /v1/vaults/{owner}/{repo}/environments/{environment}/rollback", "rollback_secrets"),
]);
