//! EVM chains over HTTP: connected, synced, told of when something is wrong.

use fakes::Fault;
use fakes::chains::ledger::EvmTransaction;
use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{connect, read, tick, transactions};

/// One of EIP-55's own examples.
const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const OTHER: &str = "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb";
const COIN: u128 = 1_000_000_000_000_000_000;

fn total(integration: &Value) -> u64 {
    integration["totalTransactions"].as_u64().unwrap()
}

#[tokio::test]
async fn an_address_is_connected_and_its_history_comes_in() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    app.fakes.evm.set_code_on(1, ADDRESS, "0x6001");
    app.fakes.ledger.receive_many(1, ADDRESS, 120);
    let payment = EvmTransaction::new(ADDRESS, OTHER, COIN).token(OTHER, "USDC", ADDRESS, OTHER, 2_500_000);
    let hash = app.fakes.ledger.mine(1, payment);
    let wrong = json!({ "provider": "ethereum", "address": ADDRESS.replace("5aAe", "5aAE") });
    let refused = wallets.post("/v1/integrations", &wrong).await.expect(400);
    assert_eq!(refused["details"][0]["path"], "address");
    assert!(refused["details"][0]["message"].as_str().unwrap().contains("EIP-55"));

    let body = json!({ "provider": "ethereum", "address": ADDRESS.to_lowercase() });
    let id = connect(&wallets, &body).await;
    let created = read(&wallets, &id).await;
    assert_eq!((&created["publicAddress"], &created["isContract"]), (&json!(ADDRESS), &json!(true)));
    assert_eq!((&created["chains"], &created["warnings"]), (&json!(["eip155:1"]), &json!([])));
    assert_eq!((&created["category"], &created["type"]), (&json!("blockchain"), &json!("api")));
    let _ = app.deliver_stream().await;
    let synced = read(&wallets, &id).await;
    assert_eq!((&synced["status"], total(&synced)), (&json!("COMPLETED"), 122));
    let records = transactions(&wallets, &id).await;
    assert_eq!(records.len(), 122);
    let of_payment: Vec<&Value> = records.iter().filter(|record| record["txHash"] == hash).collect();
    let sent: Vec<&Value> = of_payment.iter().map(|record| &record["sent"]).collect();
    for expected in [json!({ "quantity": "1", "asset": "ETH" }), json!({ "quantity": "2.5", "asset": "USDC" })] {
        assert!(sent.contains(&&expected), "{of_payment:?}");
    }

    app.fakes.ledger.receive_many(1, ADDRESS, 3);
    let _ = wallets.post_empty(&format!("/v1/integrations/{id}/sync")).await.expect(202);
    let _ = app.deliver_stream().await;
    assert_eq!(total(&read(&wallets, &id).await), 125);
    let whole = json!({ "mode": "from_start" });
    let _ = wallets.post(&format!("/v1/integrations/{id}/sync"), &whole).await.expect(202);
    let _ = app.deliver_stream().await;
    assert_eq!(total(&read(&wallets, &id).await), 125, "nothing is stored twice");
    // The same address on the same chain is the same wallet, by whatever name.
    let again = json!({ "provider": "evm", "address": ADDRESS, "chains": ["eip155:1", "eip155:10"] });
    assert_eq!(wallets.post("/v1/integrations", &again).await.expect(409)["walletId"], json!(id));
}

#[tokio::test]
async fn a_chain_that_fails_does_not_lose_the_others() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    for chain in [1, 137, 8453] {
        app.fakes.ledger.receive_many(chain, ADDRESS, 20);
    }
    app.fakes.blockscout.host.faults().next_on("/137/", usize::MAX, Fault::Answer(fakes::Answer::status(502)));
    let chains = json!(["eip155:1", "eip155:137", "eip155:8453"]);
    let id = connect(&wallets, &json!({ "provider": "evm", "address": ADDRESS, "chains": chains })).await;
    let _ = app.deliver_stream().await;
    let shown = read(&wallets, &id).await;
    assert_eq!((&shown["status"], total(&shown)), (&json!("ONGOING"), 40), "{shown}");
    assert!(shown["progress"]["message"].as_str().unwrap().contains("Polygon"), "{shown}");
    app.fakes.blockscout.host.faults().clear();
    app.advance(120);
    assert_eq!(tick(&app).await["completed"], 1);
    let shown = read(&wallets, &id).await;
    assert_eq!((&shown["status"], total(&shown)), (&json!("COMPLETED"), 60));
}

#[tokio::test]
async fn an_operators_key_opens_etherscan_and_its_loss_is_not_the_customers_trouble() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let secret = app.secrets.create_secret().name("causeway/operator/etherscan").secret_string("etherscan-k3y");
    secret.send().await.unwrap();
    app.fakes.etherscan.add_key("etherscan-k3y");
    app.fakes.ledger.receive_many(1, ADDRESS, 1_100);
    let id = connect(&wallets, &json!({ "provider": "ethereum", "address": ADDRESS })).await;
    let _ = app.deliver_stream().await;
    assert_eq!(total(&read(&wallets, &id).await), 1_100);
    assert_eq!(app.fakes.blockscout.host.requests().len(), 0);

    app.fakes.etherscan.revoke_key("etherscan-k3y");
    app.fakes.ledger.receive_many(1, ADDRESS, 5);
    let _ = wallets.post_empty(&format!("/v1/integrations/{id}/sync")).await.expect(202);
    let _ = tick(&app).await;
    let shown = read(&wallets, &id).await;
    assert_eq!((&shown["status"], total(&shown)), (&json!("COMPLETED"), 1_105), "another explorer tells");

    app.fakes.blockscout.require_key("another");
    let _ = wallets.post_empty(&format!("/v1/integrations/{id}/sync")).await.expect(202);
    let _ = tick(&app).await;
    let shown = read(&wallets, &id).await;
    assert_eq!((&shown["status"], total(&shown)), (&json!("ONGOING"), 1_105));
    let message = shown["progress"]["message"].as_str().unwrap();
    assert!(message.contains("operator") && message.contains("the address is in order"), "{message}");
    let (items, logs) = (app.all_items().await, kit::logs::all());
    assert!(!items.contains("etherscan-k3y") && !logs.contains("etherscan-k3y"));
}

#[tokio::test]
async fn a_chain_that_no_explorer_covers_is_told_of_at_once() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    app.fakes.ledger.receive_many(43114, ADDRESS, 4);
    let id = connect(&wallets, &json!({ "provider": "evm", "address": ADDRESS })).await;
    let warnings = read(&wallets, &id).await["warnings"].clone();
    assert!(warnings[0].as_str().unwrap().contains("BNB Smart Chain"), "{warnings}");
    let _ = app.deliver_stream().await;
    let shown = read(&wallets, &id).await;
    assert_eq!((&shown["status"], total(&shown)), (&json!("COMPLETED"), 4), "{shown}");
    assert_eq!(shown["chains"].as_array().unwrap().len(), 7);
}
