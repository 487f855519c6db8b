//! Reports, and what they do to a key's health.

use fakes::Fault;
use fakes::ai::{AiKey, Condition};
use kit::TestApp;
use serde_json::json;

use super::{PATH, acquire, create, get, report};

#[tokio::test]
async fn failures_degrade_then_disable_and_a_success_clears() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let mut leases = Vec::new();
    for _ in 0..5 {
        leases.push(acquire(&keys, "one").await.1);
    }
    for (lease, status, failures) in [(0, "degraded", 1), (1, "degraded", 2), (2, "unhealthy", 3)] {
        let reported = report(&keys, &leases[lease], "error").await;
        assert_eq!((&reported["health_status"], &reported["consecutive_failures"]), (&json!(status), &json!(failures)));
        assert_eq!(get(&keys, id).await["health_status"], status);
    }
    let _ = keys.post(&format!("{PATH}/acquire"), &json!({ "provider_name": "one" })).await.expect(429);
    assert_eq!(report(&keys, &leases[3], "success").await["health_status"], "healthy");
    assert_eq!(acquire(&keys, "one").await.0, id);
    assert_eq!(report(&keys, &leases[4], "invalid_key").await["health_status"], "unhealthy");
    let health = keys.get(&format!("{PATH}/health")).await.expect(200);
    assert_eq!(health["summary"], json!({ "total": 1, "healthy": 0, "degraded": 0, "unhealthy": 1 }));
    assert_eq!(health["integrations"][0]["last_error"]["code"], "invalid_key");
    assert!(!health["recommendations"].as_array().unwrap().is_empty());
    let reset = keys.post_empty(&format!("{PATH}/{id}/reset")).await.expect(200);
    assert_eq!(reset["integration"]["health_status"], "healthy");
}

#[tokio::test]
async fn a_success_of_a_use_that_began_before_neither_ends_a_cooldown_nor_undoes_a_refusal() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let path = format!("{PATH}/acquire");
    let wanted = json!({ "provider_name": "one" });
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(acquire(&keys, "one").await.1);
    }
    app.advance(1);
    let body = json!({ "lease_id": leases[0], "outcome": "rate_limited", "retry_after": 600 });
    let limited = keys.post(&format!("{PATH}/report"), &body).await.expect(200);
    app.advance(1);
    let reported = report(&keys, &leases[1], "success").await;
    assert_eq!(reported["cooling_until"], limited["cooling_until"]);
    let refused = keys.post(&path, &wanted).await;
    assert_eq!(refused.expect(429)["detail"][0]["reason"], "cooling_down");
    assert_eq!(refused.header("retry-after"), Some("599"));

    app.advance(600);
    app.fakes.openai_compatible.revoke_key("sk-0123456789abcdef");
    let tested = keys.post_empty(&format!("{PATH}/{id}/test")).await.expect(200);
    assert_eq!(tested["integration"]["health_status"], "unhealthy");
    app.advance(1);
    assert_eq!(report(&keys, &leases[2], "success").await["health_status"], "unhealthy");
    assert_eq!(keys.post(&path, &wanted).await.expect(429)["detail"][0]["reason"], "unhealthy");

    // What was handed out after all that clears it.
    app.fakes.openai_compatible.add_key("sk-0123456789abcdef");
    let _ = keys.post_empty(&format!("{PATH}/{id}/test")).await.expect(200);
    assert_eq!(report(&keys, &leases[3], "error").await["health_status"], "degraded");
    app.advance(1);
    let (_, lease) = acquire(&keys, "one").await;
    assert_eq!(report(&keys, &lease, "success").await["health_status"], "healthy");
}

#[tokio::test]
async fn a_failed_key_gives_way_to_the_next() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let first = create(&app, "one", "sk-0123456789abcdef", json!({ "is_primary": true })).await;
    let second = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    for (outcome, statuses) in
        [("invalid_key", &["unhealthy"][..]), ("insufficient_credits", &["degraded", "degraded", "unhealthy"])]
    {
        for status in statuses {
            let (id, lease) = acquire(&keys, "one").await;
            assert_eq!(id, first);
            assert_eq!(report(&keys, &lease, outcome).await["health_status"], *status);
        }
        assert_eq!(acquire(&keys, "one").await.0, second);
        let _ = keys.post_empty(&format!("{PATH}/{first}/reset")).await.expect(200);
    }
    let (_, lease) = acquire(&keys, "one").await;
    let body = json!({ "lease_id": lease, "outcome": "rate_limited", "retry_after": 120 });
    let _ = keys.post(&format!("{PATH}/report"), &body).await.expect(200);
    assert_eq!(acquire(&keys, "one").await.0, second);
    app.advance(121);
    assert_eq!(acquire(&keys, "one").await.0, first, "the cooldown has ended by itself");
}

#[tokio::test]
async fn a_lease_is_reported_once_by_its_own_tenant_within_a_day() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let (_, lease) = acquire(&keys, "one").await;
    let (_, late) = acquire(&keys, "one").await;
    let path = format!("{PATH}/report");
    let body = |lease: &str, outcome: &str| json!({ "lease_id": lease, "outcome": outcome, "cost": 0.25 });
    let globex = app.keys_as(&app.tenant("globex").tokens.admin);
    let _ = globex.post(&path, &body(&lease, "error")).await.expect(404);
    let _ = keys.post(&path, &body(&format!("{lease}A"), "error")).await.expect(404);
    let first = keys.post(&path, &body(&lease, "error")).await;
    let _ = first.expect(200);
    app.advance(5);
    let second = keys.post(&path, &body(&lease, "success")).await;
    assert_eq!(first.text, second.text);
    assert_eq!(get(&keys, id).await["consecutive_failures"], 1);
    let chart = keys.get(&format!("{PATH}/{id}/usage")).await.expect(200);
    assert_eq!((&chart["totals"]["cost"], &chart["totals"]["requests"]), (&json!(0.25), &json!(2)));
    app.advance(86_400);
    let _ = keys.post(&path, &body(&late, "error")).await.expect(404);
    for (body, field) in [
        (json!({ "lease_id": lease }), "outcome"),
        (json!({ "lease_id": lease, "outcome": "fine" }), "outcome"),
        (json!({ "lease_id": lease, "outcome": "error", "cost": -1 }), "cost"),
        (json!({ "outcome": "error" }), "lease_id"),
    ] {
        assert_eq!(keys.post(&path, &body).await.expect(422)["detail"][0]["loc"], json!(["body", field]));
    }
}

#[tokio::test]
async fn a_test_takes_its_verdict_in() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let path = format!("{PATH}/{id}/test");
    let tested = keys.post_empty(&path).await.expect(200);
    assert_eq!((&tested["success"], &tested["verdict"]), (&json!(true), &json!("valid")));
    assert!(tested["latency_ms"].is_u64());
    app.fakes.openai_compatible.throttle(1, 5);
    let tested = keys.post_empty(&path).await.expect(200);
    assert_eq!(
        (&tested["verdict"], &tested["integration"]["health_status"]),
        (&json!("inconclusive"), &json!("healthy"))
    );
    app.fakes.openai_compatible.revoke_key("sk-0123456789abcdef");
    let tested = keys.post_empty(&path).await.expect(200);
    assert_eq!((&tested["verdict"], &tested["integration"]["health_status"]), (&json!("invalid"), &json!("unhealthy")));
    app.fakes.openai_compatible.add_key("sk-0123456789abcdef");
    let tested = keys.post_empty(&path).await.expect(200);
    assert_eq!(tested["integration"]["health_status"], "healthy");
}

#[tokio::test]
async fn a_key_without_credit_is_good_and_stays_in_use_until_three_uses_say_otherwise() {
    const KEY: &str = "sk-or-v1-0123456789abcdef";
    let app = TestApp::start().await;
    let (keys, openrouter) = (app.keys(), &app.fakes.ai.openrouter);
    openrouter.set_key(KEY, AiKey::in_condition(Condition::Exhausted));
    let wanted = json!({ "provider_name": "openrouter", "credentials": { "api_key": KEY } });
    let created = keys.post(PATH, &wanted).await.expect(201)["integration"].clone();
    assert_eq!((&created["health_status"], &created["consecutive_failures"]), (&json!("degraded"), &json!(1)));
    let id = created["id"].as_u64().unwrap();
    for _ in 0..3 {
        let tested = keys.post_empty(&format!("{PATH}/{id}/test")).await.expect(200);
        assert_eq!(
            (&tested["verdict"], &tested["integration"]["health_status"]),
            (&json!("limited"), &json!("degraded"))
        );
    }
    let health = keys.get(&format!("{PATH}/health")).await.expect(200);
    assert_eq!(health["integrations"][0]["last_error"]["code"], "exhausted");
    assert!(health["recommendations"].to_string().contains("top it up"), "{health}");

    let (_, lease) = acquire(&keys, "openrouter").await;
    assert_eq!(report(&keys, &lease, "success").await["health_status"], "healthy", "something was free");
    for status in ["degraded", "degraded", "unhealthy"] {
        let (_, lease) = acquire(&keys, "openrouter").await;
        assert_eq!(report(&keys, &lease, "insufficient_credits").await["health_status"], status);
    }
    for (condition, verdict, status) in
        [(Condition::Exhausted, "limited", "unhealthy"), (Condition::Working, "valid", "healthy")]
    {
        openrouter.set_key(KEY, AiKey::in_condition(condition));
        app.advance(300);
        let run = app.invoke("keys-monitor", &app.scheduled_event()).await.expect(200);
        assert_eq!(run[verdict], 1, "{run}");
        assert_eq!(get(&keys, id).await["health_status"], status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_began_before_a_report_does_not_undo_it() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let (_, lease) = acquire(&keys, "one").await;
    let faults = app.fakes.openai_compatible.host.faults();
    faults.next(1, Fault::Hang);
    let (slow, path) = (keys.clone(), format!("{PATH}/{id}/test"));
    let slow = tokio::spawn(async move { slow.post_empty(&path).await.expect(200) });
    faults.hanging(1).await;
    app.advance(1);
    assert_eq!(report(&keys, &lease, "invalid_key").await["health_status"], "unhealthy");
    faults.release();
    let tested = slow.await.unwrap();
    assert_eq!(tested["integration"]["health_status"], "unhealthy", "{tested}");
    let tested = keys.post_empty(&format!("{PATH}/{id}/test")).await.expect(200);
    assert_eq!(tested["integration"]["health_status"], "healthy", "one that began after it does");
}
