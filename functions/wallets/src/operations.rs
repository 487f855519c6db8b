//! What the group's operations are called in logs and metrics: each documented route with the name of its handler. A
//! route that is not here goes by the name `none`.

use shared::http::Operations;

/// The group's operations.
pub const OPERATIONS: Operations = Operations(&[
    ("GET /v1/integrations", "list_integrations"),
    ("POST /v1/integrations", "create_integration"),
    ("POST /v1/integrations/csv", "import_csv"),
    ("GET /v1/integrations/{walletId}", "get_integration"),
    ("PATCH /v1/integrations/{walletId}", "update_integration"),
    ("DELETE /v1/integrations/{walletId}", "delete_integration"),
    ("POST /v1/integrations/{walletId}/sync", "sync_integration"),
    ("GET /v1/integrations/{walletId}/transactions", "list_transactions"),
    ("GET /v1/providers", "list_providers"),
]);
