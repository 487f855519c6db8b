//! `POST /api/integrations/test`.

use kit::TestApp;
use serde_json::json;

use super::fixtures::{config, count_items, received};

const PATH: &str = "/api/integrations/test";

#[tokio::test]
async fn a_token_that_may_only_read_cannot_try() {
    let app = TestApp::start().await;
    let reader = app.services_as(&app.tenant("acme").tokens.read_only);
    let body = reader.post(PATH, &json!({ "type": "resend", "config": config(&app, "resend") })).await.expect(403);
    assert_eq!(body["required_scope"], "services:write");
    assert!(app.fakes.resend.host.requests().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn what_is_wrong_with_the_body_is_named() {
    let app = TestApp::start().await;
    let key = json!({ "apiKey": app.demo.resend_api_key });
    for (body, field, told) in [
        (json!({}), "type", "is missing: one of discord, slack"),
        (json!({}), "config", "is missing: an object"),
        (json!({ "type": "pager", "config": {} }), "type", "one of discord, slack"),
        (json!({ "type": "resend", "config": [] }), "config", "must be an object"),
        (json!({ "type": "resend", "config": {} }), "config.apiKey", "is missing"),
        (json!({ "type": "resend", "config": { "apiKey": "" } }), "config.apiKey", "is missing"),
        (json!({ "type": "resend", "config": { "token": "x" } }), "config.token", "apiKey, fromEmail"),
        (json!({ "type": "resend", "config": key, "name": "mine" }), "name", "config, sendPing, type"),
        (json!({ "type": "resend", "config": key, "sendPing": 1 }), "sendPing", "true or false"),
    ] {
        let answer = app.services().post(PATH, &body).await.expect(400);
        assert_eq!(answer["error"], "invalid_input", "{body}");
        let message = answer["fields"][field].as_str().unwrap_or_else(|| panic!("{field} in {answer}"));
        assert!(message.contains(told), "{body}: {message}");
    }
    let none = app.services().post_empty(PATH).await;
    assert_eq!(none.status, 415, "a config must be sent as JSON");
    assert!(app.fakes.resend.host.requests().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_config_is_tested_before_anything_of_it_is_stored() {
    let app = TestApp::start().await;
    let items = count_items(&app).await;
    for (kind, tried, verdict) in [
        ("discord", config(&app, "discord"), "valid"),
        ("telegram", config(&app, "telegram"), "valid"),
        ("web3", config(&app, "web3"), "valid"),
        ("resend", json!({ "apiKey": app.demo.resend_api_key, "fromEmail": "a@other.example" }), "limited"),
        ("resend", json!({ "apiKey": "re_wrong" }), "invalid"),
    ] {
        let answer = app.services().post(PATH, &json!({ "type": kind, "config": tried })).await;
        let report = answer.expect(200);
        let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["status", "message", "verdict", "latencyMs", "checkedAt"], "{kind}");
        assert_eq!(report["verdict"], verdict, "{kind}: {report}");
        let status = if verdict == "invalid" { "error" } else { "success" };
        assert_eq!(report["status"], status, "{kind}: {report}");
        assert_eq!(report["message"] == "Integration test successful", verdict == "valid", "{kind}: {report}");
    }
    assert_eq!((count_items(&app).await, app.secret_names().await), (items, Vec::new()));
    let listed = app.services().get("/api/integrations").await.expect(200);
    assert_eq!(listed["data"], json!([]));
    assert_eq!(received(&app), 0);
}

#[tokio::test]
async fn an_idempotency_key_keeps_the_report_but_nothing_of_the_config() {
    let app = TestApp::start().await;
    let client = app.services().header("idempotency-key", "try-1");
    let body = json!({ "type": "resend", "config": config(&app, "resend") });
    let first = client.post(PATH, &body).await;
    let again = client.post(PATH, &body).await;
    assert_eq!((first.expect(200), first.text.as_str()), (again.expect(200), again.text.as_str()));
    assert_eq!(app.fakes.resend.host.calls("/domains"), 1);
    let items = app.all_items().await;
    assert!(!items.contains(&app.demo.resend_api_key) && !items.contains("try-1"), "{items}");
    assert!(app.secret_names().await.is_empty());
}

#[tokio::test]
async fn a_ping_can_be_tried_too() {
    let app = TestApp::start().await;
    let body = json!({ "type": "webhook", "config": config(&app, "webhook"), "sendPing": true });
    assert_eq!(app.services().post(PATH, &body).await.expect(200)["verdict"], "valid");
    assert_eq!(app.fakes.webhook.messages().len(), 1);
}
