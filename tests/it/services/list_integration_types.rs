//! `GET /api/integration-types`.

use std::collections::BTreeSet;

use insta::assert_json_snapshot;
use kit::TestApp;
use serde_json::{Value, json};

#[tokio::test]
async fn every_type_is_described_in_the_order_of_the_documentation() {
    let app = TestApp::start().await;
    let body = app.services().get("/api/integration-types").await.expect(200);
    let types: Vec<_> = body["data"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["discord", "slack", "telegram", "sendgrid", "resend", "webhook", "web3", "ai-gateway"]);
    let silent: Vec<_> = body["data"].as_array().unwrap().iter().filter(|one| one["canSend"] == false).collect();
    assert_eq!(silent.iter().map(|one| one["type"].as_str().unwrap()).collect::<Vec<_>>(), ["web3", "ai-gateway"]);
}

#[tokio::test]
async fn a_type_is_what_a_form_needs_to_know() {
    let app = TestApp::start().await;
    let body = app.services().get("/api/integration-types").await.expect(200);
    for name in ["sendgrid", "web3", "webhook"] {
        let one = body["data"].as_array().unwrap().iter().find(|one| one["type"] == name).unwrap();
        assert_json_snapshot!(name, one);
    }
}

#[tokio::test]
async fn every_type_has_the_documented_keys_and_marks_the_secret_ones_as_write_only() {
    let app = TestApp::start().await;
    let body = app.services().get("/api/integration-types").await.expect(200);
    let documented = json!({
        "discord": { "all": ["webhookUrl"], "secret": ["webhookUrl"], "required": ["webhookUrl"] },
        "slack": { "all": ["apiKey", "channel", "webhookUrl"], "secret": ["apiKey", "webhookUrl"], "required": [] },
        "telegram": { "all": ["botToken", "chatId"], "secret": ["botToken"], "required": ["botToken"] },
        "sendgrid": { "all": ["apiKey", "fromEmail", "region"], "secret": ["apiKey"], "required": ["apiKey"] },
        "resend": { "all": ["apiKey", "fromEmail"], "secret": ["apiKey"], "required": ["apiKey"] },
        "webhook": {
            "all": ["headers", "method", "signingSecret", "url"],
            "secret": ["headers", "signingSecret"],
            "required": ["url"],
        },
        "web3": {
            "all": ["address", "chainId", "rpcUrl"],
            "secret": ["rpcUrl"],
            "required": ["address", "chainId", "rpcUrl"],
        },
        "ai-gateway": { "all": ["apiKey", "baseUrl"], "secret": ["apiKey"], "required": ["apiKey"] },
    });
    for one in body["data"].as_array().unwrap() {
        let schema = &one["configSchema"];
        let properties = schema["properties"].as_object().unwrap();
        let secret = properties.iter().filter(|(_, property)| property["writeOnly"] == true);
        let described = json!({
            "all": properties.keys().collect::<BTreeSet<_>>(),
            "secret": secret.map(|(key, _)| key).collect::<BTreeSet<_>>(),
            "required": strings(&schema["required"]),
        });
        assert_eq!(described, documented[one["type"].as_str().unwrap()], "{}", one["type"]);
        assert_eq!(schema["additionalProperties"], false);
        for (key, property) in properties {
            let told = ["title", "description"].map(|part| property[part].as_str().unwrap_or_default().len());
            assert!(told.iter().all(|length| *length > 0), "{} {key}", one["type"]);
        }
    }
}

fn strings(value: &Value) -> BTreeSet<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[tokio::test]
async fn it_reads_nothing_that_is_stored() {
    let app = TestApp::start().await;
    let services = app.services();
    let _ = services.get("/api/integration-types").await.expect(200);
    app.proxy.forget_calls();
    let _ = services.get("/api/integration-types").await.expect(200);
    assert_eq!(app.proxy.operations(), [""; 0]);
}
