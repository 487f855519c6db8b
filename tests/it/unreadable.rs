//! An item of the table that cannot be read: lists go on without it and say so, and whatever decides or writes does not.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use kit::{TestApp, logs};
use serde_json::{Value, json};
use shared::auth::Tenant;
use shared::table::{Key, keys};

/// What stands where something else is expected, and is not to be told.
const CANARY: &str = "c4n4ry-of-an-item";
const WALLETS: &str = "/v1/integrations";
const SERVICES: &str = "/api/integrations";
const KEYS: &str = "/api/v1/integrations";
const ADDRESSES: [&str; 4] = [
    "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
    "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
];

fn acme() -> Tenant {
    Tenant::parse("acme").unwrap()
}

/// Puts a text where an attribute of an item is that is none.
async fn spoil(app: &TestApp, key: &Key, attribute: &str) {
    let update = app.table.update_item().table_name("causeway").set_key(Some(key.attributes()));
    let update = update.update_expression("SET #spoilt = :text").condition_expression("attribute_exists(#spoilt)");
    let update = update.expression_attribute_names("#spoilt", attribute);
    update.expression_attribute_values(":text", AttributeValue::S(CANARY.into())).send().await.unwrap();
}

fn key_of(item: &HashMap<String, AttributeValue>) -> Key {
    Key::new(item["pk"].as_s().unwrap(), item["sk"].as_s().unwrap())
}

/// The keys of a partition whose item says this of an attribute.
async fn keys_with(app: &TestApp, partition: &str, attribute: &str, value: &str) -> Vec<Key> {
    let query = app.table.query().table_name("causeway").key_condition_expression("pk = :partition");
    let query = query.expression_attribute_values(":partition", AttributeValue::S(partition.into()));
    let items = query.send().await.unwrap().items.unwrap_or_default();
    let says = |item: &&HashMap<String, AttributeValue>| {
        item.get(attribute).is_some_and(|has| has.as_s().is_ok_and(|has| has == value))
    };
    items.iter().filter(says).map(key_of).collect()
}

/// The texts at a place of each row.
fn texts(rows: &Value, field: &str) -> Vec<String> {
    rows.as_array().unwrap().iter().map(|row| row[field].as_str().unwrap().to_owned()).collect()
}

/// It was counted for the group, its key was logged, and nothing of what it has instead.
fn is_told(app: &TestApp, group: &str, key: &Key) {
    assert!(app.metrics.total("UnreadableItems", &[("Group", group)]) > 0, "{group}");
    let log = logs::all();
    let said = log.lines().filter(|line| line.contains("an item cannot be read and is left out"));
    let lines: Vec<Value> = said.map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["sort"] == *key.sort && line["partition"] == *key.partition);
    let line = line.unwrap_or_else(|| panic!("{key:?} is not in the log"));
    assert_eq!((&line["level"], &line["group"]), (&json!("ERROR"), &json!(group)));
    assert!(line["reason"].is_string() && !line.to_string().contains(CANARY), "{line}");
}

#[tokio::test]
async fn a_list_of_services_goes_on_without_it_on_every_page() {
    let app = TestApp::start().await;
    let services = app.services();
    let mut ids = Vec::new();
    for name in ["one", "two", "three", "four"] {
        let config = json!({ "webhookUrl": app.demo.slack_webhook_url });
        let body = json!({ "name": name, "type": "slack", "config": config });
        ids.push(services.post(SERVICES, &body).await.str("/id"));
        app.advance(1);
    }
    let spoilt = keys::integration(&acme(), "services", &ids[1]);
    spoil(&app, &spoilt, "created_at").await;
    for kind in ["", "&type=slack"] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = services.get(&format!("{SERVICES}?limit=1{kind}{cursor}")).await.expect(200);
            // No page is short, so that each but the last has a cursor.
            assert_eq!(page["data"].as_array().unwrap().len(), 1, "{page}");
            seen.extend(texts(&page["data"], "id"));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, [ids[0].clone(), ids[2].clone(), ids[3].clone()]);
    }
    is_told(&app, "services", &spoilt);
    // By itself it is ours to explain, and nothing is written over it.
    let one = format!("{SERVICES}/{}", ids[1]);
    let _ = services.get(&one).await.expect(500);
    let _ = services.put(&one, &json!({ "name": "another" })).await.expect(500);
}

/// Pages of two of four wallets, of which the second is spoilt in this attribute: the rows that each page shows.
async fn pages_of_wallets(attribute: &str) -> Vec<Vec<usize>> {
    let app = TestApp::start().await;
    let wallets = app.wallets();
    let mut ids = Vec::new();
    for address in ADDRESSES {
        let body = json!({ "provider": "bitcoin", "address": address });
        ids.push(wallets.post(WALLETS, &body).await.str("/walletId"));
        app.advance(1);
    }
    let spoilt = keys::integration(&acme(), "wallets", &ids[1]);
    spoil(&app, &spoilt, attribute).await;
    let mut pages = Vec::new();
    for page in 1..=2 {
        let list = wallets.get(&format!("{WALLETS}?pageSize=2&page={page}")).await.expect(200);
        let (total, more) = (&list["pagination"]["totalCount"], &list["pagination"]["hasNextPage"]);
        assert_eq!((total, more), (&json!(4), &json!(page == 1)), "{list}");
        let rows = texts(&list["data"], "walletId");
        pages.push(rows.iter().map(|row| ids.iter().position(|id| id == row).unwrap()).collect());
    }
    let found = wallets.get(&format!("{WALLETS}?searchedKey=bitcoin")).await.expect(200);
    assert_eq!(found["data"].as_array().unwrap().len(), 3, "{found}");
    is_told(&app, "wallets", &spoilt);
    let _ = wallets.get(&format!("{WALLETS}/{}", ids[1])).await.expect(500);
    pages
}

#[tokio::test]
async fn pages_of_wallets_neither_repeat_nor_lose_a_row() {
    // It stands in the item alone: pages are counted in the rows of an index, where the wallet can still be read.
    assert_eq!(pages_of_wallets("total_transactions").await, [vec![0], vec![2, 3]]);
    assert_eq!(pages_of_wallets("added_on").await, [vec![0, 2], vec![3]]);
}

#[tokio::test]
async fn a_wallets_transactions_go_on_without_it() {
    let app = TestApp::start().await;
    app.fakes.esplora.receive_many(ADDRESSES[0], 3);
    let body = json!({ "provider": "bitcoin", "address": ADDRESSES[0] });
    let id = app.wallets().post(WALLETS, &body).await.str("/walletId");
    let _ = app.invoke("wallets-sync", &app.scheduled_event()).await.expect(200);
    let path = format!("{WALLETS}/{id}/transactions");
    let all = app.wallets().get(&path).await.expect(200);
    let all = all["data"].as_array().unwrap().len();
    let stored = app.table.query().table_name("causeway").key_condition_expression("pk = :partition");
    let partition = keys::transactions(&acme(), "wallets", &id);
    let stored = stored.expression_attribute_values(":partition", AttributeValue::S(partition));
    let spoilt = key_of(&stored.send().await.unwrap().items()[0]);
    spoil(&app, &spoilt, "time").await;
    let mut seen = 0;
    let mut cursor = String::new();
    loop {
        let page = app.wallets().get(&format!("{path}?limit=1{cursor}")).await.expect(200);
        seen += page["data"].as_array().unwrap().len();
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, all - 1);
    is_told(&app, "wallets", &spoilt);
}

#[tokio::test]
async fn a_pool_of_keys_is_listed_and_used_without_it() {
    let app = TestApp::start().await;
    let pool = app.keys();
    let mut ids = Vec::new();
    for (number, label) in ["first", "second", "third"].into_iter().enumerate() {
        let api_key = format!("sk-or-v1-a-key-of-the-tests-{number}");
        app.fakes.ai.openrouter.set_key(&api_key, fakes::ai::AiKey::with_balance(5.0));
        let body = json!({ "provider_name": "openrouter", "key_label": label, "credentials": { "api_key": api_key } });
        ids.push(pool.post(KEYS, &body).await.expect(201)["integration"]["id"].as_u64().unwrap());
    }
    let spoilt = keys::integration(&acme(), "keys", &format!("{:010}", ids[1]));
    spoil(&app, &spoilt, "is_active").await;
    for (query, expected, total) in [
        ("", vec![ids[0], ids[2]], 3),
        ("?limit=2", vec![ids[0], ids[2]], 3),
        ("?limit=1", vec![ids[0]], 3),
        ("?limit=1&offset=1", vec![ids[2]], 3),
        ("?offset=2", vec![], 3),
        // Nobody can tell whether a filter takes it.
        ("?provider_name=openrouter", vec![ids[0], ids[2]], 2),
    ] {
        let list = pool.get(&format!("{KEYS}{query}")).await.expect(200);
        let listed: Vec<u64> =
            list["integrations"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
        assert_eq!((listed, &list["total"]), (expected, &json!(total)), "{query}");
    }
    is_told(&app, "keys", &spoilt);
    let _ = pool.get(&format!("{KEYS}/health")).await.expect(200);
    for _ in 0..4 {
        let acquired = pool.post(&format!("{KEYS}/acquire"), &json!({ "provider_name": "openrouter" })).await;
        let _ = acquired.expect(200);
    }
    let result = app.invoke("keys-billing", &app.scheduled_event()).await.expect(200);
    assert_eq!((&result["synced"], &result["failed"]), (&json!(2), &json!(1)), "{result}");
    let _ = pool.get(&format!("{KEYS}/{}", ids[1])).await.expect(500);
}

#[tokio::test]
async fn every_list_of_vaults_goes_on_without_it() {
    const SYNC: &str = "/v1/integrations/vaults/acme/app/sync";
    let app = TestApp::start().await;
    let vaults = app.vaults();
    let teams = vec!["team_sandbox".to_owned()];
    let reach = fakes::platforms::vercel::VercelToken { user: "user_sandbox".into(), teams, ..Default::default() };
    app.fakes.vercel.add_token(&app.demo.vercel_token, reach);
    let body = json!({ "token": app.demo.vercel_token, "account": "team_sandbox" });
    let first = vaults.post("/v1/integrations/vercel/connect", &body).await.str("/data/id");
    let _ = vaults.put("/v1/vaults/acme/app/environments/production/secrets", &json!({ "A": "1" })).await.expect(200);
    let _ = vaults.put("/v1/vaults/acme/other/environments/production/secrets", &json!({ "A": "1" })).await.expect(200);
    for project in ["prj_1", "prj_2"] {
        app.fakes.vercel.add_project(project, project, "team_sandbox");
        let _ = vaults.post(SYNC, &json!({ "connectionId": first, "projectId": project })).await.expect(200);
        app.advance(1);
    }
    let token = json!({ "token": fakes::Fakes::platform_token("netlify") });
    let second = vaults.post("/v1/integrations/netlify/connect", &token).await.str("/data/id");

    let partition = keys::integrations(&acme(), "vaults");
    let links = keys_with(&app, &partition, "project_id", "prj_1").await;
    let history = keys::vaults::history(&acme(), "acme/app");
    let runs = keys_with(&app, &history, "projectId", "prj_1").await;
    for (list, place, spoilt, attribute) in [
        (format!("{SYNC}/links"), "/data/links", links, "auto"),
        (format!("{SYNC}/history"), "/data/runs", runs, "automatic"),
        (
            "/v1/vaults".to_owned(),
            "/data/vaults",
            keys_with(&app, &partition, "vault", "acme/other").await,
            "created_at",
        ),
    ] {
        let before = vaults.get(&list).await.expect(200).pointer(place).unwrap().as_array().unwrap().len();
        assert_eq!((before, spoilt.is_empty()), (2, false), "{list}");
        for key in &spoilt {
            spoil(&app, key, attribute).await;
        }
        let after = vaults.get(&list).await.expect(200).pointer(place).unwrap().as_array().unwrap().len();
        assert_eq!(after, 1, "{list}");
        for key in &spoilt {
            is_told(&app, "vaults", key);
        }
    }
    let spoilt = keys::integration(&acme(), "vaults", &first);
    spoil(&app, &spoilt, "created_at").await;
    let listed = vaults.get("/v1/integrations/connections").await.expect(200);
    assert_eq!(texts(&listed["data"]["connections"], "id"), [second]);
    is_told(&app, "vaults", &spoilt);
}
