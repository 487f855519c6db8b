//! Bitfinex from end to end: connected with a key, brought in whole, and what happens when the key goes.

use fakes::exchanges::bitfinex::BitfinexKey;
use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{connect, read, transactions};

fn body(key: &str, secret: &str) -> Value {
    json!({ "provider": "bitfinex", "credentials": { "apiKey": key, "apiSecret": secret } })
}

#[tokio::test]
async fn a_history_is_brought_in_and_kept_when_the_key_goes() {
    let app = TestApp::start().await;
    let (wallets, bitfinex) = (app.wallets(), &app.fakes.bitfinex);
    let refused = wallets.post("/v1/integrations", &body("k", "s")).await.expect(400);
    assert_eq!(refused["details"][0]["path"], "credentials.apiKey", "{refused}");
    bitfinex.add_key(BitfinexKey::reading("k", "s"));
    let now = TestApp::started_at().as_millisecond();
    for number in 0..620 {
        bitfinex.trade("k", now - 86_400_000 + number, "tBTCUSD", ("0.001", "20000"), ("-0.01", "USD"));
    }
    bitfinex.movement("k", now - 90_000_000, "BTC", ("1.5", "0"), "COMPLETED");
    bitfinex.ledger_entry("k", now - 80_000_000, 28, "USD", "0.75");
    let id = connect(&wallets, &body("k", "s")).await;
    let _ = wallets.post("/v1/integrations", &body("k", "s")).await.expect(409);
    let _ = app.deliver_stream().await;
    let whole = read(&wallets, &id).await;
    assert_eq!((&whole["status"], &whole["totalTransactions"]), (&json!("COMPLETED"), &json!(622)), "{whole}");
    assert_eq!((&whole["category"], &whole["warnings"]), (&json!("exchange"), &json!([])));
    assert_eq!(transactions(&wallets, &id).await.len(), 622);

    bitfinex.revoke("k");
    let _ = wallets.post_empty(&format!("/v1/integrations/{id}/sync")).await.expect(202);
    let _ = app.deliver_stream().await;
    let failed = read(&wallets, &id).await;
    assert_eq!((&failed["status"], &failed["totalTransactions"]), (&json!("FAILED"), &json!(622)));
    assert!(failed["message"].as_str().is_some_and(|message| message.contains("was deleted")), "{failed}");

    // A new secret, and it goes on.
    bitfinex.add_key(BitfinexKey::reading("k", "bfx-an0ther-secret"));
    let path = format!("/v1/integrations/{id}");
    let _ = wallets
        .patch(&path, &json!({ "credentials": { "apiKey": "k", "apiSecret": "bfx-an0ther-secret" } }))
        .await
        .expect(200);
    let _ = app.deliver_stream().await;
    assert_eq!(read(&wallets, &id).await["status"], "COMPLETED");
    assert!(!app.all_items().await.contains("bfx-an0ther-secret"));
}
