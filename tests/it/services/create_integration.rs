//! `POST /api/integrations`.

use std::collections::BTreeMap;

use insta::assert_json_snapshot;
use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{bare_webhook, connect, id_of, item, resend, stored};

#[tokio::test]
async fn everything_that_is_missing_is_named() {
    let app = TestApp::start().await;
    let answer = app.services().post("/api/integrations", &json!({})).await;
    assert_json_snapshot!(answer.expect(400), { ".request_id" => "[request id]" });
}

#[tokio::test]
async fn everything_that_is_wrong_is_named_at_once() {
    let app = TestApp::start().await;
    let config = json!({ "apiKey": 5, "region": "asia", "colour": "red", "fromEmail": "nobody" });
    let body = json!({ "name": "  ", "type": "sendgrid", "config": config, "isManaged": true, "id": "int_1" });
    let answer = app.services().post("/api/integrations", &body).await;
    assert_json_snapshot!(answer.expect(400), { ".request_id" => "[request id]" });
    assert_eq!(answer.json()["fields"].as_object().unwrap().len(), 7);
}

#[tokio::test]
async fn config_keys_that_are_missing_are_named_beside_those_that_are_wrong() {
    let app = TestApp::start().await;
    let body = json!({ "name": "", "type": "web3", "config": { "chainId": "one", "colour": "red" } });
    let fields = app.services().post("/api/integrations", &body).await.expect(400)["fields"].take();
    let named: Vec<_> = fields.as_object().unwrap().keys().collect();
    assert_eq!(named, ["config.address", "config.chainId", "config.colour", "config.rpcUrl", "name"]);
}

#[tokio::test]
async fn an_unknown_type_is_answered_with_the_types_there_are() {
    let app = TestApp::start().await;
    let services = app.services();
    for kind in [json!("msteams"), json!("Slack"), json!(""), json!(null), json!(7), json!(["slack"])] {
        let body = json!({ "name": "Chat", "type": kind, "config": {} });
        let fields = services.post("/api/integrations", &body).await.expect(400)["fields"].take();
        assert_eq!(
            fields,
            json!({ "type": "must be one of discord, slack, telegram, sendgrid, resend, webhook, web3, ai-gateway" }),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_name_is_one_line_of_1_to_200_characters() {
    let app = TestApp::start().await;
    let services = app.services();
    for name in [
        json!(""),
        json!(" \t "),
        json!("a\nb"),
        json!("a\u{0}b"),
        json!("a\u{85}b"),
        json!("é".repeat(201)),
        json!(null),
        json!(1),
        json!({}),
        json!([]),
        json!(true),
    ] {
        let mut body = resend("");
        body["name"] = name.clone();
        let fields = services.post("/api/integrations", &body).await.expect(400)["fields"].take();
        assert_eq!(fields, json!({ "name": "must be text of 1 to 200 characters" }), "{name}");
    }
    for (sent, kept) in
        [("a", "a"), ("  Ops mail ", "Ops mail"), (&"é".repeat(200), &"é".repeat(200)), ("📮 <b>\"'", "📮 <b>\"'")]
    {
        let created = services.post("/api/integrations", &resend(sent)).await;
        assert_eq!(created.expect(201)["name"], kept);
    }
}

#[tokio::test]
async fn every_config_key_must_have_its_shape() {
    let app = TestApp::start().await;
    let services = app.services();
    let web3 = |changed: Value| {
        let mut config = json!({
            "address": app.demo.evm_address,
            "chainId": app.demo.evm_chain_id,
            "rpcUrl": app.demo.evm_rpc_url,
        });
        config.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        ("web3", config)
    };
    let webhook = |headers: Value| ("webhook", json!({ "url": app.demo.webhook_url, "headers": headers }));
    let cases = [
        ("address", web3(json!({ "address": "0x12" }))),
        ("address", web3(json!({ "address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD" }))),
        ("address", web3(json!({ "address": null }))),
        ("chainId", web3(json!({ "chainId": 0 }))),
        ("chainId", web3(json!({ "chainId": -1 }))),
        ("chainId", web3(json!({ "chainId": 1.5 }))),
        ("chainId", web3(json!({ "chainId": "0x1" }))),
        ("chainId", web3(json!({ "chainId": "" }))),
        ("rpcUrl", web3(json!({ "rpcUrl": "node.example" }))),
        ("rpcUrl", web3(json!({ "rpcUrl": "ftp://node.example" }))),
        ("rpcUrl", web3(json!({ "rpcUrl": "" }))),
        ("rpcUrl", web3(json!({ "rpcUrl": "http://169.254.169.254/latest" }))),
        ("url", ("webhook", json!({ "url": "http://127.0.0.1:1/" }))),
        ("url", ("webhook", json!({}))),
        ("method", ("webhook", json!({ "url": app.demo.webhook_url, "method": "GET" }))),
        ("headers", webhook(json!("X-Key: 1"))),
        ("headers", webhook(json!({ "X Key": "1" }))),
        ("headers", webhook(json!({ "X-Key": 1 }))),
        ("headers", webhook(json!({ "Host": "elsewhere.example" }))),
        ("headers", webhook(json!({ "X-Key": "1\r\nX-Other: 2" }))),
        ("apiKey", ("resend", json!({ "apiKey": "x".repeat(513) }))),
        ("apiKey", ("resend", json!({ "apiKey": "re_1\nre_2" }))),
        ("apiKey", ("resend", json!({ "apiKey": "   " }))),
        ("fromEmail", ("resend", json!({ "apiKey": "re_1", "fromEmail": "a@b" }))),
        ("webhookUrl", ("slack", json!({}))),
        ("webhookUrl", ("slack", json!({ "webhookUrl": app.demo.slack_webhook_url, "apiKey": "xoxb-1" }))),
    ];
    for (key, (kind, config)) in cases {
        let body = json!({ "name": "n", "type": kind, "config": config });
        let fields = services.post("/api/integrations", &body).await.expect(400)["fields"].take();
        let named: Vec<_> = fields.as_object().unwrap().keys().collect();
        assert_eq!(named, [&format!("config.{key}")], "{kind} {config}");
    }
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let mut body = resend("Mail");
    body["config"]["colour"] = json!("red");
    let before = stored(&app).await;
    let _ = app.services().post("/api/integrations", &body).await.expect(400);
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn an_error_does_not_repeat_what_was_sent_for_a_secret() {
    let app = TestApp::start().await;
    for key in [json!("secret-of-the-test\u{7}"), json!(["secret-of-the-test"]), json!({ "secret-of-the-test": 1 })] {
        let body = json!({ "name": "n", "type": "resend", "config": { "apiKey": key, "fromEmail": 1 } });
        let answer = app.services().post("/api/integrations", &body).await;
        let _ = answer.expect(400);
        assert!(!answer.text.contains("secret-of-the-test"), "{}", answer.text);
    }
}

#[tokio::test]
async fn the_answer_shows_the_integration_without_its_secrets() {
    let app = TestApp::start().await;
    let answer = app.services().post("/api/integrations", &resend("Ops mail")).await;
    assert_json_snapshot!(answer.expect(201), {
        ".id" => "[id]",
        ".createdAt" => "[time]",
        ".updatedAt" => "[time]",
    });
}

#[tokio::test]
async fn times_are_of_the_creation_in_utc_with_milliseconds() {
    let app = TestApp::start().await;
    app.clock.set("2026-07-01T12:00:00.0071Z".parse().unwrap());
    let body = app.services().post("/api/integrations", &resend("Ops mail")).await.expect(201);
    assert_eq!(body["createdAt"], "2026-07-01T12:00:00.007Z");
    assert_eq!(body["updatedAt"], "2026-07-01T12:00:00.007Z");
}

#[tokio::test]
async fn an_id_is_int_and_21_lower_case_letters_and_digits_and_is_never_given_twice() {
    let app = TestApp::start().await;
    let services = app.services();
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let id = connect(&services, &resend("the same name")).await;
        let rest = id.strip_prefix("int_").unwrap();
        assert_eq!(rest.len(), 21, "{id}");
        assert!(rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{id}");
        assert!(ids.insert(id));
    }
}

#[tokio::test]
async fn location_leads_to_the_integration() {
    let app = TestApp::start().await;
    let answer = app.services().post("/api/integrations", &resend("Ops mail")).await;
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(location, format!("/services/api/integrations/{}", id_of(&answer)));
    let path = location.strip_prefix("/services").unwrap();
    assert_eq!(app.services().get(path).await.expect(200)["id"], answer.json()["id"]);
}

#[tokio::test]
async fn every_type_can_be_connected_and_nobody_is_asked() {
    let app = TestApp::start().await;
    let services = app.services();
    let demo = &app.demo;
    let configs = BTreeMap::from([
        ("discord", json!({ "webhookUrl": demo.discord_webhook_url })),
        ("slack", json!({ "apiKey": demo.slack_bot_token, "channel": demo.slack_channel })),
        ("telegram", json!({ "botToken": demo.telegram_bot_token, "chatId": demo.telegram_chat_id })),
        ("sendgrid", json!({ "apiKey": demo.sendgrid_api_key, "fromEmail": "a@b.example", "region": "eu" })),
        ("resend", json!({ "apiKey": "no key of Resend's at all", "fromEmail": "Ops <a@b.example>" })),
        ("webhook", json!({ "url": demo.webhook_url, "method": "PUT", "headers": { "X-Key": "k" } })),
        ("web3", json!({ "address": demo.evm_address, "chainId": 1, "rpcUrl": demo.evm_rpc_url })),
        ("ai-gateway", json!({ "apiKey": demo.ai_gateway_api_key, "baseUrl": demo.openai_compatible_base_url })),
    ]);
    for (kind, config) in &configs {
        let created =
            services.post("/api/integrations", &json!({ "name": kind, "type": kind, "config": config })).await;
        let body = services.get(&format!("/api/integrations/{}", id_of(&created))).await.expect(200);
        assert_eq!((&body["config"], body["type"].as_str()), (config, Some(*kind)));
        let shown = created.json()["config"].as_object().unwrap().clone();
        let stored: Vec<_> =
            body["storedSecretKeys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        for (key, value) in config.as_object().unwrap() {
            assert_eq!(shown.get(key), (!stored.contains(&key.as_str())).then_some(value), "{kind} {key}");
        }
    }
    let fakes = &app.fakes;
    for host in [
        &fakes.discord.host,
        &fakes.slack.api,
        &fakes.telegram.host,
        &fakes.sendgrid.host,
        &fakes.sendgrid_eu.host,
        &fakes.resend.host,
        &fakes.webhook.host,
        &fakes.evm.host,
        &fakes.openai_compatible.host,
    ] {
        assert_eq!(host.requests().len(), 0);
    }
}

#[tokio::test]
async fn values_are_trimmed_and_a_chain_id_of_digits_becomes_a_number() {
    let app = TestApp::start().await;
    let config = json!({
        "address": format!(" {} ", app.demo.evm_address),
        "chainId": " 137 ",
        "rpcUrl": format!("{}\t", app.demo.evm_rpc_url),
    });
    let services = app.services();
    let id = connect(&services, &json!({ "name": "Treasury", "type": "web3", "config": config })).await;
    let body = services.get(&format!("/api/integrations/{id}")).await.expect(200);
    let kept = json!({ "address": app.demo.evm_address, "chainId": 137, "rpcUrl": app.demo.evm_rpc_url });
    assert_eq!(body["config"], kept);
}

#[tokio::test]
async fn a_webhooks_url_is_taken_under_its_other_name_too_but_not_under_both() {
    let app = TestApp::start().await;
    let services = app.services();
    let url = &app.demo.webhook_url;
    let body = |config: Value| json!({ "name": "Hook", "type": "webhook", "config": config });
    let created = services.post("/api/integrations", &body(json!({ "webhookUrl": url }))).await;
    assert_eq!(created.expect(201)["config"], json!({ "url": url }));
    let both = services.post("/api/integrations", &body(json!({ "webhookUrl": url, "url": url }))).await;
    assert_eq!(both.expect(400)["fields"].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn a_secret_is_in_secrets_manager_and_nowhere_else() {
    let app = TestApp::start().await;
    let id = connect(&app.services(), &resend("Ops mail")).await;
    assert_eq!(app.secret_names().await, [format!("causeway/acme/services/{id}")]);
    let secret = app.secrets.get_secret_value().secret_id(format!("causeway/acme/services/{id}")).send().await.unwrap();
    assert_eq!(secret.secret_string(), Some(r#"{"apiKey":"re_of_the_operations_team"}"#));
    let items = app.all_items().await;
    assert!(items.contains("ops@sandbox.example") && !items.contains("re_of_the_operations_team"), "{items}");
    assert!(!kit::logs::all().contains("re_of_the_operations_team"));
}

#[tokio::test]
async fn nothing_secret_means_no_secret() {
    let app = TestApp::start().await;
    let services = app.services();
    let created = services.post("/api/integrations", &bare_webhook(&app, "Hook")).await;
    assert_eq!(created.expect(201)["storedSecretKeys"], json!([]));
    assert_eq!(app.secret_names().await, [""; 0]);
    assert!(item(&app, "acme", &id_of(&created)).await.is_some());
    assert_eq!(app.proxy.calls().iter().filter(|call| call.operation.contains("Secret")).count(), 0);
}
