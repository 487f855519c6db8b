//! What reads cost: a list is one Query, whatever the tenant has beside it.

use kit::TestApp;
use serde_json::json;

use super::fixtures::{CONNECTIONS, SYNC, put, ready, sync};

/// The table's operations of one request, the token's look-up left out.
async fn operations(app: &TestApp, path: &str) -> Vec<String> {
    let _ = app.vaults().get(path).await.expect(200);
    app.proxy.forget_calls();
    let _ = app.vaults().get(path).await.expect(200);
    app.proxy.operations()
}

#[tokio::test]
async fn lists_are_one_query_each() {
    let (app, id) = ready(json!({ "A": "1" })).await;
    for number in 0..3 {
        put(&app.vaults(), json!({ "A": number.to_string() })).await;
        let _ = sync(&app, &id, json!({})).await;
    }
    for path in [CONNECTIONS, "/v1/vaults"] {
        assert_eq!(operations(&app, path).await, ["Query"], "{path}");
    }
    for path in [format!("{SYNC}/history"), format!("{SYNC}/links")] {
        // Whether there is such a vault, and its rows.
        assert_eq!(operations(&app, &path).await, ["GetItem", "Query"], "{path}");
    }
}
