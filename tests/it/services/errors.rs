//! Every error of the contract, in the one envelope `{error, detail, hint?, fields?, request_id}`.

use fakes::Fault as Outside;
use http::Method;
use insta::assert_json_snapshot;
use kit::fault_proxy::Fault;
use kit::{Answer, Client, TestApp};
use serde_json::{Value, json};

use super::fixtures::{NOBODYS, config, connect, create, resend, stored};
use super::operations::{self, Operation};

const LARGEST: usize = 256 * 1024;

/// The body, if the answer is this error and has exactly these further fields, in the documented order.
#[track_caller]
fn envelope(answer: &Answer, status: u16, error: &str, further: &[&str]) -> Value {
    let body = answer.expect(status);
    let fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let documented: Vec<_> = ["error", "detail"].iter().chain(further).chain(&["request_id"]).copied().collect();
    assert_eq!(fields, documented, "{}", answer.text);
    assert_eq!(body["error"], error);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(body["request_id"].as_str(), answer.header("x-request-id"));
    assert!(body["detail"].as_str().is_some_and(|detail| detail.ends_with('.')), "{}", answer.text);
    body
}

/// The operations that take a body, an integration to ask them at, and a client that may.
async fn with_bodies(app: &TestApp) -> (Vec<Operation>, String, Client) {
    let services = app.services();
    let id = connect(&services, &operations::at_which_all_succeed(app)).await;
    (operations::all(app).into_iter().filter(|operation| operation.takes_body).collect(), id, services)
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_404() {
    let app = TestApp::start().await;
    for path in [
        "",
        "/",
        "/api",
        "/api/",
        "/api/integrations/",
        "/api/integration",
        "/api/integrations/x/y",
        "/v1/integrations",
    ] {
        for services in [app.services(), app.services().without("authorization")] {
            let body = envelope(&services.get(path).await, 404, "not_found", &[]);
            assert_eq!(body["detail"], "Path not found.", "{path}");
        }
    }
}

#[tokio::test]
async fn an_integration_that_does_not_exist_is_404() {
    let app = TestApp::start().await;
    for operation in operations::all(&app).iter().filter(|operation| operation.names_an_integration()) {
        let body = envelope(&operation.ask(&app.services(), NOBODYS).await, 404, "not_found", &[]);
        assert_eq!(body["detail"], "Integration not found.", "{}", operation.name);
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_405_and_allow_names_those_it_takes() {
    let app = TestApp::start().await;
    let one = format!("/api/integrations/{NOBODYS}");
    for (path, allowed) in [
        ("/api/integrations", &["GET", "HEAD", "POST"][..]),
        ("/api/integrations/test", &["POST"]),
        (&one, &["DELETE", "GET", "HEAD", "PUT"]),
        (&format!("{one}/test"), &["POST"]),
        (&format!("{one}/send"), &["POST"]),
        ("/api/integration-types", &["GET", "HEAD"]),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if allowed.contains(&method) {
                continue;
            }
            let method: Method = method.parse().unwrap();
            for services in [app.services(), app.services().without("authorization")] {
                let services = services.header("idempotency-key", "k");
                let answer = services.send(method.clone(), path, "").await;
                let _ = envelope(&answer, 405, "method_not_allowed", &[]);
                let mut allow: Vec<_> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
                allow.sort_unstable();
                assert_eq!(allow, allowed, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_said_to_be_json_is_415() {
    let app = TestApp::start().await;
    let (operations, id, services) = with_bodies(&app).await;
    for operation in operations {
        let (path, body) = (operation.path(&id), operation.body.unwrap().to_string());
        let send = |services: Client| {
            let (method, path, body) = (operation.method.clone(), path.clone(), body.clone());
            async move { services.send(method, &path, body).await }
        };
        for wrong in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", "\u{e9}"] {
            let answer = send(services.clone().header("content-type", wrong)).await;
            let _ = envelope(&answer, 415, "unsupported_media_type", &[]);
        }
        let _ = envelope(&send(services.clone()).await, 415, "unsupported_media_type", &[]);
        for right in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            let answer = send(services.clone().header("content-type", right)).await;
            assert!(answer.status.is_success(), "{} {right}: {}", operation.name, answer.text);
        }
    }
}

#[tokio::test]
async fn a_body_of_more_than_256_kib_is_413() {
    let app = TestApp::start().await;
    let (operations, id, services) = with_bodies(&app).await;
    let before = stored(&app).await;
    for operation in operations {
        let body = operation.body.as_ref().unwrap().to_string();
        let padded = |length: usize| format!("{body}{}", " ".repeat(length - body.len()));
        for services in [services.clone(), services.clone().header("idempotency-key", operation.name)] {
            let answer = operation.ask_with(&services, &id, &padded(LARGEST + 1)).await;
            let body = envelope(&answer, 413, "payload_too_large", &[]);
            assert_eq!(body["detail"], "The body is larger than 262144 bytes.", "{}", operation.name);
        }
        assert_eq!(stored(&app).await, before, "{}", operation.name);
    }
    let (operations, id, services) = with_bodies(&app).await;
    for operation in operations {
        let body = operation.body.as_ref().unwrap().to_string();
        let largest = format!("{body}{}", " ".repeat(LARGEST - body.len()));
        let answer = operation.ask_with(&services, &id, &largest).await;
        assert!(answer.status.is_success(), "{}: {}", operation.name, answer.text);
    }
}

#[tokio::test]
async fn secrets_of_more_than_64_kib_together_are_413_and_leave_nothing_behind() {
    let app = TestApp::start().await;
    let services = app.services();
    let headers = |count: usize| -> Value {
        (0..count)
            .map(|number| (format!("X-{number}"), json!("x".repeat(8190))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let hook = |headers: Value| json!({ "name": "Hook", "type": "webhook", "config": { "url": app.demo.webhook_url, "headers": headers } });
    let before = stored(&app).await;
    let answer = services.post("/api/integrations", &hook(headers(8))).await;
    let body = envelope(&answer, 413, "payload_too_large", &[]);
    assert_eq!(body["detail"], "The secret part is larger than 65536 bytes.");
    assert_eq!(stored(&app).await, before);

    let path = format!("/api/integrations/{}", connect(&services, &hook(headers(7))).await);
    let _ = services.put(&path, &json!({ "config": { "signingSecret": "x".repeat(512) } })).await.expect(200);
    let before = stored(&app).await;
    let answer = services.put(&path, &json!({ "config": { "headers": headers(8) } })).await;
    let _ = envelope(&answer, 413, "payload_too_large", &[]);
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_400_and_the_place_is_told() {
    let app = TestApp::start().await;
    let (operations, id, services) = with_bodies(&app).await;
    let before = stored(&app).await;
    let services = services.header("content-type", "application/json");
    for operation in operations {
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        for broken in [
            "{",
            "}",
            "{\"name\": \"a\",}",
            "{'name': 'a'}",
            "{\"name\": \"\u{7}\"}",
            "{} {}",
            "name=a",
            "{\"name\": \"\\ud800\"}",
            "{\"name\": 1e999}",
            "\u{feff}{}",
            &deep,
        ] {
            let answer = services.send(operation.method.clone(), &operation.path(&id), broken.to_owned()).await;
            let body = envelope(&answer, 400, "invalid_input", &["fields"]);
            let told = body["fields"]["body"].as_str().unwrap();
            assert!(told.starts_with("is not JSON: line 1, column "), "{}: {told}", operation.name);
        }
        let answer = services.send(operation.method.clone(), &operation.path(&id), vec![b'{', b'"', 0xff, b'"']).await;
        let _ = envelope(&answer, 400, "invalid_input", &["fields"]);
        if operation.name != "test_integration" {
            let _ = envelope(&operation.ask_with(&services, &id, "").await, 400, "invalid_input", &["fields"]);
        }
    }
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_body_that_is_not_an_object_is_400() {
    let app = TestApp::start().await;
    let (operations, id, services) = with_bodies(&app).await;
    for operation in operations {
        for other in ["null", "true", "1", "\"{}\"", "[]", "[{}]"] {
            let answer = operation.ask_with(&services, &id, other).await;
            let body = envelope(&answer, 400, "invalid_input", &["fields"]);
            assert_eq!(body["fields"], json!({ "body": "must be a JSON object" }), "{} {other}", operation.name);
        }
    }
}

#[tokio::test]
async fn unknown_fields_are_named_with_those_there_are() {
    let app = TestApp::start().await;
    let (operations, id, services) = with_bodies(&app).await;
    let mut told = serde_json::Map::new();
    for operation in operations {
        let mut body = operation.body.clone().unwrap();
        body["colour"] = json!(null);
        body["__proto__"] = json!({});
        let answer = operation.ask_with(&services, &id, &body.to_string()).await;
        let mut body = envelope(&answer, 400, "invalid_input", &["fields"]);
        told.insert(operation.name.into(), body["fields"].take());
    }
    assert_json_snapshot!(told);
}

#[tokio::test]
async fn every_field_of_a_wrong_form_is_named() {
    let app = TestApp::start().await;
    let (operations, id, services) = with_bodies(&app).await;
    let mut told = serde_json::Map::new();
    for operation in operations {
        let wrong = match operation.name {
            "create_integration" => json!({ "name": [], "type": {}, "config": 1 }),
            "try_integration" => json!({ "type": {}, "config": 1, "sendPing": "yes" }),
            "update_integration" => json!({ "name": [], "type": {}, "config": 1 }),
            "test_integration" => json!({ "configOverrides": 1, "sendPing": "yes" }),
            "send_message" => json!({ "text": 1, "title": [], "to": {} }),
            other => panic!("{other} takes a body"),
        };
        let answer = operation.ask_with(&services, &id, &wrong.to_string()).await;
        let mut body = envelope(&answer, 400, "invalid_input", &["fields"]);
        assert_eq!(body["fields"].as_object().unwrap().len(), wrong.as_object().unwrap().len(), "{}", operation.name);
        told.insert(operation.name.into(), body["fields"].take());
    }
    assert_json_snapshot!(told);
}

#[tokio::test]
async fn config_overrides_are_named_as_they_were_sent() {
    let app = TestApp::start().await;
    let services = app.services();
    let id = connect(&services, &resend("Mail")).await;
    let overrides = json!({ "configOverrides": { "apiKey": null, "colour": "red", "fromEmail": "x" } });
    let answer = services.post(&format!("/api/integrations/{id}/test"), &overrides).await;
    let body = envelope(&answer, 400, "invalid_input", &["fields"]);
    let named: Vec<_> = body["fields"].as_object().unwrap().keys().collect();
    assert_eq!(named, ["configOverrides.colour", "configOverrides.fromEmail"]);
}

#[tokio::test]
async fn without_a_token_it_is_401() {
    let app = TestApp::start().await;
    let answer = app.services().without("authorization").get("/api/integrations").await;
    let body = envelope(&answer, 401, "unauthorized", &["hint"]);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert_json_snapshot!(body, { ".request_id" => "[request id]" });
}

#[tokio::test]
async fn without_the_permission_it_is_403_and_the_permission_is_named() {
    let app = TestApp::start().await;
    let reader = app.services_as(&app.tenant("acme").tokens.read_only);
    let answer = reader.post("/api/integrations", &resend("Mail")).await;
    let body = envelope(&answer, 403, "insufficient_scope", &["hint", "required_scope"]);
    assert_json_snapshot!(body, { ".request_id" => "[request id]" });
}

#[tokio::test]
async fn a_conflict_is_409() {
    let app = TestApp::start().await;
    let services = app.services().header("idempotency-key", "of-one-request");
    let _ = services.post("/api/integrations", &resend("Mail")).await.expect(201);
    let answer = services.post("/api/integrations", &resend("Post")).await;
    let body = envelope(&answer, 409, "conflict", &[]);
    assert_json_snapshot!(body, { ".request_id" => "[request id]" });
}

#[tokio::test]
async fn our_own_trouble_is_500_and_says_nothing_of_what_is_inside() {
    let app = TestApp::start().await;
    let services = app.services();
    let id = connect(&services, &resend("Mail")).await;
    for fault in [
        Fault::Refuse,
        Fault::Reset,
        Fault::Throttle,
        Fault::ServerError,
        Fault::Status(http::StatusCode::OK, "<html>a captive portal</html>".into()),
    ] {
        let name = format!("{fault:?}");
        app.proxy.inject(fault).always();
        for operation in operations::all(&app) {
            // The token is remembered, so that the trouble is met further inside.
            if ["list_integration_types", "try_integration"].contains(&operation.name) {
                continue;
            }
            let answer = operation.ask(&services, &id).await;
            let body = envelope(&answer, 500, "internal_error", &["hint"]);
            assert_eq!(
                body["detail"], "Something went wrong on our side. Nothing of it is your fault.",
                "{} {name}",
                operation.name
            );
        }
        let unknown = app.services_as("cwy_unknown").get("/api/integrations").await;
        let body = envelope(&unknown, 500, "internal_error", &["hint"]);
        assert_eq!(body["hint"], "Try again; if it goes on, report the request_id.", "{name}");
        app.proxy.clear();
    }
    let _ = services.get(&format!("/api/integrations/{id}")).await.expect(200);
}

#[tokio::test]
async fn a_provider_that_refuses_a_message_is_502_with_what_to_do_and_when() {
    let app = TestApp::start().await;
    let services = app.services();
    let refused = connect(&services, &resend("Mail")).await;
    let body = json!({ "text": "Hello", "title": "Hello", "to": "someone@example.com" });
    let answer = services.post(&format!("/api/integrations/{refused}/send"), &body).await;
    let _ = envelope(&answer, 502, "provider_refused", &["hint"]);

    let throttled = connect(&services, &operations::at_which_all_succeed(&app)).await;
    app.fakes.resend.throttle(1, 7);
    let answer = services.post(&format!("/api/integrations/{throttled}/send"), &body).await;
    let body = envelope(&answer, 502, "provider_refused", &["hint", "retry_after"]);
    assert_eq!((&body["retry_after"], answer.header("retry-after")), (&json!(7), Some("7")));
}

#[tokio::test]
async fn a_message_whose_fate_is_not_known_is_504() {
    let app = TestApp::start().await;
    let services = app.services();
    let id = create(&app, "telegram", &config(&app, "telegram")).await;
    app.fakes.telegram.host.faults().next(1, Outside::LoseAnswer);
    let answer = services.post(&format!("/api/integrations/{id}/send"), &json!({ "text": "Hello" })).await;
    let body = envelope(&answer, 504, "provider_timeout", &["hint"]);
    assert!(body["detail"].as_str().unwrap().contains("may or may not have been delivered"), "{body}");
    assert_eq!(app.fakes.telegram.messages().len(), 1);
}

#[tokio::test]
async fn a_request_id_of_1_to_128_printable_characters_is_echoed() {
    let app = TestApp::start().await;
    let id = connect(&app.services(), &resend("Mail")).await;
    for own in ["a", "with a space", "~!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}", &"9".repeat(128)] {
        let services = app.services().header("x-request-id", own);
        assert_eq!(services.get("/api/integrations").await.header("x-request-id"), Some(own));
        let missing = services.get(&format!("/api/integrations/{NOBODYS}")).await;
        assert_eq!(envelope(&missing, 404, "not_found", &[])["request_id"], own);
        let nobody = services.clone().without("authorization").get(&format!("/api/integrations/{id}")).await;
        assert_eq!(envelope(&nobody, 401, "unauthorized", &["hint"])["request_id"], own);
        assert_eq!(envelope(&services.get("/elsewhere").await, 404, "not_found", &[])["request_id"], own);
        let patch = services.send(Method::PATCH, "/api/integrations", "").await;
        assert_eq!(envelope(&patch, 405, "method_not_allowed", &[])["request_id"], own);
    }
}

#[tokio::test]
async fn any_other_request_id_is_replaced_by_one_that_is_never_given_twice() {
    let app = TestApp::start().await;
    let mut made = std::collections::BTreeSet::new();
    let others = ["", " ", &"9".repeat(129), "caf\u{e9}", "a\tb", "\u{1f980}"];
    let clients = others.iter().map(|other| app.services().header("x-request-id", other)).chain([app.services()]);
    for services in clients {
        for path in ["/api/integrations", "/api/integrations?limit=0"] {
            let answer = services.get(path).await;
            let id = answer.header("x-request-id").unwrap().to_owned();
            assert_eq!((id.len(), id.matches('-').count()), (36, 4), "{id}");
            if answer.status != 200 {
                assert_eq!(envelope(&answer, 400, "invalid_input", &["fields"])["request_id"], id);
            }
            assert!(made.insert(id));
        }
    }
}
