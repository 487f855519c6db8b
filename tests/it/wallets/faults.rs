//! AWS fails at every step of every operation in turn, and nothing is lost, counted twice or left behind.
//!
//! Each operation runs once to learn how many calls it makes. Then, for each call and each fault, it runs again: once with
//! the fault striking that call alone, so that the SDK's repetition meets what the first attempt may have done, and once
//! with the fault striking from that call on, as if the function had died there. Afterwards the fault is gone, the client
//! asks again, the job and the sweep run, and everything must be as if nothing had happened. A call that only reads is just
//! refused for good: losing its answer is the same, and that the SDK asks once more is tested elsewhere.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use fakes::exchanges::kraken::KrakenKey;
use futures::StreamExt;
use futures::future::BoxFuture;
use http::Method;
use kit::fault_proxy::Fault;
use kit::{Answer, Client, TestApp};
use serde_json::{Value, json};
use shared::auth::Tenant;
use wallets::model::WalletId;
use wallets::store::Integrations;

use super::fixtures::{ADDRESS, ZPUB, connect, tick, transactions};
use crate::fault_table::{self, FAULTS, faults};
use crate::secrets;

/// Stacks that run at the same time. Most of a case is waiting: for the pause before a repetition.
const AT_ONCE: usize = 8;
/// Longer than anything is remembered, than a lease, and than a request that died holds its idempotency key.
const A_WHILE: i64 = 61;
const TWO_HOURS: i64 = 7_200;
/// Records in the history: more than fit into one transaction of the table.
const RECORDS: usize = 30;
/// Those that came after the last sync.
const MORE: usize = 5;
/// Rows of a file: more than are written at once.
const ROWS: usize = 120;
/// Rows of the file that was imported before. Some of them stand in the next file again.
const ROWS_BEFORE: usize = 10;
const OVERLAP: usize = 5;
/// Two keys of an exchange, each with its secret.
const OLD: [&str; 2] =
    ["the-old-key", "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="];
const NEW: [&str; 2] =
    ["the-new-key", "c29tZXRoaW5nIGVsc2UgdGhhdCBpcyBhIGtleSBvZiA2NCBieXRlcywgbW9yZSBvciBsZXNzLCBhcyBvbmUgd2FudHM="];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    Rename,
    /// A key and its secret take the place of others.
    ChangeCredentials,
    /// The worker's part.
    Sync,
    /// More is asked for.
    AskForLatest,
    AskForAll,
    /// A file as an integration of its own.
    Import,
    /// A file into an integration, which has some of its rows.
    ImportInto,
    Delete,
}

const OPERATIONS: [Operation; 9] = [
    Operation::Create,
    Operation::Rename,
    Operation::ChangeCredentials,
    Operation::Sync,
    Operation::AskForLatest,
    Operation::AskForAll,
    Operation::Import,
    Operation::ImportInto,
    Operation::Delete,
];

/// A file of deposits, one a minute, from one number up to another.
fn file(from: usize, to: usize) -> String {
    let header =
        "timestamp,type,sent_amount,sent_asset,received_amount,received_asset,fee_amount,fee_asset,external_id\n";
    let row = |number: usize| format!("2024-01-01 {:02}:{:02}:00,,,,{},BTC,,,\n", number / 60, number % 60, number + 1);
    (from..to).map(row).fold(header.to_owned(), |text, row| text + &row)
}

fn credentials([key, secret]: [&str; 2]) -> Value {
    json!({ "apiKey": key, "apiSecret": secret })
}

/// A stack on which an operation is about to run.
struct Scene {
    app: TestApp,
    operation: Operation,
    wallets: Client,
    key: String,
    id: String,
}

impl Scene {
    async fn set(operation: Operation) -> Self {
        let app = TestApp::start().await;
        app.fakes.esplora.receive_many(ADDRESS, RECORDS);
        for [key, secret] in [OLD, NEW] {
            app.fakes.kraken.add_key(KrakenKey::reading(key, secret));
        }
        for number in 0..RECORDS {
            app.fakes.kraken.deposit(OLD[0], 1_700_000_000.0 + number as f64, "XXBT", "0.5");
        }
        let (wallets, key) = (app.wallets(), app.platform.ids.uuid().to_string());
        let mut scene = Self { app, operation, wallets, key, id: String::new() };
        match operation {
            Operation::Create | Operation::Import => {}
            Operation::ImportInto => {
                let imported = scene.import("the first", "?provider=kraken&alias=Before", file(0, ROWS_BEFORE)).await;
                let _ = imported.expect(201);
                scene.id = imported.str("/integration/walletId");
            }
            _ => scene.id = connect(&scene.wallets, &scene.body()).await,
        }
        match operation {
            Operation::Delete => drop(scene.app.deliver_stream().await),
            Operation::ChangeCredentials => drop(tick(&scene.app).await),
            Operation::AskForLatest | Operation::AskForAll => {
                let _ = tick(&scene.app).await;
                scene.app.fakes.esplora.receive_many(ADDRESS, MORE);
            }
            _ => {}
        }
        scene.app.advance(A_WHILE);
        scene.app.proxy.forget_calls();
        scene
    }

    /// Something with a secret where secrets matter; a bare address takes fewer calls to sync.
    fn body(&self) -> Value {
        match self.operation {
            Operation::Create | Operation::Delete => json!({ "provider": "bitcoin", "xpub": ZPUB, "alias": "Before" }),
            Operation::ChangeCredentials => {
                json!({ "provider": "kraken", "credentials": credentials(OLD), "alias": "Before" })
            }
            _ => json!({ "provider": "bitcoin", "address": ADDRESS, "alias": "Before" }),
        }
    }

    async fn import(&self, key: &str, query: &str, file: String) -> Answer {
        let client = self.wallets.clone().header("content-type", "text/csv").header("idempotency-key", key);
        client.send(Method::POST, &format!("/v1/integrations/csv{query}"), file).await
    }

    /// Runs the operation. True if it was answered with success.
    async fn run(&self) -> bool {
        let path = format!("/v1/integrations/{}", self.id);
        let keyed = self.wallets.clone().header("idempotency-key", &self.key);
        let answer = match self.operation {
            Operation::Create => keyed.post("/v1/integrations", &self.body()).await,
            Operation::Rename => self.wallets.patch(&path, &json!({ "alias": "After" })).await,
            Operation::Sync => {
                let keys = json!({ "pk": { "S": "T#acme#wallets" }, "sk": { "S": format!("I#{}", self.id) } });
                let event = json!({ "Records": [{ "dynamodb": { "Keys": keys } }] });
                let answer = self.app.invoke("wallets-sync", &event).await;
                return answer.header("x-amz-function-error").is_none();
            }
            Operation::ChangeCredentials => {
                self.wallets.patch(&path, &json!({ "alias": "After", "credentials": credentials(NEW) })).await
            }
            Operation::AskForLatest => keyed.post(&format!("{path}/sync"), &json!({ "mode": "latest" })).await,
            Operation::AskForAll => keyed.post(&format!("{path}/sync"), &json!({ "mode": "from_start" })).await,
            Operation::Import => self.import(&self.key, "?provider=kraken&alias=Before", file(0, ROWS)).await,
            Operation::ImportInto => {
                let from = ROWS_BEFORE - OVERLAP;
                self.import(&self.key, &format!("?walletId={}", self.id), file(from, from + ROWS)).await
            }
            Operation::Delete => self.wallets.delete(&path).await,
        };
        let gone = self.operation == Operation::Delete && answer.status == 404;
        assert!(answer.status.is_success() || gone || answer.status == 500, "{}", answer.text);
        answer.status.is_success() || gone
    }

    /// Runs the job until it has nothing left to do, then the sweep.
    async fn settle(&self) {
        self.app.advance(A_WHILE);
        for _ in 0..2 {
            let _ = tick(&self.app).await;
            self.app.advance(A_WHILE);
        }
        let swept = self.app.invoke("sweep", &self.app.scheduled_event_in(TWO_HOURS)).await;
        assert_eq!(swept.header("x-amz-function-error"), None, "{}", swept.text);
    }

    /// What there is, after making sure that its parts agree.
    async fn sound(&self) -> Value {
        let list = self.wallets.get("/v1/integrations?pageSize=200").await.expect(200);
        let rows = list["data"].as_array().unwrap();
        assert_eq!(list["pagination"]["totalCount"], rows.len(), "the count");
        let of_kraken = [Operation::ChangeCredentials, Operation::Import, Operation::ImportInto];
        let provider = if of_kraken.contains(&self.operation) { "kraken" } else { "bitcoin" };
        let found = self.wallets.get(&format!("/v1/integrations?searchedKey={provider}")).await.expect(200);
        assert_eq!(found["pagination"]["totalCount"], rows.len(), "the slim rows");
        let ids: BTreeSet<&str> = rows.iter().map(|row| row["walletId"].as_str().unwrap()).collect();
        for row in rows {
            let records = transactions(&self.wallets, row["walletId"].as_str().unwrap()).await;
            assert_eq!(row["totalTransactions"], records.len(), "the total");
            let distinct: BTreeSet<&str> = records.iter().map(|record| record["id"].as_str().unwrap()).collect();
            assert_eq!(distinct.len(), records.len(), "a record stands there twice");
        }
        let mut identities = 0;
        for item in self.app.table.scan().table_name("causeway").send().await.unwrap().items() {
            let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
            let (partition, sort) = (text("pk"), text("sk"));
            if !partition.contains("#wallets") {
                continue;
            }
            match (partition.split_once("#X#"), sort.split_once('#')) {
                (Some((_, id)), _) => assert!(ids.contains(id), "a record of nobody's: {partition} {sort}"),
                (None, Some(("I" | "S", id))) => assert!(ids.contains(id), "{partition} {sort}"),
                (None, Some(("U", _))) => {
                    identities += 1;
                    let holder = item.get("wallet_id").and_then(|value: &AttributeValue| value.as_s().ok()).unwrap();
                    assert!(ids.contains(holder.as_str()), "{sort} is held by {holder}, which is not there");
                }
                _ => assert_eq!(sort, "COUNT", "{partition} {sort} was left behind"),
            }
        }
        // A file is nobody's account, and neither it nor a bare address has a secret.
        let accounts: Vec<&Value> = rows.iter().filter(|row| row["type"] != "csv").collect();
        // An exchange's is known by its key and by its own name.
        let names = if self.operation == Operation::ChangeCredentials { 2 } else { 1 };
        assert_eq!(identities, accounts.len() * names);
        let secrets = self.app.secret_names().await;
        let secret = accounts.iter().filter(|row| row["publicAddress"] != ADDRESS).count();
        assert_eq!(secrets.len(), secret, "{secrets:?}");
        secrets::assert_tidy(&self.app).await;
        if self.operation == Operation::ChangeCredentials {
            assert_eq!(self.secret().await, credentials(NEW));
        }
        assert!(secrets.iter().all(|name| ids.contains(name.rsplit('/').next().unwrap())), "{secrets:?} of {ids:?}");
        let seen = |row: &Value| json!([row["alias"], row["status"], row["totalTransactions"]]);
        rows.iter().map(seen).collect()
    }

    /// What the integration is asked with.
    async fn secret(&self) -> Value {
        let (store, tenant) = (Integrations::new(&self.app.platform), Tenant::parse("acme").unwrap());
        let stored = store.read(&tenant, &WalletId::parse(&self.id).unwrap()).await.unwrap();
        let (_, document) = store.account(&tenant, &stored).await.unwrap().secret_document().unwrap();
        serde_json::from_str(shared::credentials::disclose(&document)).unwrap()
    }
}

/// The steps of an operation, and how things are at the end.
async fn learn(operation: Operation) -> (Operation, Vec<String>, Value) {
    let scene = Scene::set(operation).await;
    assert!(scene.run().await);
    let steps = scene.app.proxy.operations();
    scene.settle().await;
    let end = scene.sound().await;
    let expected = match operation {
        Operation::Create | Operation::Sync => json!([["Before", "COMPLETED", RECORDS]]),
        Operation::Rename | Operation::ChangeCredentials => json!([["After", "COMPLETED", RECORDS]]),
        Operation::AskForLatest | Operation::AskForAll => json!([["Before", "COMPLETED", RECORDS + MORE]]),
        Operation::Import => json!([["Before", "COMPLETED", ROWS]]),
        Operation::ImportInto => json!([["Before", "COMPLETED", ROWS_BEFORE - OVERLAP + ROWS]]),
        Operation::Delete => json!([]),
    };
    assert_eq!(end, expected, "{operation:?}");
    (operation, steps, end)
}

async fn struck(operation: Operation, step: usize, fault: Fault, always: bool, end: Value) {
    let scene = Scene::set(operation).await;
    let injected = scene.app.proxy.inject(fault).at_step(step);
    let injected = if always { injected.always() } else { injected };
    let _ = scene.run().await;
    assert!(injected.strikes() > 0, "the fault struck nothing");
    scene.app.proxy.clear();
    secrets::assert_kept(&scene.app).await;
    scene.app.advance(A_WHILE);
    assert!(scene.run().await, "asked again");
    scene.settle().await;
    assert_eq!(scene.sound().await, end);
}

/// The operation asked for once more, although nothing failed.
async fn twice(operation: Operation, end: Value) {
    let scene = Scene::set(operation).await;
    for _ in 0..2 {
        assert!(scene.run().await);
    }
    scene.settle().await;
    assert_eq!(scene.sound().await, end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_wherever_everything_ends_as_it_should() {
    let courses: Vec<_> = futures::stream::iter(OPERATIONS).map(learn).buffered(OPERATIONS.len()).collect().await;
    let mut cases: Vec<BoxFuture<'static, ()>> = Vec::new();
    for (operation, steps, end) in &courses {
        cases.push(Box::pin(twice(*operation, end.clone())));
        for (at, call) in steps.iter().enumerate() {
            for (_, fault, always) in faults(call) {
                cases.push(Box::pin(struck(*operation, at + 1, fault, always, end.clone())));
            }
        }
    }
    let outcomes = futures::stream::iter(cases).map(|case| async { tokio::spawn(case).await.is_ok() });
    let mut held = outcomes.buffered(AT_ONCE).collect::<Vec<bool>>().await.into_iter();
    let rows = courses.into_iter().map(|(operation, calls, _)| {
        let twice = held.next().unwrap();
        let mut some = |call: &str| faults(call).zip(held.by_ref()).map(|(_, held)| held).collect();
        let steps = calls
            .into_iter()
            .map(|call| {
                let held = some(&call);
                (call, held)
            })
            .collect();
        fault_table::Course { operation: format!("{operation:?}"), steps, twice }
    });
    fault_table::assert_all_held("wallets", &FAULTS.map(|(name, ..)| name), &rows.collect::<Vec<_>>());
}
