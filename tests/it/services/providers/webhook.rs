//! Type `webhook`: signed messages to an endpoint of the user's own.

use fakes::webhook::{WebhookBehaviour, WebhookEndpoint, WebhookSignature};
use fakes::{Answer as Reply, Fault};
use kit::{Answer, TestApp};
use serde_json::{Value, json};

use super::super::fixtures::{config, create, received, send, test, with};
use super::{Judged, deliver, is_refused, judge, keeps_secrets};

/// Lets the receiver's endpoint behave like this.
fn behave(app: &TestApp, behaviour: WebhookBehaviour) {
    let endpoint = WebhookEndpoint::new("/hook").with_secret(&app.demo.webhook_signing_secret);
    app.fakes.webhook.add_endpoint(endpoint.with_behaviour(behaviour));
}

/// Tests a config with a ping, before it is saved.
async fn ping(app: &TestApp, config: &Value) -> Judged {
    let body = json!({ "type": "webhook", "config": config, "sendPing": true });
    let answer = app.services().post("/api/integrations/test", &body).await;
    let _ = answer.expect(200);
    keeps_secrets(&answer, config);
    Judged { verdict: answer.str("/verdict"), message: answer.str("/message") }
}

fn event(app: &TestApp) -> Value {
    serde_json::from_slice(&app.fakes.webhook.deliveries().last().unwrap().body).unwrap()
}

#[tokio::test]
async fn a_test_only_finds_out_whether_the_endpoint_can_be_reached() {
    let app = TestApp::start().await;
    for url in [app.demo.webhook_url.clone(), format!("{}/another?key=secret", app.fakes.webhook.host.origin())] {
        judge(&app, "webhook", &with(config(&app, "webhook"), json!({ "url": url }))).await.is_valid();
    }
    for status in [200, 302, 401, 405, 500, 503] {
        app.fakes.webhook.host.faults().next(1, Fault::Answer(Reply::status(status)));
        judge(&app, "webhook", &config(&app, "webhook")).await.is_valid();
    }
    for request in app.fakes.webhook.host.requests() {
        assert_eq!((request.method.as_str(), request.path.as_str(), request.query.as_deref()), ("HEAD", "/", None));
        assert!(request.body.is_empty() && request.header("webhook-id").is_none(), "{request:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_told_why_and_not_blamed() {
    let app = TestApp::start().await;
    let encrypted = json!({ "url": format!("https://{}/hook", app.fakes.webhook.address()) });
    let missing = json!({ "url": "https://hooks.nobody.example/hook" });
    for (config, told) in [(&missing, "could not be resolved"), (&encrypted, "secure connection failed")] {
        judge(&app, "webhook", config).await.is_inconclusive(told);
        ping(&app, config).await.is_inconclusive(told);
        let refused = deliver(&app, "webhook", config, &json!({ "text": "hello" })).await;
        is_refused(&refused, "could not be reached", "Nothing was sent");
    }
    app.fakes.webhook.host.faults().all(Fault::Close);
    judge(&app, "webhook", &config(&app, "webhook")).await.is_inconclusive("cut the connection");
    ping(&app, &config(&app, "webhook")).await.is_inconclusive("cut the connection");
}

#[tokio::test]
async fn a_ping_is_signed_and_can_be_told_from_a_message() {
    let app = TestApp::start().await;
    let configured = with(config(&app, "webhook"), json!({ "headers": { "Authorization": "Bearer of-the-endpoint" } }));
    ping(&app, &configured).await.is_valid();
    let [delivery] = app.fakes.webhook.deliveries().try_into().unwrap();
    assert_eq!((delivery.method.as_str(), delivery.signature), ("POST", WebhookSignature::Verified));
    assert_eq!(delivery.headers["authorization"], "Bearer of-the-endpoint");
    assert_eq!(delivery.headers["content-type"], "application/json");
    assert!(delivery.id.unwrap().starts_with("msg_"));
    let now = format!("{:.3}", app.platform.ids.now());
    assert_eq!(event(&app), json!({ "type": "integration.test", "timestamp": now, "data": {} }));
}

#[tokio::test]
async fn an_endpoint_that_turns_a_ping_away_is_invalid() {
    let app = TestApp::start().await;
    let working = config(&app, "webhook");
    for (status, told) in [(410, "gone for good"), (404, "path or method is wrong"), (403, "refused our signature")] {
        behave(&app, WebhookBehaviour::status(status));
        ping(&app, &working).await.is("invalid", told);
    }
    behave(&app, WebhookBehaviour::status(200));
    let forged = format!("whsec_{}", "Z".repeat(32));
    for (change, told) in [
        (json!({ "signingSecret": forged }), "refused our signature"),
        (json!({ "signingSecret": null }), "refused our signature"),
        (json!({ "method": "PUT" }), "path or method is wrong"),
        (json!({ "url": format!("{}/other", app.fakes.webhook.host.origin()) }), "path or method is wrong"),
    ] {
        ping(&app, &with(working.clone(), change)).await.is("invalid", told);
    }
    assert!(app.fakes.webhook.messages().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_redirects_a_ping_is_invalid_and_not_followed() {
    let app = TestApp::start().await;
    let target = format!("{}/elsewhere", app.fakes.evm.host.origin());
    for status in [301, 302, 303, 307, 308] {
        behave(&app, WebhookBehaviour::redirect(status, &target));
        ping(&app, &config(&app, "webhook")).await.is("invalid", "Set url to the address that it redirects to");
        let refused = deliver(&app, "webhook", &config(&app, "webhook"), &json!({ "text": "hello" })).await;
        is_refused(&refused, "redirects are not followed", "Set url to the address");
        assert!(!refused.text.contains(&target), "{}", refused.text);
    }
    assert!(app.fakes.evm.host.requests().is_empty());
}

#[tokio::test]
async fn an_endpoints_own_trouble_is_not_held_against_it() {
    let app = TestApp::start().await;
    for (status, told) in [(400, "HTTP 400"), (429, "too often"), (500, "HTTP 500"), (503, "HTTP 503")] {
        behave(&app, WebhookBehaviour::status(status));
        ping(&app, &config(&app, "webhook")).await.is_inconclusive(told);
    }
}

#[tokio::test]
async fn a_message_is_signed_and_delivered_once() {
    let app = TestApp::start().await;
    let message = json!({ "text": "The disk is full", "title": "Alert", "to": ["ops", "C1"] });
    let sent = deliver(&app, "webhook", &config(&app, "webhook"), &message).await.expect(200);
    let [delivery] = app.fakes.webhook.messages().try_into().unwrap();
    assert_eq!(delivery.signature, WebhookSignature::Verified);
    assert_eq!(sent["providerMessageId"], delivery.id.unwrap());
    let now = format!("{:.3}", app.platform.ids.now());
    assert_eq!(event(&app), json!({ "type": "message", "timestamp": now, "data": message }));
}

#[tokio::test]
async fn the_method_and_the_headers_are_the_configs() {
    let app = TestApp::start().await;
    let endpoint = WebhookEndpoint {
        methods: vec!["PUT".into()],
        required_headers: vec![("x-api-key".into(), "the-endpoints-key".into())],
        ..WebhookEndpoint::new("/put")
    };
    let url = app.fakes.webhook.add_endpoint(endpoint);
    let config = json!({ "url": url, "method": "PUT", "headers": { "X-Api-Key": "the-endpoints-key" } });
    let _ = deliver(&app, "webhook", &config, &json!({ "text": "hello" })).await.expect(200);
    let [delivery] = app.fakes.webhook.messages().try_into().unwrap();
    assert_eq!((delivery.method.as_str(), delivery.headers.get("webhook-signature")), ("PUT", None));
    let refused = deliver(&app, "webhook", &with(config, json!({ "headers": {} })), &json!({ "text": "hello" })).await;
    is_refused(&refused, "refused our signature or headers", "Check signingSecret and headers");
}

#[tokio::test]
async fn headers_that_belong_to_the_request_itself_cannot_be_set() {
    let app = TestApp::start().await;
    for (headers, told) in [
        (json!({ "Host": "169.254.169.254" }), "may not set host"),
        (json!({ "Content-Length": "0" }), "may not set content-length"),
        (json!({ "Webhook-Signature": "v1,x" }), "may not set webhook-signature"),
        (json!({ "X-Key": "a\r\nX-Other: b" }), "HTTP does not allow"),
        (json!({ "X Key": "a" }), "HTTP does not allow"),
        (json!({ "X-Key": 5 }), "must have text"),
        (json!("X-Key: a"), "an object of header names"),
    ] {
        let config = with(config(&app, "webhook"), json!({ "headers": headers }));
        let body = json!({ "type": "webhook", "config": config });
        let answer = app.services().post("/api/integrations/test", &body).await.expect(400);
        let message = answer["fields"]["config.headers"].as_str().unwrap();
        assert!(message.contains(told), "{headers}: {message}");
    }
    assert!(app.fakes.webhook.host.requests().is_empty());
}

#[tokio::test]
async fn a_webhook_url_is_taken_under_both_names_and_kept_under_one() {
    let app = TestApp::start().await;
    let id = create(&app, "webhook", &json!({ "webhookUrl": app.demo.webhook_url })).await;
    let stored = app.services().get(&format!("/api/integrations/{id}")).await.expect(200);
    assert_eq!(stored["config"], json!({ "url": app.demo.webhook_url }));
    assert_eq!(test(&app, &id).await["verdict"], "valid");
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let app = TestApp::start().await;
    let working = config(&app, "webhook");
    for (status, detail, hint) in [
        (410, "gone for good", "Set url to one that is not"),
        (404, "path or method is wrong", "Check url and method"),
        (401, "refused our signature", "Check signingSecret"),
        (422, "HTTP 422", "the endpoint's own log"),
        (500, "HTTP 500", "Try again later"),
    ] {
        behave(&app, WebhookBehaviour::status(status));
        is_refused(&deliver(&app, "webhook", &working, &json!({ "text": "hello" })).await, detail, hint);
    }
    let slow_down = Reply::status(429).header("retry-after", "120");
    behave(&app, WebhookBehaviour::Answer(slow_down));
    let throttled: Answer = deliver(&app, "webhook", &working, &json!({ "text": "hello" })).await;
    is_refused(&throttled, "too much", "Wait");
    assert_eq!((&throttled.json()["retry_after"], throttled.header("retry-after")), (&json!(120), Some("120")));
}

#[tokio::test]
async fn what_may_have_been_delivered_is_not_delivered_again() {
    let app = TestApp::start().await;
    let id = create(&app, "webhook", &config(&app, "webhook")).await;
    for fault in [Fault::LoseAnswer, Fault::Close] {
        app.fakes.webhook.host.faults().next(1, fault);
        assert_eq!(send(&app, &id, &json!({ "text": "hello" })).await.expect(504)["error"], "provider_timeout");
    }
    assert_eq!((received(&app), app.fakes.webhook.host.requests().len()), (1, 2));
}
