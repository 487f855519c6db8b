//! What the group's operations are called in logs and metrics: each documented route with the name of its handler. A
//! route that is not here goes by the name `none`.

use shared::http::Operations;

/// The group's operations.
pub const OPERATIONS: Operations = Operations(&[
    ("GET /api/v1/integrations", "list_integrations"),
    ("POST /api/v1/integrations", "create_integration"),
    ("POST /api/v1/integrations/acquire", "acquire_integration"),
    ("POST /api/v1/integrations/report", "report_lease"),
    ("GET /api/v1/integrations/health", "get_health"),
    ("POST /api/v1/integrations/sync-billing", "sync_billing"),
    ("GET /api/v1/integrations/{id}", "get_integration"),
    ("PATCH /api/v1/integrations/{id}", "update_integration"),
    ("DELETE /api/v1/integrations/{id}", "delete_integration"),
    ("POST /api/v1/integrations/{id}/rotate", "rotate_integration"),
    ("POST /api/v1/integrations/{id}/test", "test_integration"),
    ("POST /api/v1/integrations/{id}/reset", "reset_integration"),
    ("GET /api/v1/integrations/{id}/usage", "get_usage"),
]);
