//! `GET /v1/integrations`.

use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{ADDRESS, connect, connect_address};

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let app = TestApp::start().await;
    for (query, path) in [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=1.5", "page"),
        ("page=two", "page"),
        ("page=", "page"),
        ("pageSize=0", "pageSize"),
        ("pageSize=201", "pageSize"),
        ("pageSize=%2B5", "pageSize"),
        ("pageSize=1e1", "pageSize"),
        ("category=bank", "category"),
        ("type=xml", "type"),
        ("status=active", "status"),
    ] {
        let answer = app.wallets().get(&format!("/v1/integrations?{query}")).await;
        let body = answer.expect(400);
        assert_eq!(
            (&body["error"], &body["message"]),
            (&json!("invalid_parameters"), &json!("Invalid query parameters"))
        );
        assert_eq!(body["details"][0]["path"], path, "{query}: {body}");
        assert_eq!(body["request_id"].as_str(), answer.header("x-request-id"));
    }
    let both = app.wallets().get("/v1/integrations?page=0&pageSize=0").await.expect(400);
    assert_eq!(both["details"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_list_has_the_documented_form() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let empty = wallets.get("/v1/integrations").await.expect(200);
    let pagination =
        json!({ "page": 1, "pageSize": 25, "totalCount": 0, "hasNextPage": false, "hasPreviousPage": false });
    assert_eq!((&empty["data"], &empty["pagination"]), (&json!([]), &pagination));

    let body = json!({ "provider": "bitcoin", "address": ADDRESS, "alias": "Cold storage" });
    let id = connect(&wallets, &body).await;
    let list = wallets.get("/v1/integrations").await.expect(200);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&list), ["data", "pagination", "user_id", "timestamp"]);
    assert_eq!(list["user_id"], app.tenant("acme").user_id);
    assert_eq!(list["timestamp"], 1_780_000_000_000_i64);
    let row = &list["data"][0];
    assert_eq!(
        keys(row),
        [
            "provider",
            "providerPublicName",
            "publicAddress",
            "walletId",
            "logoUrl",
            "isContract",
            "alias",
            "status",
            "addedOn",
            "lastSyncedAt",
            "category",
            "type",
            "totalTransactions"
        ]
    );
    assert!(row["logoUrl"].as_str().unwrap().starts_with("https://"));
    let mut row = row.clone();
    row.as_object_mut().unwrap().remove("logoUrl");
    let expected = json!({
        "provider": "bitcoin",
        "providerPublicName": "Bitcoin",
        "publicAddress": ADDRESS,
        "walletId": id,
        "isContract": false,
        "alias": "Cold storage",
        "status": "QUEUED",
        "addedOn": 1_780_000_000_000_i64,
        "lastSyncedAt": null,
        "category": "blockchain",
        "type": "api",
        "totalTransactions": 0,
    });
    assert_eq!(row, expected);
}

#[tokio::test]
async fn past_the_last_page_there_is_nothing_and_a_page_before() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    connect_address(&wallets, ADDRESS).await;
    for page in ["2", "1000000", "99999999999999999999999999"] {
        let list = wallets.get(&format!("/v1/integrations?page={page}")).await.expect(200);
        assert_eq!(list["data"], json!([]));
        assert_eq!(
            (&list["pagination"]["hasNextPage"], &list["pagination"]["hasPreviousPage"]),
            (&json!(false), &json!(true))
        );
        assert_eq!(list["pagination"]["totalCount"], 1);
    }
}
