//! What many tests begin with.

use std::collections::HashSet;
use std::time::Duration;

use kit::{Client, TestApp};
use serde_json::{Value, json};
use shared::auth::{Grant, Permission, Tenant};

/// An address, and others of the main network.
pub(crate) const ADDRESS: &str = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu";
pub(crate) const ANOTHER_ADDRESS: &str = "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g";

/// BIP 84's own example of an extended public key; `ADDRESS` and `ANOTHER_ADDRESS` are its first two receiving addresses.
pub(crate) const ZPUB: &str =
    "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs";

/// The form of an id, and nobody's.
pub(crate) const NOBODYS: &str = "wal_000000000000000000000";

/// Connects what `body` says; gives its id.
pub(crate) async fn connect(wallets: &Client, body: &Value) -> String {
    let created = wallets.post("/v1/integrations", body).await;
    let _ = created.expect(201);
    created.str("/walletId")
}

/// Connects a Bitcoin address.
pub(crate) async fn connect_address(wallets: &Client, address: &str) -> String {
    connect(wallets, &json!({ "provider": "bitcoin", "address": address })).await
}

/// An integration by itself.
pub(crate) async fn read(wallets: &Client, id: &str) -> Value {
    wallets.get(&format!("/v1/integrations/{id}")).await.expect(200)
}

/// Every stored record of an integration, the newest first.
pub(crate) async fn transactions(wallets: &Client, id: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = wallets.get(&format!("/v1/integrations/{id}/transactions?limit=7{cursor}")).await.expect(200);
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page.get("nextCursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// A client for a tenant of its own, with all permissions.
pub(crate) async fn tenant(app: &TestApp, name: &str) -> Client {
    let grant = Grant {
        tenant: Tenant::parse(name).unwrap(),
        user: format!("user_{name}"),
        name: "a test".into(),
        permissions: Permission::ALL.to_vec(),
        expires_at: None,
        client: Some((app.tenant("acme").client_id.clone(), app.tenant("acme").client_secret.clone().into())),
    };
    let minted = app.platform.tokens.mint(grant).await.unwrap();
    app.wallets_as(app.tenant("acme"), minted.token.reveal())
}

/// What is in the list, by a field of each row.
pub(crate) async fn listed(wallets: &Client, query: &str, field: &str) -> Vec<String> {
    let list = wallets.get(&format!("/v1/integrations?{query}")).await.expect(200);
    list["data"].as_array().unwrap().iter().map(|row| row[field].as_str().unwrap().to_owned()).collect()
}

/// Runs the schedule once; its tally.
pub(crate) async fn tick(app: &TestApp) -> Value {
    app.invoke("wallets-sync", &app.scheduled_event()).await.expect(200)
}

/// The event of what was connected last.
pub(crate) fn queued(app: &TestApp) -> Value {
    let (function, event) = app.stream_events().pop().unwrap();
    assert_eq!(function, "wallets-sync");
    event
}

/// The total that is shown, if exactly so many distinct records are stored.
pub(crate) async fn exact_total(app: &TestApp, id: &str) -> u64 {
    let wallets = app.wallets();
    let records = transactions(&wallets, id).await;
    let distinct: HashSet<&str> = records.iter().map(|record| record["id"].as_str().unwrap()).collect();
    let total = read(&wallets, id).await["totalTransactions"].as_u64().unwrap();
    assert_eq!((records.len() as u64, distinct.len() as u64), (total, total));
    total
}

/// Waits until so many records are stored of an integration.
pub(crate) async fn stored(app: &TestApp, id: &str, total: u64) {
    let wallets = app.wallets();
    let stored = async { while read(&wallets, id).await["totalTransactions"].as_u64() < Some(total) {} };
    tokio::time::timeout(Duration::from_secs(30), stored).await.unwrap();
}
