//! What reads cost: a first page is one Query over that page and one look at the count, however much a tenant has.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use kit::TestApp;
use serde_json::json;

use super::fixtures::{ADDRESS, connect, tenant};

/// Fills a tenant up to `total` integrations with copies of one that was created.
async fn fill(app: &TestApp, name: &str, total: usize) {
    let wallets = tenant(app, name).await;
    let id = connect(&wallets, &json!({ "provider": "bitcoin", "address": ADDRESS, "alias": "Savings" })).await;
    let text = |text: String| AttributeValue::S(text);
    let partition = text(format!("T#{name}#wallets"));
    let get = app.table.get_item().table_name("causeway").key("pk", partition.clone());
    let item: HashMap<_, _> = get.key("sk", text(format!("I#{id}"))).send().await.unwrap().item.unwrap();
    let copies: Vec<WriteRequest> = (1..total)
        .map(|number| {
            let id = format!("{}{number:012}", &id[..13]);
            let mut item = item.clone();
            item.insert("sk".into(), text(format!("I#{id}")));
            item.insert("slim_order".into(), text(id.clone()));
            item.insert("wallet_id".into(), text(id));
            WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().unwrap()).build()
        })
        .collect();
    for batch in copies.chunks(25) {
        let written = app.table.batch_write_item().request_items("causeway", batch.to_vec()).send().await.unwrap();
        assert!(written.unprocessed_items.unwrap_or_default().is_empty());
    }
    let count = app.table.update_item().table_name("causeway").key("pk", partition).key("sk", text("COUNT".into()));
    let count = count.update_expression("ADD #count :more").expression_attribute_names("#count", "count");
    let more = AttributeValue::N((total - 1).to_string());
    count.expression_attribute_values(":more", more).send().await.unwrap();
}

#[tokio::test]
async fn a_first_page_costs_the_same_for_25_and_for_2000() {
    let app = TestApp::start().await;
    let mut costs = Vec::new();
    for (name, total) in [("small", 25), ("large", 2_000)] {
        fill(&app, name, total).await;
        let wallets = tenant(&app, name).await;
        let _ = wallets.get("/v1/integrations").await.expect(200);
        app.proxy.forget_calls();
        let list = wallets.get("/v1/integrations?pageSize=10").await.expect(200);
        assert_eq!((list["data"].as_array().unwrap().len(), &list["pagination"]["totalCount"]), (10, &json!(total)));
        let mut operations = app.proxy.operations();
        operations.sort();
        assert_eq!(operations, ["GetItem", "Query"]);
        let query = app.proxy.calls().into_iter().find(|call| call.operation == "Query").unwrap();
        assert_eq!((&query.request["Limit"], query.request.get("FilterExpression")), (&json!(11), None));
        costs.push(app.proxy.consumed());
    }
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0] <= 5.0, "{costs:?}");
}

#[tokio::test]
async fn a_search_reads_slim_rows_and_then_only_its_page() {
    let app = TestApp::start().await;
    fill(&app, "large", 2_000).await;
    let wallets = tenant(&app, "large").await;
    let _ = wallets.get("/v1/integrations").await.expect(200);
    for (query, total) in [("searchedKey=savings", 2_000), ("status=QUEUED", 2_000), ("page=150&pageSize=10", 2_000)] {
        app.proxy.forget_calls();
        let list = wallets.get(&format!("/v1/integrations?pageSize=10&{query}")).await.expect(200);
        assert_eq!((list["data"].as_array().unwrap().len(), &list["pagination"]["totalCount"]), (10, &json!(total)));
        let calls = app.proxy.calls();
        let queries: Vec<_> = calls.iter().filter(|call| call.operation == "Query").collect();
        assert!(queries.iter().all(|call| call.request["IndexName"] == "slim"), "{query}");
        assert_eq!(queries.len(), 1, "2,000 slim rows are less than a megabyte");
        assert!(app.proxy.consumed() < 150.0, "{query}: {}", app.proxy.consumed());
        let read: Vec<_> = calls.iter().filter(|call| call.operation == "BatchGetItem").collect();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].request["RequestItems"]["causeway"]["Keys"].as_array().unwrap().len(), 10);
        assert!(!app.proxy.operations().contains(&"Scan".to_owned()));
    }
}
