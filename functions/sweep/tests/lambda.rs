//! The sweep's real Lambda binary on a double of the Runtime API, with embedded AWS behind it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kit::TestApp;
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
    for malformed in [json!({}), json!("text"), json!({ "id": "1", "time": "yesterday" })] {
        let Outcome::Error(error) = api.invoke(malformed, DEADLINE).await else { panic!("it did not fail") };
        assert!(error.message.starts_with("the event is not a scheduled event: "), "{error:?}");
    }
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
