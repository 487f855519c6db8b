//! AWS fails at every step of every operation in turn, and nothing is lost, counted twice or left behind.
//!
//! Each operation runs once to learn the calls it makes. Then, for each call and each fault, it runs again: once with the
//! fault striking that call alone, so that the repetition meets what the first attempt may have done, and once with the
//! fault striking from that call on, as if the function had died there. Afterwards the fault is gone, the client asks
//! again, the sweep runs, and everything must be as if nothing had happened. A call that only reads is just refused for
//! good: losing its answer is the same, and that the SDK asks once more is tested elsewhere. Each step has a stack of its
//! own.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use kit::fault_proxy::Fault;
use kit::{Answer, Client, TestApp};
use serde_json::{Value, json};
use shared::auth::Tenant;

use super::{PATH, acquire, create, get, report};
use crate::fault_table::{self, FAULTS, faults};
use crate::secrets;

/// Stacks that run at the same time. Most of a case is waiting: for the pause before a repetition.
const AT_ONCE: usize = 8;
/// Longer than anything is remembered, than a lease, and than a request that died holds its idempotency key.
const A_WHILE: i64 = 61;
const TWO_HOURS: i64 = 7_200;
const OLD: &str = "sk-or-v1-the-old-one-0123";
const NEW: &str = "sk-or-v1-the-new-one-4567";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// It takes the place of another primary.
    Create,
    /// The same.
    Update,
    Rotate,
    Delete,
    /// Of two keys the first has one use left.
    Acquire,
    Report,
    /// The key has been revoked at the provider.
    Test,
    /// `keys-monitor` finds that a key works that was reported not to.
    Monitor,
    /// `keys-billing`
    Billing,
}

const OPERATIONS: [Operation; 9] = [
    Operation::Create,
    Operation::Update,
    Operation::Rotate,
    Operation::Delete,
    Operation::Acquire,
    Operation::Report,
    Operation::Test,
    Operation::Monitor,
    Operation::Billing,
];

/// A stack on which an operation is about to run.
struct Scene {
    app: TestApp,
    operation: Operation,
    keys: Client,
    idempotency_key: String,
    path: String,
    lease: String,
}

impl Scene {
    async fn set(app: TestApp, operation: Operation) -> Self {
        let (keys, idempotency_key) = (app.keys(), app.platform.ids.uuid().to_string());
        app.fakes.ai.openrouter.add_key(OLD);
        app.fakes.ai.openrouter.add_key(NEW);
        // It is kept in memory from the first time on.
        let _ = app.platform.signing_key().await.unwrap();
        let mut scene = Self { app, operation, keys, idempotency_key, path: String::new(), lease: String::new() };
        if matches!(operation, Operation::Create | Operation::Update) {
            scene.pool(json!({ "key_label": "Neighbour", "is_primary": true, "is_active": false })).await;
        }
        if operation != Operation::Create {
            // One that is used up by one use has to know its own.
            let limit = if operation == Operation::Acquire { json!(1) } else { Value::Null };
            let more = json!({ "key_label": "Before", "spend_limit_amount": 500, "daily_limit": limit });
            scene.path = scene.pool(more).await;
        }
        if operation == Operation::Acquire {
            scene.pool(json!({ "key_label": "Neighbour" })).await;
        }
        match operation {
            Operation::Report => scene.lease = acquire(&scene.keys, "openrouter").await.1,
            Operation::Test => scene.app.fakes.ai.openrouter.revoke_key(OLD),
            Operation::Monitor => {
                let (_, lease) = acquire(&scene.keys, "openrouter").await;
                let _ = report(&scene.keys, &lease, "invalid_key").await;
            }
            _ => {}
        }
        scene.app.advance(A_WHILE);
        scene.app.proxy.forget_calls();
        scene
    }

    fn body(more: Value) -> Value {
        let mut body = json!({ "provider_name": "openrouter", "credentials": { "api_key": OLD } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    /// Adds a key; gives its path.
    async fn pool(&self, more: Value) -> String {
        let created = self.keys.post(PATH, &Self::body(more)).await.expect(201);
        format!("{PATH}/{}", created["integration"]["id"])
    }

    /// Runs the operation: the same request each time, with the same idempotency key where one is taken.
    async fn run(&self) -> Answer {
        let keyed = || self.keys.clone().header("idempotency-key", &self.idempotency_key);
        let job = async |function: &str| self.app.invoke(function, &self.app.scheduled_event()).await;
        match self.operation {
            Operation::Create => {
                let body = Self::body(json!({ "key_label": "Before", "is_primary": true }));
                keyed().post(PATH, &body).await
            }
            Operation::Update => {
                self.keys.patch(&self.path, &json!({ "key_label": "After", "is_primary": true })).await
            }
            Operation::Rotate => {
                let body = json!({ "credentials": { "api_key": NEW } });
                keyed().post(&format!("{}/rotate", self.path), &body).await
            }
            Operation::Delete => self.keys.delete(&self.path).await,
            Operation::Acquire => {
                keyed().post(&format!("{PATH}/acquire"), &json!({ "provider_name": "openrouter" })).await
            }
            Operation::Report => {
                let body = json!({ "lease_id": self.lease, "outcome": "error", "cost": 0.25 });
                self.keys.post(&format!("{PATH}/report"), &body).await
            }
            Operation::Test => keyed().post_empty(&format!("{}/test", self.path)).await,
            Operation::Monitor => job("keys-monitor").await,
            Operation::Billing => job("keys-billing").await,
        }
    }

    /// True if it was done. If not, it was said in the group's way.
    fn done(&self, answer: &Answer) -> bool {
        if matches!(self.operation, Operation::Monitor | Operation::Billing) {
            return answer.header("x-amz-function-error").is_none();
        }
        if self.operation == Operation::Delete && answer.status == 404 {
            return true;
        }
        if !answer.status.is_success() {
            let told = answer.expect(500);
            assert_eq!((&told["success"], &told["error"]), (&json!(false), &json!("Internal error")));
            assert!(told["request_id"].is_string() && !answer.text.contains("sk-or"), "{told}");
        }
        answer.status.is_success()
    }

    /// Lets what died be past, and the sweep look after it.
    async fn settle(&self) {
        self.app.advance(A_WHILE);
        let swept = self.app.invoke("sweep", &self.app.scheduled_event_in(TWO_HOURS)).await;
        assert_eq!(swept.header("x-amz-function-error"), None, "{}", swept.text);
        secrets::assert_tidy(&self.app).await;
    }

    /// What there is, after making sure that its parts agree.
    async fn sound(&self) -> Value {
        let list = self.keys.get(PATH).await.expect(200);
        let rows = list["integrations"].as_array().unwrap();
        assert_eq!(list["total"], rows.len());
        let primaries = rows.iter().filter(|row| row["is_primary"] == true).count();
        assert!(primaries <= 1, "{primaries} primaries");
        let ids: BTreeSet<u64> = rows.iter().map(|row| row["id"].as_u64().unwrap()).collect();
        self.assert_whole(&ids).await;
        let store = keys::store::Keys::new(&self.app.platform);
        let tenant = Tenant::parse("acme").unwrap();
        let mut seen = Vec::new();
        for row in rows {
            let id = keys::model::KeyId::new(row["id"].as_u64().unwrap()).unwrap();
            let (_, secrets) = store.open(&tenant, id).await.unwrap();
            let chart = self.keys.get(&format!("{PATH}/{id}/usage")).await.expect(200);
            let errors: u64 = chart["days"].as_array().unwrap().iter().map(|day| day["errors"].as_u64().unwrap()).sum();
            // A test that nobody heard of may find the same a second time.
            let failures = if self.operation == Operation::Test { &Value::Null } else { &row["consecutive_failures"] };
            seen.push(json!([
                [row["key_label"], row["is_primary"], secrets.disclosed()["api_key"]],
                [row["health_status"], failures, row["cached_balance"]],
                [row["daily_count"], chart["totals"]["requests"], errors, chart["totals"]["cost"]],
            ]));
        }
        Value::Array(seen)
    }

    /// Every key has its uses and its billing work, and nobody else has.
    async fn assert_whole(&self, ids: &BTreeSet<u64>) {
        let mut parts: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::from([("I", BTreeSet::new())]);
        let mut total = None;
        for item in self.app.table.scan().table_name("causeway").send().await.unwrap().items() {
            let (partition, sort) = (item["pk"].as_s().unwrap(), item["sk"].as_s().unwrap());
            let Some(rest) = partition.strip_prefix("T#acme#keys") else { continue };
            match (rest.strip_prefix("#K#"), sort.split_once('#')) {
                (Some(id), None) => drop(parts.entry("uses").or_default().insert(id.parse().unwrap())),
                (None, Some((part @ ("I" | "B"), id))) => {
                    let part = if part == "I" { "I" } else { "billing" };
                    parts.entry(part).or_default().insert(id.parse().unwrap());
                }
                (None, None) if sort == "COUNTER" => total = item["total"].as_n().unwrap().parse().ok(),
                // What expires by itself, and the pool's generation.
                (Some(_), Some(("D" | "R", _))) | (None, Some(("C" | "G", _)) | None) => {}
                _ => panic!("{partition} {sort}"),
            }
        }
        assert!(parts.values().all(|part| part == ids), "{parts:?} of {ids:?}");
        assert_eq!(total, Some(ids.len()));
    }

    /// Leaves the stack as it was.
    async fn clear(self) -> TestApp {
        let list = self.keys.get(PATH).await.expect(200);
        for row in list["integrations"].as_array().unwrap() {
            let _ = self.keys.delete(&format!("{PATH}/{}", row["id"])).await.expect(200);
        }
        self.app
    }
}

/// An operation, its steps, and how things are at the end.
type Course = (Operation, Vec<String>, Value);

async fn learn(operation: Operation) -> Course {
    let scene = Scene::set(TestApp::start().await, operation).await;
    let answer = scene.run().await;
    assert!(scene.done(&answer), "{operation:?}: {}", answer.text);
    let steps = scene.app.proxy.operations();
    scene.settle().await;
    let end = scene.sound().await;
    let own = |label: &str, secret: &str, health: Value, uses: Value| json!([[label, false, secret], health, uses]);
    let (well, unused) = (json!(["healthy", 0, null]), json!([0, 0, 0, 0.0]));
    let primary = |label: &str| {
        let neighbour = own("Neighbour", OLD, well.clone(), unused.clone());
        json!([[[label, true, OLD], well, unused], neighbour])
    };
    let expected = match operation {
        Operation::Create => primary("Before"),
        Operation::Update => primary("After"),
        Operation::Rotate => json!([own("Before", NEW, well, unused)]),
        Operation::Delete => json!([]),
        Operation::Acquire => {
            let neighbour = own("Neighbour", OLD, well.clone(), unused.clone());
            json!([own("Before", OLD, well, json!([1, 1, 0, 0.0])), neighbour])
        }
        Operation::Report => json!([own("Before", OLD, json!(["degraded", 1, null]), json!([1, 1, 1, 0.25]))]),
        Operation::Test => json!([own("Before", OLD, json!(["unhealthy", null, null]), unused)]),
        Operation::Monitor => json!([own("Before", OLD, well, json!([1, 1, 1, 0.0]))]),
        Operation::Billing => json!([own("Before", OLD, json!(["healthy", 0, 25.5]), unused)]),
    };
    assert_eq!(end, expected, "{operation:?}");
    (operation, steps, end)
}

/// One operation with a fault at one step.
async fn struck(app: TestApp, course: Course, step: usize, fault: Fault, always: bool) -> TestApp {
    let (operation, _, end) = course;
    let scene = Scene::set(app, operation).await;
    let injected = scene.app.proxy.inject(fault).at_step(step);
    let injected = if always { injected.always() } else { injected };
    let first = scene.run().await;
    let done = scene.done(&first);
    assert!(injected.strikes() > 0, "the fault struck nothing");
    scene.app.proxy.clear();
    secrets::assert_kept(&scene.app).await;
    // A client that has to have a key asks at once; a request that died is held for a while.
    if operation != Operation::Acquire {
        scene.app.advance(A_WHILE);
    }
    let again = scene.run().await;
    assert!(scene.done(&again), "asked again: {}", again.text);
    if operation == Operation::Acquire && done {
        assert_eq!(first.str("/lease_id"), again.str("/lease_id"));
    }
    scene.settle().await;
    assert_eq!(scene.sound().await, end);
    scene.clear().await
}

/// Every fault at one step, one after the other on one stack; after a broken case on a fresh one. Tells which held.
async fn at_step(course: Course, step: usize) -> Vec<bool> {
    let mut app = None;
    let mut held = Vec::new();
    let call = course.1[step - 1].clone();
    for (_, fault, always) in faults(&call) {
        let stack = match app.take() {
            Some(app) => app,
            None => TestApp::start().await,
        };
        app = tokio::spawn(struck(stack, course.clone(), step, fault, always)).await.ok();
        held.push(app.is_some());
    }
    held
}

/// The operation asked for once more, although nothing failed.
async fn twice(course: Course) -> bool {
    let (operation, _, end) = course;
    let case = async move {
        let scene = Scene::set(TestApp::start().await, operation).await;
        for _ in 0..2 {
            let answer = scene.run().await;
            assert!(scene.done(&answer), "{}", answer.text);
        }
        scene.settle().await;
        assert_eq!(scene.sound().await, end);
    };
    tokio::spawn(case).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_wherever_everything_ends_as_it_should() {
    let courses: Vec<Course> = futures::stream::iter(OPERATIONS).map(learn).buffered(OPERATIONS.len()).collect().await;
    let steps = courses.iter().flat_map(|course| (1..=course.1.len()).map(|step| at_step(course.clone(), step)));
    let steps: Vec<_> = steps.collect();
    let mut held = futures::stream::iter(steps).buffered(AT_ONCE).collect::<Vec<Vec<bool>>>().await.into_iter();
    let twice: Vec<bool> = futures::stream::iter(courses.clone()).map(twice).buffered(AT_ONCE).collect().await;
    let rows = courses.into_iter().zip(twice).map(|((operation, calls, _), twice)| {
        let steps = calls.into_iter().zip(held.by_ref()).collect();
        fault_table::Course { operation: format!("{operation:?}"), steps, twice }
    });
    fault_table::assert_all_held("keys", &FAULTS.map(|(name, ..)| name), &rows.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_use_whose_answer_was_lost_is_counted_once() {
    let app = TestApp::start().await;
    let keys = app.keys();
    for (number, fault) in
        [Fault::LoseAnswer, Fault::Reset, Fault::ServerError, Fault::Throttle].into_iter().enumerate()
    {
        // In the same minute, the same day, another day.
        for (advance, expected) in [(0, (2, 2)), (60, (1, 2)), (86_400, (1, 1))] {
            let provider = format!("one-{number}-{advance}");
            let limits = json!({ "minute_limit": 5, "daily_limit": 9 });
            let id = create(&app, &provider, "sk-0123456789abcdef", limits).await;
            let _ = acquire(&keys, &provider).await;
            app.advance(advance);
            // The use, not the record of the day before.
            let is_use =
                |body: &Value| body["UpdateExpression"].as_str().is_some_and(|update| update.contains("last_used_at"));
            let injected = app.proxy.inject(fault.clone()).on("UpdateItem").when(is_use);
            let _ = acquire(&keys, &provider).await;
            assert_eq!(injected.strikes(), 1);
            let shown = get(&keys, id).await;
            let counts = (&shown["minute_count"], &shown["daily_count"]);
            assert_eq!(counts, (&json!(expected.0), &json!(expected.1)), "{fault:?} {advance}");
        }
    }
}

#[tokio::test]
async fn a_request_that_died_half_way_and_is_sent_again_within_four_seconds_counts_once() {
    let app = TestApp::start().await;
    // Up to the end of a slot of nonces, of a minute, and of a day: the clock stands 12,800 s before midnight.
    for (case, (until, later)) in [(0, 4), (3, 1), (3, 4), (4, 2), (12_777, 4)].into_iter().enumerate() {
        let provider = format!("one-{case}");
        let id = create(&app, &provider, "sk-0123456789abcdef", json!({ "minute_limit": 5, "daily_limit": 9 })).await;
        let _ = acquire(&app.keys(), &provider).await;
        app.advance(until);
        let keys = app.keys().header("idempotency-key", &provider);
        let body = json!({ "provider_name": provider });
        // What it begins is written down; what it came to is not.
        let injected = app.proxy.inject(Fault::ServerError).on("PutItem").nth(2).always();
        let _ = keys.post(&format!("{PATH}/acquire"), &body).await.expect(500);
        assert!(injected.strikes() > 0);
        app.proxy.clear();
        app.advance(later);
        let _ = keys.post(&format!("{PATH}/acquire"), &body).await.expect(200);
        let uses = app.keys().get(&format!("{PATH}/{id}/usage")).await.expect(200)["totals"]["requests"].clone();
        assert_eq!(uses, 2, "{until} {later}");
    }
}

#[tokio::test]
async fn a_request_that_died_half_way_goes_on_with_its_own_key_and_not_with_the_next() {
    let app = TestApp::start().await;
    // The first case has keys to spare, the second none; the third is asked again after its four seconds, in which
    // nobody used the key.
    for (case, (pool, limit, later)) in [(2, 9, 1), (1, 1, 1), (2, 1, 300)].into_iter().enumerate() {
        let provider = format!("one-{case}");
        for _ in 0..pool {
            create(&app, &provider, "sk-0123456789abcdef", json!({ "daily_limit": limit })).await;
        }
        let keys = app.keys().header("idempotency-key", &provider);
        let (path, body) = (format!("{PATH}/acquire"), json!({ "provider_name": provider }));
        app.proxy.inject(Fault::ServerError).on("PutItem").nth(2).always();
        let _ = keys.post(&path, &body).await.expect(500);
        app.proxy.clear();
        app.advance(later);
        let acquired = keys.post(&path, &body).await.expect(200);
        assert_eq!(acquired["integration"]["daily_count"], 1, "{case}");
        let listed = app.keys().get(&format!("{PATH}?provider_name={provider}")).await.expect(200);
        let counted = listed["integrations"].as_array().unwrap().iter().map(|key| key["daily_count"].as_u64().unwrap());
        assert_eq!(counted.sum::<u64>(), 1, "{case}");
        assert_eq!(keys.post(&path, &body).await.str("/lease_id"), acquired["lease_id"].as_str().unwrap(), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_was_long_in_coming_takes_no_others_mark_away() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let _ = acquire(&keys, "one").await;
    let held = app.proxy.inject(Fault::Hold).on("PutItem");
    let late = keys.clone().header("idempotency-key", "a job of mine");
    let late = tokio::spawn(async move { acquire(&late, "one").await });
    held.struck().await;
    app.advance(8);
    // Another one's answer is lost, and before it looks whether it had been counted, the late one is.
    let lost = app.proxy.inject(Fault::LoseAnswer).on("UpdateItem");
    let second = app.proxy.inject(Fault::Hold).on("UpdateItem").nth(2);
    let another = tokio::spawn(async move { acquire(&keys, "one").await });
    second.struck().await;
    held.release();
    let _ = late.await.unwrap();
    second.release();
    let _ = another.await.unwrap();
    assert_eq!(lost.strikes(), 1);
    assert_eq!(get(&app.keys(), id).await["daily_count"], 3);
}

#[tokio::test]
async fn a_report_whose_answer_was_lost_counts_once() {
    let app = TestApp::start().await;
    let keys = app.keys();
    let id = create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    let (_, lease) = acquire(&keys, "one").await;
    app.proxy.inject(Fault::LoseAnswer).on("TransactWriteItems");
    assert_eq!(report(&keys, &lease, "error").await["consecutive_failures"], 1);
    assert_eq!(get(&keys, id).await["consecutive_failures"], 1);
    let chart = keys.get(&format!("{PATH}/{id}/usage")).await.expect(200);
    assert_eq!(chart["days"][29]["errors"], 1);
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_ends_with_one_key() {
    let app = TestApp::start().await;
    app.proxy.inject(Fault::LoseAnswer).on("TransactWriteItems");
    create(&app, "one", "sk-0123456789abcdef", json!({})).await;
    assert_eq!(app.keys().get(PATH).await.expect(200)["total"], 1);
    assert_eq!(app.secret_names().await.len(), 1);
}
