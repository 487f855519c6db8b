//! `POST /v1/integrations`.

use kit::TestApp;
use serde_json::{Value, json};

use super::fixtures::{ADDRESS, ANOTHER_ADDRESS, ZPUB, connect, connect_address, read};

fn paths(body: &Value) -> Vec<&str> {
    body["details"].as_array().unwrap().iter().map(|detail| detail["path"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn whatever_is_wrong_is_named_at_once() {
    let app = TestApp::start().await;
    for (body, expected) in [
        (json!({}), vec!["provider"]),
        (json!({ "provider": "lehman" }), vec!["provider"]),
        (json!({ "provider": 7, "alias": "", "colour": "red" }), vec!["alias", "provider", "colour"]),
        (json!({ "provider": "bitcoin" }), vec!["address"]),
        (json!({ "provider": "bitcoin", "address": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb" }), vec!["address"]),
        (json!({ "provider": "bitcoin", "address": "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx" }), vec!["address"]),
        (json!({ "provider": "bitcoin", "address": ADDRESS, "xpub": ZPUB }), vec!["xpub"]),
        (json!({ "provider": "bitcoin", "xpub": "zpub123" }), vec!["xpub"]),
        (json!({ "provider": "bitcoin", "address": ADDRESS, "credentials": { "apiKey": "x" } }), vec!["credentials"]),
        (json!({ "provider": "bitcoin", "address": ADDRESS, "credentials": "x" }), vec!["credentials"]),
        (json!({ "provider": "bitcoin", "address": ADDRESS, "chains": ["eip155:1"] }), vec!["chains"]),
        (json!({ "provider": "bitcoin", "address": ADDRESS, "chains": [] }), vec!["chains"]),
        (
            json!({ "provider": "bitcoin", "address": ["x"], "accountName": 5 }),
            vec!["accountName", "address", "address"],
        ),
    ] {
        let answer = app.wallets().post("/v1/integrations", &body).await.expect(400);
        assert_eq!(
            (&answer["error"], &answer["message"]),
            (&json!("invalid_parameters"), &json!("Invalid request body"))
        );
        assert_eq!(paths(&answer), expected, "{body}: {answer}");
    }
    assert_eq!(app.wallets().get("/v1/integrations").await.expect(200)["pagination"]["totalCount"], 0);
    assert!(app.secret_names().await.is_empty());
}

#[tokio::test]
async fn what_was_connected_is_shown_as_it_is() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let body = json!({ "provider": "bitcoin", "address": ADDRESS.to_uppercase(), "accountName": "Savings" });
    let created = wallets.post("/v1/integrations", &body).await;
    let shown = created.expect(201);
    let id = created.str("/walletId");
    assert_eq!(created.header("location"), Some(format!("/wallets/api/v1/integrations/{id}").as_str()));
    assert_eq!(shown["publicAddress"], ADDRESS, "in its canonical form");
    assert_eq!(shown["alias"], "Bitcoin", "the provider's name unless it has one of its own");
    assert_eq!((&shown["status"], &shown["accountName"]), (&json!("QUEUED"), &json!("Savings")));
    assert_eq!(shown["warnings"], json!([]));
    assert_eq!(shown["chains"], json!(["bip122:000000000019d6689c085ae165831e93"]));
    assert_eq!(read(&wallets, &id).await, shown);
    assert!(app.secret_names().await.is_empty(), "a bare address has no secret");
}

#[tokio::test]
async fn the_same_address_twice_is_refused_with_the_one_that_has_it() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let id = connect_address(&wallets, ADDRESS).await;
    let again =
        wallets.post("/v1/integrations", &json!({ "provider": "bitcoin", "address": ADDRESS.to_uppercase() })).await;
    let body = again.expect(409);
    assert_eq!((&body["error"], &body["walletId"]), (&json!("conflict"), &json!(id)));
    assert!(body["message"].as_str().unwrap().contains(&id));
    connect_address(&wallets, ANOTHER_ADDRESS).await;
    let _ = wallets.delete(&format!("/v1/integrations/{id}")).await.expect(204);
    assert_ne!(connect_address(&wallets, ADDRESS).await, id);
    assert_eq!(wallets.get("/v1/integrations").await.expect(200)["pagination"]["totalCount"], 2);
}

#[tokio::test]
async fn of_many_who_connect_the_same_address_at_once_one_does() {
    let app = TestApp::start().await;
    let body = json!({ "provider": "bitcoin", "xpub": ZPUB });
    let attempts = (0..8).map(|_| {
        let (wallets, body) = (app.wallets(), body.clone());
        async move { wallets.post("/v1/integrations", &body).await.status.as_u16() }
    });
    let mut statuses = futures::future::join_all(attempts).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(app.wallets().get("/v1/integrations").await.expect(200)["pagination"]["totalCount"], 1);
    assert_eq!(app.secret_names().await.len(), 1, "those that lost took their secrets back");
}

#[tokio::test]
async fn an_extended_public_key_rests_in_secrets_manager_alone() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    // It is often called an address.
    let id = connect(&wallets, &json!({ "provider": "bitcoin", "address": ZPUB })).await;
    let shown = read(&wallets, &id).await;
    assert_eq!(shown["publicAddress"], "zpub6rFR7…tZYs");
    assert_eq!(app.secret_names().await, [format!("causeway/acme/wallets/{id}")]);
    let secret = app.secrets.get_secret_value().secret_id(format!("causeway/acme/wallets/{id}")).send().await.unwrap();
    assert_eq!(secret.secret_string(), Some(json!({ "xpub": ZPUB }).to_string().as_str()));
    let _ = app.deliver_stream().await;
    let _ = wallets.post("/v1/integrations", &json!({ "provider": "bitcoin", "xpub": ZPUB })).await.expect(409);
    let (items, logs) = (app.all_items().await, kit::logs::all());
    for part in [&ZPUB[..40], &ZPUB[40..]] {
        assert!(!items.contains(part) && !logs.contains(part));
    }
    let _ = wallets.delete(&format!("/v1/integrations/{id}")).await.expect(204);
    assert!(app.secret_names().await.is_empty());
}

#[tokio::test]
async fn a_private_key_is_refused_and_forgotten() {
    let app = TestApp::start().await;
    let key = "xprv9s21ZrQH143K3GJpoapnV8SFfukcVBSfeCficPSGfubmSFDxo1kuHnLisriDvSnRRuL2Qrg5ggqHKNVpxR86QEC8w35uxmGoggxtQTPvfUu";
    let answer = app.wallets().post("/v1/integrations", &json!({ "provider": "bitcoin", "xpub": key })).await;
    let body = answer.expect(400);
    assert!(body["details"][0]["message"].as_str().unwrap().contains("PRIVATE"), "{body}");
    assert!(!answer.text.contains(key) && !app.all_items().await.contains(key) && !kit::logs::all().contains(key));
}

#[tokio::test]
async fn a_repeated_request_ends_with_one() {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let body = json!({ "provider": "bitcoin", "xpub": ZPUB, "alias": "Vault" });
    let keyed = wallets.clone().header("idempotency-key", "once");
    let first = keyed.post("/v1/integrations", &body).await;
    let again = keyed.post("/v1/integrations", &body).await;
    assert_eq!((first.status.as_u16(), &first.text), (201, &again.text));
    let other = keyed.post("/v1/integrations", &json!({ "provider": "bitcoin", "address": ADDRESS })).await;
    assert_eq!(other.expect(409)["error"], "conflict");
    assert_eq!(wallets.get("/v1/integrations").await.expect(200)["pagination"]["totalCount"], 1);
}
