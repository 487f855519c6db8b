//! AWS fails at every step of every operation in turn, and nothing is lost, counted twice or left behind.
//!
//! Each operation runs once to learn how many calls it makes. Then, for each call and each fault, it runs again: once with
//! the fault striking that call alone, so that the SDK's repetition meets what the first attempt may have done, and once
//! with the fault striking from that call on, as if the function had died there. Afterwards the fault is gone, the client
//! asks again, the job and the sweep run, and everything must be as if nothing had happened.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::StreamExt;
use futures::future::BoxFuture;
use kit::fault_proxy::Fault;
use kit::{Client, TestApp};
use serde_json::{Value, json};

use super::fixtures::{ADDRESS, ZPUB, connect, tick, transactions};
use crate::fault_table;

/// Stacks that run at the same time. Most of a case is waiting: for the pause before a repetition.
const AT_ONCE: usize = 8;
/// Longer than anything is remembered, than a lease, and than a request that died holds its idempotency key.
const A_WHILE: i64 = 61;
const TWO_HOURS: i64 = 7_200;
/// Records in the history: more than fit into one transaction of the table.
const RECORDS: usize = 30;

/// Nothing was done, or all of it was and nobody knows; once, or from there on.
const FAULTS: [(&str, Fault, bool); 4] = [
    ("error", Fault::ServerError, false),
    ("error from there on", Fault::ServerError, true),
    ("lost", Fault::LoseAnswer, false),
    ("lost from there on", Fault::LoseAnswer, true),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    Rename,
    Sync,
    Delete,
}

const OPERATIONS: [Operation; 4] = [Operation::Create, Operation::Rename, Operation::Sync, Operation::Delete];

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
        let (wallets, key) = (app.wallets(), app.platform.ids.uuid().to_string());
        let mut scene = Self { app, operation, wallets, key, id: String::new() };
        if operation != Operation::Create {
            scene.id = connect(&scene.wallets, &scene.body()).await;
        }
        if operation == Operation::Delete {
            let _ = scene.app.deliver_stream().await;
        }
        scene.app.advance(A_WHILE);
        scene.app.proxy.forget_calls();
        scene
    }

    /// Something with a secret where secrets matter; a bare address takes fewer calls to sync.
    fn body(&self) -> Value {
        match self.operation {
            Operation::Create | Operation::Delete => json!({ "provider": "bitcoin", "xpub": ZPUB, "alias": "Before" }),
            Operation::Rename | Operation::Sync => {
                json!({ "provider": "bitcoin", "address": ADDRESS, "alias": "Before" })
            }
        }
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
        let found = self.wallets.get("/v1/integrations?searchedKey=bitcoin").await.expect(200);
        assert_eq!(found["pagination"]["totalCount"], rows.len(), "the slim rows");
        let ids: BTreeSet<&str> = rows.iter().map(|row| row["walletId"].as_str().unwrap()).collect();
        for row in rows {
            let records = transactions(&self.wallets, row["walletId"].as_str().unwrap()).await;
            assert_eq!(row["totalTransactions"], records.len(), "the total");
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
        assert_eq!(identities, rows.len());
        let secrets = self.app.secret_names().await;
        let secret = rows.iter().filter(|row| row["publicAddress"] != ADDRESS).count();
        assert_eq!(secrets.len(), secret, "{secrets:?}");
        assert!(secrets.iter().all(|name| ids.contains(name.rsplit('/').next().unwrap())), "{secrets:?} of {ids:?}");
        let seen = |row: &Value| json!([row["alias"], row["status"], row["totalTransactions"]]);
        rows.iter().map(seen).collect()
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
        Operation::Rename => json!([["After", "COMPLETED", RECORDS]]),
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
        for step in 1..=steps.len() {
            for (_, fault, always) in FAULTS.clone() {
                cases.push(Box::pin(struck(*operation, step, fault, always, end.clone())));
            }
        }
    }
    let outcomes = futures::stream::iter(cases).map(|case| async { tokio::spawn(case).await.is_ok() });
    let mut held = outcomes.buffered(AT_ONCE).collect::<Vec<bool>>().await.into_iter();
    let rows = courses.into_iter().map(|(operation, calls, _)| {
        let twice = held.next().unwrap();
        let steps = calls.into_iter().map(|call| (call, held.by_ref().take(FAULTS.len()).collect())).collect();
        fault_table::Course { operation: format!("{operation:?}"), steps, twice }
    });
    fault_table::assert_all_held("wallets", &FAULTS.map(|(name, ..)| name), &rows.collect::<Vec<_>>());
}
