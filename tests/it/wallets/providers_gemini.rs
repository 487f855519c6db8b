//! Gemini from end to end: connected with a key whose nonces are seconds, brought in whole, and what happens when the key
//! goes.

use fakes::exchanges::gemini::GeminiKey;
use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{connect, read, transactions};

fn body(key: &str, secret: &str) -> Value {
    json!({ "provider": "gemini", "credentials": { "apiKey": key, "apiSecret": secret } })
}

#[tokio::test]
async fn a_history_is_brought_in_and_kept_when_the_key_goes() {
    let app = TestApp::start().await;
    let (wallets, gemini) = (app.wallets(), &app.fakes.gemini);
    let now = TestApp::started_at().as_millisecond();
    gemini.set_clock(now);
    let refused = wallets.post("/v1/integrations", &body("account-k", "s")).await.expect(400);
    assert_eq!(refused["details"][0]["path"], "credentials.apiKey", "{refused}");
    let refused = wallets.post("/v1/integrations", &body("master-k", "s")).await.expect(400);
    assert_eq!(refused["details"][0]["path"], "credentials.account", "{refused}");
    gemini.add_key(GeminiKey { is_time_based: true, ..GeminiKey::reading("account-k", "s") });
    for number in 0..620 {
        let time = now - 86_400_000 + number;
        gemini.trade("account-k", time, "BTCUSD", "Buy", ("0.001", "20000"), ("0.01", "USD"));
    }
    gemini.transfer("account-k", now - 90_000_000, "Deposit", ("1.5", "BTC"), "Complete");
    let id = connect(&wallets, &body("account-k", "s")).await;
    let _ = wallets.post("/v1/integrations", &body("account-k", "s")).await.expect(409);
    let _ = app.deliver_stream().await;
    let whole = read(&wallets, &id).await;
    assert_eq!((&whole["status"], &whole["totalTransactions"]), (&json!("COMPLETED"), &json!(621)), "{whole}");
    assert_eq!((&whole["category"], &whole["warnings"]), (&json!("exchange"), &json!([])));
    assert_eq!(transactions(&wallets, &id).await.len(), 621);

    app.advance(60);
    gemini.set_clock(now + 60_000);
    gemini.revoke("account-k");
    let _ = wallets.post_empty(&format!("/v1/integrations/{id}/sync")).await.expect(202);
    let _ = app.deliver_stream().await;
    let failed = read(&wallets, &id).await;
    assert_eq!((&failed["status"], &failed["totalTransactions"]), (&json!("FAILED"), &json!(621)));
    assert!(failed["message"].as_str().is_some_and(|message| message.contains("was deleted")), "{failed}");
}
