//! `GET /v1/providers`.

use kit::TestApp;
use serde_json::json;

#[tokio::test]
async fn the_catalogue_tells_what_a_form_needs() {
    let app = TestApp::start().await;
    let tenant = app.tenant("acme");
    let catalogue = app.wallets_as(tenant, &tenant.tokens.read_only).get("/v1/providers").await.expect(200);
    let entries = catalogue["data"].as_array().unwrap();
    let bitcoin = entries.iter().find(|entry| entry["id"] == "bitcoin").unwrap();
    assert_eq!(bitcoin["publicName"], "Bitcoin");
    assert_eq!((&bitcoin["category"], &bitcoin["types"]), (&json!("blockchain"), &json!(["api"])));
    assert_eq!(bitcoin["address"]["takesXpub"], true);
    for entry in entries {
        assert!(entry["logoUrl"].as_str().unwrap().starts_with("https://"), "{entry}");
        assert!(!entry["instructions"].as_str().unwrap().is_empty(), "{entry}");
        let by_credentials = !entry["credentials"].as_array().unwrap().is_empty();
        assert!(!(by_credentials && entry.get("address").is_some()), "{entry}");
        for field in entry["credentials"].as_array().unwrap() {
            assert!(!field["label"].as_str().unwrap().is_empty() && !field["help"].as_str().unwrap().is_empty());
        }
    }
}
