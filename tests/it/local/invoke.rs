//! `POST /2015-03-31/functions/{function}/invocations`: Lambda's Invoke API, with the events of `tests/events`, which are
//! kept in the form that `sam local invoke` takes too.

use std::path::Path;

use http::Method;
use kit::{Answer, TestApp};
use serde_json::{Value, json};

/// An event of `tests/events`.
fn event(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../events/{name}.json"));
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// An HTTP event of `tests/events` with a token of `acme`'s that may do everything.
fn authorised(app: &TestApp, name: &str) -> Value {
    let mut event = event(name);
    event["headers"]["authorization"] = format!("Bearer {}", app.tenant("acme").tokens.admin).into();
    event
}

/// The body of a v2 response with this status.
#[track_caller]
fn body(response: &Value, status: u16) -> Value {
    assert_eq!(response["statusCode"], status, "{response}");
    assert_eq!(response["isBase64Encoded"], false, "{response}");
    serde_json::from_str(response["body"].as_str().unwrap()).unwrap()
}

/// What a function that failed reported, if the answer has the form that Lambda gives it.
#[track_caller]
fn function_error(answer: &Answer) -> (String, String) {
    let _ = answer.expect(200);
    assert_eq!(answer.header("x-amz-function-error"), Some("Unhandled"), "{}", answer.text);
    (answer.str("/errorType"), answer.str("/errorMessage"))
}

async fn create_slack(app: &TestApp, name: &str) -> String {
    let config = json!({ "webhookUrl": app.demo.slack_webhook_url });
    let body = json!({ "name": name, "type": "slack", "config": config });
    app.services().post("/api/integrations", &body).await.str("/id")
}

#[tokio::test]
async fn an_unknown_function_is_not_found_and_the_known_ones_are_named() {
    let app = TestApp::start().await;
    for path in ["services-chek", "arn:aws:lambda:us-east-1:123456789012:function:nothing", "services-api2"] {
        let answer = app.invoke(path, &json!({})).await;
        let body = answer.expect(404);
        assert_eq!(answer.header("x-amzn-errortype"), Some("ResourceNotFoundException"));
        assert_eq!(body["Type"], "User");
        let message = answer.str("/Message");
        for function in ["services-api", "services-check", "sweep"] {
            assert!(message.contains(function), "{message}");
        }
    }
}

#[tokio::test]
async fn what_is_not_json_is_refused_before_the_function_sees_it() {
    let app = TestApp::start().await;
    let lambda = app.lambda();
    for text in ["{", "not json", "{} {}", "\u{0}"] {
        let answer = lambda.send(Method::POST, "/services-check/invocations", text).await;
        let _ = answer.expect(400);
        assert_eq!(answer.header("x-amzn-errortype"), Some("InvalidRequestContentException"), "{text}");
        assert!(answer.str("/Message").starts_with("Could not parse request body into json"), "{}", answer.text);
    }
}

#[tokio::test]
async fn an_unknown_invocation_type_is_refused() {
    let app = TestApp::start().await;
    let lambda = app.lambda().header("x-amz-invocation-type", "Sometimes");
    let answer = lambda.send(Method::POST, "/sweep/invocations", app.scheduled_event().to_string()).await;
    let _ = answer.expect(400);
    assert_eq!(answer.header("x-amzn-errortype"), Some("InvalidParameterValueException"));
}

#[tokio::test]
async fn a_malformed_event_is_the_functions_error() {
    let app = TestApp::start().await;
    let scheduled = event("services-check");
    for (function, event) in [
        ("services-api", json!({})),
        ("services-api", scheduled.clone()),
        ("services-api", json!("text")),
        ("services-check", json!({})),
        ("services-check", event("services-api-list")),
        ("sweep", json!({ "id": "1", "time": "yesterday" })),
        ("sweep", json!([])),
    ] {
        let answer = app.invoke(function, &event).await;
        let (error_type, message) = function_error(&answer);
        assert_eq!(error_type, "MalformedEvent", "{function}: {message}");
        assert!(!message.is_empty(), "{function}");
        assert_eq!(answer.header("x-amz-executed-version"), Some("$LATEST"));
    }
    // An empty body is an empty event.
    let answer = app.lambda().send(Method::POST, "/sweep/invocations", "").await;
    assert_eq!(function_error(&answer).0, "MalformedEvent");
}

#[tokio::test]
async fn a_function_that_panics_reports_so_and_goes_on() {
    let app = TestApp::start().await;
    let mut broken = authorised(&app, "services-api-create");
    broken["body"] = "not base64!".into();
    let (error_type, _) = function_error(&app.invoke("services-api", &broken).await);
    assert_eq!(error_type, "Panic");
    let answer = app.invoke("services-api", &authorised(&app, "services-api-list")).await.expect(200);
    assert_eq!(body(&answer, 200), json!({ "data": [] }));
}

#[tokio::test]
async fn an_event_as_it_stands_in_its_file_is_answered_in_the_groups_envelope() {
    let app = TestApp::start().await;
    for name in ["services-api-list", "services-api-create", "services-api-get"] {
        let answer = app.invoke("services-api", &event(name)).await;
        assert_eq!(answer.header("x-amz-function-error"), None, "{}", answer.text);
        let response = answer.expect(200);
        let body = body(&response, 401);
        assert_eq!(body["error"], "unauthorized");
        assert_eq!(response["headers"]["www-authenticate"], "Bearer");
        assert_eq!(response["headers"]["x-request-id"], body["request_id"]);
    }
}

#[tokio::test]
async fn a_base64_body_creates_as_a_plain_one_does() {
    let app = TestApp::start().await;
    let encoded = authorised(&app, "services-api-create");
    let response = app.invoke("services-api", &encoded).await.expect(200);
    let created = body(&response, 201);
    assert_eq!((&created["name"], &created["type"]), (&json!("Büro-Alarm"), &json!("slack")));
    assert_eq!(response["headers"]["content-type"], "application/json");
    // On AWS the documented paths stand at the API's root.
    let id = created["id"].as_str().unwrap();
    assert_eq!(response["headers"]["location"], format!("/api/integrations/{id}"));
    let over_http = app.services().get(&format!("/api/integrations/{id}")).await.expect(200);
    assert_eq!(over_http["name"], "Büro-Alarm");

    let again = app.invoke("services-api", &encoded).await.expect(200);
    assert_eq!(again["headers"]["idempotent-replayed"], "true", "{again}");
    assert_eq!(body(&again, 201), created);

    let mut plain = encoded;
    let text = json!({ "name": "plain", "type": "slack", "config": { "webhookUrl": app.demo.slack_webhook_url } });
    plain["body"] = text.to_string().into();
    plain["isBase64Encoded"] = false.into();
    plain["headers"].as_object_mut().unwrap().remove("idempotency-key");
    let response = app.invoke("services-api", &plain).await.expect(200);
    assert_eq!(body(&response, 201)["name"], "plain");
}

#[tokio::test]
async fn query_strings_with_repeated_names_and_cookies_are_read_as_over_http() {
    let app = TestApp::start().await;
    for name in ["first", "second"] {
        create_slack(&app, name).await;
        app.advance(1);
    }
    let list = authorised(&app, "services-api-list");
    let response = app.invoke("services-api", &list).await.expect(200);
    let query = list["rawQueryString"].as_str().unwrap();
    let over_http = app.services().get(&format!("/api/integrations?{query}")).await;
    assert_eq!(body(&response, 200), over_http.expect(200));
    assert_eq!(body(&response, 200)["data"].as_array().unwrap().len(), 1);
    assert_eq!(response["headers"]["content-type"], over_http.header("content-type").unwrap());
    assert_eq!(response["cookies"], json!([]));

    // What the rest of the event says of the query does not count: the raw text does.
    let mut raw = list;
    raw["rawQueryString"] = "type=msteams".into();
    let refused = app.invoke("services-api", &raw).await.expect(200);
    assert!(body(&refused, 400)["fields"]["type"].as_str().unwrap().contains("slack"));
}

#[tokio::test]
async fn a_path_and_a_request_id_are_read_as_over_http() {
    let app = TestApp::start().await;
    let id = create_slack(&app, "one").await;
    let get = authorised(&app, "services-api-get");
    let path = get["rawPath"].as_str().unwrap();
    let request_id = get["headers"]["x-request-id"].as_str().unwrap();
    let response = app.invoke("services-api", &get).await.expect(200);
    assert_eq!(response["headers"]["x-request-id"], request_id);
    let over_http = app.services().header("x-request-id", request_id).get(path).await;
    assert_eq!(body(&response, 404), over_http.expect(404));

    let mut there = get.clone();
    there["rawPath"] = format!("/api/integrations/{id}").into();
    let response = app.invoke("services-api", &there).await.expect(200);
    assert_eq!(body(&response, 200), app.services().get(&format!("/api/integrations/{id}")).await.expect(200));

    // What API Gateway's catch-all route lets through answers in the group's envelope.
    let mut elsewhere = get;
    elsewhere["rawPath"] = "/nothing/here".into();
    let response = app.invoke("services-api", &elsewhere).await.expect(200);
    assert_eq!(body(&response, 404)["detail"], "Path not found.");
}

#[tokio::test]
async fn a_scheduled_event_runs_services_check_once_however_often_it_comes() {
    let app = TestApp::start().await;
    create_slack(&app, "one").await;
    let event = event("services-check");
    let first = app.invoke("services-check", &event).await.expect(200);
    assert_eq!(first, json!({ "valid": 1, "limited": 0, "invalid": 0, "inconclusive": 0, "finished": true }));
    let idle = json!({ "valid": 0, "limited": 0, "invalid": 0, "inconclusive": 0, "finished": true });
    assert_eq!(app.invoke("services-check", &event).await.expect(200), idle);
}

#[tokio::test]
async fn a_resume_starts_no_run() {
    let app = TestApp::start().await;
    create_slack(&app, "one").await;
    let ran = app.invoke("services-check", &event("services-check-resume")).await.expect(200);
    assert_eq!((&ran["valid"], &ran["finished"]), (&json!(0), &json!(true)));
}

#[tokio::test]
async fn a_scheduled_event_runs_sweep_as_of_the_events_time() {
    let app = TestApp::start().await;
    let secret = app.secrets.create_secret().name("causeway/acme/services/int_000000000000000000000");
    secret.secret_string("{}").send().await.unwrap();
    let event = event("sweep");
    assert_eq!(event["time"], TestApp::started_at().to_string());
    let early = app.invoke("sweep", &event).await.expect(200);
    assert_eq!((&early["seen"], &early["removed"], &early["finished"]), (&json!(1), &json!(0), &json!(true)));
    let late = app.invoke("sweep", &app.scheduled_event_in(3600)).await.expect(200);
    assert_eq!(late["removed"], 1, "{late}");
    assert_eq!(app.secret_names().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_function_may_be_named_by_its_arn_and_with_a_version() {
    let app = TestApp::start().await;
    let arn = "arn:aws:lambda:eu-central-1:123456789012:function:";
    for name in ["sweep", "sweep:$LATEST", "sweep:live", &format!("{arn}sweep"), &format!("{arn}sweep:7")] {
        let answer = app.invoke(name, &event("sweep")).await;
        assert_eq!(answer.expect(200)["finished"], true, "{name}");
        assert_eq!(answer.header("x-amz-executed-version"), Some("$LATEST"), "{name}");
    }
}

#[tokio::test]
async fn a_dry_run_does_nothing() {
    let app = TestApp::start().await;
    create_slack(&app, "one").await;
    app.proxy.forget_calls();
    let lambda = app.lambda().header("x-amz-invocation-type", "DryRun");
    let event = event("services-check").to_string();
    let answer = lambda.send(Method::POST, "/services-check/invocations", event).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    assert_eq!(app.proxy.operations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_event_invocation_is_taken_at_once_and_done_all_the_same() {
    let app = TestApp::start().await;
    let id = create_slack(&app, "one").await;
    // Its first read is held until the answer is there, so nothing was waited for.
    let held = app.proxy.inject(kit::fault_proxy::Fault::Hold).on("GetItem").nth(1);
    let lambda = app.lambda().header("x-amz-invocation-type", "Event");
    let event = event("services-check").to_string();
    let answer = lambda.send(Method::POST, "/services-check/invocations", event).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, ""));
    held.struck().await;
    held.release();
    let path = format!("/api/integrations/{id}");
    loop {
        let read = app.services().get(&path).await.expect(200);
        if read["lastTest"]["verdict"] == "valid" {
            return;
        }
        tokio::task::yield_now().await;
    }
}
