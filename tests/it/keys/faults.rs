//! What happens when DynamoDB's answers are lost on the way.

use kit::TestApp;
use kit::fault_proxy::Fault;
use serde_json::{Value, json};

use super::{PATH, acquire, create, get, report};

#[tokio::test]
async fn a_use_whose_answer_was_lost_is_counted_once() {
    let app = TestApp::start().await;
    let keys = app.keys();
    for (number, fault) in
        [Fault::LoseAnswer, Fault::Reset, Fault::ServerError, Fault::Throttle].into_iter().enumerate()
    {
        // In the same minute, the same day, another day.
        for (advance, expected) in [(0, (2, 2)), (60, (1, 2)), (86_400, (1, 1))] {
            let provider = format!("one-{number}-{advance}");
            let limits = json!({ "minute_limit": 5, "daily_limit": 9 });
            let id = create(&app, &provider, "sk-0123456789abcdef", limits).await;
            let _ = acquire(&keys, &provider).await;
            app.advance(advance);
            // The use, not the record of the day before.
            let is_use =
                |body: &Value| body["UpdateExpression"].as_str().is_some_and(|update| update.contains("last_used_at"));
            let injected = app.proxy.inject(fault.clone()).on("UpdateItem").when(is_use);
            let _ = acquire(&keys, &provider).await;
            assert_eq!(injected.strikes(), 1);
            let shown = get(&keys, id).await;
            let counts = (&shown["minute_count"], &shown["daily_count"]);
            assert_eq!(counts, (&json!(expected.0), &json!(expected.1)), "{fault:?} {advance}");
        }
    }
}

#[tokio::test]
async fn a_report_whose_answer_was_lost_counts_once() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let (_, lease) = acquire(&keys, "one").await;
    app.proxy.inject(Fault::LoseAnswer).on("TransactWriteItems");
    assert_eq!(report(&keys, &lease, "error").await["consecutive_failures"], 1);
    assert_eq!(get(&keys, id).await["consecutive_failures"], 1);
    let chart = keys.get(&format!("{PATH}/{id}/usage")).await.expect(200);
    assert_eq!(chart["days"][29]["errors"], 1);
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_ends_with_one_key() {
    let app = TestApp::start().await;
    app.proxy.inject(Fault::LoseAnswer).on("TransactWriteItems");
    create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    assert_eq!(app.keys().get(PATH).await.expect(200)["total"], 1);
    assert_eq!(app.secret_names().await.len(), 1);
}
