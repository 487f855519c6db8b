//! `GET /api/integrations`.

use kit::TestApp;
use serde_json::json;

#[tokio::test]
async fn an_unknown_type_is_named_with_the_types_there_are() {
    let app = TestApp::start().await;
    let answer = app.services().get("/api/integrations?type=msteams").await;
    let body = answer.expect(400);
    assert_eq!(body["error"], "invalid_input");
    assert_eq!(
        body["fields"]["type"],
        "is not one of discord, slack, telegram, sendgrid, resend, webhook, web3, ai-gateway"
    );
}

#[tokio::test]
async fn the_list_is_in_the_order_of_creation_and_shows_no_config() {
    let app = TestApp::start().await;
    let services = app.services();
    for name in ["first", "second"] {
        let config = json!({ "webhookUrl": app.demo.slack_webhook_url });
        let created =
            services.post("/api/integrations", &json!({ "name": name, "type": "slack", "config": config })).await;
        let _ = created.expect(201);
        app.advance(1);
    }
    let body = services.get("/api/integrations").await.expect(200);
    let names: Vec<_> = body["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "second"]);
    assert!(body["data"][0].get("config").is_none());
    assert!(body.get("nextCursor").is_none());
}
