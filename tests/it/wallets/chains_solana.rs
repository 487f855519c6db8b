//! A Solana wallet from end to end: connected by its address, brought in whole, kept up to date.

use fakes::solana::{Solana, TOKEN_2022_PROGRAM, TOKEN_PROGRAM};
use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{connect, listed, read, tick, transactions};

const WALLET: &str = "6D8GtWkKJgToM5UoiByHqjQCCC9Dq1Hh7iNmU4jKSs12";
const FRIEND: &str = "q5xfHVuAsGmKRTmJNshERHHkVnHKxRX3cKzz5cYnFRn";
const OFF_CURVE: &str = "12rqwuEgBYiGhBrDJStCiqEtzQpTTiZbh7teNVLuYcFA";

fn body(address: &str) -> Value {
    json!({ "provider": "solana", "address": address, "alias": "Phantom" })
}

#[tokio::test]
async fn a_wallet_is_brought_in_with_its_token_accounts_and_kept_up_to_date() {
    let app = TestApp::start().await;
    let (wallets, solana) = (app.wallets(), &app.fakes.solana);
    solana.receive_many(WALLET, 130);
    let tokens = solana.open(FRIEND, WALLET, &Solana::address("one mint"), 6, TOKEN_PROGRAM);
    let others = solana.open(FRIEND, WALLET, &Solana::address("another"), 9, TOKEN_2022_PROGRAM);
    for _ in 0..20 {
        solana.receive_token(&tokens, 1_500_000);
        solana.receive_token(&others, 1);
    }
    let sent = solana.send_token(&tokens, 500_000);

    let id = connect(&wallets, &body(WALLET)).await;
    let _ = app.deliver_stream().await;
    let whole = read(&wallets, &id).await;
    assert_eq!((&whole["status"], &whole["totalTransactions"]), (&json!("COMPLETED"), &json!(173)), "{whole}");
    assert_eq!((&whole["publicAddress"], &whole["isContract"]), (&json!(WALLET), &json!(false)));
    let records = transactions(&wallets, &id).await;
    assert_eq!(
        (records.len(), &records[0]["txHash"], &records[0]["kind"]),
        (173, &json!(sent), &json!("token_transfer"))
    );
    assert_eq!(records[0]["sent"], json!({ "quantity": "0.5", "asset": Solana::address("one mint") }));
    assert_eq!(records[0]["fee"], json!({ "quantity": "0.000005", "asset": "SOL" }));
    assert_eq!(listed(&wallets, "searchedKey=6D8GtWkK", "walletId").await, std::slice::from_ref(&id));

    solana.receive_many(WALLET, 2);
    solana.receive_token(&others, 1);
    solana.fall_behind(5);
    app.advance(3_600);
    let tally = tick(&app).await;
    assert_eq!(tally["completed"], 1, "a node that is behind has less to tell: {tally}");
    solana.fall_behind(0);
    app.advance(3_600);
    assert_eq!(tick(&app).await["completed"], 1);
    assert_eq!(read(&wallets, &id).await["totalTransactions"], 176);
    assert_eq!(transactions(&wallets, &id).await.len(), 176);

    solana.refuse_next(-32011, "Transaction history is not available from this node");
    app.advance(3_600);
    assert_eq!(tick(&app).await["unfinished"], 1);
    let one = read(&wallets, &id).await;
    assert_eq!((&one["status"], &one["totalTransactions"]), (&json!("ONGOING"), &json!(176)));
    assert!(one["progress"]["message"].as_str().is_some_and(|message| message.contains("whole history")), "{one}");
    app.advance(60);
    assert_eq!(tick(&app).await["completed"], 1);
    assert_eq!(read(&wallets, &id).await.get("progress"), None);
}

#[tokio::test]
async fn addresses_are_judged_when_they_are_connected() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    for wrong in ["", "6D8GtWkKJgToM5UoiByHqjQCCC9Dq1Hh7iNmU4jKSs0", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"] {
        let refused = wallets.post("/v1/integrations", &body(wrong)).await.expect(400);
        assert_eq!(refused["details"][0]["path"], json!("address"), "{refused}");
    }
    app.fakes.solana.deploy(FRIEND);
    let program = connect(&wallets, &body(FRIEND)).await;
    assert_eq!(read(&wallets, &program).await["isContract"], true);
    let created = wallets.post("/v1/integrations", &body(OFF_CURVE)).await.expect(201);
    assert!(created["warnings"][0].as_str().is_some_and(|text| text.contains("not on the curve")), "{created}");
    let again = wallets.post("/v1/integrations", &body(OFF_CURVE)).await.expect(409);
    assert!(again.to_string().contains(created["walletId"].as_str().unwrap()), "{again}");
}
