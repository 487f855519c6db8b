//! What many tests begin with: a config of each type that works at the fakes, and short ways to use it.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use kit::{Answer, Client, TestApp};
use serde_json::{Value, json};
use shared::auth::{Grant, Minted, Permission, Tenant};
use shared::table::keys;

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

/// True for what an operation itself stores: the audit log is written around it.
fn is_its_own(item: &Item) -> bool {
    item["pk"].as_s().is_ok_and(|partition| !keys::audit::is_day(partition))
}

/// How many items the table holds, the audit log left out.
pub(crate) async fn count_items(app: &TestApp) -> usize {
    let items = app.table.scan().table_name("causeway").send().await.unwrap().items.unwrap();
    items.iter().filter(|item| is_its_own(item)).count()
}

/// The form of an id, and nobody's.
pub(crate) const NOBODYS: &str = "int_000000000000000000000";

/// A body that connects an account of Resend: one secret key, one that may be seen. Nothing is asked of Resend.
pub(crate) fn resend(name: &str) -> Value {
    json!({
        "name": name,
        "type": "resend",
        "config": { "apiKey": "re_of_the_operations_team", "fromEmail": "ops@sandbox.example" },
    })
}

/// A body that connects an account of SendGrid, which has three keys.
pub(crate) fn sendgrid(name: &str) -> Value {
    json!({
        "name": name,
        "type": "sendgrid",
        "config": { "apiKey": "SG.of.the.team", "fromEmail": "ops@sandbox.example", "region": "global" },
    })
}

/// A body that connects a bare address: nothing secret.
pub(crate) fn bare_webhook(app: &TestApp, name: &str) -> Value {
    json!({ "name": name, "type": "webhook", "config": { "url": app.demo.webhook_url } })
}

/// Connects it, and gives its id.
#[track_caller]
pub(crate) fn id_of(created: &Answer) -> String {
    let _ = created.expect(201);
    created.str("/id")
}

/// Connects what `body` says with this client, and gives its id.
pub(crate) async fn connect(services: &Client, body: &Value) -> String {
    id_of(&services.post("/api/integrations", body).await)
}

/// The names in a list's answer, in its order.
pub(crate) fn names(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

/// A token for a tenant's user with these permissions and no end.
pub(crate) async fn mint(app: &TestApp, tenant: &str, permissions: &[Permission]) -> Minted {
    app.platform.tokens.mint(grant(tenant, permissions)).await.unwrap()
}

/// What such a token stands for.
pub(crate) fn grant(tenant: &str, permissions: &[Permission]) -> Grant {
    Grant {
        tenant: Tenant::parse(tenant).unwrap(),
        user: "user_of_a_test".into(),
        name: "a test".into(),
        permissions: permissions.to_vec(),
        expires_at: None,
        client: None,
    }
}

/// A client of the group for a tenant, with these permissions.
pub(crate) async fn client(app: &TestApp, tenant: &str, permissions: &[Permission]) -> Client {
    app.services_as(mint(app, tenant, permissions).await.token.reveal())
}

/// An item of the table.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A tenant's integration, as the table holds it.
pub(crate) async fn item(app: &TestApp, tenant: &str, id: &str) -> Option<Item> {
    let key = keys::integration(&Tenant::parse(tenant).unwrap(), "services", id);
    let read = app.table.get_item().table_name("causeway").consistent_read(true);
    let read = read.key("pk", AttributeValue::S(key.partition)).key("sk", AttributeValue::S(key.sort));
    read.send().await.unwrap().item
}

/// What is stored: each item's key and how often it was written, and the name of each secret. The same before and after
/// means that nothing was written.
pub(crate) async fn stored(app: &TestApp) -> BTreeSet<String> {
    let items = app.table.scan().table_name("causeway").consistent_read(true).send().await.unwrap().items.unwrap();
    let text = |item: &Item, name: &str| match item.get(name) {
        Some(AttributeValue::S(text) | AttributeValue::N(text)) => text.clone(),
        _ => String::new(),
    };
    let items = items.iter().filter(|item| is_its_own(item));
    let items = items.map(|item| ["pk", "sk", "version"].map(|name| text(item, name)).join(" "));
    items.chain(app.secret_names().await).collect()
}

/// True for a request to DynamoDB that writes an integration's item.
pub(crate) fn writes_an_integration(request: &Value) -> bool {
    request.pointer("/Item/sk/S").and_then(Value::as_str).is_some_and(|sort| sort.starts_with(keys::INTEGRATION))
}
