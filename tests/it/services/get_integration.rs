//! `GET /api/integrations/{integrationId}`.

use insta::assert_json_snapshot;
use kit::TestApp;
use serde_json::json;

use super::fixtures::{NOBODYS, connect, resend};

#[tokio::test]
async fn an_id_that_names_nothing_is_not_found_whatever_its_form() {
    let app = TestApp::start().await;
    let services = app.services();
    let id = connect(&services, &resend("Mail")).await;
    let nobodys = services.clone().header("x-request-id", "r").get(&format!("/api/integrations/{NOBODYS}")).await;
    let _ = nobodys.expect(404);
    for other in [
        "int_123",
        "0",
        "%00",
        "%ff",
        "int_%23",
        "I%23",
        &id.to_uppercase(),
        &id[4..],
        &format!("{id}0"),
        &format!("%20{id}"),
        &format!("{id}%23"),
        &"9".repeat(4000),
    ] {
        let answer = services.clone().header("x-request-id", "r").get(&format!("/api/integrations/{other}")).await;
        assert_eq!((answer.status, &answer.text), (nobodys.status, &nobodys.text), "{other}");
    }
    assert_json_snapshot!(nobodys.json(), { ".request_id" => "[request id]" });
}

#[tokio::test]
async fn the_whole_config_is_shown_to_who_may_see_secrets() {
    let app = TestApp::start().await;
    let services = app.services();
    let id = connect(&services, &resend("Ops mail")).await;
    let answer = services.get(&format!("/api/integrations/{id}")).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_json_snapshot!(answer.expect(200), {
        ".id" => "[id]",
        ".createdAt" => "[time]",
        ".updatedAt" => "[time]",
    });
}

#[tokio::test]
async fn without_that_permission_the_secrets_are_only_named() {
    let app = TestApp::start().await;
    let id = connect(&app.services(), &resend("Ops mail")).await;
    let reader = app.services_as(&app.tenant("acme").tokens.read_only);
    assert_json_snapshot!(reader.get(&format!("/api/integrations/{id}")).await.expect(200), {
        ".id" => "[id]",
        ".createdAt" => "[time]",
        ".updatedAt" => "[time]",
    });
}

#[tokio::test]
async fn an_escaped_id_is_the_same_id() {
    let app = TestApp::start().await;
    let services = app.services();
    let id = connect(&services, &resend("Ops mail")).await;
    let body = services.get(&format!("/api/integrations/{}", id.replacen("int", "%69nt", 1))).await.expect(200);
    assert_eq!(body["id"], id);
}

#[tokio::test]
async fn secret_headers_are_shown_as_the_object_that_was_sent() {
    let app = TestApp::start().await;
    let services = app.services();
    let config = json!({
        "url": app.demo.webhook_url,
        "headers": { "X-Zone": "eu", "Authorization": "Bearer of-a-webhook" },
    });
    let id = connect(&services, &json!({ "name": "Hook", "type": "webhook", "config": config })).await;
    let body = services.get(&format!("/api/integrations/{id}")).await.expect(200);
    assert_eq!(body["config"], config);
    assert_eq!(body["storedSecretKeys"], json!(["headers"]));
}

#[tokio::test]
async fn the_last_test_is_shown_once_there_was_one() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = format!("/api/integrations/{}", connect(&services, &resend("Ops mail")).await);
    assert!(services.get(&path).await.expect(200).get("lastTest").is_none());
    app.advance(5);
    let _ = services.post_empty(&format!("{path}/test")).await.expect(200);
    let body = services.get(&path).await.expect(200);
    assert_eq!(body["lastTest"]["verdict"], "invalid");
    assert_eq!(body["lastTest"]["checkedAt"], "2026-05-28T20:26:45.000Z");
    assert_eq!(body["needsAttention"], true);
    assert_eq!(body["updatedAt"], "2026-05-28T20:26:40.000Z", "a test is no change");
}
