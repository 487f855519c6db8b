//! Who may ask: a token counts only with the client that it was issued to, and only for what it may.

use http::Method;
use kit::{Client, TestApp};
use serde_json::json;
use shared::auth::{Grant, Permission, Tenant};

use super::fixtures::{ADDRESS, NOBODYS, connect_address};

/// Every operation, with the permission that it needs and a body that it takes.
fn operations(id: &str) -> Vec<(Method, String, &'static str, String)> {
    let own = format!("/v1/integrations/{id}");
    let create = json!({ "provider": "bitcoin", "address": ADDRESS }).to_string();
    vec![
        (Method::GET, "/v1/integrations".into(), "integrations:read", String::new()),
        (Method::GET, "/v1/providers".into(), "integrations:read", String::new()),
        (Method::POST, "/v1/integrations".into(), "integrations:write", create),
        (Method::POST, "/v1/integrations/csv".into(), "integrations:write", String::new()),
        (Method::GET, own.clone(), "integrations:read", String::new()),
        (Method::PATCH, own.clone(), "integrations:write", json!({ "alias": "x" }).to_string()),
        (Method::DELETE, own.clone(), "integrations:write", String::new()),
        (Method::POST, format!("{own}/sync"), "integrations:write", String::new()),
        (Method::GET, format!("{own}/transactions"), "integrations:read", String::new()),
    ]
}

#[tokio::test]
async fn whoever_lacks_a_part_of_the_proof_is_told_which_and_whoever_has_a_wrong_one_is_not() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme"), app.tenant("globex"));
    let good = app.wallets();
    let with = |name: &str, value: &str| good.clone().without(name).header(name, value);
    let missing: [(Client, &str); 3] = [
        (good.clone().without("authorization"), "The Authorization header is missing."),
        (good.clone().without("x-client-id"), "The X-Client-Id header is missing."),
        (good.clone().without("x-client-secret"), "The X-Client-Secret header is missing."),
    ];
    let wrong = [
        with("authorization", "Bearer cwy_0000000000000000000000000000000000000000000"),
        with("x-client-id", &globex.client_id),
        with("x-client-id", "nobody"),
        with("x-client-secret", &globex.client_secret),
        with("x-client-secret", "wrong"),
        with("authorization", &format!("Bearer {}", globex.tokens.admin)),
    ];
    let wrong =
        wrong.map(|client| (client, "The token is unknown, expired or revoked, or was not issued to this client."));
    for (client, message) in missing.into_iter().chain(wrong) {
        for (method, path, _, body) in operations(NOBODYS) {
            let answer = client.clone().header("content-type", "application/json").send(method, &path, body).await;
            let body = answer.expect(401);
            assert_eq!((&body["error"], &body["message"]), (&json!("unauthorized"), &json!(message)), "{path}");
            assert!(body["request_id"].is_string() && body.get("details").is_none());
        }
    }
    assert_eq!(app.proxy.operations().iter().filter(|operation| *operation != "GetItem").count(), 0);
    // What came in with good proof still works.
    let _ = app.wallets_as(acme, &acme.tokens.read_only).get("/v1/integrations").await.expect(200);
}

#[tokio::test]
async fn a_token_that_was_issued_to_no_client_opens_nothing_here() {
    let app = TestApp::start().await;
    let grant = Grant {
        tenant: Tenant::parse("acme").unwrap(),
        user: "user".into(),
        name: "without a client".into(),
        permissions: Permission::ALL.to_vec(),
        expires_at: None,
        client: None,
    };
    let token = app.platform.tokens.mint(grant).await.unwrap().token;
    let _ = app.wallets_as(app.tenant("acme"), token.reveal()).get("/v1/integrations").await.expect(401);
    let _ = app.services_as(token.reveal()).get("/api/integrations").await.expect(200);
}

#[tokio::test]
async fn a_token_without_the_permission_is_forbidden_before_anything_is_looked_for() {
    let app = TestApp::start().await;
    let tenant = app.tenant("acme");
    let id = connect_address(&app.wallets(), ADDRESS).await;
    for (token, may_read) in [(&tenant.tokens.no_permissions, false), (&tenant.tokens.read_only, true)] {
        let client = app.wallets_as(tenant, token).header("content-type", "application/json");
        for (method, path, permission, body) in operations(&id) {
            let answer = client.send(method.clone(), &path, body).await;
            if may_read && permission == "integrations:read" {
                assert_eq!(answer.status, 200, "{path}");
                continue;
            }
            let body = answer.expect(403);
            assert_eq!(body["error"], "forbidden", "{method} {path}");
            assert_eq!(body["message"], format!("The token lacks the permission {permission}."));
        }
    }
}

#[tokio::test]
async fn a_kept_answer_is_shown_to_nobody_without_the_whole_proof() {
    let app = TestApp::start().await;
    let wallets = app.wallets().header("idempotency-key", "the-key");
    let body = json!({ "provider": "bitcoin", "address": ADDRESS });
    let first = wallets.post("/v1/integrations", &body).await;
    let _ = first.expect(201);
    let again = wallets.post("/v1/integrations", &body).await;
    assert_eq!((again.text.as_str(), again.header("idempotent-replayed")), (first.text.as_str(), Some("true")));
    for client in [
        wallets.clone().without("x-client-secret"),
        wallets.clone().without("x-client-id").header("x-client-id", "nobody"),
    ] {
        let refused = client.post("/v1/integrations", &body).await;
        let _ = refused.expect(401);
        assert_eq!(refused.header("idempotent-replayed"), None);
    }
    let tenant = app.tenant("acme");
    let reader = app.wallets_as(tenant, &tenant.tokens.read_only).header("idempotency-key", "the-key");
    let _ = reader.post("/v1/integrations", &body).await.expect(403);
}

#[tokio::test]
async fn another_tenants_integration_is_a_missing_one() {
    let app = TestApp::start().await;
    let id = connect_address(&app.wallets(), ADDRESS).await;
    let tenant = app.tenant("globex");
    let globex = app.wallets_as(tenant, &tenant.tokens.admin).header("content-type", "application/json");
    let globex = globex.header("x-request-id", "the same for both");
    for (number, (method, path, _, body)) in operations(&id).into_iter().enumerate() {
        if !path.contains(&id) {
            continue;
        }
        let foreign = globex.send(method.clone(), &path, body.clone()).await;
        let (_, missing, _, _) = operations(NOBODYS).remove(number);
        let missing = globex.send(method, &missing, body).await;
        assert_eq!((foreign.status.as_u16(), &foreign.text), (404, &missing.text), "{path}");
    }
    assert_eq!(globex.get("/v1/integrations").await.expect(200)["pagination"]["totalCount"], 0);
    // The same address is anybody's to connect.
    connect_address(&globex, ADDRESS).await;
    assert_eq!(app.wallets().get("/v1/integrations").await.expect(200)["pagination"]["totalCount"], 1);
}

#[tokio::test]
async fn what_is_not_there_answers_in_the_envelope() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    assert_eq!(wallets.get("/v1/nothing").await.expect(404)["error"], "not_found");
    assert_eq!(wallets.get("/v1/integrations/wallet_abc123").await.expect(404)["message"], "Integration not found.");
    let wrong = wallets.send(Method::PUT, "/v1/integrations", "{}").await;
    assert_eq!(wrong.expect(405)["error"], "method_not_allowed");
    let plain = wallets.clone().header("content-type", "text/plain").send(Method::POST, "/v1/integrations", "{}").await;
    assert_eq!(plain.expect(415)["error"], "unsupported_media_type");
    let large = format!("{{\"alias\":\"{}\"}}", "x".repeat(300_000));
    let json = wallets.header("content-type", "application/json");
    assert_eq!(json.send(Method::POST, "/v1/integrations", large).await.expect(413)["error"], "payload_too_large");
    assert_eq!(json.send(Method::POST, "/v1/integrations", "[]").await.expect(400)["message"], "Invalid request body");
}
