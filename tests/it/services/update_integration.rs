//! `PUT /api/integrations/{integrationId}`.

use insta::assert_json_snapshot;
use kit::{Client, TestApp};
use serde_json::{Value, json};
use shared::auth::Permission;

use super::fixtures::{NOBODYS, bare_webhook, client, connect, item, resend, sendgrid, stored};

/// Connects what `body` says, and gives the path.
async fn connected_at(services: &Client, body: &Value) -> String {
    format!("/api/integrations/{}", connect(services, body).await)
}

#[tokio::test]
async fn what_is_not_there_cannot_be_changed() {
    let app = TestApp::start().await;
    for body in [json!({ "name": "new" }), json!({ "name": 1, "colour": 2 }), json!({})] {
        let answer = app.services().put(&format!("/api/integrations/{NOBODYS}"), &body).await;
        assert_eq!(answer.expect(404)["error"], "not_found");
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_named_and_nothing_is_changed() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &sendgrid("Mail")).await;
    let before = stored(&app).await;
    let config = json!({ "region": "asia", "fromEmail": 5, "apiKey": {}, "colour": "red" });
    let body = json!({ "name": "", "config": config, "type": "slack", "isManaged": true });
    let answer = services.put(&path, &body).await;
    assert_json_snapshot!(answer.expect(400), { ".request_id" => "[request id]" });
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_null_is_no_name_and_no_config() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &resend("Mail")).await;
    let fields = services.put(&path, &json!({ "name": null, "config": null })).await.expect(400)["fields"].take();
    assert_eq!(fields, json!({ "config": "must be an object", "name": "must be text of 1 to 200 characters" }));
}

#[tokio::test]
async fn the_type_cannot_change_but_may_be_repeated() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &resend("Mail")).await;
    for other in [json!("sendgrid"), json!("Resend"), json!(null), json!(1)] {
        let fields = services.put(&path, &json!({ "type": other })).await.expect(400)["fields"].take();
        assert_eq!(fields, json!({ "type": "must be resend: the type of an integration cannot change" }), "{other}");
    }
    let body = services.put(&path, &json!({ "type": "resend", "name": "Post" })).await.expect(200);
    assert_eq!((&body["type"], &body["name"]), (&json!("resend"), &json!("Post")));
}

#[tokio::test]
async fn a_required_key_cannot_be_taken_away() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &resend("Mail")).await;
    let before = stored(&app).await;
    let fields = services.put(&path, &json!({ "config": { "apiKey": null } })).await.expect(400)["fields"].take();
    assert_eq!(fields, json!({ "config.apiKey": "is missing: text of 1 to 512 characters" }));
    let hook = connected_at(&services, &bare_webhook(&app, "Hook")).await;
    let fields = services.put(&hook, &json!({ "config": { "webhookUrl": null } })).await.expect(400)["fields"].take();
    assert_eq!(fields, json!({ "config.url": "is missing: an http or https URL" }));
    assert!(stored(&app).await.is_superset(&before));
}

#[tokio::test]
async fn an_address_that_may_not_be_reached_is_refused() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &bare_webhook(&app, "Hook")).await;
    app.names.set("inside.example", &["10.0.0.1".parse().unwrap()]);
    for url in ["http://10.0.0.1/", "https://[::1]/", "https://inside.example/hook"] {
        let fields = services.put(&path, &json!({ "config": { "url": url } })).await.expect(400)["fields"].take();
        assert_eq!(fields.as_object().unwrap().keys().collect::<Vec<_>>(), ["config.url"], "{url}");
    }
    assert_eq!(services.get(&path).await.expect(200)["config"]["url"], app.demo.webhook_url);
}

/// Who chooses where a secret is sent to can read it there.
#[tokio::test]
async fn a_stored_secret_goes_to_another_address_only_with_who_may_see_it() {
    let app = TestApp::start().await;
    let owner = app.services();
    let editor = client(&app, "acme", &[Permission::ServicesRead, Permission::ServicesWrite]).await;
    let (key, other) = (json!({ "X-Key": "of the hook" }), json!({ "X-Key": "of the editor" }));
    let hook = json!({ "url": "https://one.example/hook", "headers": key, "signingSecret": "kept" });
    let gateway = json!({ "baseUrl": "https://one.example/v1", "apiKey": "sk-stored" });
    for (kind, config, change, again) in [
        ("webhook", &hook, json!({ "url": "https://two.example/hook" }), &["headers", "signingSecret"][..]),
        (
            "webhook",
            &hook,
            json!({ "webhookUrl": "https://one.example/hook/2", "headers": "" }),
            &["headers", "signingSecret"],
        ),
        ("webhook", &hook, json!({ "url": "http://one.example/hook", "headers": other }), &["signingSecret"]),
        ("ai-gateway", &gateway, json!({ "baseUrl": "https://two.example/v1" }), &["apiKey"]),
        ("ai-gateway", &gateway, json!({ "baseUrl": null }), &["apiKey"]),
    ] {
        let path = connected_at(&owner, &json!({ "name": "One", "type": kind, "config": config })).await;
        let before = stored(&app).await;
        let fields = editor.put(&path, &json!({ "config": change })).await.expect(400)["fields"].take();
        let named: Vec<_> = fields.as_object().unwrap().keys().cloned().collect();
        assert_eq!(named, again.iter().map(|name| format!("config.{name}")).collect::<Vec<_>>(), "{kind} {change}");
        assert!(fields[&named[0]].as_str().unwrap().contains("must be given again"), "{fields}");
        assert_eq!(stored(&app).await, before);
        let _ = owner.put(&path, &json!({ "config": change })).await.expect(200);
    }

    let path = connected_at(&owner, &json!({ "name": "One", "type": "webhook", "config": hook })).await;
    for change in [
        json!({ "url": "https://one.example:443/hook", "method": "PUT" }),
        json!({ "url": "https://two.example/hook", "headers": other, "signingSecret": null }),
        json!({ "url": "https://three.example/hook", "headers": null }),
        json!({ "url": "https://four.example/hook" }),
    ] {
        let _ = editor.put(&path, &json!({ "config": change })).await.expect(200);
    }
    let node = json!({ "address": app.demo.evm_address, "chainId": 1, "rpcUrl": "https://one.example/v3/key" });
    let path = connected_at(&owner, &json!({ "name": "Node", "type": "web3", "config": node })).await;
    let _ = editor.put(&path, &json!({ "config": { "rpcUrl": "https://two.example/v3/other" } })).await.expect(200);
}

#[tokio::test]
async fn config_merges_over_the_stored_one() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &sendgrid("Mail")).await;
    app.advance(60);
    let answer = services.put(&path, &json!({ "name": "Post", "config": { "region": "eu" } })).await;
    assert_json_snapshot!(answer.expect(200), {
        ".id" => "[id]",
        ".createdAt" => "[time]",
        ".updatedAt" => "[time]",
    });
    let body = services.get(&path).await.expect(200);
    let merged = json!({ "apiKey": "SG.of.the.team", "fromEmail": "ops@sandbox.example", "region": "eu" });
    assert_eq!((&body["config"], body["name"].as_str()), (&merged, Some("Post")));
}

#[tokio::test]
async fn a_new_secret_takes_the_old_ones_place_and_is_not_shown_in_the_answer() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &resend("Mail")).await;
    let answer = services.put(&path, &json!({ "config": { "apiKey": "re_the_new_one" } })).await;
    assert_eq!(answer.expect(200)["storedSecretKeys"], json!(["apiKey"]));
    assert!(!answer.text.contains("re_the_new_one"), "{}", answer.text);
    assert_eq!(services.get(&path).await.expect(200)["config"]["apiKey"], "re_the_new_one");
    let id = path.rsplit('/').next().unwrap();
    let name = format!("causeway/acme/services/{id}");
    assert_eq!(app.secret_names().await, [name.as_str()]);
    let current = app.secrets.get_secret_value().secret_id(name).send().await.unwrap();
    assert_eq!(current.secret_string(), Some(r#"{"apiKey":"re_the_new_one"}"#));
}

#[tokio::test]
async fn an_empty_secret_keeps_the_stored_one() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &resend("Mail")).await;
    for empty in ["", "  "] {
        let body = json!({ "name": "Post", "config": { "apiKey": empty, "fromEmail": "new@sandbox.example" } });
        let _ = services.put(&path, &body).await.expect(200);
        let config = services.get(&path).await.expect(200)["config"].take();
        assert_eq!(config, json!({ "apiKey": "re_of_the_operations_team", "fromEmail": "new@sandbox.example" }));
    }
    let fields = services.put(&path, &json!({ "config": { "fromEmail": "" } })).await.expect(400)["fields"].take();
    assert_eq!(fields, json!({ "config.fromEmail": "must be an e-mail address, or `Name <address>`" }));
}

#[tokio::test]
async fn a_null_takes_a_key_away_and_one_that_is_not_there_is_as_good_as_taken() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &sendgrid("Mail")).await;
    for _ in 0..2 {
        let body = services.put(&path, &json!({ "config": { "fromEmail": null, "region": null } })).await.expect(200);
        assert_eq!(body["config"], json!({}));
    }
    assert_eq!(services.get(&path).await.expect(200)["config"], json!({ "apiKey": "SG.of.the.team" }));
}

#[tokio::test]
async fn what_one_key_rules_out_can_be_changed_together() {
    let app = TestApp::start().await;
    let services = app.services();
    let config = json!({ "webhookUrl": app.demo.slack_webhook_url });
    let path = connected_at(&services, &json!({ "name": "Chat", "type": "slack", "config": config })).await;
    let token = &app.demo.slack_bot_token;
    let both = services.put(&path, &json!({ "config": { "apiKey": token } })).await;
    assert_eq!(both.expect(400)["fields"].as_object().unwrap().keys().collect::<Vec<_>>(), ["config.webhookUrl"]);
    let body = services.put(&path, &json!({ "config": { "webhookUrl": null, "apiKey": token } })).await.expect(200);
    assert_eq!(body["storedSecretKeys"], json!(["apiKey"]));
    assert_eq!(services.get(&path).await.expect(200)["config"], json!({ "apiKey": token }));
}

#[tokio::test]
async fn the_secret_comes_with_the_first_secret_key_and_goes_with_the_last() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &bare_webhook(&app, "Hook")).await;
    let headers = json!({ "X-Key": "of the hook" });
    for _ in 0..2 {
        let body = services.put(&path, &json!({ "config": { "headers": headers } })).await.expect(200);
        assert_eq!(body["storedSecretKeys"], json!(["headers"]));
        assert_eq!(app.secret_names().await.len(), 1);
        assert_eq!(services.get(&path).await.expect(200)["config"]["headers"], headers);
        let body = services.put(&path, &json!({ "config": { "headers": null } })).await.expect(200);
        assert_eq!(body["storedSecretKeys"], json!([]));
        assert_eq!(app.secret_names().await, [""; 0]);
        assert_eq!(services.get(&path).await.expect(200)["config"], json!({ "url": app.demo.webhook_url }));
    }
}

#[tokio::test]
async fn updated_at_moves_only_with_a_change() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &sendgrid("Mail")).await;
    let created = services.get(&path).await.expect(200);
    let before = stored(&app).await;
    for same in [
        json!({}),
        json!({ "config": {} }),
        json!({ "name": " Mail " }),
        json!({ "config": { "apiKey": "SG.of.the.team", "region": "global" } }),
        json!({ "config": { "apiKey": "" } }),
    ] {
        app.advance(1);
        let body = services.put(&path, &same).await.expect(200);
        assert_eq!((&body["updatedAt"], &body["name"]), (&created["createdAt"], &json!("Mail")), "{same}");
    }
    assert_eq!(stored(&app).await, before);
    let body = services.put(&path, &json!({ "name": "Post" })).await.expect(200);
    assert_eq!(body["createdAt"], "2026-05-28T20:26:40.000Z");
    assert_eq!(body["updatedAt"], "2026-05-28T20:26:45.000Z");
}

#[tokio::test]
async fn a_new_name_touches_no_secret_and_keeps_the_last_test() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &resend("Mail")).await;
    let _ = services.post_empty(&format!("{path}/test")).await.expect(200);
    let id = path.rsplit('/').next().unwrap();
    let secret = item(&app, "acme", id).await.unwrap()["secret"].clone();
    let body = services.put(&path, &json!({ "name": "Post" })).await.expect(200);
    assert_eq!((&body["lastTest"]["verdict"], &body["needsAttention"]), (&json!("invalid"), &json!(true)));
    assert_eq!(item(&app, "acme", id).await.unwrap()["secret"], secret);
}

#[tokio::test]
async fn a_changed_config_has_not_been_tested() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &resend("Mail")).await;
    let _ = services.post_empty(&format!("{path}/test")).await.expect(200);
    assert_eq!(services.get(&path).await.expect(200)["needsAttention"], true);
    let body = services.put(&path, &json!({ "config": { "apiKey": app.demo.resend_api_key } })).await.expect(200);
    assert_eq!((body.get("lastTest"), &body["needsAttention"]), (None, &json!(false)));
}

#[tokio::test]
async fn the_credential_is_not_tested_by_a_change() {
    let app = TestApp::start().await;
    let services = app.services();
    let path = connected_at(&services, &resend("Mail")).await;
    let _ = services.put(&path, &json!({ "config": { "apiKey": "no key at all" } })).await.expect(200);
    assert_eq!(app.fakes.resend.host.requests().len(), 0);
}
