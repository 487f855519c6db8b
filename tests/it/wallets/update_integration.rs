//! `PATCH` and `DELETE /v1/integrations/{walletId}`.

use kit::TestApp;
use serde_json::json;

use super::fixtures::{ADDRESS, NOBODYS, connect, connect_address, read};

#[tokio::test]
async fn names_change_and_go() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let id = connect(&wallets, &json!({ "provider": "bitcoin", "address": ADDRESS, "alias": "One" })).await;
    let path = format!("/v1/integrations/{id}");
    for (change, alias, account_name) in [
        (json!({ "accountName": "Family" }), "One", json!("Family")),
        (json!({ "alias": " Two " }), "Two", json!("Family")),
        (json!({ "alias": null, "accountName": null }), "Bitcoin", json!(null)),
        (json!({}), "Bitcoin", json!(null)),
    ] {
        let changed = wallets.patch(&path, &change).await.expect(200);
        assert_eq!((&changed["alias"], &changed["accountName"]), (&json!(alias), &account_name), "{change}");
        assert_eq!(read(&wallets, &id).await, changed);
    }
}

#[tokio::test]
async fn what_cannot_change_is_refused() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let id = connect_address(&wallets, ADDRESS).await;
    for (change, path) in [
        (json!({ "alias": "" }), "alias"),
        (json!({ "alias": "x".repeat(201) }), "alias"),
        (json!({ "address": ADDRESS }), "address"),
        (json!({ "provider": "bitcoin" }), "provider"),
        (json!({ "credentials": { "apiKey": "x" } }), "credentials"),
        (json!({ "credentials": 1 }), "credentials"),
    ] {
        let answer = wallets.patch(&format!("/v1/integrations/{id}"), &change).await.expect(400);
        assert_eq!(answer["details"][0]["path"], path, "{change}: {answer}");
    }
    let _ = wallets.patch(&format!("/v1/integrations/{NOBODYS}"), &json!({ "alias": "x" })).await.expect(404);
}

#[tokio::test]
async fn renaming_during_a_sync_loses_neither() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    app.fakes.esplora.receive_many(ADDRESS, 60);
    let id = connect_address(&wallets, ADDRESS).await;
    app.fakes.esplora.host.faults().next_on("/txs/chain/", 1, fakes::Fault::Hang);
    let (_, event) = app.stream_events().remove(0);
    let sync = app.invoke("wallets-sync", &event);
    let rename = async {
        app.fakes.esplora.host.faults().hanging(1).await;
        let changed =
            wallets.patch(&format!("/v1/integrations/{id}"), &json!({ "alias": "Renamed" })).await.expect(200);
        assert_eq!(
            (&changed["status"], &changed["progress"]),
            (&json!("ONGOING"), &json!({ "fetched": 25, "expected": 60 }))
        );
        app.fakes.esplora.host.faults().release();
    };
    let (answer, ()) = futures::join!(sync, rename);
    assert_eq!(answer.expect(200)["completed"], 1);
    let after = read(&wallets, &id).await;
    assert_eq!((&after["alias"], &after["totalTransactions"]), (&json!("Renamed"), &json!(60)));
}

/// Every item of the table but the audit log's, which keep the names of what was deleted.
async fn items(app: &TestApp) -> String {
    let output = app.table.scan().table_name("causeway").send().await.unwrap();
    let logged = |pk: &str| shared::table::keys::audit::is_month(pk);
    let items =
        output.items().iter().filter(|item| !item.get("pk").and_then(|pk| pk.as_s().ok()).is_some_and(|pk| logged(pk)));
    format!("{:?}", items.collect::<Vec<_>>())
}

#[tokio::test]
async fn what_is_deleted_is_gone_records_and_all() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    app.fakes.esplora.receive_many(ADDRESS, 60);
    let id = connect_address(&wallets, ADDRESS).await;
    let _ = app.deliver_stream().await;
    assert!(items(&app).await.contains(&format!("#X#{id}")));
    let _ = wallets.delete(&format!("/v1/integrations/{id}")).await.expect(204);
    let items = items(&app).await;
    assert!(!items.contains(&id), "{items}");
    let _ = wallets.get(&format!("/v1/integrations/{id}")).await.expect(404);
    let _ = wallets.get(&format!("/v1/integrations/{id}/transactions")).await.expect(404);
    let _ = wallets.post_empty(&format!("/v1/integrations/{id}/sync")).await.expect(404);
    let _ = wallets.delete(&format!("/v1/integrations/{id}")).await.expect(404);
    assert_eq!(wallets.get("/v1/integrations").await.expect(200)["pagination"]["totalCount"], 0);
}

#[tokio::test]
async fn a_worker_adds_nothing_to_what_was_deleted_under_it() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    app.fakes.esplora.receive_many(ADDRESS, 60);
    let id = connect_address(&wallets, ADDRESS).await;
    app.fakes.esplora.host.faults().next_on("/txs/chain/", 1, fakes::Fault::Hang);
    let (_, event) = app.stream_events().remove(0);
    let sync = app.invoke("wallets-sync", &event);
    let delete = async {
        app.fakes.esplora.host.faults().hanging(1).await;
        let _ = wallets.delete(&format!("/v1/integrations/{id}")).await.expect(204);
        app.fakes.esplora.host.faults().release();
    };
    let (answer, ()) = futures::join!(sync, delete);
    assert_eq!(answer.expect(200)["completed"], 0);
    assert!(!items(&app).await.contains(&id));
}
