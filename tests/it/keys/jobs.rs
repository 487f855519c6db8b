//! `keys-monitor` and `keys-billing`.

use kit::TestApp;
use serde_json::{Value, json};

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
