//! The function `services-check`: every integration's credential is tested again once a day.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fakes::resend::ResendPermission;
use fakes::{Answer, Fault as ProviderFault};
use futures::StreamExt;
use http::StatusCode;
use jiff::Timestamp;
use kit::fault_proxy::Fault;
use kit::{Client, TestApp};
use serde_json::{Value, json};
use shared::function::Function;
use tokio::time::Instant;

use super::fixtures;
use crate::stacks::Own;

const A_DAY: i64 = 86_400;
/// Longer than a worker may hold an integration.
const PAST_THE_LEASE: i64 = 31;
/// Longer than anything is remembered.
const A_WHILE: i64 = 61;
const PLENTY: Duration = Duration::from_secs(900);

/// What the job's second schedule sends, as it stands in the template.
fn resume() -> Value {
    json!({ "id": "resume", "time": "1970-01-01T00:00:00Z", "detail-type": "Resume" })
}

/// Runs the job through Lambda's Invoke API; gives what it did.
async fn check(app: &TestApp, event: &Value) -> Value {
    let ran = app.invoke("services-check", event).await;
    assert_eq!(ran.header("x-amz-function-error"), None, "{}", ran.text);
    ran.expect(200)
}

fn tally(verdicts: &[(&str, usize)], finished: bool) -> Value {
    let mut tally = json!({ "valid": 0, "limited": 0, "invalid": 0, "inconclusive": 0, "finished": finished });
    verdicts.iter().for_each(|(verdict, count)| tally[verdict] = json!(count));
    tally
}

/// A worker of its own, that can be left to die, with so much time to go.
fn worker(app: &TestApp, event: Value, left: Duration) -> tokio::task::JoinHandle<Value> {
    let functions = ::services::functions(&app.platform);
    let job: Function = functions.into_iter().find(|(name, _)| *name == "services-check").unwrap().1;
    tokio::spawn(async move { job.invoke(event, left).await.unwrap() })
}

/// Connects Resend with this key, which works.
async fn connect(app: &TestApp, services: &Client, key: &str) -> String {
    app.fakes.resend.add_key(key, ResendPermission::FullAccess);
    let body = json!({ "name": key, "type": "resend", "config": { "apiKey": key } });
    let created = services.post("/api/integrations", &body).await;
    let _ = created.expect(201);
    created.str("/id")
}

/// Connects Resend so many times, each with a key of its own.
async fn connect_many(app: &TestApp, count: usize) -> Vec<String> {
    let services = app.services();
    let connecting = (0..count).map(|number| {
        let services = &services;
        async move { connect(app, services, &format!("re_number{number}")).await }
    });
    futures::stream::iter(connecting).buffered(8).collect().await
}

/// Connects Resend twice, in two queues: so many steps does a run that tests both always have.
async fn connect_two(app: &TestApp) -> [String; 2] {
    let services = app.services();
    let first = connect(app, &services, "re_first").await;
    loop {
        let second = connect(app, &services, "re_second").await;
        if queue_of(app, &first).await != queue_of(app, &second).await {
            return [first, second];
        }
        let _ = services.delete(&format!("/api/integrations/{second}")).await.expect(200);
    }
}

/// The queue in which an integration waits for its test.
async fn queue_of(app: &TestApp, id: &str) -> String {
    let items = app.table.scan().table_name("causeway").send().await.unwrap();
    let mut found = items.items().iter().filter(|item| item["sk"].as_s().unwrap() == &format!("I#{id}"));
    found.next().unwrap()["due_queue"].as_s().unwrap().clone()
}

/// How often Resend was asked, by key.
fn asked(app: &TestApp) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for request in app.fakes.resend.host.requests() {
        let key = request.header("authorization").unwrap().replace("Bearer ", "");
        *asked.entry(key).or_default() += 1;
    }
    asked
}

fn assert_asked_once_each(app: &TestApp, count: usize) {
    let asked = asked(app);
    assert_eq!(asked.len(), count);
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
}

/// What is known of an integration's credential: the last verdict, and whether it needs attention.
async fn standing(app: &TestApp, id: &str) -> (Value, Value) {
    let shown = fixtures::read(app, id).await;
    (shown["lastTest"]["verdict"].clone(), shown["needsAttention"].clone())
}

fn is(verdict: &str, needs_attention: bool) -> (Value, Value) {
    (verdict.into(), needs_attention.into())
}

fn untested() -> (Value, Value) {
    (Value::Null, false.into())
}

#[tokio::test]
async fn an_event_that_no_schedule_sends_tests_nothing() {
    let app = TestApp::start().await;
    let id = connect(&app, &app.services(), "re_one").await;
    let mut nameless = app.scheduled_event();
    nameless.as_object_mut().unwrap().remove("id");
    for event in [json!({}), nameless, json!({ "id": "1", "time": "noon" })] {
        let refused = app.invoke("services-check", &event).await;
        assert_eq!(refused.header("x-amz-function-error"), Some("Unhandled"), "{event}");
        assert_eq!(refused.str("/errorType"), "MalformedEvent");
    }
    assert_eq!((standing(&app, &id).await, asked(&app).len()), (untested(), 0));
}

#[tokio::test]
async fn every_integration_of_every_tenant_is_tested_without_anyone_noticing() {
    let app = TestApp::start().await;
    let kinds = ["discord", "slack", "telegram", "sendgrid", "resend", "webhook", "web3", "ai-gateway"];
    let tenants = ["acme", "globex"].map(|tenant| app.services_as(&app.tenant(tenant).tokens.admin));
    let mut connected = Vec::new();
    for services in &tenants {
        for kind in kinds {
            let body = json!({ "name": kind, "type": kind, "config": fixtures::config(&app, kind) });
            let created = services.post("/api/integrations", &body).await;
            let _ = created.expect(201);
            connected.push((services, created.str("/id"), created.str("/updatedAt")));
        }
    }
    app.advance(A_DAY);
    let now = shared::clock::iso_milliseconds(app.platform.ids.now());
    assert_eq!(check(&app, &app.scheduled_event()).await, tally(&[("valid", 16)], true));
    for (services, id, updated) in connected {
        let shown = services.get(&format!("/api/integrations/{id}")).await.expect(200);
        let expected = json!({ "verdict": "valid", "message": "Integration test successful", "checkedAt": now });
        assert_eq!(shown["lastTest"], expected);
        assert_eq!((&shown["needsAttention"], &shown["updatedAt"]), (&json!(false), &json!(updated)));
    }
    assert_eq!(fixtures::received(&app), 0);
}

#[tokio::test]
async fn only_a_confirmed_invalid_asks_for_attention_and_only_a_success_takes_it_back() {
    let app = TestApp::start().await;
    let (provider, key) = (&app.fakes.resend, "re_changing");
    let id = connect(&app, &app.services(), key).await;
    let body = json!({ "name": "theirs", "type": "resend", "config": { "apiKey": "re_theirs" } });
    provider.add_key("re_theirs", ResendPermission::FullAccess);
    let globex = app.services_as(&app.tenant("globex").tokens.admin);
    let theirs = globex.post("/api/integrations", &body).await.str("/id");
    let full = || provider.add_key(key, ResendPermission::FullAccess);
    let trouble = || provider.host.faults().all(ProviderFault::Answer(Answer::status(503)));
    let calm = || provider.host.faults().clear();
    let used_up = json!({ "statusCode": 429, "name": "daily_quota_exceeded", "message": "Come back tomorrow." });
    let used_up = Answer::status(429).json(&used_up);
    /// What happens at the provider, and how the integration stands after the day's check.
    type Day<'a> = (&'a dyn Fn(), (Value, Value));
    let days: [Day<'_>; 8] = [
        (&full, is("valid", false)),
        (&trouble, is("inconclusive", false)),
        (&|| (calm(), provider.revoke_key(key)).1, is("invalid", true)),
        (&trouble, is("inconclusive", true)),
        (&|| (calm(), full()).1, is("valid", false)),
        (&|| provider.revoke_key(key), is("invalid", true)),
        (&|| provider.host.faults().all(ProviderFault::Answer(used_up.clone())), is("limited", false)),
        (&|| (calm(), provider.host.faults().all(ProviderFault::Close)).1, is("inconclusive", false)),
    ];
    for (day, (happens, expected)) in days.into_iter().enumerate() {
        happens();
        app.advance(A_DAY);
        check(&app, &app.scheduled_event()).await;
        assert_eq!(standing(&app, &id).await, expected, "day {day}");
        let shown = fixtures::read(&app, &id).await;
        assert_eq!(shown["lastTest"]["checkedAt"], shared::clock::iso_milliseconds(app.platform.ids.now()));
        assert_eq!(shown["config"], json!({ "apiKey": key }));
        let other = globex.get(&format!("/api/integrations/{theirs}")).await.expect(200);
        assert_eq!(other["needsAttention"], false, "another tenant's");
    }
}

#[tokio::test]
async fn a_second_delivery_asks_nobody() {
    let app = TestApp::start().await;
    connect_many(&app, 3).await;
    let event = app.scheduled_event();
    assert_eq!(check(&app, &event).await, tally(&[("valid", 3)], true));
    app.advance(3_600);
    assert_eq!(check(&app, &event).await, tally(&[], true));
    assert_asked_once_each(&app, 3);
}

#[tokio::test]
async fn an_event_that_comes_after_a_newer_one_asks_nobody() {
    let app = TestApp::start().await;
    connect_many(&app, 3).await;
    let late = app.scheduled_event();
    app.advance(A_DAY);
    assert_eq!(check(&app, &app.scheduled_event()).await, tally(&[("valid", 3)], true));
    app.advance(10);
    assert_eq!(check(&app, &late).await, tally(&[], true));
    assert_asked_once_each(&app, 3);
}

#[tokio::test]
async fn each_day_tests_everything_again() {
    let app = TestApp::start().await;
    connect_many(&app, 3).await;
    for day in 1..=3 {
        app.advance(A_DAY);
        assert_eq!(check(&app, &app.scheduled_event()).await, tally(&[("valid", 3)], true));
        assert!(asked(&app).values().all(|times| *times == day));
    }
}

#[tokio::test]
async fn resume_starts_nothing_of_its_own() {
    let app = TestApp::start().await;
    connect_many(&app, 2).await;
    assert_eq!(check(&app, &resume()).await, tally(&[], true), "before the first run");
    check(&app, &app.scheduled_event()).await;
    app.advance(A_DAY);
    assert_eq!(check(&app, &resume()).await, tally(&[], true), "after a finished one");
    assert_asked_once_each(&app, 2);
}

#[tokio::test]
async fn what_is_connected_during_a_run_waits_for_the_next() {
    let app = TestApp::start().await;
    let early = connect(&app, &app.services(), "re_early").await;
    app.fakes.resend.host.faults().all(ProviderFault::Hang);
    let event = app.scheduled_event();
    let running = worker(&app, event.clone(), PLENTY);
    app.fakes.resend.host.faults().hanging(1).await;
    app.advance(1);
    let late = connect(&app, &app.services(), "re_late").await;
    app.fakes.resend.host.faults().clear();
    assert_eq!(running.await.unwrap(), tally(&[("valid", 1)], true));
    assert_eq!(check(&app, &event).await, tally(&[], true));
    assert_eq!((standing(&app, &early).await, standing(&app, &late).await), (is("valid", false), untested()));
    app.advance(A_DAY);
    assert_eq!(check(&app, &app.scheduled_event()).await, tally(&[("valid", 2)], true));
}

#[tokio::test]
async fn two_workers_at_once_test_each_integration_once() {
    let app = TestApp::start().await;
    let ids = connect_many(&app, 24).await;
    let provider = app.fakes.resend.host.faults();
    provider.all(ProviderFault::Hang);
    let event = app.scheduled_event();
    let workers = [worker(&app, event.clone(), PLENTY), worker(&app, event.clone(), PLENTY)];
    // Each waits for what it claimed first.
    provider.hanging(2).await;
    provider.clear();
    let mut valid = 0;
    for worker in workers {
        valid += worker.await.unwrap()["valid"].as_u64().unwrap();
    }
    let rest = check(&app, &resume()).await;
    assert_eq!(rest["finished"], true);
    assert_eq!(valid + rest["valid"].as_u64().unwrap(), 24);
    assert_asked_once_each(&app, 24);
    for id in ids {
        assert_eq!(standing(&app, &id).await, is("valid", false));
    }
}

#[tokio::test]
async fn what_a_worker_held_when_it_died_is_taken_over() {
    let app = TestApp::start().await;
    let id = connect(&app, &app.services(), "re_one").await;
    let provider = app.fakes.resend.host.faults();
    provider.next(1, ProviderFault::Hang);
    let event = app.scheduled_event();
    let dying = worker(&app, event.clone(), PLENTY);
    provider.hanging(1).await;
    dying.abort();
    provider.none_hanging().await;

    // It may still be at work, for all that can be known.
    assert_eq!(check(&app, &event).await, tally(&[], false));
    assert_eq!((standing(&app, &id).await, asked(&app)["re_one"]), (untested(), 1));
    app.advance(PAST_THE_LEASE);
    assert_eq!(check(&app, &resume()).await, tally(&[("valid", 1)], true));
    assert_eq!((standing(&app, &id).await, asked(&app)["re_one"]), (is("valid", false), 2));
}

#[tokio::test]
async fn a_worker_that_was_taken_over_records_nothing() {
    let app = TestApp::start().await;
    let id = connect(&app, &app.services(), "re_one").await;
    let provider = app.fakes.resend.host.faults();
    provider.next(1, ProviderFault::Hang);
    let slow = worker(&app, app.scheduled_event(), PLENTY);
    provider.hanging(1).await;
    app.advance(PAST_THE_LEASE);
    assert_eq!(check(&app, &resume()).await, tally(&[("valid", 1)], true));
    app.fakes.resend.revoke_key("re_one");
    provider.release();
    assert_eq!(slow.await.unwrap()["invalid"], 0);
    assert_eq!(standing(&app, &id).await, is("valid", false));
}

#[tokio::test]
async fn a_verdict_on_the_old_config_says_nothing_of_the_new_one() {
    let app = TestApp::start().await;
    let id = connect(&app, &app.services(), "re_old").await;
    let provider = app.fakes.resend.host.faults();
    provider.next(1, ProviderFault::Hang);
    let event = app.scheduled_event();
    let running = worker(&app, event.clone(), PLENTY);
    provider.hanging(1).await;
    app.fakes.resend.revoke_key("re_old");
    app.fakes.resend.add_key("re_new", ResendPermission::FullAccess);
    let changed = json!({ "config": { "apiKey": "re_new" } });
    let _ = app.services().put(&format!("/api/integrations/{id}"), &changed).await.expect(200);
    provider.release();
    assert_eq!(running.await.unwrap(), tally(&[], false));
    assert_eq!(standing(&app, &id).await, untested());
    assert_eq!(fixtures::read(&app, &id).await["config"]["apiKey"], "re_new");
    // The new one still waits for its test.
    assert_eq!(check(&app, &resume()).await, tally(&[("valid", 1)], true));
    assert_eq!(standing(&app, &id).await, is("valid", false));
    assert_eq!(asked(&app), BTreeMap::from([("re_old".into(), 1), ("re_new".into(), 1)]));
}

#[tokio::test]
async fn a_new_name_does_not_make_a_verdict_void() {
    let app = TestApp::start().await;
    let id = connect(&app, &app.services(), "re_one").await;
    let provider = app.fakes.resend.host.faults();
    provider.next(1, ProviderFault::Hang);
    let running = worker(&app, app.scheduled_event(), PLENTY);
    provider.hanging(1).await;
    let _ = app.services().put(&format!("/api/integrations/{id}"), &json!({ "name": "new" })).await.expect(200);
    provider.release();
    assert_eq!(running.await.unwrap(), tally(&[("valid", 1)], true));
    assert_eq!(standing(&app, &id).await, is("valid", false));
    assert_eq!(fixtures::read(&app, &id).await["name"], "new");
}

#[tokio::test]
async fn an_integration_deleted_during_its_test_stays_deleted() {
    let app = TestApp::start().await;
    let id = connect(&app, &app.services(), "re_one").await;
    let provider = app.fakes.resend.host.faults();
    provider.next(1, ProviderFault::Hang);
    let running = worker(&app, app.scheduled_event(), PLENTY);
    provider.hanging(1).await;
    let _ = app.services().delete(&format!("/api/integrations/{id}")).await.expect(200);
    provider.release();
    assert_eq!(running.await.unwrap(), tally(&[], true));
    assert_eq!(app.services().get(&format!("/api/integrations/{id}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.secret_names().await, [""; 0]);
}

#[tokio::test]
async fn a_config_that_cannot_be_read_is_not_held_against_it() {
    let app = TestApp::start().await;
    let ids = connect_many(&app, 3).await;
    let (lost, deleted) = (&ids[0], &ids[1]);
    let secret = |id: &str| format!("causeway/acme/services/{id}");
    app.secrets.delete_secret().secret_id(secret(lost)).force_delete_without_recovery(true).send().await.unwrap();
    app.secrets.delete_secret().secret_id(secret(deleted)).recovery_window_in_days(7).send().await.unwrap();
    app.advance(A_DAY);
    let verdicts = [("valid", 2), ("inconclusive", 1)];
    assert_eq!(check(&app, &app.scheduled_event()).await, tally(&verdicts, true));
    let shown = app.services_as(&app.tenant("acme").tokens.read_only).get(&format!("/api/integrations/{lost}")).await;
    let shown = shown.expect(200);
    assert_eq!((&shown["lastTest"]["verdict"], &shown["needsAttention"]), (&json!("inconclusive"), &json!(false)));
    // One that is named was not meant to go, and is had back.
    assert_eq!(standing(&app, deleted).await, is("valid", false));
}

#[tokio::test]
async fn too_little_time_begins_nothing() {
    let app = TestApp::start().await;
    connect_many(&app, 5).await;
    let event = app.scheduled_event();
    assert_eq!(worker(&app, event.clone(), Duration::from_secs(20)).await.unwrap(), tally(&[], false));
    assert_eq!(asked(&app).len(), 0);
    assert_eq!(check(&app, &resume()).await, tally(&[("valid", 5)], true));
    assert_asked_once_each(&app, 5);
}

#[tokio::test]
async fn a_run_that_comes_near_its_deadline_stops_and_is_gone_on_with() {
    let app = TestApp::start().await;
    // More in the first queue than are tested at a time.
    let mut count = 0;
    let in_first_queue = async || {
        let items = app.table.scan().table_name("causeway").send().await.unwrap();
        let queues = items.items().iter().filter_map(|item| item.get("due_queue")?.as_s().ok());
        queues.filter(|queue| *queue == "services-check#0").count()
    };
    while in_first_queue().await < 12 {
        connect(&app, &app.services(), &format!("re_number{count}")).await;
        count += 1;
    }
    let provider = app.fakes.resend.host.faults();
    provider.all(ProviderFault::Hang);
    let started = Instant::now();
    let running = worker(&app, app.scheduled_event(), Duration::from_secs(22));
    provider.hanging(8).await;
    // Until it is near.
    tokio::time::sleep_until(started + Duration::from_millis(1_600)).await;
    provider.clear();
    assert_eq!(running.await.unwrap(), tally(&[("valid", 8)], false));
    assert_asked_once_each(&app, 8);
    assert_eq!(check(&app, &resume()).await, tally(&[("valid", count - 8)], true));
    assert_asked_once_each(&app, count);
}

#[tokio::test]
async fn more_than_a_batch_is_tested_without_a_scan() {
    let app = TestApp::start().await;
    connect_many(&app, 230).await;
    app.advance(A_WHILE);
    app.proxy.forget_calls();
    assert_eq!(check(&app, &app.scheduled_event()).await, tally(&[("valid", 230)], true));
    assert_asked_once_each(&app, 230);
    let operations: BTreeSet<String> = app.proxy.operations().into_iter().collect();
    assert_eq!(operations, BTreeSet::from(["GetItem", "GetSecretValue", "PutItem", "Query"].map(str::to_owned)));
}

#[tokio::test]
async fn one_integration_that_cannot_be_claimed_does_not_keep_the_others_waiting() {
    let app = TestApp::start().await;
    let ids = connect_many(&app, 6).await;
    let stuck = format!("I#{}", ids[0]);
    let refused = json!({ "__type": "com.amazonaws.dynamodb.v20120810#ValidationException", "message": "No." });
    app.proxy
        .inject(Fault::Status(StatusCode::BAD_REQUEST, refused.to_string()))
        .on("PutItem")
        .when(move |request| request["Item"]["sk"]["S"] == stuck.as_str())
        .always();
    let event = app.scheduled_event();
    let ran = app.invoke("services-check", &event).await;
    assert_eq!(ran.header("x-amz-function-error"), Some("Unhandled"), "the operator must learn of it");
    app.proxy.clear();
    for id in &ids[1..] {
        assert_eq!(standing(&app, id).await, is("valid", false));
    }
    assert_eq!(check(&app, &event).await, tally(&[("valid", 1)], true));
    assert_asked_once_each(&app, 6);
}

#[tokio::test]
async fn a_run_that_fails_anywhere_is_repeated_safely() {
    let app = TestApp::start().await;
    connect_two(&app).await;
    app.advance(A_DAY);
    app.proxy.forget_calls();
    check(&app, &app.scheduled_event()).await;
    let steps = app.proxy.operations().len();
    // One fault after the other on one stack.
    let running = (1..=steps).map(async |step| {
        let app = TestApp::start().await;
        let own = Own::of(&app).await;
        for (fault, always) in [(Fault::LoseAnswer, false), (Fault::LoseAnswer, true), (Fault::ServerError, true)] {
            let ids = connect_two(&app).await;
            app.advance(A_DAY);
            let event = app.scheduled_event();
            let injected = app.proxy.inject(fault).at_step(step);
            let injected = if always { injected.always() } else { injected };
            app.invoke("services-check", &event).await;
            assert!(injected.strikes() > 0);
            app.proxy.clear();
            app.advance(PAST_THE_LEASE);
            assert_eq!(check(&app, &event).await["finished"], true, "at step {step}");
            let before = asked(&app);
            for id in &ids {
                assert_eq!(standing(&app, id).await, is("valid", false), "at step {step}");
            }
            app.advance(PAST_THE_LEASE);
            for event in [event, resume()] {
                assert_eq!(check(&app, &event).await, tally(&[], true), "at step {step}");
            }
            assert_eq!(asked(&app), before, "at step {step}");
            own.alone(&app).await;
        }
    });
    futures::stream::iter(running).buffer_unordered(8).collect::<Vec<()>>().await;
}

#[tokio::test]
async fn the_event_of_a_real_schedule_is_understood() {
    let app = TestApp::start().await;
    connect_many(&app, 1).await;
    let event = json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-10-08T16:53:06Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/MyScheduledRule"],
        "detail": {},
    });
    assert!("2026-10-08T16:53:06Z".parse::<Timestamp>().unwrap() > app.platform.ids.now());
    assert_eq!(check(&app, &event).await, tally(&[("valid", 1)], true));
}
