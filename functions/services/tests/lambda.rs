//! The group's real Lambda binaries on a double of the Runtime API, with embedded AWS and stateful fakes behind them.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use kit::TestApp;
use kit::fault_proxy::Fault;
use kit::malformed;
use kit::metrics::{Defined, Line};
use kit::oidc::{self, Listing};
use kit::runtime_api::{Exited, FunctionProcess, Outcome, RuntimeApi, Stream};
use serde_json::{Value, json};

const API: &str = env!("CARGO_BIN_EXE_services-api");
const CHECK: &str = env!("CARGO_BIN_EXE_services-check");
const DEADLINE: Duration = Duration::from_secs(29);
/// Too little to begin anything in, and enough to say so.
const TOO_LATE: Duration = Duration::from_secs(9);

/// A function on Lambda.
struct Lambda {
    app: TestApp,
    api: RuntimeApi,
    process: FunctionProcess,
}

impl Lambda {
    /// Starts the binary of a function over a stack whose clock is the binary's own.
    async fn start(binary: &str, function: &str) -> Self {
        let app = TestApp::start().await;
        app.clock.set(Timestamp::now());
        let api = RuntimeApi::start().await.unwrap();
        let process = FunctionProcess::spawn(binary, app.environment(&api, function), &api).unwrap();
        Self { app, api, process }
    }

    async fn invoke(&self, event: Value) -> Outcome {
        self.api.invoke(event, DEADLINE).await
    }

    async fn create_slack(&self, webhook_url: &str) -> String {
        let body = json!({ "name": "one", "type": "slack", "config": { "webhookUrl": webhook_url } });
        self.app.services().post("/api/integrations", &body).await.str("/id")
    }

    /// Everything that it has written so far, if each line of it is an object.
    fn log(&self) -> Vec<Value> {
        let lines = self.process.lines();
        lines.iter().filter(|line| line.stream == Stream::Output).map(|line| log_line(&line.text)).collect()
    }
}

/// The metrics that it has written so far, one list a line, with the line's texts.
fn metrics(process: &FunctionProcess) -> Vec<Line> {
    let lines = process.lines();
    let output = lines.iter().filter(|line| line.stream == Stream::Output);
    output.filter_map(|line| Line::read(&line.text)).collect()
}

/// The values of a metric on a line.
#[track_caller]
fn values<'a>(line: &'a Line, name: &str) -> &'a [f64] {
    let found = line.metrics.iter().find(|metric| metric.name == name);
    &found.unwrap_or_else(|| panic!("no {name} in {line:?}")).values
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

/// The status and body of an HTTP function's answer.
#[track_caller]
fn answered(outcome: Outcome) -> (u64, Value) {
    let answer = outcome.json().unwrap_or_else(|outcome| panic!("{outcome:?}"));
    let body = answer["body"].as_str().unwrap_or_else(|| panic!("{answer}"));
    (answer["statusCode"].as_u64().unwrap(), serde_json::from_str(body).unwrap())
}

#[track_caller]
fn failed(outcome: Outcome) -> (String, String) {
    let Outcome::Error(error) = outcome else { panic!("{outcome:?}") };
    (error.error_type, error.message)
}

#[tokio::test]
async fn what_the_environment_lacks_is_named_in_one_line_and_the_process_ends() {
    for (binary, function) in [(API, "services-api"), (CHECK, "services-check")] {
        let api = RuntimeApi::start().await.unwrap();
        let mut environment = api.environment(function);
        environment.push(("CAUSEWAY_ENDPOINT_SLAK".into(), "https://example.com".into()));
        let process = FunctionProcess::spawn(binary, environment, &api).unwrap();
        assert_eq!(process.exited().await, Exited { code: Some(1) });
        let lines = process.lines();
        let logged: Vec<_> = lines.iter().filter(|line| line.stream == Stream::Output).collect();
        let [line] = logged.as_slice() else { panic!("{lines:?}") };
        let line = log_line(&line.text);
        assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("the function cannot start")));
        let error = line["error"].as_str().unwrap();
        for variable in ["CAUSEWAY_STACK", "CAUSEWAY_TABLE", "CAUSEWAY_ENDPOINT_SLAK"] {
            assert!(error.contains(variable), "{error}");
        }
        assert!(!error.contains("AWS_REGION"), "{error}");
    }
}

#[tokio::test]
async fn what_no_gateway_sends_costs_only_itself() {
    let lambda = Lambda::start(API, "services-api").await;
    let (list, create) = (event(&lambda.app, "services-api-list"), event(&lambda.app, "services-api-create"));
    malformed::each_request_costs_only_itself(&lambda.api, &list, &create).await;
}

#[tokio::test]
async fn a_table_that_stalls_does_not_make_it_miss_its_deadline() {
    let lambda = Lambda::start(API, "services-api").await;
    lambda.api.first_next().await.unwrap();
    lambda.app.proxy.inject(Fault::Stall).always();
    let list = event(&lambda.app, "services-api-list");
    let (status, _) = answered(lambda.api.invoke(list.clone(), Duration::from_secs(2)).await);
    assert_eq!(status, 500);
    lambda.app.proxy.clear();
    assert_eq!(answered(lambda.invoke(list).await).0, 200);
}

#[tokio::test]
async fn an_event_that_makes_the_runtime_panic_costs_only_itself() {
    let lambda = Lambda::start(API, "services-api").await;
    let mut broken = event(&lambda.app, "services-api-create");
    broken["body"] = "not base64!".into();
    let (_, message) = failed(lambda.invoke(broken).await);
    assert!(message.contains("panicked"), "{message}");
    let list = event(&lambda.app, "services-api-list");
    assert_eq!(answered(lambda.invoke(list).await), (200, json!({ "data": [] })));
}

#[tokio::test]
async fn a_panic_is_a_line_of_the_log_and_holds_nothing_of_the_request() {
    let lambda = Lambda::start(API, "services-api").await;
    let mut broken = event(&lambda.app, "services-api-create");
    broken["body"] = "not base64! c4n4ry-of-a-body".into();
    broken["rawQueryString"] = "token=c4n4ry-of-a-query".into();
    let _ = failed(lambda.invoke(broken).await);
    let line = log_line(&lambda.process.line_with("\"panicked\"").await.unwrap().text);
    assert_eq!(line["level"], "ERROR", "{line}");
    assert!(line["location"].is_string() && line["error"].is_string(), "{line}");
    let list = event(&lambda.app, "services-api-list");
    assert_eq!(answered(lambda.invoke(list).await).0, 200);
    lambda.process.line_with("\"answered\"").await.unwrap();
    let lines = lambda.process.lines();
    assert!(lines.iter().all(|line| line.stream == Stream::Output), "{lines:?}");
    assert!(lines.iter().all(|line| !line.text.contains("c4n4ry")), "{lines:?}");
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_an_internal_error_that_tells_nothing() {
    let app = TestApp::start().await;
    let api = RuntimeApi::start().await.unwrap();
    let mut environment = app.environment(&api, "services-api");
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (name, value) in &mut environment {
        if name == "AWS_ENDPOINT_URL_DYNAMODB" {
            *value = format!("http://{nowhere}");
        }
    }
    let process = FunctionProcess::spawn(API, environment, &api).unwrap();
    let (status, body) = answered(api.invoke(event(&app, "services-api-list"), DEADLINE).await);
    assert_eq!((status, &body["error"]), (500, &json!("internal_error")));
    assert!(!body.to_string().contains("DynamoDB"), "{body}");
    let logged = process.line_with("internal error").await.unwrap();
    let line = log_line(&logged.text);
    assert_eq!(line["span"]["request_id"], body["request_id"], "{line}");
    assert!(line["error"].as_str().unwrap().contains("DynamoDB did not answer"), "{line}");
}

#[tokio::test]
async fn requests_are_answered_from_the_table_and_the_secrets() {
    let lambda = Lambda::start(API, "services-api").await;
    let (status, created) = answered(lambda.invoke(event(&lambda.app, "services-api-create")).await);
    assert_eq!((status, &created["name"]), (201, &json!("Büro-Alarm")));
    let id = created["id"].as_str().unwrap();
    assert_eq!(lambda.app.secret_names().await, [format!("causeway/acme/services/{id}")]);

    let mut get = event(&lambda.app, "services-api-get");
    get["rawPath"] = format!("/api/integrations/{id}").into();
    let (status, read) = answered(lambda.invoke(get.clone()).await);
    let webhook_url = "https://hooks.slack.com/services/T00000000/B00000000/put-your-own-here";
    assert_eq!((status, &read["config"]["webhookUrl"]), (200, &json!(webhook_url)));
    // The stack beside it, which is another process, reads the same.
    assert_eq!(lambda.app.services().get(&format!("/api/integrations/{id}")).await.expect(200), read);

    get["requestContext"]["http"]["method"] = "DELETE".into();
    assert_eq!(answered(lambda.invoke(get).await), (200, json!({ "success": true })));
    assert_eq!(lambda.app.secret_names().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_provider_that_hangs_does_not_make_it_miss_its_deadline() {
    let lambda = Lambda::start(API, "services-api").await;
    let id = lambda.create_slack(&lambda.app.demo.slack_webhook_url).await;
    lambda.app.fakes.slack.hooks.faults().next(1, fakes::Fault::Hang);
    let mut test = event(&lambda.app, "services-api-get");
    test["rawPath"] = format!("/api/integrations/{id}/test").into();
    test["requestContext"]["http"]["method"] = "POST".into();
    let (status, report) = answered(lambda.api.invoke(test, Duration::from_secs(2)).await);
    assert_eq!((status, &report["verdict"]), (200, &json!("inconclusive")), "{report}");
}

#[tokio::test]
async fn its_log_is_one_object_a_line_and_holds_no_credential() {
    let lambda = Lambda::start(API, "services-api").await;
    let id = lambda.create_slack(&lambda.app.demo.slack_webhook_url).await;
    for (method, path) in [("GET", ""), ("POST", "/test"), ("GET", "?token=cwy_0123456789012345678901234567")] {
        let mut event = event(&lambda.app, "services-api-get");
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        event["rawPath"] = format!("/api/integrations/{id}{path}").into();
        event["rawQueryString"] = query.into();
        event["requestContext"]["http"]["method"] = method.into();
        let (status, _) = answered(lambda.invoke(event).await);
        assert_eq!(status, 200);
    }
    let request_id = "a request of the events";
    lambda.process.line_with("\"route\":\"/api/integrations/{integrationId}/test\"").await.unwrap();
    let log = lambda.log();
    let answers: Vec<_> = log.iter().filter(|line| line["message"] == "answered").collect();
    assert!(answers.len() >= 2, "{log:?}");
    for answer in answers {
        let span = &answer["span"];
        assert_eq!((&span["request_id"], &span["tenant"]), (&json!(request_id), &json!("acme")), "{answer}");
        assert_eq!((&span["group"], &answer["status"]), (&json!("services"), &json!(200)), "{answer}");
    }
    let everything = lambda.process.lines().iter().map(|line| line.text.clone()).collect::<String>();
    let secret = lambda.app.demo.slack_webhook_url.rsplit_once('/').unwrap().1;
    for credential in [lambda.app.tenant("acme").tokens.admin.as_str(), secret, "cwy_"] {
        assert!(!everything.contains(credential), "{credential} in {everything}");
    }
}

#[tokio::test]
async fn a_request_is_found_in_the_log_by_whichever_id_one_has() {
    let lambda = Lambda::start(API, "services-api").await;
    let mut missing = event(&lambda.app, "services-api-list");
    missing["rawPath"] = "/api/integrations/int_000000000000000000000".into();
    let too_long = "x".repeat(129);
    for (number, own) in [None, Some("the client's own"), Some(&*too_long), Some("")].into_iter().enumerate() {
        let gateway = format!("Kx2hYhZrFiAEJ9{number}=");
        let mut event = missing.clone();
        event["requestContext"]["requestId"] = gateway.clone().into();
        if let Some(own) = own {
            event["headers"]["x-request-id"] = own.into();
        }
        let answer = lambda.invoke(event).await.json().unwrap();
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        let expected = own.filter(|own| *own == "the client's own").unwrap_or(&gateway);
        assert_eq!((&answer["statusCode"], &answer["headers"]["x-request-id"]), (&json!(404), &json!(expected)));
        assert_eq!(body["request_id"], expected);
        let line = log_line(&lambda.process.line_with(&gateway).await.unwrap().text);
        let span = &line["span"];
        assert_eq!((&span["request_id"], &span["gateway_request_id"]), (&json!(expected), &json!(gateway)), "{line}");
        // The double counts its invocations in such ids.
        let lambdas = span["lambda_request_id"].as_str().unwrap();
        assert!(lambdas.starts_with("00000000-0000-4000-8000-"), "{line}");
    }
}

#[tokio::test]
async fn what_no_schedule_sends_costs_only_itself() {
    let lambda = Lambda::start(CHECK, "services-check").await;
    let (request, next) = (event(&lambda.app, "services-api-list"), event(&lambda.app, "services-check"));
    malformed::each_event_costs_only_itself(&lambda.api, &request, &next).await;
}

#[tokio::test]
async fn what_services_check_has_no_time_for_is_resumed_by_the_next_process() {
    let mut lambda = Lambda::start(CHECK, "services-check").await;
    lambda.create_slack(&lambda.app.demo.slack_webhook_url).await;
    lambda.app.fakes.slack.hooks.forget_requests();
    let resume = event(&lambda.app, "services-check-resume");
    for (told, cold) in [(lambda.app.scheduled_event(), true), (resume.clone(), false)] {
        let result = lambda.api.invoke(told, TOO_LATE).await.json().unwrap();
        assert_eq!((&result["valid"], &result["finished"]), (&json!(0), &json!(false)), "{result}");
        lambda.process.line_with(&format!("\"cold\":{cold}")).await.unwrap();
    }
    assert!(lambda.app.fakes.slack.hooks.requests().is_empty());
    lambda.process.kill().await;
    let environment = lambda.app.environment(&lambda.api, "services-check");
    lambda.process = FunctionProcess::spawn(CHECK, environment, &lambda.api).unwrap();
    let result = lambda.invoke(resume).await.json().unwrap();
    assert_eq!((&result["valid"], &result["finished"]), (&json!(1), &json!(true)), "{result}");
}

#[tokio::test]
async fn services_check_tests_what_there_is_and_marks_only_what_is_invalid() {
    let lambda = Lambda::start(CHECK, "services-check").await;
    let good = lambda.create_slack(&lambda.app.demo.slack_webhook_url).await;
    let bad = lambda.create_slack("https://hooks.slack.com/services/T0/B0/mistyped").await;
    let event = lambda.app.scheduled_event();
    let result = lambda.invoke(event.clone()).await.json().unwrap();
    assert_eq!(result, json!({ "valid": 1, "limited": 0, "invalid": 1, "inconclusive": 0, "finished": true }));
    for (id, verdict, marked) in [(good, "valid", false), (bad, "invalid", true)] {
        let read = lambda.app.services().get(&format!("/api/integrations/{id}")).await.expect(200);
        assert_eq!((&read["lastTest"]["verdict"], &read["needsAttention"]), (&json!(verdict), &json!(marked)));
    }
    // Delivered once more, it finds nothing to do.
    let again = lambda.invoke(event).await.json().unwrap();
    assert_eq!((&again["valid"], &again["invalid"], &again["finished"]), (&json!(0), &json!(0), &json!(true)));
}

#[tokio::test]
async fn services_check_goes_on_after_a_crash() {
    let mut lambda = Lambda::start(CHECK, "services-check").await;
    let id = lambda.create_slack(&lambda.app.demo.slack_webhook_url).await;
    lambda.app.fakes.slack.hooks.faults().next(1, fakes::Fault::Hang);
    let hooks = lambda.app.fakes.slack.hooks.clone();
    let (outcome, ()) = tokio::join!(lambda.invoke(lambda.app.scheduled_event()), async {
        hooks.faults().hanging(1).await;
        lambda.process.kill().await;
    });
    assert!(matches!(outcome, Outcome::Exited(_)), "{outcome:?}");

    let environment = lambda.app.environment(&lambda.api, "services-check");
    lambda.process = FunctionProcess::spawn(CHECK, environment, &lambda.api).unwrap();
    let resume = event(&lambda.app, "services-check-resume");
    let result = lambda.invoke(resume).await.json().unwrap();
    // The dead worker's lease is still running, so the run is not finished, and nothing was tested twice.
    assert_eq!((&result["valid"], &result["finished"]), (&json!(0), &json!(false)));
    let read = lambda.app.services().get(&format!("/api/integrations/{id}")).await.expect(200);
    assert!(read.get("lastTest").is_none(), "{read}");
}

#[tokio::test]
async fn a_request_is_told_in_metrics_that_cloudwatch_takes() {
    let lambda = Lambda::start(API, "services-api").await;
    let id = lambda.create_slack(&lambda.app.demo.slack_webhook_url).await;
    let mut test = event(&lambda.app, "services-api-get");
    test["rawPath"] = format!("/api/integrations/{id}/test").into();
    test["requestContext"]["http"]["method"] = "POST".into();
    let before = Timestamp::now().as_millisecond();
    assert_eq!(answered(lambda.invoke(test).await).1["verdict"], "valid");
    lambda.process.line_with("\"test_integration\",\"Requests\"").await.unwrap();
    let told = metrics(&lambda.process);
    let [line] = told.as_slice() else { panic!("{told:?}") };
    assert!((before..=Timestamp::now().as_millisecond()).contains(&line.timestamp), "{line:?}");
    for (name, value) in [
        ("Stack", "causeway"),
        ("Group", "services"),
        ("Operation", "test_integration"),
        ("Function", "services-api"),
        ("Upstream", "SLACK_HOOKS"),
        ("Verdict", "valid"),
    ] {
        assert_eq!(line.members[name], value, "{line:?}");
    }
    for name in ["Requests", "ColdStarts", "ProviderCalls", "Verdicts"] {
        assert_eq!(values(line, name), [1.0], "{name}");
    }
    for name in ["Latency", "ProviderLatency"] {
        assert!(matches!(values(line, name), [time] if *time > 0.0), "{name}: {line:?}");
    }
    let Defined { unit, sets, .. } = line.metrics.iter().find(|metric| metric.name == "Latency").unwrap();
    assert_eq!(unit, "Milliseconds");
    assert_eq!(*sets, [vec!["Stack", "Group"], vec!["Stack", "Group", "Operation"]]);

    // The next is warm, and fails.
    lambda.app.proxy.inject(Fault::ServerError).on("Query").always();
    assert_eq!(answered(lambda.invoke(event(&lambda.app, "services-api-list")).await).0, 500);
    lambda.process.line_with("\"ServerErrors\"").await.unwrap();
    let told = metrics(&lambda.process);
    let [_, line] = told.as_slice() else { panic!("{told:?}") };
    let names: Vec<&str> = line.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["Requests", "ServerErrors", "Latency"]);
    assert_eq!((&line.members["Operation"], values(line, "ServerErrors")), (&json!("list_integrations"), &[1.0][..]));

    let log = lambda.log();
    let answers: Vec<&Value> = log.iter().filter(|line| line["message"] == "answered").collect();
    for (answer, operation, outcome, cold) in
        [(answers[0], "test_integration", "ok", true), (answers[1], "list_integrations", "server_error", false)]
    {
        assert_eq!((&answer["span"]["operation"], &answer["outcome"]), (&json!(operation), &json!(outcome)));
        assert_eq!(answer["cold"], cold);
    }
    // Nothing is written twice, and there is no line beside.
    let others = log.iter().filter(|line| line["message"] != "answered" && line.get("_aws").is_none());
    let others: Vec<&Value> = others.map(|line| &line["message"]).collect();
    assert_eq!(others, ["internal error"]);
}

#[tokio::test]
async fn the_trace_goes_into_the_log_and_to_aws_and_no_further() {
    let lambda = Lambda::start(API, "services-api").await;
    let id = lambda.create_slack(&lambda.app.demo.slack_webhook_url).await;
    lambda.api.first_next().await.unwrap();
    lambda.app.proxy.forget_calls();
    lambda.app.fakes.slack.hooks.forget_requests();
    let mut test = event(&lambda.app, "services-api-get");
    test["rawPath"] = format!("/api/integrations/{id}/test").into();
    test["requestContext"]["http"]["method"] = "POST".into();
    assert_eq!(answered(lambda.invoke(test).await).0, 200);
    let line = log_line(&lambda.process.line_with("\"answered\"").await.unwrap().text);
    let trace_id = line["span"]["trace_id"].as_str().unwrap();
    assert!(trace_id.starts_with("1-"), "{line}");

    let calls = lambda.app.proxy.calls();
    let operations: Vec<&str> = calls.iter().map(|call| call.operation.as_str()).collect();
    assert!(operations.contains(&"GetItem") && operations.contains(&"GetSecretValue"), "{operations:?}");
    for call in &calls {
        let trace = call.trace.as_deref().unwrap_or_default();
        assert!(trace.starts_with(&format!("Root={trace_id};Parent=")), "{}: {trace}", call.operation);
        assert!(trace.ends_with(";Sampled=0"), "{trace}");
    }
    let requests = lambda.app.fakes.slack.hooks.requests();
    assert!(!requests.is_empty());
    for request in &requests {
        assert_eq!(request.header("x-amzn-trace-id"), None);
    }
}

#[tokio::test]
async fn a_run_is_one_line_and_its_metrics() {
    let lambda = Lambda::start(CHECK, "services-check").await;
    lambda.create_slack(&lambda.app.demo.slack_webhook_url).await;
    lambda.create_slack("https://hooks.slack.com/services/T0/B0/mistyped").await;
    let _ = failed(lambda.invoke(json!({})).await);
    let result = lambda.invoke(lambda.app.scheduled_event()).await.json().unwrap();
    assert_eq!((&result["valid"], &result["invalid"]), (&json!(1), &json!(1)));
    let ran = log_line(&lambda.process.line_with("\"the job ran\"").await.unwrap().text);
    let span = &ran["span"];
    assert_eq!((&span["function"], &span["trigger"]), (&json!("services-check"), &json!("schedule")), "{ran}");
    assert!(span["request_id"].is_string() && span["trace_id"].is_string(), "{ran}");
    assert_eq!((&ran["outcome"], &ran["cold"]), (&json!("ok"), &json!(false)), "{ran}");
    assert_eq!(serde_json::from_str::<Value>(ran["result"].as_str().unwrap()).unwrap(), result);
    lambda.process.line_with("\"Verdict\":\"invalid\"").await.unwrap();
    lambda.process.line_with("\"Verdict\":\"valid\"").await.unwrap();

    let told = metrics(&lambda.process);
    let [malformed, lines @ ..] = told.as_slice() else { panic!("{told:?}") };
    for name in ["JobRuns", "JobFailures", "ColdStarts"] {
        assert_eq!(values(malformed, name), [1.0], "{name}");
    }
    // The two verdicts cannot share a line.
    let [one, other] = lines else { panic!("{lines:?}") };
    assert_eq!((values(one, "JobRuns"), values(one, "ProviderCalls")), (&[1.0][..], &[2.0][..]));
    assert_eq!(values(one, "ProviderLatency").len(), 2);
    assert_eq!((values(one, "Verdicts"), values(other, "Verdicts")), (&[1.0][..], &[1.0][..]));
    assert!(lines.iter().all(|line| line.members["Stack"] == "causeway"));
    assert!(one.metrics.iter().all(|metric| metric.name != "JobFailures"));
}

/// A list, with tokens of the operator's issuer.
fn listing() -> Listing {
    Listing {
        binary: API,
        function: "services-api",
        event: |app| event(app, "services-api-list"),
        permission: "services:read",
        unauthorized: json!({
            "error": "unauthorized",
            "detail": "The token is unknown, expired or revoked.",
            "hint": "Send `Authorization: Bearer <token>` with a token that is still in force.",
        }),
        unavailable: json!({
            "error": "internal_error",
            "detail": "Something went wrong on our side. Nothing of it is your fault.",
            "hint": "Try again; if it goes on, report the request_id.",
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
