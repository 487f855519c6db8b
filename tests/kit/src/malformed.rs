//! Events that nobody sends, or sends only to find out what happens, and what a function owes them: its process lives on
//! and answers the next event.
//!
//! What cannot be made a request of is the function's error, for there is nobody to write an answer to. Everything else
//! is answered, in the group's envelope.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::runtime_api::{Outcome, RuntimeApi};

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is the function's error.
    Reported,
    /// It is answered with a status from 400 to 499.
    Refused,
    /// It is a request that can be served, odd as it is.
    Served,
}

/// An API's request as the REST APIs of API Gateway, or the first version of the format, have it.
#[must_use]
pub fn version_one() -> Value {
    json!({
        "version": "1.0",
        "resource": "/v1/integrations",
        "path": "/v1/integrations",
        "httpMethod": "GET",
        "headers": { "host": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com" },
        "multiValueHeaders": { "host": ["a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"] },
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": null,
        "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "httpMethod": "GET",
            "identity": { "sourceIp": "203.0.113.7" },
            "path": "/v1/integrations",
            "protocol": "HTTP/1.1",
            "requestId": "Kx2hYhZrFiAEJ9g=",
            "resourcePath": "/v1/integrations",
            "stage": "$default"
        },
        "body": null,
        "isBase64Encoded": false
    })
}

/// `event` with other values at these places.
fn with(event: &Value, changes: &[(&str, Value)]) -> Value {
    let mut event = event.clone();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        let parent = event.pointer_mut(parent).and_then(Value::as_object_mut).expect("a place in the event");
        parent.insert(name.to_owned(), value.clone());
    }
    event
}

fn without(event: &Value, name: &str) -> Value {
    let mut event = event.clone();
    event.as_object_mut().expect("an event").remove(name);
    event
}

/// Requests that are none, made of one that lists and one with a JSON body.
#[must_use]
pub fn requests(list: &Value, create: &Value) -> Vec<(&'static str, Value, Fate)> {
    let body = |text: &[u8]| {
        let text = BASE64_STANDARD.encode(text).into();
        let mut event = with(create, &[("/body", text), ("/isBase64Encoded", true.into())]);
        event.pointer_mut("/headers").and_then(Value::as_object_mut).expect("headers").remove("idempotency-key");
        event
    };
    vec![
        ("an empty object", json!({}), Fate::Reported),
        ("a text", json!("text"), Fate::Reported),
        ("a list", json!([]), Fate::Reported),
        ("null", json!(null), Fate::Reported),
        ("a number", json!(7), Fate::Reported),
        ("a scheduled event", json!({ "id": "1", "time": "2026-11-21T12:00:00Z", "detail": {} }), Fate::Reported),
        ("a stream's batch", json!({ "Records": [] }), Fate::Reported),
        ("the format's first version", version_one(), Fate::Reported),
        ("no context", without(list, "requestContext"), Fate::Reported),
        ("a context that is a text", with(list, &[("/requestContext", json!("GET"))]), Fate::Reported),
        ("no method", with(list, &[("/requestContext/http", json!({}))]), Fate::Reported),
        ("a path that is a number", with(list, &[("/rawPath", json!(7))]), Fate::Reported),
        ("headers that are a list", with(list, &[("/headers", json!(["host"]))]), Fate::Reported),
        ("a header's name with a space", with(list, &[("/headers/a b", json!("1"))]), Fate::Reported),
        ("a header with a line break", with(list, &[("/headers/x-odd", json!("a\r\nb: c"))]), Fate::Reported),
        ("a method with spaces", with(list, &[("/requestContext/http/method", json!("G E T"))]), Fate::Reported),
        ("cookies that are an object", with(list, &[("/cookies", json!({ "a": "b" }))]), Fate::Reported),
        ("cookies that are none", with(list, &[("/cookies", json!(["=;=", "a"]))]), Fate::Served),
        ("a host that is none", with(list, &[("/headers/host", json!("a b<c"))]), Fate::Reported),
        (
            "a query with bytes that are no text",
            with(list, &[("/rawQueryString", json!("utm=%ff%fe&%"))]),
            Fate::Served,
        ),
        ("a query with a space and a bracket", with(list, &[("/rawQueryString", json!("a b=<c>"))]), Fate::Reported),
        (
            "a body that is no base64",
            with(create, &[("/body", json!("not base64!")), ("/isBase64Encoded", true.into())]),
            Fate::Reported,
        ),
        ("a body that is no text", body(&[0xff, 0xfe, 0x00]), Fate::Refused),
        ("a body that is no JSON", body(b"{\"name\":"), Fate::Refused),
        ("a body that is a list", body(b"[1,2]"), Fate::Refused),
        ("a body of the wrong types", body(b"{\"name\":7,\"provider\":[],\"type\":{},\"secrets\":7}"), Fate::Refused),
        ("an empty body", body(b""), Fate::Refused),
        ("no body", without(&without(create, "body"), "isBase64Encoded"), Fate::Refused),
    ]
}

/// Sends each of [`requests`] to an API's process, and after each `list`, which it answers with 200.
///
/// # Panics
/// If another thing becomes of one, or the process does not go on.
pub async fn each_request_costs_only_itself(api: &RuntimeApi, list: &Value, create: &Value) {
    let deadline = Duration::from_secs(29);
    let mut wrong = Vec::new();
    for (name, event, fate) in requests(list, create) {
        let outcome = api.invoke(event, deadline).await;
        let (became, told) = match outcome.clone() {
            Outcome::Error(error) => (Some(Fate::Reported), !error.error_type.is_empty() && !error.message.is_empty()),
            outcome => {
                let answer = outcome.json().unwrap_or_default();
                let body = answer.get("body").and_then(Value::as_str).unwrap_or_default();
                let body: Value = serde_json::from_str(body).unwrap_or_default();
                let told = body.is_object() && answer.pointer("/headers/x-request-id").is_some();
                let fate = match answer.get("statusCode").and_then(Value::as_u64) {
                    Some(200..=299) => Some(Fate::Served),
                    Some(400..=499) => Some(Fate::Refused),
                    _ => None,
                };
                (fate, told)
            }
        };
        if became != Some(fate) || !told {
            wrong.push(format!("{name}: {outcome:?}"));
        }
        let next = api.invoke(list.clone(), deadline).await.json();
        assert!(next.as_ref().is_ok_and(|next| next.get("statusCode") == Some(&json!(200))), "after {name}: {next:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What no schedule sends.
#[must_use]
pub fn schedules(request: &Value) -> Vec<Value> {
    vec![
        json!({}),
        json!("text"),
        json!([]),
        json!(null),
        json!(7),
        json!({ "id": "1" }),
        json!({ "time": "2026-11-21T12:00:00Z" }),
        json!({ "id": 1, "time": "2026-11-21T12:00:00Z" }),
        json!({ "id": "1", "time": "yesterday" }),
        json!({ "id": "1", "time": "2026-11-21T12:00:00Z", "detail-type": 7 }),
        request.clone(),
        version_one(),
    ]
}

/// What no table's stream sends.
#[must_use]
pub fn batches() -> Vec<Value> {
    vec![
        json!({ "Records": null }),
        json!({ "Records": "text" }),
        json!({ "Records": [{}] }),
        json!({ "Records": [{ "dynamodb": {} }] }),
        json!({ "Records": [{ "dynamodb": { "Keys": { "pk": { "S": "a" } } } }] }),
        json!({ "Records": [{ "dynamodb": { "Keys": { "pk": { "N": "1" }, "sk": { "B": "" } } } }] }),
        json!({ "Records": [{ "eventSource": "aws:sqs", "body": "text" }] }),
    ]
}

/// Sends each of [`schedules`] and [`batches`] to a job's process, and after each `next`, which it works on.
///
/// # Panics
/// If one of them is not the function's error, or the process does not go on.
pub async fn each_event_costs_only_itself(api: &RuntimeApi, request: &Value, next: &Value) {
    let deadline = Duration::from_secs(29);
    let schedules = schedules(request).into_iter().map(|event| (event, "the event is not a scheduled event: "));
    let batches = batches().into_iter().map(|event| (event, "the event is not a batch of a stream that this function"));
    for (event, expected) in schedules.chain(batches) {
        let outcome = api.invoke(event.clone(), deadline).await;
        let told = matches!(&outcome, Outcome::Error(error) if error.message.starts_with(expected));
        assert!(told, "{event}: {outcome:?}");
        let next = api.invoke(next.clone(), deadline).await.json();
        assert!(next.is_ok(), "after {event}: {next:?}");
    }
}
