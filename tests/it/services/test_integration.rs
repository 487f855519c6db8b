//! `POST /api/integrations/{integrationId}/test`.

use fakes::Fault;
use fakes::slack::SlackRefusal;
use fakes::webhook::WebhookEndpoint;
use kit::TestApp;
use reqwest::Method;
use serde_json::{Value, json};
use shared::auth::Permission;

use super::fixtures::{CHANNELS, client, config, count_items, create, read, received, test, with};

fn path(id: &str) -> String {
    format!("/api/integrations/{id}/test")
}

#[tokio::test]
async fn an_integration_that_does_not_exist_or_is_somebody_elses_cannot_be_tested() {
    let app = TestApp::start().await;
    let id = create(&app, "resend", &config(&app, "resend")).await;
    let stranger = app.services_as(&app.tenant("globex").tokens.admin);
    for (client, path) in
        [(app.services(), path("int_000000000000000000000")), (app.services(), path("nothing")), (stranger, path(&id))]
    {
        let body = client.post_empty(&path).await.expect(404);
        assert_eq!((&body["error"], &body["detail"]), (&json!("not_found"), &json!("Integration not found.")));
    }
    assert!(app.fakes.resend.host.requests().is_empty(), "nobody was asked");
    assert!(read(&app, &id).await.get("lastTest").is_none());
}

#[tokio::test]
async fn a_token_that_may_only_read_cannot_test() {
    let app = TestApp::start().await;
    let id = create(&app, "resend", &config(&app, "resend")).await;
    let reader = app.services_as(&app.tenant("acme").tokens.read_only);
    let body = reader.post_empty(&path(&id)).await.expect(403);
    assert_eq!((&body["error"], &body["required_scope"]), (&json!("insufficient_scope"), &json!("services:write")));
    assert!(app.fakes.resend.host.requests().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn what_is_wrong_with_the_body_is_named() {
    let app = TestApp::start().await;
    let id = create(&app, "sendgrid", &config(&app, "sendgrid")).await;
    for (body, field, told) in [
        (json!({ "configOverrides": "apiKey" }), "configOverrides", "must be an object"),
        (json!({ "configOverrides": null }), "configOverrides", "must be an object"),
        (json!({ "configOverrides": { "colour": "red" } }), "configOverrides.colour", "apiKey, fromEmail, region"),
        (json!({ "configOverrides": { "region": "mars" } }), "configOverrides.region", "global, eu"),
        (json!({ "configOverrides": { "apiKey": 5 } }), "configOverrides.apiKey", "must be text"),
        (json!({ "configOverrides": { "apiKey": null } }), "configOverrides.apiKey", "is missing"),
        (json!({ "sendPing": "yes" }), "sendPing", "true or false"),
        (json!({ "config": {} }), "config", "the fields are configOverrides, sendPing"),
    ] {
        let answer = app.services().post(&path(&id), &body).await.expect(400);
        assert_eq!(answer["error"], "invalid_input", "{body}");
        let message = answer["fields"][field].as_str().unwrap_or_else(|| panic!("{field} in {answer}"));
        assert!(message.contains(told), "{body}: {message}");
    }
    let text = app.services().header("content-type", "text/plain").send(Method::POST, &path(&id), "{}").await;
    assert_eq!(text.expect(415)["error"], "unsupported_media_type");
    assert!(app.fakes.sendgrid.host.requests().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_credential_that_works_is_a_success_in_the_documented_words() {
    let app = TestApp::start().await;
    for kind in ["discord", "slack", "telegram", "sendgrid", "resend", "webhook", "web3", "ai-gateway"] {
        let id = create(&app, kind, &config(&app, kind)).await;
        app.advance(1);
        let report = test(&app, &id).await;
        let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["status", "message", "verdict", "latencyMs", "checkedAt"], "{kind}");
        assert_eq!(report["status"], "success", "{kind}: {report}");
        assert_eq!(report["message"], "Integration test successful", "{kind}");
        assert_eq!(report["verdict"], "valid", "{kind}");
        assert!(report["latencyMs"].is_u64(), "{kind}: {report}");
        let now = app.platform.ids.now();
        assert_eq!(report["checkedAt"], format!("{now:.3}"), "{kind}");
        let last = json!({ "verdict": "valid", "message": report["message"], "checkedAt": report["checkedAt"] });
        assert_eq!(read(&app, &id).await["lastTest"], last, "{kind}");
    }
}

#[tokio::test]
async fn a_bad_credential_is_still_an_answer_with_status_200() {
    let app = TestApp::start().await;
    let id = create(&app, "resend", &json!({ "apiKey": "re_wrong" })).await;
    let answer = app.services().post_empty(&path(&id)).await;
    let report = answer.expect(200);
    assert_eq!((&report["status"], &report["verdict"]), (&json!("error"), &json!("invalid")));
    let message = report["message"].as_str().unwrap();
    assert!(message.contains("Create a new key"), "it says what to do: {message}");
    assert!(!answer.text.contains("re_wrong"), "{}", answer.text);
}

#[tokio::test]
async fn a_limit_is_a_success_whose_message_tells_it() {
    let app = TestApp::start().await;
    app.fakes.sendgrid.add_key(&app.demo.sendgrid_api_key, &["alerts.read"]);
    let id = create(&app, "sendgrid", &config(&app, "sendgrid")).await;
    let report = test(&app, &id).await;
    assert_eq!((&report["status"], &report["verdict"]), (&json!("success"), &json!("limited")));
    assert!(report["message"].as_str().unwrap().contains("mail.send"), "{report}");
    assert_eq!(read(&app, &id).await["needsAttention"], false);
}

#[tokio::test]
async fn what_could_not_be_judged_is_an_error_that_says_so() {
    let app = TestApp::start().await;
    let id = create(&app, "resend", &config(&app, "resend")).await;
    app.fakes.resend.throttle(1, 1);
    let report = test(&app, &id).await;
    assert_eq!((&report["status"], &report["verdict"]), (&json!("error"), &json!("inconclusive")));
    assert!(report["message"].as_str().unwrap().contains("The credential was not judged"), "{report}");
    let stored = read(&app, &id).await;
    assert_eq!((&stored["needsAttention"], &stored["lastTest"]["verdict"]), (&json!(false), &json!("inconclusive")));
}

#[tokio::test]
async fn only_a_confirmed_invalid_asks_for_attention_and_only_a_success_takes_it_back() {
    let app = TestApp::start().await;
    let bot = json!({ "apiKey": app.demo.slack_bot_token });
    let id = create(&app, "slack", &bot).await;
    let mut seen = Vec::new();
    let _ = test(&app, &id).await;
    seen.push(read(&app, &id).await["needsAttention"].clone());
    app.fakes.slack.refuse_token(&app.demo.slack_bot_token, SlackRefusal::Revoked);
    let _ = test(&app, &id).await;
    seen.push(read(&app, &id).await["needsAttention"].clone());
    app.fakes.slack.throttle(1, 1);
    assert_eq!(test(&app, &id).await["verdict"], "inconclusive");
    seen.push(read(&app, &id).await["needsAttention"].clone());
    app.fakes.slack.add_bot(fakes::slack::SlackBot::new(&app.demo.slack_bot_token));
    let _ = test(&app, &id).await;
    seen.push(read(&app, &id).await["needsAttention"].clone());
    assert_eq!(seen, [false, true, true, false]);
}

#[tokio::test]
async fn no_body_an_empty_one_and_an_empty_object_test_what_is_stored() {
    let app = TestApp::start().await;
    let id = create(&app, "resend", &config(&app, "resend")).await;
    let services = app.services();
    for answer in [
        services.post_empty(&path(&id)).await,
        services.clone().header("content-type", "application/json").post_empty(&path(&id)).await,
        services.clone().header("content-type", "text/plain").send(Method::POST, &path(&id), " \n").await,
        services.send(Method::POST, &path(&id), reqwest::Body::from("")).await,
        services.post(&path(&id), &json!({})).await,
        services.post(&path(&id), &json!({ "configOverrides": {} })).await,
    ] {
        assert_eq!(answer.expect(200)["verdict"], "valid");
    }
    assert_eq!(app.fakes.resend.host.calls("/domains"), 6);
}

#[tokio::test]
async fn overrides_are_laid_over_what_is_stored_and_never_saved() {
    let app = TestApp::start().await;
    let id = create(&app, "resend", &json!({ "apiKey": "re_wrong", "fromEmail": app.demo.resend_from_email })).await;
    let (before, items) = (read(&app, &id).await, count_items(&app).await);
    let overrides = json!({ "configOverrides": { "apiKey": app.demo.resend_api_key } });
    let report = app.services().post(&path(&id), &overrides).await.expect(200);
    assert_eq!((&report["status"], &report["verdict"]), (&json!("success"), &json!("valid")));
    let domains = json!({ "configOverrides": { "apiKey": app.demo.resend_api_key, "fromEmail": "a@other.example" } });
    assert_eq!(app.services().post(&path(&id), &domains).await.expect(200)["verdict"], "limited");
    assert_eq!(read(&app, &id).await, before);
    assert_eq!((count_items(&app).await, app.secret_names().await.len()), (items, 1));
    assert_eq!(test(&app, &id).await["verdict"], "invalid", "the stored key is still the wrong one");
}

#[tokio::test]
async fn a_test_with_overrides_moves_neither_the_last_test_nor_the_need_for_attention() {
    let app = TestApp::start().await;
    let (good, bad) = (json!({ "apiKey": app.demo.resend_api_key }), json!({ "apiKey": "re_wrong" }));
    for (stored, other) in [(&good, &bad), (&bad, &good)] {
        let id = create(&app, "resend", stored).await;
        let _ = test(&app, &id).await;
        let before = read(&app, &id).await;
        app.advance(60);
        let report = app.services().post(&path(&id), &json!({ "configOverrides": other })).await.expect(200);
        assert_ne!(report["verdict"], before["lastTest"]["verdict"]);
        assert_eq!(read(&app, &id).await, before);
    }
}

#[tokio::test]
async fn an_empty_secret_among_the_overrides_means_the_stored_one() {
    let app = TestApp::start().await;
    let id = create(&app, "resend", &json!({ "apiKey": app.demo.resend_api_key })).await;
    let form = json!({ "configOverrides": { "apiKey": "", "fromEmail": app.demo.resend_from_email } });
    assert_eq!(app.services().post(&path(&id), &form).await.expect(200)["verdict"], "valid");
    let only_empty = json!({ "configOverrides": { "apiKey": "" } });
    assert_eq!(app.services().post(&path(&id), &only_empty).await.expect(200)["verdict"], "valid");
    assert_eq!(read(&app, &id).await["lastTest"]["verdict"], "valid", "nothing was overridden, so it counts");
}

#[tokio::test]
async fn an_override_of_null_takes_a_key_away() {
    let app = TestApp::start().await;
    let id = create(&app, "slack", &config(&app, "slack")).await;
    let as_bot = json!({ "webhookUrl": null, "apiKey": app.demo.slack_bot_token });
    let report = app.services().post(&path(&id), &json!({ "configOverrides": as_bot })).await.expect(200);
    assert_eq!(report["verdict"], "valid");
    assert_eq!((app.fakes.slack.api.calls("auth.test"), app.fakes.slack.hooks.calls("/")), (1, 0));
    assert_eq!(read(&app, &id).await["storedSecretKeys"], json!(["webhookUrl"]));
}

/// Who chooses where a secret is sent to can read it there.
#[tokio::test]
async fn a_stored_secret_is_tried_at_another_address_only_for_who_may_see_it() {
    let app = TestApp::start().await;
    let editor = client(&app, "acme", &[Permission::ServicesRead, Permission::ServicesWrite]).await;
    let elsewhere = app.fakes.webhook.add_endpoint(WebhookEndpoint::new("/elsewhere"));
    let hook =
        json!({ "url": app.demo.webhook_url, "headers": { "X-Key": "stored-secret" }, "signingSecret": "stored" });
    let gateway = config(&app, "ai-gateway");
    let moved_hook = json!({ "url": elsewhere });
    let moved_gateway = json!({ "baseUrl": app.demo.openai_compatible_base_url });
    let form = with(moved_hook.clone(), json!({ "headers": "", "signingSecret": " " }));
    let new_header = with(moved_hook.clone(), json!({ "headers": { "X-Key": "of the caller's own" } }));
    for (kind, stored, overrides, again) in [
        ("webhook", &hook, &moved_hook, &["headers", "signingSecret"][..]),
        ("webhook", &hook, &form, &["headers", "signingSecret"]),
        ("webhook", &hook, &new_header, &["signingSecret"]),
        ("ai-gateway", &gateway, &moved_gateway, &["apiKey"]),
    ] {
        let id = create(&app, kind, stored).await;
        let body = json!({ "configOverrides": overrides, "sendPing": true });
        let fields = editor.post(&path(&id), &body).await.expect(400)["fields"].take();
        let named: Vec<_> = fields.as_object().unwrap().keys().cloned().collect();
        let expected: Vec<String> = again.iter().map(|name| format!("configOverrides.{name}")).collect();
        assert_eq!(named, expected, "{kind} {overrides}");
        assert!(fields[&expected[0]].as_str().unwrap().contains("must be given again"), "{fields}");
    }
    assert!(app.fakes.webhook.host.requests().is_empty(), "nobody was asked");
    assert!(app.fakes.openai_compatible.host.requests().is_empty(), "nobody was asked");

    // Given again or taken away; another key, or the same address once more; and for who may see it.
    let id = create(&app, "webhook", &hook).await;
    let own = with(new_header, json!({ "signingSecret": null }));
    let method = json!({ "url": app.demo.webhook_url, "method": "PUT" });
    for (client, overrides) in [(&editor, &own), (&editor, &method), (&app.services(), &moved_hook)] {
        let report = client.post(&path(&id), &json!({ "configOverrides": overrides })).await.expect(200);
        assert_eq!(report["verdict"], "valid", "{overrides}");
    }
    let body = json!({ "configOverrides": own, "sendPing": true });
    assert_eq!(editor.post(&path(&id), &body).await.expect(200)["verdict"], "valid");
    let pinged = app.fakes.webhook.host.requests().pop().unwrap();
    assert_eq!((pinged.path.as_str(), pinged.header("x-key")), ("/elsewhere", Some("of the caller's own")));
}

#[tokio::test]
async fn a_change_of_the_config_forgets_the_last_test() {
    let app = TestApp::start().await;
    let id = create(&app, "resend", &json!({ "apiKey": "re_wrong" })).await;
    let _ = test(&app, &id).await;
    assert_eq!(read(&app, &id).await["needsAttention"], true);
    let change = json!({ "config": { "apiKey": app.demo.resend_api_key } });
    let _ = app.services().put(&format!("/api/integrations/{id}"), &change).await.expect(200);
    let changed = read(&app, &id).await;
    assert_eq!((changed.get("lastTest"), &changed["needsAttention"]), (None, &Value::Bool(false)));
}

#[tokio::test]
async fn nobody_at_the_other_end_notices_a_test() {
    let app = TestApp::start().await;
    let mut configs: Vec<_> = CHANNELS.iter().map(|&kind| (kind, config(&app, kind))).collect();
    configs.push(("slack", json!({ "apiKey": app.demo.slack_bot_token, "channel": app.demo.slack_channel })));
    for (kind, config) in configs {
        let id = create(&app, kind, &config).await;
        assert_eq!(test(&app, &id).await["verdict"], "valid", "{kind}");
    }
    assert_eq!(received(&app), 0);
}

#[tokio::test]
async fn a_ping_is_sent_only_when_it_is_asked_for() {
    let app = TestApp::start().await;
    let id = create(&app, "webhook", &config(&app, "webhook")).await;
    for body in [json!({}), json!({ "sendPing": false })] {
        assert_eq!(app.services().post(&path(&id), &body).await.expect(200)["verdict"], "valid");
        assert!(app.fakes.webhook.deliveries().is_empty(), "{body}");
    }
    assert_eq!(app.services().post(&path(&id), &json!({ "sendPing": true })).await.expect(200)["verdict"], "valid");
    let [ping] = app.fakes.webhook.messages().try_into().unwrap();
    let event: Value = serde_json::from_slice(&ping.body).unwrap();
    assert_eq!(event["type"], "integration.test");
}

#[tokio::test]
async fn a_ping_of_a_channel_that_cannot_be_pinged_unseen_is_just_a_test() {
    let app = TestApp::start().await;
    for kind in CHANNELS.iter().copied().filter(|kind| *kind != "webhook") {
        let id = create(&app, kind, &config(&app, kind)).await;
        let report = app.services().post(&path(&id), &json!({ "sendPing": true })).await.expect(200);
        assert_eq!(report["verdict"], "valid", "{kind}");
    }
    assert_eq!(received(&app), 0);
}

#[tokio::test]
async fn the_same_idempotency_key_gets_the_first_report_without_asking_again() {
    let app = TestApp::start().await;
    let id = create(&app, "resend", &config(&app, "resend")).await;
    let client = app.services().header("idempotency-key", "test-1");
    let first = client.post_empty(&path(&id)).await;
    app.fakes.resend.revoke_key(&app.demo.resend_api_key);
    let second = client.post_empty(&path(&id)).await;
    assert_eq!((second.status, &second.text), (first.status, &first.text));
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(app.fakes.resend.host.calls("/domains"), 1);
}

#[tokio::test]
async fn a_ping_under_the_same_key_is_one_ping() {
    let app = TestApp::start().await;
    let id = create(&app, "webhook", &config(&app, "webhook")).await;
    let client = app.services().header("idempotency-key", "ping-1");
    for _ in 0..2 {
        let _ = client.post(&path(&id), &json!({ "sendPing": true })).await.expect(200);
    }
    assert_eq!(app.fakes.webhook.deliveries().len(), 1);
}

#[tokio::test]
async fn a_test_that_lost_its_first_answer_asks_again() {
    let app = TestApp::start().await;
    let id = create(&app, "discord", &config(&app, "discord")).await;
    app.fakes.discord.host.faults().next(1, Fault::LoseAnswer);
    assert_eq!(test(&app, &id).await["verdict"], "valid");
    assert_eq!(app.fakes.discord.host.requests().len(), 2);
}
