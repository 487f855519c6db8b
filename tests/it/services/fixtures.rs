//! What many tests begin with: a config of each type that works at the fakes, and short ways to use it.

use kit::{Answer, TestApp};
use serde_json::{Value, json};

/// The types that take messages.
pub(crate) const CHANNELS: &[&str] = &["discord", "slack", "telegram", "sendgrid", "resend", "webhook"];

/// A config of this type that works at the fakes.
pub(crate) fn config(app: &TestApp, kind: &str) -> Value {
    let demo = &app.demo;
    match kind {
        "discord" => json!({ "webhookUrl": demo.discord_webhook_url }),
        "slack" => json!({ "webhookUrl": demo.slack_webhook_url }),
        "telegram" => json!({ "botToken": demo.telegram_bot_token, "chatId": demo.telegram_chat_id }),
        "sendgrid" => json!({ "apiKey": demo.sendgrid_api_key, "fromEmail": demo.sendgrid_from_email }),
        "resend" => json!({ "apiKey": demo.resend_api_key, "fromEmail": demo.resend_from_email }),
        "webhook" => {
            // The receiver judges timestamps by the same clock.
            app.fakes.webhook.set_now(u64::try_from(app.platform.ids.now().as_second()).ok());
            json!({ "url": demo.webhook_url, "signingSecret": demo.webhook_signing_secret })
        }
        "web3" => json!({ "address": demo.evm_address, "chainId": demo.evm_chain_id, "rpcUrl": demo.evm_rpc_url }),
        "ai-gateway" => json!({ "apiKey": demo.ai_gateway_api_key }),
        other => panic!("no such type: {other}"),
    }
}

/// A config with some keys changed.
pub(crate) fn with(mut config: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    config.as_object_mut().unwrap().extend(changes);
    config
}

/// Connects a service with this config; gives its id.
pub(crate) async fn create(app: &TestApp, kind: &str, config: &Value) -> String {
    let body = json!({ "name": format!("my {kind}"), "type": kind, "config": config });
    let created = app.services().post("/api/integrations", &body).await;
    let _ = created.expect(201);
    created.str("/id")
}

/// The integration as its owner sees it.
pub(crate) async fn read(app: &TestApp, id: &str) -> Value {
    app.services().get(&format!("/api/integrations/{id}")).await.expect(200)
}

/// Tests what is stored, as most callers do: without any body.
pub(crate) async fn test(app: &TestApp, id: &str) -> Value {
    app.services().post_empty(&format!("/api/integrations/{id}/test")).await.expect(200)
}

/// Sends a message.
pub(crate) async fn send(app: &TestApp, id: &str, message: &Value) -> Answer {
    app.services().post(&format!("/api/integrations/{id}/send"), message).await
}

/// How many messages, e-mails and deliveries have come in anywhere.
pub(crate) fn received(app: &TestApp) -> usize {
    let fakes = &app.fakes;
    fakes.discord.messages().len()
        + fakes.slack.messages().len()
        + fakes.telegram.messages().len()
        + fakes.sendgrid.messages().len()
        + fakes.sendgrid_eu.messages().len()
        + fakes.resend.messages().len()
        + fakes.webhook.deliveries().len()
}

/// How many items the table holds.
pub(crate) async fn count_items(app: &TestApp) -> i32 {
    app.table.scan().table_name("causeway").send().await.unwrap().count()
}
