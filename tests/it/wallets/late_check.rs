//! A credential that could not be tested when it was given is tested by its first sync.

use fakes::exchanges::kraken::KrakenKey;
use fakes::{Answer, Fault};
use kit::{Client, TestApp};
use serde_json::{Value, json};

use super::fixtures::{connect, read, tick};

const SECRET: &str = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==";

fn body(key: &str) -> Value {
    json!({ "provider": "kraken", "credentials": { "apiKey": key, "apiSecret": SECRET } })
}

/// Connects a key while Kraken is down, and lets it come back.
async fn connect_untested(app: &TestApp, wallets: &Client, key: &str) -> String {
    let faults = app.fakes.kraken.host.faults();
    faults.all(Fault::Answer(Answer::status(502)));
    let id = connect(wallets, &body(key)).await;
    faults.clear();
    let warnings = read(wallets, &id).await["warnings"].clone();
    assert!(warnings[0].as_str().unwrap().starts_with("The credential could not be tested"), "{warnings}");
    id
}

#[tokio::test]
async fn what_it_may_do_and_whose_it_is_are_learned() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let permissions = vec!["query-ledger", "modify-trades"];
    app.fakes.kraken.add_key(KrakenKey { permissions, ..KrakenKey::reading("one", SECRET) });
    app.fakes.kraken.add_key(KrakenKey::reading("two", SECRET));
    let id = connect_untested(&app, &wallets, "one").await;
    let _ = app.deliver_stream().await;
    let synced = read(&wallets, &id).await;
    assert_eq!(synced["status"], "COMPLETED");
    assert_eq!(synced["warnings"], json!(["This key may trade. Make one that has only Query Ledger Entries."]));
    // It is another key of the same account.
    let again = wallets.post("/v1/integrations", &body("two")).await.expect(409);
    assert_eq!(again["walletId"], json!(id));
    app.advance(60);
    // Given while nobody could tell, it is told of as soon as somebody can.
    let other = connect_untested(&app, &wallets, "two").await;
    let _ = app.deliver_stream().await;
    let warnings = read(&wallets, &other).await["warnings"].clone();
    assert!(
        matches!(warnings.as_array().unwrap().as_slice(), [one] if one.as_str().unwrap().contains(&id)),
        "{warnings}"
    );
}

#[tokio::test]
async fn a_key_that_turns_out_wrong_ends_the_sync() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let id = connect_untested(&app, &wallets, "unknown").await;
    let _ = app.deliver_stream().await;
    let failed = read(&wallets, &id).await;
    assert_eq!(failed["status"], "FAILED");
    assert!(failed["message"].as_str().unwrap().contains("does not know this API key"), "{failed}");
}

#[tokio::test]
async fn what_a_good_key_lacks_is_looked_for_again_and_a_wrong_one_is_not() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    app.fakes.kraken.add_key(KrakenKey::reading("k", SECRET));
    app.fakes.kraken.deposit("k", 1_779_000_000.0, "XXBT", "1");
    let id = connect(&wallets, &body("k")).await;
    let _ = app.deliver_stream().await;
    app.fakes.kraken.add_key(KrakenKey { permissions: vec![], ..KrakenKey::reading("k", SECRET) });
    app.advance(3_600);
    assert_eq!(tick(&app).await["failed"], 1);
    // Its owner ticks the box again at Kraken and says nothing.
    app.fakes.kraken.add_key(KrakenKey::reading("k", SECRET));
    app.advance(6 * 3_600);
    assert_eq!(tick(&app).await["completed"], 1);
    app.fakes.kraken.revoke("k");
    app.advance(3_600);
    assert_eq!(tick(&app).await["failed"], 1);
    app.fakes.kraken.host.forget_requests();
    app.advance(100 * 3_600);
    let _ = tick(&app).await;
    assert_eq!((app.fakes.kraken.host.requests().len(), &read(&wallets, &id).await["status"]), (0, &json!("FAILED")));
}
