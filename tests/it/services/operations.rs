//! Every operation of the group, in a form that a test can drive.

use http::Method;
use kit::{Answer, Client, TestApp};
use local::template::Template;
use serde_json::{Value, json};
use shared::auth::Permission;
use shared::http::Operations;

use super::fixtures;

/// One operation: how it is asked for, and the permission it needs.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    /// Its name, as that of its handler.
    pub(super) name: &'static str,
    pub(super) method: Method,
    /// With `{integrationId}` where one is named.
    pub(super) path: &'static str,
    /// A body that it takes.
    pub(super) body: Option<Value>,
    /// True if it takes a body, required or not.
    pub(super) takes_body: bool,
    pub(super) permission: Permission,
}

impl Operation {
    /// The path for one integration.
    pub(super) fn path(&self, id: &str) -> String {
        self.path.replace("{integrationId}", id)
    }

    /// True if it names an integration.
    pub(super) fn names_an_integration(&self) -> bool {
        self.path.contains("{integrationId}")
    }

    /// Asks for it.
    pub(super) async fn ask(&self, services: &Client, id: &str) -> Answer {
        let body = self.body.as_ref().map(Value::to_string).unwrap_or_default();
        self.ask_with(services, id, &body).await
    }

    /// Asks for it with these bytes as the body, which are said to be JSON.
    pub(super) async fn ask_with(&self, services: &Client, id: &str, body: &str) -> Answer {
        let services = services.clone().header("content-type", "application/json");
        services.send(self.method.clone(), &self.path(id), body.to_owned()).await
    }
}

/// An integration at which every operation succeeds: a channel whose credential works.
pub(super) fn at_which_all_succeed(app: &TestApp) -> Value {
    json!({ "name": "Mail", "type": "resend", "config": fixtures::config(app, "resend") })
}

/// Every operation, with bodies that succeed at the sandbox.
pub(super) fn all(app: &TestApp) -> Vec<Operation> {
    let (read, write) = (Permission::ServicesRead, Permission::ServicesWrite);
    let create = at_which_all_succeed(app);
    let attempt = json!({ "type": create["type"], "config": create["config"] });
    let with = |name, method, path, body, takes_body, permission| Operation {
        name,
        method,
        path,
        body,
        takes_body,
        permission,
    };
    let one = "/api/integrations/{integrationId}";
    vec![
        with("list_integrations", Method::GET, "/api/integrations", None, false, read),
        with("create_integration", Method::POST, "/api/integrations", Some(create), true, write),
        with("try_integration", Method::POST, "/api/integrations/test", Some(attempt), true, write),
        with("get_integration", Method::GET, one, None, false, read),
        with("update_integration", Method::PUT, one, Some(json!({ "name": "Post" })), true, write),
        with(
            "test_integration",
            Method::POST,
            "/api/integrations/{integrationId}/test",
            Some(json!({ "configOverrides": {} })),
            true,
            write,
        ),
        with(
            "send_message",
            Method::POST,
            "/api/integrations/{integrationId}/send",
            Some(json!({ "text": "Hello", "title": "Hello", "to": "someone@example.com" })),
            true,
            write,
        ),
        with("list_integration_types", Method::GET, "/api/integration-types", None, false, read),
        with("delete_integration", Method::DELETE, one, None, false, write),
    ]
}

#[tokio::test]
async fn the_table_names_every_operation_that_is_deployed() {
    let app = TestApp::start().await;
    let mut here: Vec<_> = all(&app).iter().map(|it| (it.method.to_string(), it.path.to_owned())).collect();
    let mut deployed = Template::embedded().unwrap().functions().unwrap()["services-api"].routes.clone();
    // Those describe the group, and are for everybody.
    deployed.retain(|(_, path)| !Operations::DESCRIBED_AT.contains(&path.as_str()));
    here.sort();
    deployed.sort();
    assert_eq!(here, deployed);
}
