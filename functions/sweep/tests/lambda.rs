//! The sweep's real Lambda binary on a double of the Runtime API, with embedded AWS behind it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kit::TestApp;
use kit::malformed;
use kit::runtime_api::{Exited, FunctionProcess, Outcome, RuntimeApi, Stream};
use serde_json::{Value, json};

const SWEEP: &str = env!("CARGO_BIN_EXE_sweep");
const DEADLINE: Duration = Duration::from_secs(900);

#[tokio::test]
async fn what_the_environment_lacks_is_named_in_one_line_and_the_process_ends() {
    let api = RuntimeApi::start().await.unwrap();
    let process = FunctionProcess::spawn(SWEEP, api.environment("sweep"), &api).unwrap();
    assert_eq!(process.exited().await, Exited { code: Some(1) });
    let lines = process.lines();
    let logged: Vec<_> = lines.iter().filter(|line| line.stream == Stream::Output).collect();
    let [line] = logged.as_slice() else { panic!("{lines:?}") };
    let line: Value = serde_json::from_str(&line.text).unwrap();
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("CAUSEWAY_STACK: is not set") && error.contains("CAUSEWAY_TABLE: is not set"), "{error}");
}

#[tokio::test]
async fn it_removes_orphans_and_reports_what_it_cannot_read() {
    let app = TestApp::start().await;
    let now = Timestamp::now();
    app.clock.set(now.checked_sub(SignedDuration::from_hours(2)).unwrap());
    let body = json!({ "name": "one", "type": "slack", "config": { "webhookUrl": app.demo.slack_webhook_url } });
    let id = app.services().post("/api/integrations", &body).await.str("/id");
    let orphan = app.secrets.create_secret().name("causeway/acme/services/int_000000000000000000000");
    orphan.secret_string("{}").send().await.unwrap();
    app.clock.set(now);

    let api = RuntimeApi::start().await.unwrap();
    let _process = FunctionProcess::spawn(SWEEP, app.environment(&api, "sweep"), &api).unwrap();
    assert_eq!(app.secret_names().await.len(), 2);

    let event = app.scheduled_event();
    let result = api.invoke(event.clone(), DEADLINE).await.json().unwrap();
    assert_eq!((&result["seen"], &result["removed"], &result["finished"]), (&json!(2), &json!(1), &json!(true)));
    assert_eq!(app.secret_names().await, [format!("causeway/acme/services/{id}")]);
    let again = api.invoke(event, DEADLINE).await.json().unwrap();
    assert_eq!(again["removed"], 0);
}

#[tokio::test]
async fn a_secrets_manager_that_does_not_answer_is_the_functions_error() {
    let app = TestApp::start().await;
    let api = RuntimeApi::start().await.unwrap();
    let process = FunctionProcess::spawn(SWEEP, app.environment(&api, "sweep"), &api).unwrap();
    app.proxy.inject(kit::fault_proxy::Fault::ServerError).on("ListSecrets").always();
    let Outcome::Error(error) = api.invoke(app.scheduled_event(), DEADLINE).await else { panic!("it did not fail") };
    assert_eq!(error.message, "Secrets Manager failed");
    let line = process.line_with("the job failed").await.unwrap();
    assert!(line.text.contains("InternalServiceError"), "{line:?}");
    app.proxy.clear();
    let result = api.invoke(app.scheduled_event(), DEADLINE).await.json().unwrap();
    assert_eq!(result["finished"], true);
}

/// The event of `tests/events`, whose time is long ago.
fn long_ago() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/events/sweep.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[tokio::test]
async fn what_no_schedule_sends_costs_only_itself() {
    let app = TestApp::start().await;
    let api = RuntimeApi::start().await.unwrap();
    let _process = FunctionProcess::spawn(SWEEP, app.environment(&api, "sweep"), &api).unwrap();
    let orphan = app.secrets.create_secret().name("causeway/acme/services/int_000000000000000000000");
    orphan.secret_string("{}").send().await.unwrap();
    let request = json!({ "version": "2.0", "rawPath": "/", "requestContext": { "http": { "method": "GET" } } });
    malformed::each_event_costs_only_itself(&api, &request, &long_ago()).await;
    assert_eq!(app.secret_names().await.len(), 1);
}

#[tokio::test]
async fn what_there_is_no_time_for_is_left_to_the_next_process() {
    // More than one page of Secrets Manager's list.
    const ORPHANS: usize = 130;
    let app = TestApp::start().await;
    for number in 0..ORPHANS {
        let orphan = app.secrets.create_secret().name(format!("causeway/acme/services/int_{number:021}"));
        orphan.secret_string("{}").send().await.unwrap();
    }
    let api = RuntimeApi::start().await.unwrap();
    let process = FunctionProcess::spawn(SWEEP, app.environment(&api, "sweep"), &api).unwrap();
    let first = api.invoke(app.scheduled_event_in(7200), Duration::from_secs(20)).await.json().unwrap();
    assert_eq!(first["finished"], false, "{first}");
    process.line_with("\"cold\":true").await.unwrap();
    let warm = api.invoke(long_ago(), DEADLINE).await.json().unwrap();
    assert_eq!((&warm["removed"], &warm["finished"]), (&json!(0), &json!(true)), "{warm}");
    process.line_with("\"cold\":false").await.unwrap();
    process.kill().await;
    let _next = FunctionProcess::spawn(SWEEP, app.environment(&api, "sweep"), &api).unwrap();
    let last = api.invoke(app.scheduled_event_in(7200), DEADLINE).await.json().unwrap();
    let removed = first["removed"].as_u64().unwrap() + last["removed"].as_u64().unwrap();
    assert_eq!((removed, &last["finished"]), (ORPHANS as u64, &json!(true)), "{last}");
    assert_eq!(app.secret_names().await, Vec::<String>::new());
}
