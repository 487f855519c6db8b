//! The double against a raw client, and against real processes: the kit's own function on the real `lambda_runtime`, and
//! small shell scripts.

use http::StatusCode;
use kit::runtime_api::{Exited, FunctionProcess, Line, Outcome, RuntimeApi, Stream};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LONG: Duration = Duration::from_secs(30);

/// A process that speaks the protocol by hand.
struct Raw {
    client: reqwest::Client,
    base: String,
}

impl Raw {
    fn new(api: &RuntimeApi) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { client, base: format!("http://{}/2018-06-01/runtime", api.address()) }
    }

    async fn next(&self) -> reqwest::Response {
        self.client.get(format!("{}/invocation/next", self.base)).send().await.unwrap()
    }

    /// Takes an event and returns its id.
    async fn take(&self) -> String {
        let response = self.next().await;
        response.headers()["lambda-runtime-aws-request-id"].to_str().unwrap().to_owned()
    }

    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> StatusCode {
        let request = self.client.post(format!("{}/{path}", self.base)).body(body);
        request.header("lambda-runtime-function-error-type", "Header.Type").send().await.unwrap().status()
    }
}

fn milliseconds_now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

#[tokio::test]
async fn an_event_is_handed_out_and_answered() {
    let api = RuntimeApi::start().await.unwrap();
    api.environment("some-function");
    let raw = Raw::new(&api);
    let before = milliseconds_now();
    let process = async {
        let event = raw.next().await;
        assert_eq!(event.status(), StatusCode::OK);
        let header = |name: &str| event.headers()[name].to_str().unwrap().to_owned();
        let id = header("lambda-runtime-aws-request-id");
        let deadline: u128 = header("lambda-runtime-deadline-ms").parse().unwrap();
        assert!((before + 30_000..=milliseconds_now() + 30_000).contains(&deadline));
        let arn = header("lambda-runtime-invoked-function-arn");
        assert_eq!(arn, "arn:aws:lambda:us-east-1:123456789012:function:some-function");
        let trace = header("lambda-runtime-trace-id");
        assert!(trace.starts_with("Root=1-") && trace.len() == "Root=1-".len() + 8 + 1 + 24 + 24 + 10, "{trace}");
        assert_eq!(header("content-type"), "application/json");
        assert_eq!(event.text().await.unwrap(), r#"{"ask":1}"#);
        assert_eq!(raw.post(&format!("invocation/{id}/response"), r#"{"answer":2}"#).await, StatusCode::ACCEPTED);
        // An invocation has one answer.
        assert_eq!(raw.post(&format!("invocation/{id}/response"), "{}").await, StatusCode::BAD_REQUEST);
    };
    let (outcome, ()) = tokio::join!(api.invoke(json!({"ask": 1}), LONG), process);
    assert_eq!(outcome.json(), Ok(json!({"answer": 2})));
}

#[tokio::test]
async fn next_blocks_until_there_is_an_event() {
    let api = RuntimeApi::start().await.unwrap();
    let raw = Raw::new(&api);
    let mut next = Box::pin(raw.take());
    tokio::select! {
        id = &mut next => panic!("{id}"),
        asked = api.first_next() => { asked.unwrap(); }
    }
    let process = async {
        let id = next.await;
        raw.post(&format!("invocation/{id}/response"), "null").await
    };
    let (outcome, _) = tokio::join!(api.invoke(Value::Null, LONG), process);
    assert_eq!(outcome.json(), Ok(Value::Null));
}

#[tokio::test]
async fn events_are_served_in_order() {
    let api = RuntimeApi::start().await.unwrap();
    let raw = Raw::new(&api);
    let process = async {
        for answer in ["1", "2"] {
            let id = raw.take().await;
            raw.post(&format!("invocation/{id}/response"), answer).await;
        }
    };
    let (first, second, ()) =
        tokio::join!(biased; api.invoke(json!("first"), LONG), api.invoke(json!("second"), LONG), process);
    assert_eq!((first.json(), second.json()), (Ok(json!(1)), Ok(json!(2))));
}

#[tokio::test]
async fn a_reported_error_is_the_outcome() {
    let api = RuntimeApi::start().await.unwrap();
    let raw = Raw::new(&api);
    for (body, error_type, message) in
        [(r#"{"errorType":"T","errorMessage":"m"}"#, "T", "m"), ("not json", "Header.Type", "")]
    {
        let process = async {
            let id = raw.take().await;
            raw.post(&format!("invocation/{id}/error"), body).await
        };
        let (outcome, status) = tokio::join!(api.invoke(json!({}), LONG), process);
        assert_eq!(status, StatusCode::ACCEPTED);
        let Outcome::Error(error) = outcome else { panic!("{outcome:?}") };
        assert_eq!((error.error_type.as_str(), error.message.as_str()), (error_type, message));
    }
}

#[tokio::test]
async fn an_answer_after_the_deadline_is_gone() {
    let api = RuntimeApi::start().await.unwrap();
    let raw = Raw::new(&api);
    let (outcome, id) = tokio::join!(api.invoke(json!({}), Duration::from_millis(1)), raw.take());
    assert_eq!(outcome, Outcome::TimedOut);
    assert_eq!(raw.post(&format!("invocation/{id}/response"), "{}").await, StatusCode::GONE);
    assert_eq!(raw.post("invocation/unknown/response", "{}").await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn too_large_an_answer_is_an_error() {
    let api = RuntimeApi::start().await.unwrap();
    let raw = Raw::new(&api);
    for (length, status) in [(6_291_556, StatusCode::ACCEPTED), (6_291_557, StatusCode::PAYLOAD_TOO_LARGE)] {
        let process = async {
            let id = raw.take().await;
            raw.post(&format!("invocation/{id}/response"), vec![b' '; length]).await
        };
        let (outcome, answered) = tokio::join!(api.invoke(json!({}), LONG), process);
        assert_eq!(answered, status);
        match outcome {
            Outcome::Response(body) => assert_eq!(body.len(), 6_291_556),
            Outcome::Error(error) => assert_eq!(error.error_type, "Function.ResponseSizeTooLarge"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_failed_initialisation_fails_every_invocation() {
    let api = RuntimeApi::start().await.unwrap();
    let raw = Raw::new(&api);
    let process = raw.post("init/error", r#"{"errorType":"Init","errorMessage":"no table"}"#);
    let (outcome, status) = tokio::join!(biased; api.invoke(json!({}), LONG), process);
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(outcome, Outcome::Error(api.init_error().unwrap()));
    assert_eq!(api.init_error().unwrap().message, "no table");
    assert_eq!(api.invoke(json!({}), LONG).await, outcome);
}

#[tokio::test]
async fn dropping_the_double_lets_a_waiting_process_go() {
    let api = RuntimeApi::start().await.unwrap();
    let raw = Raw::new(&api);
    let waiting = tokio::spawn(async move { raw.next().await.status() });
    api.first_next().await.unwrap();
    drop(api);
    assert_eq!(waiting.await.unwrap(), StatusCode::INTERNAL_SERVER_ERROR);
}

/// Starts the kit's own function.
fn function(api: &RuntimeApi) -> FunctionProcess {
    FunctionProcess::spawn(env!("CARGO_BIN_EXE_echo-function"), api.environment("echo"), api).unwrap()
}

#[tokio::test]
async fn a_real_function_is_invoked() {
    let api = RuntimeApi::start().await.unwrap();
    let process = function(&api);
    let cold_start = api.first_next().await.unwrap() - process.started();
    assert!(cold_start > Duration::ZERO);

    let answer = api.invoke(json!({"n": 1}), LONG).await.json().unwrap();
    assert_eq!(answer, json!({"echo": {"n": 1}, "region": "us-east-1"}));
    let line = process.line_with("handling ").await.unwrap();
    assert_eq!(line.stream, Stream::Error);
    assert!(line.text.ends_with(" in echo"));

    let Outcome::Error(error) = api.invoke(json!({"do": "fail"}), LONG).await else { panic!() };
    assert_eq!(error.message, "as asked");
    assert_eq!(api.invoke(json!({"do": "exit"}), LONG).await, Outcome::Exited(Exited { code: Some(7) }));
    assert_eq!(process.exited().await, Exited { code: Some(7) });
    assert_eq!(process.line_with("never written").await, None);
    // And so for all that follow, until there is another process.
    assert_eq!(api.invoke(json!({}), LONG).await, Outcome::Exited(Exited { code: Some(7) }));
}

#[tokio::test]
async fn a_killed_function_is_followed_by_another() {
    let api = RuntimeApi::start().await.unwrap();
    let first = function(&api);
    let kill = async {
        first.line_with("handling ").await.unwrap();
        first.kill().await
    };
    let (outcome, exited) = tokio::join!(api.invoke(json!({"do": "hang"}), LONG), kill);
    assert_eq!((outcome, exited), (Outcome::Exited(Exited { code: None }), Exited { code: None }));

    let second = function(&api);
    // The end of the first is not taken for the second's.
    drop(first);
    assert_eq!(api.invoke(json!(2), LONG).await.json().unwrap()["echo"], 2);
    drop(second);
    assert_eq!(api.invoke(json!(3), LONG).await, Outcome::Exited(Exited { code: None }));
}

#[cfg(unix)]
#[tokio::test]
async fn a_process_has_lambdas_environment_and_no_other() {
    let api = RuntimeApi::start().await.unwrap();
    let process = FunctionProcess::spawn("env", api.environment("named"), &api).unwrap();
    assert_eq!(process.exited().await, Exited { code: Some(0) });
    let variables = process.lines().into_iter().map(|line| line.text).filter(|line| !line.starts_with("PATH="));
    let mut variables: Vec<_> = variables.collect();
    variables.sort();
    let expected = api.environment("named").into_iter().map(|(name, value)| format!("{name}={value}"));
    let mut expected: Vec<_> = expected.collect();
    expected.sort();
    assert_eq!(variables, expected);
    assert!(expected.contains(&"AWS_LAMBDA_FUNCTION_NAME=named".to_owned()));
}

#[cfg(unix)]
#[tokio::test]
async fn a_process_that_exits_before_its_first_event_says_why() {
    let api = RuntimeApi::start().await.unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "echo starting; echo 'no table' >&2; exit 3"]);
    let process = FunctionProcess::run(command, &api).unwrap();
    assert_eq!(api.first_next().await, Err(Exited { code: Some(3) }));
    assert_eq!(process.exited().await.to_string(), "the process exited with code 3");
    let line = |stream, text: &str| Line { stream, text: text.to_owned() };
    assert_eq!(process.line_with("starting").await, Some(line(Stream::Output, "starting")));
    assert_eq!(process.line_with("table").await, Some(line(Stream::Error, "no table")));
    assert_eq!(process.lines().len(), 2);
}

#[tokio::test]
async fn a_binary_that_is_not_there_is_an_error() {
    let api = RuntimeApi::start().await.unwrap();
    FunctionProcess::spawn("/no/such/binary", api.environment("none"), &api).unwrap_err();
    assert_eq!(api.first_next().await, Err(Exited { code: None }));
}
