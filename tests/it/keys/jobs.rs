//! `keys-monitor` and `keys-billing`.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use kit::TestApp;
use serde_json::{Value, json};
use shared::deadline;
use shared::job::Job;

use super::{PATH, acquire, create, get, report};

async fn run(app: &TestApp, function: &str, event: &Value) -> Value {
    let answer = app.invoke(function, event).await;
    assert!(answer.header("x-amz-function-error").is_none(), "{}", answer.text);
    answer.expect(200)
}

#[tokio::test]
async fn the_monitor_brings_back_what_a_probe_proves_and_nothing_else() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let well = create(&app, "two", "sk-0123456789abcdeg", json!({})).await;
    let (_, lease) = acquire(&keys, "one").await;
    let _ = report(&keys, &lease, "invalid_key").await;
    app.fakes.openai_compatible.throttle(1, 5);
    let event = app.scheduled_event();
    assert_eq!(run(&app, "keys-monitor", &event).await["inconclusive"], 1);
    assert_eq!(get(&keys, id).await["health_status"], "unhealthy");
    app.proxy.forget_calls();
    assert_eq!(run(&app, "keys-monitor", &event).await["valid"], 0, "a second delivery");

    app.advance(300);
    app.fakes.openai_compatible.revoke_key("sk-0123456789abcdef");
    assert_eq!(run(&app, "keys-monitor", &app.scheduled_event()).await["invalid"], 1);
    assert_eq!(get(&keys, id).await["health_status"], "unhealthy");

    app.advance(300);
    app.fakes.openai_compatible.add_key("sk-0123456789abcdef");
    assert_eq!(run(&app, "keys-monitor", &app.scheduled_event()).await["valid"], 1);
    let healed = get(&keys, id).await;
    assert_eq!((&healed["health_status"], &healed["consecutive_failures"]), (&json!("healthy"), &json!(0)));
    assert_eq!(acquire(&keys, "one").await.0, id);

    app.advance(300);
    assert_eq!(run(&app, "keys-monitor", &app.scheduled_event()).await["valid"], 0, "nothing is left to do");
    assert_eq!(get(&keys, well).await["health_status"], "healthy");
}

#[tokio::test]
async fn the_monitor_ends_a_cooldown_that_a_probe_disproves() {
    let app = TestApp::start().await;
    let keys = app.keys();
    create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let (_, lease) = acquire(&keys, "one").await;
    let body = json!({ "lease_id": lease, "outcome": "rate_limited", "retry_after": 3_600 });
    let _ = keys.post(&format!("{PATH}/report"), &body).await.expect(200);
    let _ = keys.post(&format!("{PATH}/acquire"), &json!({ "provider_name": "one" })).await.expect(429);
    assert_eq!(run(&app, "keys-monitor", &app.scheduled_event()).await["valid"], 1);
    let _ = acquire(&keys, "one").await;
}

#[tokio::test]
async fn reported_costs_cross_a_spend_limit_until_the_period_turns() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let limit = json!({ "spend_limit_amount": 1, "spend_limit_period": "daily", "spend_limit_action": "block" });
    let id = create(&app, "one", "sk-0123456789abcdef", limit).await;
    let (_, lease) = acquire(&keys, "one").await;
    let body = json!({ "lease_id": lease, "outcome": "success", "cost": 1.5 });
    let _ = keys.post(&format!("{PATH}/report"), &body).await.expect(200);
    let tally = run(&app, "keys-billing", &app.scheduled_event()).await;
    assert_eq!((&tally["not_told"], &tally["finished"]), (&json!(1), &json!(true)));
    let shown = get(&keys, id).await;
    assert_eq!(shown["spend_limit_exceeded"], true);
    assert!(shown.get("billing_synced_at").is_none() && shown["cached_balance"].is_null());
    let refused = keys.post(&format!("{PATH}/acquire"), &json!({ "provider_name": "one" })).await.expect(429);
    assert_eq!(refused["detail"][0]["reason"], "spend_limit");
    let synced = keys.post_empty(&format!("{PATH}/sync-billing")).await.expect(200);
    assert_eq!((&synced["synced"], &synced["failed"]), (&json!(0), &json!(0)));
    assert_eq!(synced["results"][0]["status"], "not_supported");
    app.advance(86_400);
    assert_eq!(acquire(&keys, "one").await.0, id);
    assert_eq!(get(&keys, id).await["spend_limit_exceeded"], false);
}

/// Makes an item of `acme`'s unreadable.
async fn spoil(app: &TestApp, sort: &str, attribute: &str) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let spoil = app.table.update_item().table_name("causeway").key("pk", text("T#acme#keys")).key("sk", text(sort));
    let spoil = spoil.update_expression("SET #attribute = :broken").expression_attribute_names("#attribute", attribute);
    spoil.expression_attribute_values(":broken", text("broken")).send().await.unwrap();
}

#[tokio::test]
async fn an_item_that_cannot_be_read_keeps_no_other_key_waiting() {
    for (function, item, attribute) in
        [("keys-monitor", "I#0000000001", "health"), ("keys-billing", "B#0000000001", "work")]
    {
        let app = TestApp::start().await;
        let keys = app.keys();
        app.fakes.ai.openrouter.add_key("sk-or-v1-0123456789abcdef");
        let wanted =
            json!({ "provider_name": "openrouter", "credentials": { "api_key": "sk-or-v1-0123456789abcdef" } });
        // The fifth waits in the queue of the first; the others' come later.
        for id in 1..=5 {
            assert_eq!(keys.post(PATH, &wanted).await.expect(201)["integration"]["id"], id);
            let (_, lease) = acquire(&keys, "openrouter").await;
            let _ = report(&keys, &lease, "invalid_key").await;
        }
        spoil(&app, item, attribute).await;
        let failed = app.invoke(function, &app.scheduled_event()).await;
        assert!(failed.header("x-amz-function-error").is_some(), "{function}: {}", failed.text);
        for id in 2..=5 {
            let shown = get(&keys, id).await;
            let is_done = match function {
                "keys-monitor" => shown["health_status"] == "healthy",
                _ => shown["cached_balance"] == 25.5,
            };
            assert!(is_done, "{function}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_billing_run_that_ran_out_of_time_is_gone_on_with() {
    let app = TestApp::start().await;
    create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let job = keys::billing::BillingJob::new(&app.platform);
    let event = serde_json::from_value(app.scheduled_event()).unwrap();
    let result = deadline::within(Duration::from_secs(9), job.run(event)).await.unwrap();
    assert_eq!((&result["not_told"], &result["finished"]), (&json!(0), &json!(false)));
    let resume = json!({ "id": "resume", "time": "1970-01-01T00:00:00Z", "detail-type": "Resume" });
    let result = run(&app, "keys-billing", &resume).await;
    assert_eq!((&result["not_told"], &result["finished"]), (&json!(1), &json!(true)));
    assert_eq!(run(&app, "keys-billing", &resume).await["not_told"], 0, "nothing is left of it");
}
