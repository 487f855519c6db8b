//! The group's real Lambda binaries on a double of the Runtime API, with embedded AWS and stateful fakes behind them.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use fakes::ai::AiKey;
use jiff::Timestamp;
use kit::TestApp;
use kit::fault_proxy::Fault;
use kit::malformed;
use kit::oidc::{self, Listing};
use kit::runtime_api::{Exited, FunctionProcess, Outcome, RuntimeApi, Stream};
use serde_json::{Value, json};

const API: &str = env!("CARGO_BIN_EXE_keys-api");
const MONITOR: &str = env!("CARGO_BIN_EXE_keys-monitor");
const BILLING: &str = env!("CARGO_BIN_EXE_keys-billing");
const DEADLINE: Duration = Duration::from_secs(29);
/// Too little to begin anything in, and enough to say so.
const TOO_LATE: Duration = Duration::from_secs(9);
const PATH: &str = "/api/v1/integrations";
/// The credential of `keys-api-create.json`.
const API_KEY: &str = "sk-or-v1-put-your-own-key-here-123";

/// A function on Lambda.
struct Lambda {
    app: TestApp,
    api: RuntimeApi,
    process: FunctionProcess,
}

impl Lambda {
    /// Starts the binary of a function over a stack whose clock is the binary's own, and whose fake knows [`API_KEY`].
    async fn start(binary: &str, function: &str) -> Self {
        let app = TestApp::start().await;
        app.clock.set(Timestamp::now());
        app.fakes.ai.openrouter.set_key(API_KEY, AiKey::with_balance(47.83));
        let api = RuntimeApi::start().await.unwrap();
        let process = FunctionProcess::spawn(binary, app.environment(&api, function), &api).unwrap();
        Self { app, api, process }
    }

    async fn invoke(&self, event: Value) -> Outcome {
        self.api.invoke(event, DEADLINE).await
    }

    /// Pools [`API_KEY`] through the stack beside it; gives its path.
    async fn create(&self) -> String {
        let body = json!({ "provider_name": "openrouter", "credentials": { "api_key": API_KEY } });
        let created = self.app.keys().post(PATH, &body).await.expect(201);
        format!("{PATH}/{}", created["integration"]["id"])
    }

    async fn read(&self, path: &str) -> Value {
        self.app.keys().get(path).await.expect(200)["integration"].clone()
    }

    /// Acquires the key through the stack beside it and reports a refusal of it, which makes it unhealthy.
    async fn report_invalid(&self) {
        let acquired =
            self.app.keys().post(&format!("{PATH}/acquire"), &json!({ "provider_name": "openrouter" })).await;
        let report = json!({ "lease_id": acquired.str("/lease_id"), "outcome": "invalid_key" });
        let reported = self.app.keys().post(&format!("{PATH}/report"), &report).await.expect(200);
        assert_eq!(reported["health_status"], "unhealthy");
    }

    /// Everything that it has written so far, if each line of it is an object.
    fn log(&self) -> Vec<Value> {
        let lines = self.process.lines();
        lines.iter().filter(|line| line.stream == Stream::Output).map(|line| log_line(&line.text)).collect()
    }
}

fn log_line(text: &str) -> Value {
    let line: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(line.is_object(), "{text}");
    line
}

/// An event of `tests/events`; one that a request makes carries a token of `acme`'s that may do everything.
fn event(app: &TestApp, name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/events/{name}.json"));
    let mut event: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    if let Some(authorization) = event.pointer_mut("/headers/authorization") {
        *authorization = format!("Bearer {}", app.tenant("acme").tokens.admin).into();
    }
    event
}

/// The same request for another path.
fn to(mut event: Value, method: &str, path: &str, body: Option<Value>) -> Value {
    event["rawPath"] = path.into();
    event["requestContext"]["http"]["method"] = method.into();
    event["isBase64Encoded"] = false.into();
    event["body"] = body.map(|body| body.to_string().into()).unwrap_or_default();
    event["headers"].as_object_mut().unwrap().remove("idempotency-key");
    event
}

/// The status and body of an HTTP function's answer.
#[track_caller]
fn answered(outcome: Outcome) -> (u64, Value) {
    let answer = outcome.json().unwrap_or_else(|outcome| panic!("{outcome:?}"));
    let body = answer["body"].as_str().unwrap_or_else(|| panic!("{answer}"));
    (answer["statusCode"].as_u64().unwrap(), serde_json::from_str(body).unwrap())
}

#[track_caller]
fn failed(outcome: Outcome) -> String {
    let Outcome::Error(error) = outcome else { panic!("{outcome:?}") };
    error.message
}

#[tokio::test]
async fn what_the_environment_lacks_is_named_in_one_line_and_the_process_ends() {
    for (binary, function) in [(API, "keys-api"), (MONITOR, "keys-monitor"), (BILLING, "keys-billing")] {
        let api = RuntimeApi::start().await.unwrap();
        let process = FunctionProcess::spawn(binary, api.environment(function), &api).unwrap();
        assert_eq!(process.exited().await, Exited { code: Some(1) });
        let lines = process.lines();
        let logged: Vec<_> = lines.iter().filter(|line| line.stream == Stream::Output).collect();
        let [line] = logged.as_slice() else { panic!("{lines:?}") };
        let line = log_line(&line.text);
        assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("the function cannot start")));
        let error = line["error"].as_str().unwrap();
        assert!(error.contains("CAUSEWAY_STACK") && error.contains("CAUSEWAY_TABLE"), "{error}");
    }
}

#[tokio::test]
async fn its_events_create_a_key_list_it_and_acquire_it() {
    let lambda = Lambda::start(API, "keys-api").await;
    let (status, created) = answered(lambda.invoke(event(&lambda.app, "keys-api-create")).await);
    assert_eq!((status, &created["integration"]["key_label"]), (201, &json!("Schlüssel 1")), "{created}");
    assert_eq!(created["integration"]["key_preview"]["api_key"], "sk-o...123");
    assert_eq!(lambda.app.secret_names().await.len(), 1);

    let (status, list) = answered(lambda.invoke(event(&lambda.app, "keys-api-list")).await);
    assert_eq!((status, &list["total"], &list["limit"]), (200, &json!(1), &json!(10)));
    assert_eq!(list["integrations"][0], created["integration"]);
    // The stack beside it, which is another process, reads the same.
    assert_eq!(lambda.app.keys().get(PATH).await.expect(200)["integrations"], list["integrations"]);

    let acquire = event(&lambda.app, "keys-api-acquire");
    let (status, acquired) = answered(lambda.invoke(acquire.clone()).await);
    assert_eq!((status, &acquired["credentials"]), (200, &json!({ "api_key": API_KEY })));
    let report = json!({ "lease_id": acquired["lease_id"], "outcome": "success", "cost": 0.01 });
    let (status, reported) =
        answered(lambda.invoke(to(acquire.clone(), "POST", &format!("{PATH}/report"), Some(report))).await);
    assert_eq!((status, &reported["health_status"]), (200, &json!("healthy")), "{reported}");

    let path = format!("{PATH}/{}", created["integration"]["id"]);
    let (status, deleted) = answered(lambda.invoke(to(acquire, "DELETE", &path, None)).await);
    assert_eq!((status, &deleted["success"]), (200, &json!(true)), "{deleted}");
    assert_eq!(lambda.app.secret_names().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_no_gateway_sends_costs_only_itself() {
    let lambda = Lambda::start(API, "keys-api").await;
    let (list, create) = (event(&lambda.app, "keys-api-list"), event(&lambda.app, "keys-api-create"));
    malformed::each_request_costs_only_itself(&lambda.api, &list, &create).await;
}

#[tokio::test]
async fn a_table_that_stalls_does_not_make_it_miss_its_deadline() {
    let lambda = Lambda::start(API, "keys-api").await;
    lambda.api.first_next().await.unwrap();
    lambda.app.proxy.inject(Fault::Stall).always();
    let list = event(&lambda.app, "keys-api-list");
    let (status, _) = answered(lambda.api.invoke(list.clone(), Duration::from_secs(2)).await);
    assert_eq!(status, 500);
    lambda.app.proxy.clear();
    assert_eq!(answered(lambda.invoke(list).await).0, 200);
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_an_internal_error_that_tells_nothing() {
    let app = TestApp::start().await;
    let api = RuntimeApi::start().await.unwrap();
    let mut environment = app.environment(&api, "keys-api");
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (name, value) in &mut environment {
        if name == "AWS_ENDPOINT_URL_DYNAMODB" {
            *value = format!("http://{nowhere}");
        }
    }
    let process = FunctionProcess::spawn(API, environment, &api).unwrap();
    let (status, body) = answered(api.invoke(event(&app, "keys-api-acquire"), DEADLINE).await);
    assert_eq!((status, &body["success"], &body["error"]), (500, &json!(false), &json!("Internal error")));
    assert!(!body.to_string().contains("DynamoDB"), "{body}");
    let line = log_line(&process.line_with("internal error").await.unwrap().text);
    assert_eq!(line["span"]["request_id"], body["request_id"], "{line}");
}

#[tokio::test]
async fn a_provider_that_hangs_does_not_make_it_miss_its_deadline() {
    let lambda = Lambda::start(API, "keys-api").await;
    let path = lambda.create().await;
    lambda.app.fakes.ai.openrouter.host.faults().next(1, fakes::Fault::Hang);
    let test = to(event(&lambda.app, "keys-api-acquire"), "POST", &format!("{path}/test"), None);
    let (status, report) = answered(lambda.api.invoke(test, Duration::from_secs(2)).await);
    assert_eq!((status, &report["verdict"]), (200, &json!("inconclusive")), "{report}");
}

#[tokio::test]
async fn its_log_is_one_object_a_line_and_holds_no_credential() {
    let lambda = Lambda::start(API, "keys-api").await;
    let path = lambda.create().await;
    let acquire = event(&lambda.app, "keys-api-acquire");
    assert_eq!(answered(lambda.invoke(acquire.clone()).await).0, 200);
    for (method, path) in [("GET", path.clone()), ("POST", format!("{path}/test"))] {
        let (status, told) = answered(lambda.invoke(to(acquire.clone(), method, &path, None)).await);
        assert_eq!(status, 200, "{told}");
    }
    let rotate = json!({ "credentials": { "api_key": "sk-or-v1-that-nobody-knows-456" } });
    let rotate = to(acquire, "POST", &format!("{path}/rotate"), Some(rotate));
    assert_eq!(answered(lambda.invoke(rotate).await).0, 400);
    lambda.process.line_with("\"route\":\"/api/v1/integrations/{id}/rotate\"").await.unwrap();
    let answers: Vec<Value> = lambda.log().into_iter().filter(|line| line["message"] == "answered").collect();
    assert_eq!(answers.len(), 4, "{answers:?}");
    for answer in answers {
        let span = &answer["span"];
        assert_eq!(
            (&span["request_id"], &span["tenant"]),
            (&json!("a request of the events"), &json!("acme")),
            "{answer}"
        );
        assert_eq!(span["group"], "keys", "{answer}");
    }
    let everything = lambda.process.lines().iter().map(|line| line.text.clone()).collect::<String>();
    for credential in [lambda.app.tenant("acme").tokens.admin.as_str(), API_KEY, "that-nobody-knows", "cwy_"] {
        assert!(!everything.contains(credential), "{credential} in {everything}");
    }
}

#[tokio::test]
async fn what_no_schedule_sends_costs_only_itself() {
    for (binary, function) in [(MONITOR, "keys-monitor"), (BILLING, "keys-billing")] {
        let lambda = Lambda::start(binary, function).await;
        let (request, next) = (event(&lambda.app, "keys-api-list"), event(&lambda.app, function));
        malformed::each_event_costs_only_itself(&lambda.api, &request, &next).await;
    }
}

#[tokio::test]
async fn a_table_that_fails_is_both_jobs_error_and_the_next_event_is_worked_on() {
    for (binary, function) in [(MONITOR, "keys-monitor"), (BILLING, "keys-billing")] {
        let lambda = Lambda::start(binary, function).await;
        lambda.app.proxy.inject(Fault::ServerError).on("Query").always();
        assert_eq!(failed(lambda.invoke(event(&lambda.app, function)).await), "the table failed");
        lambda.app.proxy.clear();
        let result = lambda.invoke(event(&lambda.app, function)).await.json().unwrap();
        assert_eq!(result["finished"], true);
    }
}

#[tokio::test]
async fn what_there_is_no_time_for_is_left_to_the_next_process() {
    for (binary, function, done) in [(MONITOR, "keys-monitor", "valid"), (BILLING, "keys-billing", "synced")] {
        let mut lambda = Lambda::start(binary, function).await;
        lambda.create().await;
        lambda.report_invalid().await;
        lambda.app.fakes.ai.openrouter.host.forget_requests();
        for cold in [true, false] {
            let result = lambda.api.invoke(lambda.app.scheduled_event(), TOO_LATE).await.json().unwrap();
            assert_eq!((&result[done], &result["finished"]), (&json!(0), &json!(false)), "{result}");
            lambda.process.line_with(&format!("\"cold\":{cold}")).await.unwrap();
        }
        assert_eq!(lambda.app.fakes.ai.openrouter.host.calls("/"), 0);
        lambda.process.kill().await;
        let environment = lambda.app.environment(&lambda.api, function);
        lambda.process = FunctionProcess::spawn(binary, environment, &lambda.api).unwrap();
        let result = lambda.invoke(lambda.app.scheduled_event()).await.json().unwrap();
        assert_eq!((&result[done], &result["finished"]), (&json!(1), &json!(true)), "{result}");
    }
}

#[tokio::test]
async fn keys_monitor_brings_a_key_back_and_a_second_delivery_changes_nothing() {
    let lambda = Lambda::start(MONITOR, "keys-monitor").await;
    let path = lambda.create().await;
    lambda.report_invalid().await;
    let event = lambda.app.scheduled_event();
    let result = lambda.invoke(event.clone()).await.json().unwrap();
    assert_eq!(result, json!({ "valid": 1, "limited": 0, "invalid": 0, "inconclusive": 0, "finished": true }));
    assert_eq!(lambda.read(&path).await["health_status"], "healthy");
    let again = lambda.invoke(event).await.json().unwrap();
    assert_eq!((&again["valid"], &again["finished"]), (&json!(0), &json!(true)));
}

#[tokio::test]
async fn keys_monitor_goes_on_after_a_crash() {
    let mut lambda = Lambda::start(MONITOR, "keys-monitor").await;
    let path = lambda.create().await;
    lambda.report_invalid().await;
    let host = lambda.app.fakes.ai.openrouter.host.clone();
    host.faults().next(1, fakes::Fault::Hang);
    let (outcome, ()) = tokio::join!(lambda.invoke(lambda.app.scheduled_event()), async {
        host.faults().hanging(1).await;
        lambda.process.kill().await;
    });
    assert!(matches!(outcome, Outcome::Exited(_)), "{outcome:?}");
    let environment = lambda.app.environment(&lambda.api, "keys-monitor");
    lambda.process = FunctionProcess::spawn(MONITOR, environment, &lambda.api).unwrap();
    // The dead worker's lease is still running, so the key is left alone.
    let result = lambda.invoke(lambda.app.scheduled_event()).await.json().unwrap();
    assert_eq!((&result["valid"], &result["finished"]), (&json!(0), &json!(false)));
    assert_eq!(lambda.read(&path).await["health_status"], "unhealthy");
    // A later run, past the lease.
    lambda.app.clock.set(Timestamp::now());
    lambda.app.advance(300);
    let result = lambda.app.invoke("keys-monitor", &lambda.app.scheduled_event()).await.expect(200);
    assert_eq!((&result["valid"], &result["finished"]), (&json!(1), &json!(true)));
    assert_eq!(lambda.read(&path).await["health_status"], "healthy");
}

#[tokio::test]
async fn keys_billing_takes_in_what_the_provider_tells_once_a_run() {
    let lambda = Lambda::start(BILLING, "keys-billing").await;
    let path = lambda.create().await;
    assert_eq!(lambda.read(&path).await["cached_balance"], Value::Null);
    let event = lambda.app.scheduled_event();
    let result = lambda.invoke(event.clone()).await.json().unwrap();
    assert_eq!(result, json!({ "synced": 1, "not_told": 0, "failed": 0, "finished": true }));
    let read = lambda.read(&path).await;
    assert_eq!((&read["cached_balance"], &read["cached_currency"]), (&json!(47.83), &json!("USD")));
    assert!(read["billing_synced_at"].is_string(), "{read}");
    let again = lambda.invoke(event).await.json().unwrap();
    assert_eq!((&again["synced"], &again["finished"]), (&json!(0), &json!(true)));
}

/// A list, with tokens of the operator's issuer.
fn listing() -> Listing {
    Listing {
        binary: API,
        function: "keys-api",
        event: |app| event(app, "keys-api-list"),
        permission: "keys:read",
        unauthorized: json!({
            "success": false, "error": "Unauthorized", "detail": "The token is unknown, expired or revoked.",
        }),
        unavailable: json!({
            "success": false,
            "error": "Internal error",
            "detail": "Something went wrong on our side. Try again; if it goes on, report the request_id.",
        }),
    }
}

#[tokio::test]
async fn tokens_count_as_their_issuer_says() {
    oidc::tokens_count_as_their_issuer_says(listing()).await;
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_is_met_again() {
    oidc::an_issuer_that_is_down_at_the_start_is_met_again(listing()).await;
}
