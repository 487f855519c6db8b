//! What a busy pool costs, and what it does where DynamoDB takes no more.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use kit::TestApp;
use kit::fault_proxy::{Call, Fault, Service};
use serde_json::{Value, json};

use super::{PATH, acquire, create, get, report};

/// The partition that a call writes to or reads from.
fn partition(call: &Call) -> String {
    call.request["Key"]["pk"]["S"].as_str().unwrap().to_owned()
}

/// True for the count of a use of this key.
fn counts(id: u64) -> impl Fn(&Value) -> bool {
    let partition = format!("T#acme#keys#K#{id:010}");
    move |body| body["Key"]["pk"]["S"] == partition
}

#[tokio::test]
async fn each_key_is_counted_in_a_partition_of_its_own_and_equals_take_turns() {
    let app = TestApp::start().await;
    for _ in 0..4 {
        create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    }
    let keys = app.keys();
    let _ = acquire(&keys, "one").await;
    app.proxy.forget_calls();
    let mut chosen = Vec::new();
    for _ in 0..8 {
        app.advance(1);
        chosen.push(acquire(&keys, "one").await.0);
    }
    assert_eq!(chosen, [2, 3, 4, 1, 2, 3, 4, 1]);
    let mut calls = app.proxy.calls();
    calls.retain(|call| call.service == Service::DynamoDb);
    let written: BTreeSet<String> = calls.iter().filter(|call| call.operation == "UpdateItem").map(partition).collect();
    assert_eq!(written.len(), 4, "{written:?}");
    assert!(!written.contains("T#acme#keys"), "nothing that all keys share is written for a use");
    assert_eq!(calls.len(), 16, "two calls for each");
    assert!(calls.iter().filter(|call| call.operation == "UpdateItem").all(|call| call.consumed() == 1.0));
}

/// Gives a copy of a key the other one's secret.
async fn copy_secret(app: &TestApp, id: u64, copied: u64) {
    let name = app.secret_names().await.into_iter().find(|name| name.ends_with(&format!("{id:010}"))).unwrap();
    let secret = app.secrets.get_secret_value().secret_id(&name).send().await.unwrap();
    let copy = app.secrets.create_secret().name(name.replace(&format!("{id:010}"), &format!("{copied:010}")));
    let copy = copy.set_client_request_token(secret.version_id).set_secret_string(secret.secret_string);
    copy.send().await.unwrap();
}

/// Puts copies of a key beside it, without secrets, until there are `many`.
async fn copy(app: &TestApp, id: u64, many: u64) {
    let items = app.table.scan().table_name("causeway").send().await.unwrap();
    let name = format!("{id:010}");
    let own = |item: &HashMap<String, AttributeValue>| {
        let sort = item["sk"].as_s().unwrap();
        *sort == format!("I#{name}") || (sort == "U" && item["pk"].as_s().unwrap().ends_with(&name))
    };
    let own: Vec<_> = items.items.unwrap().into_iter().filter(own).collect();
    assert_eq!(own.len(), 2);
    for number in 1..many {
        let copied = format!("{:010}", id + number);
        for mut item in own.clone() {
            for (attribute, value) in &mut item {
                match value {
                    AttributeValue::S(text) => *text = text.replace(&name, &copied),
                    AttributeValue::N(text) if attribute == "id" => *text = (id + number).to_string(),
                    _ => {}
                }
            }
            app.table.put_item().table_name("causeway").set_item(Some(item)).send().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_pool_of_more_keys_than_one_call_reads_is_known_whole() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let first = create(&app, "one", "sk-0123456789abcdef", json!({ "minute_limit": 1 })).await;
    copy(&app, first, 150).await;
    for (id, more) in [(first + 149, 2), (first + 3, 1)] {
        let _ = keys.patch(&format!("{PATH}/{id}"), &json!({ "priority": more })).await.expect(200);
        copy_secret(&app, first, id).await;
    }
    for (id, warm) in [(first + 149, false), (first + 3, true)] {
        app.proxy.forget_calls();
        assert_eq!(acquire(&keys, "one").await.0, id);
        let operations = app.proxy.operations();
        let reads = operations.iter().take_while(|operation| *operation == "BatchGetItem").count();
        assert!(!warm || (reads == 2 && operations[2..] == ["GetSecretValue", "UpdateItem"]), "{operations:?}");
    }
    assert_eq!(get(&keys, first + 149).await["minute_count"], 1, "its use was known when the next was chosen");
    assert_eq!(get(&keys, first + 3).await["minute_count"], 1);
}

#[tokio::test]
async fn a_key_that_dynamodb_throttles_gives_way_to_the_next() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let path = format!("{PATH}/acquire");
    let first = create(&app, "one", "sk-0123456789abcdef", json!({ "is_primary": true, "minute_limit": 5 })).await;
    let second = create(&app, "one", "sk-0123456789abcdef", json!({ "minute_limit": 1 })).await;
    let _ = acquire(&keys, "one").await;
    app.proxy.inject(Fault::Throttle).on("UpdateItem").when(counts(first)).always();
    assert_eq!(acquire(&keys, "one").await.0, second);
    let answer = keys.post(&path, &json!({ "provider_name": "one" })).await;
    let detail = answer.expect(429)["detail"].clone();
    let told: Vec<_> = detail.as_array().unwrap().iter().map(|one| (&one["integration_id"], &one["reason"])).collect();
    assert_eq!(told, [(&json!(second), &json!("minute_limit")), (&json!(first), &json!("busy"))]);
    assert_eq!(answer.header("retry-after"), Some("1"));
    app.proxy.clear();
    assert_eq!(acquire(&keys, "one").await.0, first);
    assert_eq!(get(&keys, first).await["minute_count"], 2, "what was throttled was not counted");
}

#[tokio::test]
async fn a_use_that_may_have_been_counted_is_not_counted_at_another_key_too() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let first = create(&app, "one", "sk-0123456789abcdef", json!({ "is_primary": true })).await;
    let second = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let _ = acquire(&keys, "one").await;
    app.proxy.inject(Fault::LoseAnswer).on("UpdateItem").when(counts(first));
    app.proxy.inject(Fault::Throttle).on("UpdateItem").when(counts(first)).nth(2).always();
    let _ = keys.post(&format!("{PATH}/acquire"), &json!({ "provider_name": "one" })).await.expect(500);
    app.proxy.clear();
    assert_eq!(get(&keys, first).await["daily_count"], 2);
    assert_eq!(get(&keys, second).await["daily_count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reports_at_once_are_each_told_once_and_add_up() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let leases = join_all((0..40).map(|_| acquire(&keys, "one"))).await;
    let report = |number: usize, lease: &str| {
        let outcome = if number.is_multiple_of(4) { "rate_limited" } else { "success" };
        let body = json!({ "lease_id": lease, "outcome": outcome, "cost": 0.25 });
        let keys = keys.clone();
        async move { keys.post(&format!("{PATH}/report"), &body).await }
    };
    app.proxy.forget_calls();
    for _twice in 0..2 {
        let told = leases.iter().enumerate().map(|(number, (_, lease))| report(number, lease));
        join_all(told).await.iter().for_each(|answer| drop(answer.expect(200)));
    }
    let chart = keys.get(&format!("{PATH}/{id}/usage")).await.expect(200);
    let today = &chart["days"][29];
    let counts = (&today["requests"], &today["successes"], &today["errors"], &today["cost"]);
    assert_eq!(counts, (&json!(40), &json!(30), &json!(10), &json!(10.0)));
    let health = keys.get(&format!("{PATH}/health")).await.expect(200);
    assert!(health["integrations"][0]["cooling_until"].is_string(), "whichever came last: {health}");
    assert_eq!(chart["days"].as_array().unwrap().len(), 30);
}

#[tokio::test]
async fn a_report_writes_to_nothing_that_the_keys_of_a_pool_share() {
    let app = TestApp::start().await;
    let keys = app.keys();
    create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let (_, lease) = acquire(&keys, "one").await;
    app.proxy.forget_calls();
    let _ = report(&keys, &lease, "success").await;
    let calls = app.proxy.calls();
    let written = calls.iter().find(|call| call.operation == "TransactWriteItems").unwrap();
    assert_eq!(written.request["TransactItems"].as_array().unwrap().len(), 2);
    assert!(!written.request.to_string().contains("\"T#acme#keys\""), "{}", written.request);
}
