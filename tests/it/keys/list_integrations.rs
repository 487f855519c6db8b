//! `GET /api/v1/integrations`.

use kit::TestApp;
use serde_json::{Value, json};

use super::{PATH, acquire, create};

#[tokio::test]
async fn bad_queries_are_told_where_and_what() {
    let app = TestApp::start().await;
    for (name, value) in [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "ten"),
        ("offset", "-1"),
        ("health_status", "sick"),
        ("is_active", "yes"),
        ("provider_name", "Open Router"),
    ] {
        let body = app.keys().get(&format!("{PATH}?{name}={value}")).await.expect(422);
        assert_eq!(body["success"], false);
        assert!(body["error"].is_string() && body["request_id"].is_string(), "{body}");
        assert_eq!(body["detail"][0]["loc"], json!(["query", name]));
        assert_eq!(body["detail"][0]["input"], value);
        assert!(body["detail"][0]["msg"].is_string() && body["detail"][0]["type"].is_string());
    }
}

#[tokio::test]
async fn fields_are_present_null_or_absent_as_documented() {
    let app = TestApp::start().await;
    let more = json!({
        "key_label": "Production OpenRouter", "is_primary": true, "daily_limit": 10_000, "minute_limit": 100,
        "spend_limit_amount": 500.00, "spend_limit_period": "monthly", "spend_limit_action": "warn",
    });
    let first = create(&app, "openrouter", "sk-or-v1-0123456789abcdef123", more).await;
    let second = create(&app, "groq", "gsk_0123456789abcdefghxyz", json!({ "key_label": "Groq Free Tier" })).await;
    app.advance(30);
    let (used, _) = acquire(&app.keys(), "openrouter").await;
    assert_eq!(used, first);
    let body = app.keys().get(PATH).await.expect(200);
    assert_eq!((&body["total"], &body["limit"], &body["offset"]), (&json!(2), &json!(50), &json!(0)));
    assert_eq!(
        body["integrations"][1],
        json!({
            "id": second, "provider_name": "groq", "provider_label": "Groq", "key_label": "Groq Free Tier",
            "is_active": true, "is_primary": false, "priority": 0, "daily_limit": null, "daily_count": 0,
            "minute_limit": null, "minute_count": 0, "health_status": "healthy", "consecutive_failures": 0,
            "last_used_at": null, "cached_balance": null, "cached_usage_today": null, "cached_usage_month": null,
            "key_preview": { "api_key": "gsk...xyz" }, "base_url": app.fakes.openai_compatible.base_url(),
            "created_at": "2026-05-28T20:26:40Z", "updated_at": "2026-05-28T20:26:40Z",
        })
    );
    let mut used = body["integrations"][0].clone();
    used.as_object_mut().unwrap().remove("provider_label");
    assert_eq!(
        used,
        json!({
            "id": first, "provider_name": "openrouter", "key_label": "Production OpenRouter",
            "is_active": true, "is_primary": true, "priority": 10, "daily_limit": 10_000, "daily_count": 1,
            "minute_limit": 100, "minute_count": 1, "health_status": "healthy", "consecutive_failures": 0,
            "last_used_at": "2026-05-28T20:27:10Z", "spend_limit_amount": 500.0, "spend_limit_period": "monthly",
            "spend_limit_action": "warn", "spend_limit_exceeded": false,
            "cached_balance": null, "cached_usage_today": null, "cached_usage_month": null,
            "key_preview": { "api_key": "sk-o...123" }, "base_url": app.fakes.openai_compatible.base_url(),
            "created_at": "2026-05-28T20:26:40Z", "updated_at": "2026-05-28T20:27:10Z",
        })
    );
    app.advance(60);
    let later = app.keys().get(PATH).await.expect(200);
    assert_eq!(
        (&later["integrations"][0]["minute_count"], &later["integrations"][0]["daily_count"]),
        (&json!(0), &json!(1))
    );
    app.advance(86_400);
    let later = app.keys().get(PATH).await.expect(200);
    assert_eq!(later["integrations"][0]["daily_count"], 0);
    assert_eq!(later["integrations"][0]["last_used_at"], "2026-05-28T20:27:10Z");
}

#[tokio::test]
async fn the_order_is_primary_priority_id_and_filters_combine() {
    let app = TestApp::start().await;
    for (provider, more) in [
        ("one", json!({})),
        ("one", json!({ "priority": 7 })),
        ("two", json!({ "is_primary": true })),
        ("one", json!({ "priority": 7, "is_active": false })),
        ("two", json!({ "is_primary": false, "priority": 9_999 })),
    ] {
        create(&app, provider, "sk-0123456789abcdef", more).await;
    }
    let ids = |body: &Value| -> Vec<u64> {
        body["integrations"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect()
    };
    let keys = app.keys();
    for (query, expected, total) in [
        ("", vec![3, 5, 2, 4, 1], 5),
        ("?limit=2", vec![3, 5], 5),
        ("?limit=2&offset=3", vec![4, 1], 5),
        ("?offset=9", vec![], 5),
        ("?provider_name=one", vec![2, 4, 1], 3),
        ("?provider_name=one&is_active=true", vec![2, 1], 2),
        ("?provider_name=one&is_active=true&limit=1&offset=1", vec![1], 2),
        ("?health_status=unhealthy", vec![], 0),
        ("?provider_name=three", vec![], 0),
    ] {
        let body = keys.get(&format!("{PATH}{query}")).await.expect(200);
        assert_eq!((ids(&body), &body["total"]), (expected, &json!(total)), "{query}");
    }
}

#[tokio::test]
async fn a_first_page_is_one_query_over_it_its_usage_and_the_count() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    }
    let keys = app.keys();
    let _ = keys.get(PATH).await.expect(200);
    app.proxy.forget_calls();
    let _ = keys.get(PATH).await.expect(200);
    assert_eq!(app.proxy.operations(), ["Query", "BatchGetItem"]);
    app.proxy.forget_calls();
    let _ = keys.get(&format!("{PATH}?limit=2")).await.expect(200);
    assert_eq!(app.proxy.operations(), ["Query", "GetItem", "BatchGetItem"]);
}

#[tokio::test]
async fn a_first_page_costs_the_same_whatever_the_pools_size() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let mut costs = Vec::new();
    for more in [3, 12] {
        for _ in 0..more {
            create(&app, "one", "sk-0123456789abcdef", json!({})).await;
        }
        let _ = keys.get(PATH).await.expect(200);
        app.proxy.forget_calls();
        assert_eq!(keys.get(&format!("{PATH}?limit=2")).await.expect(200)["integrations"].as_array().unwrap().len(), 2);
        costs.push((app.proxy.operations(), app.proxy.consumed()));
    }
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0].1 > 0.0, "{costs:?}");
}
