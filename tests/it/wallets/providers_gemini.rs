//! What only Gemini has: keys of a group, which need an account's name, and keys whose nonces are seconds.

use fakes::exchanges::gemini::GeminiKey;
use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{connect, read};

fn body(key: &str) -> Value {
    json!({ "provider": "gemini", "credentials": { "apiKey": key, "apiSecret": "s" } })
}

#[tokio::test]
async fn a_groups_key_needs_an_accounts_name() {
    let app = TestApp::start().await;
    let refused = app.wallets().post("/v1/integrations", &body("master-k")).await.expect(400);
    assert_eq!(refused["details"][0]["path"], "credentials.account", "{refused}");
}

#[tokio::test]
async fn a_key_whose_nonces_are_seconds_brings_its_history_in() {
    let app = TestApp::start().await;
    let (wallets, gemini) = (app.wallets(), &app.fakes.gemini);
    let now = TestApp::started_at().as_millisecond();
    gemini.set_clock(now);
    gemini.add_key(GeminiKey { is_time_based: true, ..GeminiKey::reading("account-k", "s") });
    for number in 0..620 {
        let time = now - 86_400_000 + number;
        gemini.trade("account-k", time, "BTCUSD", "Buy", ("0.001", "20000"), ("0.01", "USD"));
    }
    let id = connect(&wallets, &body("account-k")).await;
    let _ = app.deliver_stream().await;
    let whole = read(&wallets, &id).await;
    assert_eq!((&whole["status"], &whole["totalTransactions"]), (&json!("COMPLETED"), &json!(620)), "{whole}");
}
