//! `wallets-sync`: histories are brought in, each record once, whatever happens in between.

use kit::TestApp;
use serde_json::json;

use super::fixtures::{ADDRESS, connect_address, read, transactions};

#[tokio::test]
async fn what_is_connected_is_synced_by_the_streams_event() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    app.fakes.esplora.receive_many(ADDRESS, 130);
    let id = connect_address(&wallets, ADDRESS).await;
    let [answer] = app.deliver_stream().await.try_into().unwrap();
    assert_eq!(answer, json!({ "completed": 1, "failed": 0, "unfinished": 0, "removed": 0, "batchItemFailures": [] }));
    let synced = read(&wallets, &id).await;
    assert_eq!((&synced["status"], &synced["totalTransactions"]), (&json!("COMPLETED"), &json!(130)));
    assert_eq!(synced["lastSyncedAt"], 1_780_000_000_000_i64);
    let records = transactions(&wallets, &id).await;
    assert_eq!(records.len(), 130);
    assert!(records.is_sorted_by(|one, other| one["time"].as_i64() > other["time"].as_i64()));
    assert_eq!(records[129]["received"], json!({ "quantity": "0.00001", "asset": "BTC" }));
}
