//! What happens when DynamoDB's answers are lost on the way.

use kit::TestApp;
use kit::fault_proxy::Fault;
use serde_json::json;

use super::{PATH, acquire, create, get, report};

#[tokio::test]
async fn a_use_whose_answer_was_lost_is_counted_once() {
    for fault in [Fault::LoseAnswer, Fault::Reset, Fault::ServerError, Fault::Throttle] {
        for advance in [0, 60, 86_400] {
            let app = TestApp::start().await;
            let keys = app.keys();
            let id = create(&app, "one", "sk-0123456789abcdef", json!({ "minute_limit": 5, "daily_limit": 9 })).await;
            let _ = acquire(&keys, "one").await;
            app.advance(advance);
            // The use, not the record of the day before.
            let injected =
                app.proxy.inject(fault.clone()).on("UpdateItem").when(|body| {
                    body["UpdateExpression"].as_str().is_some_and(|update| update.contains("last_used_at"))
                });
            let _ = acquire(&keys, "one").await;
            assert_eq!(injected.strikes(), 1);
            let shown = get(&keys, id).await;
            let expected = match advance {
                0 => (2, 2),
                60 => (1, 2),
                _ => (1, 1),
            };
            assert_eq!(
                (&shown["minute_count"], &shown["daily_count"]),
                (&json!(expected.0), &json!(expected.1)),
                "{fault:?} {advance}"
            );
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
