//! Who may ask: every operation as nobody, and with every permission but the one it needs.

use http::Method;
use kit::TestApp;
use serde_json::json;
use shared::auth::{Grant, Permission, Tenant};

use super::fixtures::{CONNECTIONS, ENVIRONMENT, NOBODYS, SECRETS, SYNC};

/// Every operation that is not for everybody, with the permission that it needs.
fn operations() -> Vec<(Method, String, &'static str)> {
    let query = format!("?connectionId={NOBODYS}&projectId=prj_1");
    vec![
        (Method::GET, CONNECTIONS.into(), "vaults:read"),
        (Method::DELETE, format!("{CONNECTIONS}/{NOBODYS}"), "vaults:write"),
        (Method::GET, format!("{CONNECTIONS}/{NOBODYS}/projects"), "vaults:read"),
        (Method::GET, "/v1/integrations/vercel/authorize".into(), "vaults:write"),
        (Method::POST, "/v1/integrations/vercel/connect".into(), "vaults:write"),
        (Method::GET, format!("{SYNC}/status{query}"), "vaults:read"),
        (Method::GET, format!("{SYNC}/preview{query}"), "vaults:read"),
        (Method::GET, format!("{SYNC}/diff{query}"), "vaults:read"),
        (Method::GET, format!("{SYNC}/history"), "vaults:read"),
        (Method::GET, format!("{SYNC}/links"), "vaults:read"),
        (Method::PUT, format!("{SYNC}/links"), "vaults:sync"),
        (Method::POST, SYNC.into(), "vaults:sync"),
        (Method::GET, "/v1/vaults".into(), "vaults:read"),
        (Method::PUT, "/v1/vaults/acme/app".into(), "vaults:write"),
        (Method::GET, SECRETS.into(), "vaults:read"),
        (Method::PUT, SECRETS.into(), "secrets:write"),
        (Method::PATCH, SECRETS.into(), "secrets:write"),
        (Method::GET, format!("{ENVIRONMENT}/versions"), "vaults:read"),
        (Method::POST, format!("{ENVIRONMENT}/rollback"), "secrets:write"),
    ]
}

#[tokio::test]
async fn nobody_and_who_lacks_the_permission_are_told_so_before_anything_is_looked_for() {
    let app = TestApp::start().await;
    for (method, path, permission) in operations() {
        let grant = Grant {
            tenant: Tenant::parse("acme").unwrap(),
            user: "someone".into(),
            name: "all but one".into(),
            permissions: Permission::ALL.iter().copied().filter(|one| one.name() != permission).collect(),
            expires_at: None,
            client: None,
        };
        let token = app.platform.tokens.mint(grant).await.unwrap().token;
        app.proxy.forget_calls();
        let nobody = app.vaults().without("authorization").send(method.clone(), &path, "{}").await;
        let problem = nobody.expect(401);
        assert_eq!((&problem["title"], &problem["status"]), (&json!("Unauthorized"), &json!(401)), "{method} {path}");
        assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
        let keyed = app.vaults_as(token.reveal()).header("idempotency-key", "one");
        let refused = keyed.send(method.clone(), &path, "{}").await;
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        let detail = refused.expect(403)["detail"].clone();
        assert_eq!(detail, format!("The token lacks the permission {permission}."), "{method} {path}");
        assert_eq!(refused.expect(403)["traceId"], refused.header("x-request-id").unwrap());
        assert_eq!(app.proxy.operations(), ["GetItem"], "{method} {path}: only the token is looked up");
    }
}
