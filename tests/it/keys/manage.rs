//! Creating, changing, rotating, deleting; who may.

use fakes::ai::{AiKey, Condition};
use fakes::{Answer, Fault};
use futures::future::join_all;
use http::{Method, StatusCode};
use kit::TestApp;
use kit::fault_proxy::Fault as ProxyFault;
use serde_json::{Value, json};

use super::{PATH, acquire, body, create, get, report};

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told_by_field() {
    let app = TestApp::start().await;
    let keys = app.keys();
    for (change, loc) in [
        (json!({ "provider_name": "No" }), json!(["body", "provider_name"])),
        (json!({ "credentials": "sk-secret" }), json!(["body", "credentials"])),
        (json!({ "credentials": {} }), json!(["body", "credentials", "api_key"])),
        (json!({ "credentials": { "api_key": 5 } }), json!(["body", "credentials", "api_key"])),
        (json!({ "credentials": { "api_key": "sk-1", "key": "sk-2" } }), json!(["body", "credentials", "key"])),
        (json!({ "daily_limit": 0 }), json!(["body", "daily_limit"])),
        (json!({ "minute_limit": 1.5 }), json!(["body", "minute_limit"])),
        (json!({ "priority": 10_000 }), json!(["body", "priority"])),
        (json!({ "spend_limit_amount": -1 }), json!(["body", "spend_limit_amount"])),
        (json!({ "spend_limit_amount": 5e-324 }), json!(["body", "spend_limit_amount"])),
        (json!({ "spend_limit_period": "daily" }), json!(["body", "spend_limit_amount"])),
        (json!({ "spend_limit_amount": 1, "spend_limit_action": "stop" }), json!(["body", "spend_limit_action"])),
        (json!({ "base_url": "http://10.0.0.1/v1" }), json!(["body", "base_url"])),
        (json!({ "base_url": "https://gateway.example/v1?api-key=sk-secret" }), json!(["body", "base_url"])),
        (json!({ "unheard_of": 1 }), json!(["body", "unheard_of"])),
    ] {
        let answer = keys.post(PATH, &body(&app, "one", "sk-0123456789abcdef", &change)).await;
        let told = answer.expect(422);
        assert_eq!(told["detail"][0]["loc"], loc, "{told}");
        assert!(!answer.text.contains("sk-"), "{told}");
    }
    let told = keys.send(Method::POST, PATH, "{").await;
    assert_eq!(told.status, 415);
    let unknown = json!({ "provider_name": "one", "credentials": { "api_key": "sk-0123456789abcdef" } });
    assert_eq!(keys.post(PATH, &unknown).await.expect(422)["detail"][0]["loc"], json!(["body", "provider_name"]));
    assert_eq!(keys.get(PATH).await.expect(200)["total"], 0);
    assert!(app.secret_names().await.is_empty());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_told_so() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let label = "x".repeat(256 * 1024);
    let told =
        keys.post(PATH, &body(&app, "one", "sk-0123456789abcdef", &json!({ "key_label": label }))).await.expect(413);
    let told = (&told["error"], &told["detail"]);
    assert_eq!(told, (&json!("The request is too large"), &json!("The body is larger than 262144 bytes.")));
}

#[tokio::test]
async fn a_key_that_its_provider_refuses_is_not_saved_and_one_that_was_not_judged_is() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let wanted = body(&app, "one", "sk-0123456789abcdef", &json!({}));
    app.fakes.openai_compatible.revoke_key("sk-0123456789abcdef");
    let refused = keys.post(PATH, &wanted).await.expect(400);
    assert_eq!(refused["success"], false);
    app.fakes.openai_compatible.throttle(1, 5);
    let created = keys.post(PATH, &wanted).await;
    assert_eq!(created.expect(201)["integration"]["id"], 1);
    assert_eq!(created.header("location"), Some("/keys/api/v1/integrations/1"));
}

#[tokio::test]
async fn an_address_without_the_providers_call_condemns_no_key() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let nothing = json!({ "type": "error", "error": { "type": "not_found_error", "message": "Not found" } });
    app.fakes.openai_compatible.host.faults().all(Fault::Answer(Answer::status(404).json(&nothing)));
    let wanted = body(&app, "anthropic", "sk-ant-0123456789abcdef", &json!({}));
    let created = keys.post(PATH, &wanted).await.expect(201)["integration"].clone();
    let tested = keys.post_empty(&format!("{PATH}/{}/test", created["id"])).await.expect(200);
    assert_eq!(
        (&tested["verdict"], &tested["integration"]["health_status"]),
        (&json!("inconclusive"), &json!("healthy"))
    );
    assert!(tested["message"].as_str().unwrap().contains("base_url"), "{tested}");
}

#[tokio::test]
async fn a_change_keeps_what_it_does_not_name() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let more =
        json!({ "key_label": "First", "daily_limit": 5, "spend_limit_amount": 9, "spend_limit_action": "block" });
    let id = create(&app, "one", "sk-0123456789abcdef", more).await;
    app.advance(10);
    let path = format!("{PATH}/{id}");
    let change = json!({ "priority": 3, "daily_limit": null, "spend_limit_period": "daily", "is_active": false });
    let changed = keys.patch(&path, &change).await.expect(200)["integration"].clone();
    for (field, value) in [
        ("key_label", json!("First")),
        ("priority", json!(3)),
        ("daily_limit", Value::Null),
        ("spend_limit_amount", json!(9.0)),
        ("spend_limit_period", json!("daily")),
        ("spend_limit_action", json!("block")),
        ("is_active", json!(false)),
        ("updated_at", json!("2026-05-28T20:26:50Z")),
    ] {
        assert_eq!(changed[field], value, "{field}");
    }
    assert_eq!(get(&keys, id).await, changed);
    for (field, value) in
        [("provider_name", json!("two")), ("credentials", json!({})), ("base_url", json!("https://x.example"))]
    {
        let told = keys.patch(&path, &json!({ field: value })).await.expect(422);
        assert_eq!(told["detail"][0]["loc"], json!(["body", field]));
    }
    let cleared = keys.patch(&path, &json!({ "spend_limit_amount": null })).await.expect(200);
    assert!(cleared["integration"].get("spend_limit_exceeded").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_never_a_second_primary() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let wanted = body(&app, "one", "sk-0123456789abcdef", &json!({ "is_primary": true }));
    for answer in join_all((0..6).map(|_| keys.post(PATH, &wanted))).await {
        let _ = answer.expect(201);
    }
    let listed = keys.get(PATH).await.expect(200);
    let all = listed["integrations"].as_array().unwrap();
    assert_eq!((all.len(), &listed["total"]), (6, &json!(6)));
    assert_eq!(all.iter().filter(|one| one["is_primary"] == true).count(), 1);
    assert!(all.iter().all(|one| one["priority"] == if one["is_primary"] == true { 10 } else { 0 }));
    let other = all[3]["id"].as_u64().unwrap();
    let _ = keys.patch(&format!("{PATH}/{other}"), &json!({ "is_primary": true })).await.expect(200);
    let listed = keys.get(PATH).await.expect(200);
    assert_eq!(listed["integrations"][0]["id"], other);
    assert_eq!(listed["integrations"][1]["is_primary"], false);
    assert_eq!(acquire(&keys, "one").await.0, other);
}

#[tokio::test]
async fn a_creation_waits_while_anothers_transaction_has_the_counter_or_the_pool() {
    let app = TestApp::start().await;
    let keys = app.keys();
    // The embedded table lets nothing meet a transaction; DynamoDB refuses what does, in one of two ways.
    let refusal = |kind: &str, reasons: Value| {
        let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
        let body =
            json!({ "__type": kind, "message": "Transaction is ongoing for the item", "CancellationReasons": reasons });
        ProxyFault::Status(StatusCode::BAD_REQUEST, body.to_string())
    };
    let takes_an_id = |body: &Value| body["UpdateExpression"] == "ADD last_id :one";
    let conflict = refusal("TransactionConflictException", Value::Null);
    let counter = app.proxy.inject(conflict).on("UpdateItem").when(takes_an_id).times(3);
    let cancelled =
        refusal("TransactionCanceledException", json!([{ "Code": "None" }, { "Code": "TransactionConflict" }]));
    let pool = app.proxy.inject(cancelled).on("TransactWriteItems").times(3);
    let id = create(&app, "one", "sk-0123456789abcdef", json!({ "is_primary": true })).await;
    assert_eq!((counter.strikes(), pool.strikes()), (3, 3));
    let listed = keys.get(PATH).await.expect(200);
    assert_eq!((&listed["total"], &listed["integrations"][0]["id"]), (&json!(1), &json!(id)));
}

#[tokio::test]
async fn a_rotation_checks_first_and_keeps_the_one_before_a_step_back() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let id = create(&app, "one", "sk-old-0123456789abcdef", json!({})).await;
    let _ = acquire(&keys, "one").await;
    let path = format!("{PATH}/{id}/rotate");
    let to = |key: &str| json!({ "credentials": { "api_key": key } });
    let _ = keys.post(&path, &to("sk-wrong-0123456789abcdef")).await.expect(400);
    let acquired = || async {
        let body = json!({ "provider_name": "one" });
        keys.post(&format!("{PATH}/acquire"), &body).await.str("/credentials/api_key")
    };
    assert_eq!(acquired().await, "sk-old-0123456789abcdef");
    app.fakes.openai_compatible.add_key("sk-new-0123456789abcdxyz");
    let rotated = keys.post(&path, &to("sk-new-0123456789abcdxyz")).await.expect(200);
    assert_eq!(rotated["integration"]["key_preview"]["api_key"], "sk-n...xyz");
    assert_eq!(acquired().await, "sk-new-0123456789abcdxyz");
    let name = app.secret_names().await.remove(0);
    for (stage, value) in [("AWSCURRENT", "sk-new-0123456789abcdxyz"), ("AWSPREVIOUS", "sk-old-0123456789abcdef")] {
        let secret = app.secrets.get_secret_value().secret_id(&name).version_stage(stage).send().await.unwrap();
        assert!(secret.secret_string().unwrap().contains(value), "{stage}");
    }
}

#[tokio::test]
async fn a_rotation_starts_health_afresh() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let openrouter = &app.fakes.ai.openrouter;
    openrouter.add_key("sk-or-v1-first-0123456789");
    openrouter.set_key("sk-or-v1-second-0123456789", AiKey::in_condition(Condition::Exhausted));
    let wanted = json!({ "provider_name": "openrouter", "credentials": { "api_key": "sk-or-v1-first-0123456789" } });
    let id = keys.post(PATH, &wanted).await.expect(201)["integration"]["id"].as_u64().unwrap();
    for _ in 0..2 {
        let (_, lease) = acquire(&keys, "openrouter").await;
        let _ = report(&keys, &lease, "error").await;
    }
    assert_eq!(get(&keys, id).await["consecutive_failures"], 2);
    let path = format!("{PATH}/{id}/rotate");
    for (key, status, failures) in [
        ("sk-or-v1-second-0123456789", "degraded", 1),
        ("sk-or-v1-first-0123456789", "healthy", 0),
        ("sk-or-v1-second-0123456789", "degraded", 1),
    ] {
        let rotated = keys.post(&path, &json!({ "credentials": { "api_key": key } })).await.expect(200);
        let integration = &rotated["integration"];
        let health = (&integration["health_status"], &integration["consecutive_failures"]);
        assert_eq!(health, (&json!(status), &json!(failures)), "{key}");
    }
    // One that cannot be judged is not the old one either.
    openrouter.throttle(1, 5);
    let unjudged = json!({ "credentials": { "api_key": "sk-or-v1-third-0123456789" } });
    let rotated = keys.post(&path, &unjudged).await.expect(200);
    assert_eq!(rotated["integration"]["consecutive_failures"], 0);
}

#[tokio::test]
async fn a_deleted_key_leaves_nothing_and_its_id_is_not_given_again() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let _ = acquire(&keys, "one").await;
    let path = format!("{PATH}/{id}");
    let deleted = keys.delete(&path).await.expect(200);
    assert_eq!((&deleted["success"], &deleted["deleted_id"]), (&json!(true), &json!(id)));
    let _ = keys.delete(&path).await.expect(404);
    let _ = keys.get(&path).await.expect(404);
    assert_eq!(keys.get(PATH).await.expect(200)["total"], 0);
    let _ = keys.post(&format!("{PATH}/acquire"), &json!({ "provider_name": "one" })).await.expect(404);
    assert!(app.secret_names().await.is_empty());
    assert!(create(&app, "one", "sk-0123456789abcdef", json!({})).await > id);
}

#[tokio::test]
async fn permissions_and_tenants_are_kept_apart() {
    let app = TestApp::start().await;
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let nobody = app.keys_as("nonsense");
    let unpermitted = app.keys_as(&app.tenant("acme").tokens.no_permissions);
    let reader = app.keys_as(&app.tenant("acme").tokens.read_only);
    let stranger = app.keys_as(&app.tenant("globex").tokens.admin);
    let one = format!("{PATH}/{id}");
    let act = |name: &str| format!("{PATH}/{id}/{name}");
    let operations = [
        (Method::GET, PATH.to_owned(), true, false),
        (Method::POST, PATH.to_owned(), false, false),
        (Method::GET, one.clone(), true, true),
        (Method::PATCH, one.clone(), false, true),
        (Method::DELETE, one.clone(), false, true),
        (Method::POST, act("rotate"), false, true),
        (Method::POST, act("test"), false, true),
        (Method::POST, act("reset"), false, true),
        (Method::GET, act("usage"), true, true),
        (Method::GET, format!("{PATH}/health"), true, false),
        (Method::POST, format!("{PATH}/sync-billing"), false, false),
        (Method::POST, format!("{PATH}/acquire"), false, false),
        (Method::POST, format!("{PATH}/report"), false, false),
    ];
    for (method, path, reads, names_one) in operations {
        let send = |client: &kit::Client| {
            let client = client.clone().header("content-type", "application/json");
            let (method, path) = (method.clone(), path.clone());
            async move { client.send(method, &path, "{}").await }
        };
        let answer = send(&nobody).await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(answer.json()["success"], false);
        assert_eq!(send(&unpermitted).await.status, 403, "{method} {path}");
        assert_eq!(send(&reader).await.status == 200, reads, "{method} {path}");
        if names_one {
            let answer = send(&stranger).await.expect(404);
            assert_eq!(answer["error"], "Integration not found", "{method} {path}");
        }
    }
    assert_eq!(stranger.get(PATH).await.expect(200)["total"], 0);
    assert_eq!(get(&reader, id).await["id"], id);
}
