//! `POST /api/v1/integrations/acquire`: never over a limit, none lost.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use keys::Group;
use kit::fault_proxy::Fault;
use kit::{Answer, TestApp};
use serde_json::{Value, json};
use shared::auth::Tenant;
use shared::http::ApiError;

use super::{PATH, acquire, create, get, report};

async fn at_once(app: &TestApp, clients: usize) -> Vec<Answer> {
    let path = format!("{PATH}/acquire");
    let keys = app.keys();
    let body = json!({ "provider_name": "one" });
    join_all((0..clients).map(|_| keys.post(&path, &body))).await
}

fn granted(answers: &[Answer]) -> u64 {
    for answer in answers {
        assert!(matches!(answer.status.as_u16(), 200 | 429), "{}", answer.text);
    }
    answers.iter().map(|answer| u64::from(answer.status == 200)).sum()
}

/// What as many rounds of 64 clients are granted as could use up `limit`.
async fn rounds(app: &TestApp, limit: u64) -> u64 {
    let mut sum = 0;
    for _ in 0..limit.div_ceil(64) {
        sum += granted(&at_once(app, 64).await);
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_at_once_are_granted_exactly_the_limit() {
    for limit in [1, 100] {
        let app = TestApp::start().await;
        let id = create(&app, "one", "sk-0123456789abcdef", json!({ "minute_limit": limit })).await;
        assert_eq!(rounds(&app, limit).await, limit);
        assert_eq!(get(&app.keys(), id).await["minute_count"], limit);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_know_nothing_of_one_another_keep_a_limit_together() {
    let app = TestApp::start().await;
    let id = create(&app, "one", "sk-0123456789abcdef", json!({ "minute_limit": 40 })).await;
    let tenant = Tenant::parse("acme").unwrap();
    let instances: Vec<Group> = (0..8).map(|_| Group::new(&app.platform)).collect();
    let each = instances.iter().map(async |group| {
        let mut granted = 0;
        for _ in 0..8 {
            match group.acquire(&tenant, "one").await {
                Ok(grant) => granted += u64::from(grant.key.id.number() == id),
                Err(ApiError::NoneFree { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        granted
    });
    assert_eq!(join_all(each).await.into_iter().sum::<u64>(), 40);
    assert_eq!(get(&app.keys(), id).await["minute_count"], 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_exactly_across_minutes_and_days() {
    let app = TestApp::start().await;
    let id = create(&app, "one", "sk-0123456789abcdef", json!({ "minute_limit": 10 })).await;
    let limit_to = async |limits: Value| {
        let _ = app.keys().patch(&format!("{PATH}/{id}"), &limits).await.expect(200);
    };
    // The clock stands 40 s into a minute.
    for minute in 1..=2 {
        assert_eq!(rounds(&app, 10).await, 10);
        let shown = get(&app.keys(), id).await;
        assert_eq!((&shown["minute_count"], &shown["daily_count"]), (&json!(10), &json!(10 * minute)));
        app.advance(60);
    }
    limit_to(json!({ "minute_limit": null, "daily_limit": 21 })).await;
    assert_eq!(rounds(&app, 1).await, 1, "the day had one left");
    app.advance(86_400);
    limit_to(json!({ "daily_limit": 10 })).await;
    assert_eq!(rounds(&app, 10).await, 10);
    let chart = app.keys().get(&format!("{PATH}/{id}/usage")).await.expect(200);
    let days = chart["days"].as_array().unwrap();
    assert_eq!(days.len(), 30);
    assert_eq!(days[28]["requests"], 21, "the day before is kept, exactly");
    assert_eq!(days[29]["requests"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_grant_is_counted_while_the_clock_runs_over_midnight() {
    let app = TestApp::start().await;
    // Three seconds before midnight.
    app.advance(12_797);
    let limits = json!({ "minute_limit": 40, "daily_limit": 70 });
    let id = create(&app, "one", "sk-0123456789abcdef", limits).await;
    let keys = app.keys();
    let clients = (0..64).map(|number| {
        let (app, keys) = (&app, &keys);
        async move {
            let mut granted = 0;
            for _ in 0..4 {
                let body = json!({ "provider_name": "one" });
                let answer = keys.post(&format!("{PATH}/acquire"), &body).await;
                assert!(matches!(answer.status.as_u16(), 200 | 429), "{}", answer.text);
                granted += u64::from(answer.status == 200);
                if number == 0 {
                    app.advance(2);
                }
            }
            granted
        }
    });
    let granted: u64 = join_all(clients).await.into_iter().sum();
    let chart = app.keys().get(&format!("{PATH}/{id}/usage")).await.expect(200);
    assert_eq!(chart["totals"]["requests"], granted, "none is lost and none is counted twice");
    let of = |day: usize| chart["days"][day]["requests"].as_u64().unwrap();
    assert!(of(28) <= 40 && of(29) <= 40, "one minute on each side of midnight: {} {}", of(28), of(29));
    assert_eq!(of(28) + of(29), granted);
}

#[tokio::test]
async fn the_primary_is_first_then_priority_then_the_least_recently_used() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let _slow = create(&app, "one", "sk-0123456789abcdef", json!({ "priority": 1 })).await;
    let second = create(&app, "one", "sk-0123456789abcdef", json!({ "priority": 5 })).await;
    let third = create(&app, "one", "sk-0123456789abcdef", json!({ "priority": 5 })).await;
    let primary = create(&app, "one", "sk-0123456789abcdef", json!({ "is_primary": true, "minute_limit": 1 })).await;
    let mut chosen = Vec::new();
    for _ in 0..5 {
        chosen.push(acquire(&keys, "one").await.0);
        app.advance(1);
    }
    assert_eq!(chosen, [primary, second, third, second, third]);
}

#[tokio::test]
async fn an_acquisition_gives_the_credential_and_is_two_calls_once_warm() {
    let app = TestApp::start().await;
    let keys = app.keys();
    create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let _ = acquire(&keys, "one").await;
    app.proxy.forget_calls();
    let answer = keys.post(&format!("{PATH}/acquire"), &json!({ "provider_name": "one", "model": "tiny" })).await;
    let body = answer.expect(200);
    assert_eq!(body["credentials"], json!({ "api_key": "sk-0123456789abcdef" }));
    assert_eq!(body["expires_at"], "2026-05-28T20:36:40Z");
    assert_eq!(body["integration"]["minute_count"], 2);
    assert_eq!(app.proxy.operations(), ["BatchGetItem", "UpdateItem"]);
    assert!(!app.all_items().await.contains("sk-0123456789abcdef"));
}

#[tokio::test]
async fn none_left_says_why_each_was_passed_over_and_when_the_first_is_free() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let path = format!("{PATH}/acquire");
    let _ = keys.post(&path, &json!({ "provider_name": "one" })).await.expect(404);
    let full = create(&app, "one", "sk-0123456789abcdef", json!({ "minute_limit": 1, "is_primary": true })).await;
    let off = create(&app, "one", "sk-0123456789abcdef", json!({ "is_active": false })).await;
    let cooling = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    assert_eq!(acquire(&keys, "one").await.0, full);
    let (id, lease) = acquire(&keys, "one").await;
    assert_eq!(id, cooling);
    let reported = report(&keys, &lease, "rate_limited").await;
    assert_eq!((&reported["health_status"], &reported["consecutive_failures"]), (&json!("healthy"), &json!(0)));
    let answer = keys.post(&path, &json!({ "provider_name": "one" })).await;
    let body = answer.expect(429);
    assert_eq!(answer.header("retry-after"), Some("20"), "the minute ends before the cooldown");
    let detail = body["detail"].as_array().unwrap();
    let reasons: Vec<_> =
        detail.iter().map(|one| (one["integration_id"].as_u64().unwrap(), one["reason"].as_str().unwrap())).collect();
    assert_eq!(reasons, [(full, "minute_limit"), (off, "inactive"), (cooling, "cooling_down")]);
    let globex = app.keys_as(&app.tenant("globex").tokens.admin);
    let _ = globex.post(&path, &json!({ "provider_name": "one" })).await.expect(404);
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_same_lease_and_counts_once() {
    let app = TestApp::start().await;
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let keys = app.keys().header("idempotency-key", "a job of mine");
    let path = format!("{PATH}/acquire");
    let first = keys.post(&path, &json!({ "provider_name": "one" })).await;
    app.advance(3_600);
    let second = keys.post(&path, &json!({ "provider_name": "one" })).await;
    assert_eq!(first.str("/lease_id"), second.str("/lease_id"));
    assert_eq!(second.str("/credentials/api_key"), "sk-0123456789abcdef");
    assert_eq!(first.str("/expires_at"), second.str("/expires_at"));
    assert_eq!(get(&app.keys(), id).await["daily_count"], 1);
    assert!(!app.all_items().await.contains("sk-0123456789abcdef"));
    let replayed = [&first, &second].map(|answer| answer.header("idempotent-replayed"));
    assert_eq!(replayed, [None, Some("true")]);
    for another in [json!({ "provider_name": "two" }), json!({ "provider_name": "one", "model": "tiny" })] {
        let _ = keys.post(&path, &another).await.expect(409);
    }
}

#[tokio::test]
async fn what_was_taken_back_since_is_not_handed_out_under_the_same_idempotency_key() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let path = format!("{PATH}/acquire");
    let body = json!({ "provider_name": "one" });
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    app.fakes.openai_compatible.add_key("sk-9876543210abcdef");
    let once = keys.clone().header("idempotency-key", "a job of mine");
    let first = once.post(&path, &body).await;
    let _ = first.expect(200);

    let _ = keys.patch(&format!("{PATH}/{id}"), &json!({ "is_active": false })).await.expect(200);
    let _ = once.post(&path, &body).await.expect(409);
    let _ = keys.patch(&format!("{PATH}/{id}"), &json!({ "is_active": true })).await.expect(200);
    assert_eq!(once.post(&path, &body).await.str("/lease_id"), first.str("/lease_id"), "it is as it was");

    app.fakes.openai_compatible.revoke_key("sk-0123456789abcdef");
    let _ = keys.post_empty(&format!("{PATH}/{id}/test")).await.expect(200);
    let _ = once.post(&path, &body).await.expect(409);

    let rotated = json!({ "credentials": { "api_key": "sk-9876543210abcdef" } });
    let _ = keys.post(&format!("{PATH}/{id}/rotate"), &rotated).await.expect(200);
    let refused = once.post(&path, &body).await;
    assert!(refused.expect(409)["detail"].is_string() && !refused.text.contains("sk-"), "{}", refused.text);
    let again = keys.clone().header("idempotency-key", "another").post(&path, &body).await;
    assert_eq!(again.str("/credentials/api_key"), "sk-9876543210abcdef");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_once_under_one_idempotency_key_count_once_in_a_pool_of_several_keys() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        create(&app, "one", "sk-0123456789abcdef", json!({ "minute_limit": 1 })).await;
    }
    let keys = app.keys().header("idempotency-key", "a job of mine");
    let body = json!({ "provider_name": "one" });
    let path = format!("{PATH}/acquire");
    let answers = join_all((0..8).map(|_| keys.post(&path, &body))).await;
    let leases: BTreeSet<String> = answers.iter().map(|answer| answer.str("/lease_id")).collect();
    assert_eq!(leases.len(), 1, "{leases:?}");
    let listed = app.keys().get(PATH).await.expect(200);
    let counted = listed["integrations"].as_array().unwrap().iter().map(|key| key["daily_count"].as_u64().unwrap());
    assert_eq!(counted.sum::<u64>(), 1);
}

#[tokio::test]
async fn a_key_whose_credential_is_lost_is_passed_over_and_not_counted() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let lost = create(&app, "one", "sk-0123456789abcdef", json!({ "is_primary": true })).await;
    let name = app.secret_names().await.remove(0);
    app.secrets.delete_secret().secret_id(name).force_delete_without_recovery(true).send().await.unwrap();
    // Longer than a credential is remembered.
    app.advance(61);
    let path = format!("{PATH}/acquire");
    let refused = keys.post(&path, &json!({ "provider_name": "one" })).await.expect(429);
    assert_eq!(
        (&refused["detail"][0]["reason"], &refused["detail"][0]["available_at"]),
        (&json!("unreadable"), &Value::Null)
    );
    let whole = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    for key in ["first", "second"] {
        let keys = keys.clone().header("idempotency-key", key);
        assert_eq!(acquire(&keys, "one").await.0, whole);
    }
    assert_eq!(get(&keys, lost).await["daily_count"], 0);
    assert_eq!(get(&keys, whole).await["daily_count"], 2);
    // Secrets Manager's own trouble is no fault of the key's.
    app.advance(61);
    app.proxy.inject(Fault::ServerError).on("GetSecretValue").always();
    let _ = keys.post(&path, &json!({ "provider_name": "one" })).await.expect(500);
    assert_eq!(get(&keys, whole).await["daily_count"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_last_use_stays_in_its_record_though_an_older_count_arrives_after_it() {
    let app = TestApp::start().await;
    let (keys, another) = (app.keys(), Group::new(&app.platform));
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let _ = acquire(&keys, "one").await;
    // Midnight. What one instance has read of the day before is on its way when another one, whose clock is behind,
    // counts once more in that day.
    app.advance(12_800);
    let is_record = |body: &Value| body["Key"]["sk"]["S"].as_str().is_some_and(|sort| sort.starts_with("D#"));
    let held = app.proxy.inject(Fault::Hold).on("UpdateItem").when(is_record);
    let (tenant, keys_of_slow) = (Tenant::parse("acme").unwrap(), keys.clone());
    let slow = tokio::spawn(async move { acquire(&keys_of_slow, "one").await });
    held.struck().await;
    app.advance(-1);
    let _ = another.acquire(&tenant, "one").await.unwrap();
    app.advance(1);
    let _ = another.acquire(&tenant, "one").await.unwrap();
    held.release();
    let _ = slow.await.unwrap();
    let chart = keys.get(&format!("{PATH}/{id}/usage")).await.expect(200);
    assert_eq!((&chart["days"][28]["requests"], &chart["days"][29]["requests"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn a_key_is_free_when_the_last_of_what_keeps_it_back_ends() {
    let app = TestApp::start().await;
    let keys = app.keys();
    create(&app, "one", "sk-0123456789abcdef", json!({ "daily_limit": 1 })).await;
    let (_, lease) = acquire(&keys, "one").await;
    let body = json!({ "lease_id": lease, "outcome": "rate_limited", "retry_after": 10 });
    let _ = keys.post(&format!("{PATH}/report"), &body).await.expect(200);
    let refused = keys.post(&format!("{PATH}/acquire"), &json!({ "provider_name": "one" })).await;
    let passed = &refused.expect(429)["detail"][0];
    assert_eq!((&passed["reason"], &passed["available_at"]), (&json!("daily_limit"), &json!("2026-05-29T00:00:00Z")));
    assert_eq!(refused.header("retry-after"), Some("12800"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_with_a_credential_counts_the_uses_of_others_too() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let _ = acquire(&keys, "one").await;
    app.fakes.openai_compatible.add_key("sk-9876543210abcdef");
    let rotated = json!({ "credentials": { "api_key": "sk-9876543210abcdef" } });
    let _ = keys.post(&format!("{PATH}/{id}/rotate"), &rotated).await.expect(200);
    // While the new credential is read, another instance counts a use.
    let held = app.proxy.inject(Fault::Hold).on("GetSecretValue").always();
    let (slow, path) = (keys.clone(), format!("{PATH}/acquire"));
    let slow = tokio::spawn(async move { slow.post(&path, &json!({ "provider_name": "one" })).await.expect(200) });
    held.struck().await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let count = app.table.update_item().table_name("causeway").key("sk", text("U"));
    let count = count.key("pk", text(&format!("T#acme#keys#K#{id:010}")));
    let count = count.update_expression("ADD minute_count :one, day_count :one");
    count.expression_attribute_values(":one", AttributeValue::N("1".into())).send().await.unwrap();
    app.proxy.clear();
    let shown = slow.await.unwrap()["integration"].clone();
    assert_eq!((&shown["minute_count"], &shown["daily_count"]), (&json!(3), &json!(3)));
}
