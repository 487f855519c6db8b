//! What the group's operations are called in logs and metrics: each documented route with the name of its handler. A
//! route that is not here goes by the name `none`.

use shared::http::Operations;

/// The group's operations.
pub const OPERATIONS: Operations = Operations(&[
    ("GET /api/integrations", "list_integrations"),
    ("POST /api/integrations", "create_integration"),
    ("POST /api/integrations/test", "try_integration"),
    ("GET /api/integrations/{integrationId}", "get_integration"),
    ("PUT /api/integrations/{integrationId}", "update_integration"),
    ("DELETE /api/integrations/{integrationId}", "delete_integration"),
    ("POST /api/integrations/{integrationId}/test", "test_integration"),
    ("POST /api/integrations/{integrationId}/send", "send_message"),
    ("GET /api/integration-types", "list_integration_types"),
]);
