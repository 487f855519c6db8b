//! `GET /v1/integrations`.

use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{ADDRESS, ANOTHER_ADDRESS, ZPUB, connect, connect_address, listed, tenant};

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

/// Fills a tenant with one integration of each alias, a second apart.
async fn fill(app: &TestApp, wallets: &kit::Client, aliases: &[&str]) {
    let addresses = [
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        ADDRESS,
        ANOTHER_ADDRESS,
        ZPUB,
    ];
    for (alias, address) in aliases.iter().zip(addresses) {
        connect(wallets, &json!({ "provider": "bitcoin", "address": address, "alias": alias })).await;
        app.advance(1);
    }
}

#[tokio::test]
async fn pages_are_in_the_order_of_addition() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let aliases = ["g", "f", "e", "d", "c", "b", "a"];
    fill(&app, &wallets, &aliases).await;
    for page_size in [1, 2, 3, 6, 7, 8] {
        let mut seen = Vec::new();
        for page in 1.. {
            let list = wallets.get(&format!("/v1/integrations?page={page}&pageSize={page_size}")).await.expect(200);
            let rows = list["data"].as_array().unwrap();
            seen.extend(rows.iter().map(|row| row["alias"].as_str().unwrap().to_owned()));
            let expected = json!({
                "page": page,
                "pageSize": page_size,
                "totalCount": 7,
                "hasNextPage": seen.len() < 7,
                "hasPreviousPage": page > 1,
            });
            assert_eq!(list["pagination"], expected);
            if seen.len() == 7 {
                break;
            }
            assert_eq!(rows.len(), page_size);
        }
        assert_eq!(seen, aliases);
    }
}

#[tokio::test]
async fn searches_find_the_most_relevant_first() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let aliases = [
        "Letger of old",
        "Main Trading Account",
        "little edge of a garage, every road",
        "my ledger",
        "Vault",
        "vault 2",
    ];
    fill(&app, &wallets, &aliases).await;
    for (search, expected) in [
        ("ledger", vec!["my ledger", "little edge of a garage, every road", "Letger of old"]),
        ("LEDGER", vec!["my ledger", "little edge of a garage, every road", "Letger of old"]),
        ("vault", vec!["Vault", "vault 2"]),
        ("valt", vec!["Vault", "vault 2"]),
        ("vaukt", vec!["Vault", "vault 2"]),
        ("main%20account", vec!["Main Trading Account"]),
        ("mta", vec!["Main Trading Account"]),
        ("bc1qcr8te4", vec!["Vault"]),
        ("bc1qcr8t...306fyu", vec!["Vault"]),
        ("nothing%20like%20it", vec![]),
        ("vault%20ledger", vec![]),
        ("bitcoin%20vault", vec!["Vault", "vault 2"]),
    ] {
        let list = wallets.get(&format!("/v1/integrations?searchedKey={search}")).await.expect(200);
        let found: Vec<&str> =
            list["data"].as_array().unwrap().iter().map(|row| row["alias"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{search}");
        assert_eq!(list["pagination"]["totalCount"], expected.len());
    }
    let everything = wallets.get("/v1/integrations?searchedKey=%20").await.expect(200);
    assert_eq!(everything["pagination"]["totalCount"], 6);
    let by_provider = wallets.get("/v1/integrations?searchedKey=bitcoin&page=2&pageSize=4").await.expect(200);
    assert_eq!(by_provider["data"].as_array().unwrap().len(), 2);
    let expected = json!({ "page": 2, "pageSize": 4, "totalCount": 6, "hasNextPage": false, "hasPreviousPage": true });
    assert_eq!(by_provider["pagination"], expected);
    let id = &listed(&wallets, "pageSize=1", "walletId").await[0];
    assert_eq!(listed(&wallets, &format!("searchedKey={id}"), "walletId").await, std::slice::from_ref(id));
    let _ = wallets.get(&format!("/v1/integrations?searchedKey={}", "x".repeat(257))).await.expect(400);
}

#[tokio::test]
async fn filters_count_what_they_let_through() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    fill(&app, &wallets, &["one", "two", "three"]).await;
    let id = listed(&wallets, "pageSize=1", "walletId").await.remove(0);
    let (_, event) = app.stream_events().remove(0);
    let first = json!({ "Records": [event["Records"][0]] });
    let _ = app.invoke("wallets-sync", &first).await.expect(200);
    for (query, expected) in [
        ("status=COMPLETED", 1),
        ("status=QUEUED", 2),
        ("status=FAILED", 0),
        ("category=blockchain", 3),
        ("category=exchange", 0),
        ("type=api", 3),
        ("type=csv", 0),
        ("provider=bitcoin", 3),
        ("provider=kraken", 0),
        ("provider=bitcoin&status=QUEUED&searchedKey=two", 1),
    ] {
        let list = wallets.get(&format!("/v1/integrations?{query}")).await.expect(200);
        assert_eq!(list["pagination"]["totalCount"], expected, "{query}");
        assert_eq!(list["data"].as_array().unwrap().len(), expected, "{query}");
    }
    assert_eq!(listed(&wallets, "status=COMPLETED", "walletId").await, [id]);
}

#[tokio::test]
async fn a_tenant_whose_name_begins_alike_sees_its_own() {
    let app = TestApp::start().await;
    for name in ["acme", "acme-2", "acm"] {
        let wallets = tenant(&app, name).await;
        connect(&wallets, &json!({ "provider": "bitcoin", "address": ADDRESS, "alias": name })).await;
        for query in ["", "searchedKey=acme", "page=1&pageSize=1", "status=QUEUED"] {
            let seen = listed(&wallets, query, "alias").await;
            assert!(seen == [name] || (name == "acm" && query == "searchedKey=acme"), "{name} {query}: {seen:?}");
        }
    }
}
