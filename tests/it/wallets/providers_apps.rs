//! Wallet apps: the address tells where the history is asked for, and an address is one account in all of them.

use kit::TestApp;
use serde_json::json;

use super::fixtures::{ADDRESS, ZPUB, connect, read};

const EVM_ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const SOLANA_ADDRESS: &str = "6D8GtWkKJgToM5UoiByHqjQCCC9Dq1Hh7iNmU4jKSs12";

#[tokio::test]
async fn an_address_is_asked_where_it_belongs() {
    let app = TestApp::start().await;
    let (wallets, esplora, solana) = (app.wallets(), &app.fakes.esplora, &app.fakes.solana);
    esplora.receive_many(ADDRESS, 3);
    solana.receive_many(SOLANA_ADDRESS, 2);
    for chain in [1, 8453] {
        app.fakes.ledger.receive_many(chain, EVM_ADDRESS, 4);
    }
    let mut connected = Vec::new();
    for (address, namespace, count) in
        [(ADDRESS, "bip122:", 3), (SOLANA_ADDRESS, "solana:", 2), (EVM_ADDRESS, "eip155:", 8)]
    {
        let id = connect(&wallets, &json!({ "provider": "ledger", "address": address })).await;
        connected.push((id, address, namespace, count));
    }
    let _ = app.deliver_stream().await;
    for (id, address, namespace, count) in connected {
        let one = read(&wallets, &id).await;
        assert_eq!((&one["status"], &one["totalTransactions"]), (&json!("COMPLETED"), &json!(count)), "{one}");
        assert_eq!((&one["provider"], &one["category"]), (&json!("ledger"), &json!("wallet")));
        assert_eq!(one["publicAddress"], address);
        assert!(one["chains"].as_array().unwrap().iter().all(|chain| chain.as_str().unwrap().starts_with(namespace)));
    }
    let explorer = &app.fakes.blockscout.host;
    assert!(esplora.host.calls(ADDRESS) > 0 && explorer.calls(EVM_ADDRESS) > 0);
    for address in [ADDRESS, SOLANA_ADDRESS] {
        assert_eq!(explorer.calls(address), 0);
    }
    for address in [EVM_ADDRESS, SOLANA_ADDRESS] {
        assert_eq!(esplora.host.calls(address), 0);
    }
}

#[tokio::test]
async fn what_is_no_address_is_refused_with_what_is_one() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let refused = wallets.post("/v1/integrations", &json!({ "provider": "ledger", "address": "vitalik.eth" })).await;
    let body = refused.expect(400);
    assert_eq!((&body["details"][0]["path"], body["details"].as_array().unwrap().len()), (&json!("address"), 1));
    let message = body["details"][0]["message"].as_str().unwrap();
    for word in ["EVM", "Bitcoin", "Solana"] {
        assert!(message.contains(word), "{message}");
    }
    let elsewhere =
        json!({ "provider": "ledger", "address": ADDRESS, "chains": ["solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"] });
    let body = wallets.post("/v1/integrations", &elsewhere).await.expect(400);
    assert_eq!(body["details"][0]["path"], "chains", "{body}");
    assert_eq!(wallets.get("/v1/integrations").await.expect(200)["pagination"]["totalCount"], 0);
}

#[tokio::test]
async fn an_address_is_one_account_in_every_app() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let id = connect(&wallets, &json!({ "provider": "ledger", "address": ADDRESS })).await;
    for provider in ["trezor", "bitcoin"] {
        let again = wallets.post("/v1/integrations", &json!({ "provider": provider, "address": ADDRESS })).await;
        let body = again.expect(409);
        assert_eq!((&body["error"], &body["walletId"]), (&json!("conflict"), &json!(id)));
    }
    let id = connect(&wallets, &json!({ "provider": "metamask", "address": EVM_ADDRESS })).await;
    for provider in ["rabby", "phantom", "ethereum"] {
        let again = json!({ "provider": provider, "address": EVM_ADDRESS.to_lowercase() });
        assert_eq!(wallets.post("/v1/integrations", &again).await.expect(409)["walletId"], json!(id));
    }
    let key = connect(&wallets, &json!({ "provider": "trezor", "xpub": ZPUB })).await;
    let again = wallets.post("/v1/integrations", &json!({ "provider": "ledger", "address": ZPUB })).await.expect(409);
    assert_eq!(again["walletId"], json!(key));
}
