//! Type `resend`: e-mail, by one request or a batch.

use fakes::resend::{ResendBadKey, ResendPermission, ResendQuota};
use fakes::{Answer as Reply, Fault};
use kit::TestApp;
use serde_json::{Value, json};

use super::super::fixtures::{config, create, received, send, with};
use super::{deliver, is_never_blamed, is_refused, judge, page, says};

fn hello() -> Value {
    json!({ "text": "hello", "to": "ada@example.org" })
}

fn refusal(status: u16, name: &str) -> Fault {
    says(status, &json!({ "statusCode": status, "name": name, "message": "Resend's words" }))
}

#[tokio::test]
async fn a_bad_key_is_invalid_however_resend_says_so() {
    let app = TestApp::start().await;
    let wrong = with(config(&app, "resend"), json!({ "apiKey": "re_wrong" }));
    for answer in [ResendBadKey::Forbidden, ResendBadKey::ValidationError, ResendBadKey::Unauthorized] {
        app.fakes.resend.answer_bad_keys_with(answer);
        judge(&app, "resend", &wrong).await.is("invalid", "Create a new key");
        is_refused(&deliver(&app, "resend", &wrong, &hello()).await, "does not accept the API key", "Create a new key");
    }
    assert_eq!(received(&app), 0);
}

#[tokio::test]
async fn a_key_that_may_only_send_is_valid() {
    let app = TestApp::start().await;
    app.fakes.resend.add_key(&app.demo.resend_api_key, ResendPermission::SendingAccess { domain: None });
    judge(&app, "resend", &config(&app, "resend")).await.is_valid();
    let _ = deliver(&app, "resend", &config(&app, "resend"), &hello()).await.expect(200);
}

#[tokio::test]
async fn a_sender_whose_domain_is_not_verified_is_limited() {
    let app = TestApp::start().await;
    app.fakes.resend.set_domain("pending.example", "pending");
    for (from, told) in [
        ("ops@elsewhere.example", "Add it at resend.com/domains"),
        ("ops@mail.sandbox.example", "Add it at resend.com/domains"),
        ("Ops <ops@pending.example>", "its status is pending"),
        ("onboarding@resend.dev", "only the account's own address"),
    ] {
        let config = with(config(&app, "resend"), json!({ "fromEmail": from }));
        judge(&app, "resend", &config).await.is("limited", told);
        let refused = deliver(&app, "resend", &config, &hello()).await;
        is_refused(&refused, "does not let this API key send", "Verify the sender's domain");
        assert!(!refused.text.contains("owner@sandbox.example"), "the account's address stays out: {}", refused.text);
    }
    judge(&app, "resend", &json!({ "apiKey": app.demo.resend_api_key })).await.is_valid();
    let upper = with(config(&app, "resend"), json!({ "fromEmail": "Ops <alerts@SANDBOX.example>" }));
    judge(&app, "resend", &upper).await.is_valid();
    assert_eq!(received(&app), 0);
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_limited_and_throttling_is_not() {
    let app = TestApp::start().await;
    for (name, told) in [("daily_quota_exceeded", "next day"), ("monthly_quota_exceeded", "next month")] {
        app.fakes.resend.host.faults().next(1, refusal(429, name));
        judge(&app, "resend", &config(&app, "resend")).await.is("limited", told);
    }
    app.fakes.resend.throttle(1, 1);
    judge(&app, "resend", &config(&app, "resend")).await.is_inconclusive("too often");
    for (quota, told) in [(ResendQuota::Daily, "next day"), (ResendQuota::Monthly, "next month")] {
        app.fakes.resend.set_quota(Some(quota));
        is_refused(&deliver(&app, "resend", &config(&app, "resend"), &hello()).await, "used up its e-mails", told);
    }
}

#[tokio::test]
async fn trouble_is_not_held_against_the_key() {
    let app = TestApp::start().await;
    let working = config(&app, "resend");
    let edge = Reply::status(403).header("content-type", "text/plain").body("error code: 1010");
    app.fakes.resend.host.faults().next(1, Fault::Answer(edge));
    judge(&app, "resend", &working).await.is_inconclusive("HTTP 403");
    for name in ["validation_error", "not_found", "application_error"] {
        app.fakes.resend.host.faults().next(1, refusal(400, name));
        judge(&app, "resend", &working).await.is_inconclusive("HTTP 400");
    }
    is_never_blamed(&app, "resend", &working, &app.fakes.resend.host).await;
}

#[tokio::test]
async fn an_e_mail_is_accepted_once_with_its_subject_and_its_sender() {
    let app = TestApp::start().await;
    let named = with(config(&app, "resend"), json!({ "fromEmail": "Causeway <alerts@sandbox.example>" }));
    let message = with(hello(), json!({ "title": "Alert", "text": "first line\n<b>second</b>" }));
    let sent = deliver(&app, "resend", &named, &message).await;
    let [email] = app.fakes.resend.messages().try_into().unwrap();
    assert_eq!(sent.expect(200)["providerMessageId"], email.id);
    assert_eq!((email.from.as_str(), email.subject.as_str()), ("Causeway <alerts@sandbox.example>", "Alert"));
    assert_eq!(email.payload["text"], "first line\n<b>second</b>");
    assert!(email.payload.get("html").is_none());
    assert!(email.idempotency_key.is_some(), "so that Resend recognises a repetition");
}

#[tokio::test]
async fn an_e_mail_needs_a_sender() {
    let app = TestApp::start().await;
    let anonymous = json!({ "apiKey": app.demo.resend_api_key });
    let body = deliver(&app, "resend", &anonymous, &hello()).await.expect(400);
    assert!(body["fields"]["config.fromEmail"].as_str().unwrap().contains("is missing"), "{body}");
    assert!(app.fakes.resend.host.requests().is_empty());
}

#[tokio::test]
async fn several_recipients_get_one_e_mail_each_or_none_does() {
    let app = TestApp::start().await;
    let id = create(&app, "resend", &config(&app, "resend")).await;
    let many: Vec<String> = (0..100).map(|number| format!("reader-{number}@example.org")).collect();
    let sent = send(&app, &id, &with(hello(), json!({ "to": many }))).await.expect(200);
    let emails = app.fakes.resend.messages();
    assert_eq!(sent["providerMessageId"], emails[0].id);
    let to: Vec<&str> = emails.iter().map(|email| email.to[0].as_str()).collect();
    assert_eq!((to, app.fakes.resend.host.requests().len()), (many.iter().map(String::as_str).collect(), 1));

    let more: Vec<String> = (0..101).map(|number| format!("reader-{number}@example.org")).collect();
    let body = send(&app, &id, &with(hello(), json!({ "to": more }))).await.expect(400);
    assert!(body["fields"]["to"].as_str().unwrap().contains("at most 100"), "{body}");
    app.fakes.resend.set_domain("sandbox.example", "failed");
    is_refused(
        &send(&app, &id, &with(hello(), json!({ "to": many }))).await,
        "does not let this API key send",
        "Verify",
    );
    assert_eq!(received(&app), 100);
}

#[tokio::test]
async fn throttling_tells_how_long_to_wait() {
    let app = TestApp::start().await;
    let id = create(&app, "resend", &config(&app, "resend")).await;
    app.fakes.resend.throttle(1, 2);
    let answer = send(&app, &id, &hello()).await;
    is_refused(&answer, "too much", "Wait");
    assert_eq!((&answer.json()["retry_after"], answer.header("retry-after")), (&json!(2), Some("2")));
    let reset_only = Reply::status(429)
        .header("ratelimit-reset", "9")
        .json(&json!({ "statusCode": 429, "name": "rate_limit_exceeded", "message": "" }));
    app.fakes.resend.host.faults().next(1, Fault::Answer(reset_only));
    assert_eq!(send(&app, &id, &hello()).await.expect(502)["retry_after"], 9);
    assert_eq!((received(&app), app.fakes.resend.host.requests().len()), (0, 2));
}

/// Resend recognises a repetition by its key, so a lost answer is asked for again at once.
#[tokio::test]
async fn an_e_mail_whose_answer_was_lost_is_asked_for_again_and_sent_once() {
    let app = TestApp::start().await;
    let id = create(&app, "resend", &config(&app, "resend")).await;
    app.fakes.resend.host.faults().next(1, Fault::LoseAnswer);
    let sent = send(&app, &id, &hello()).await.expect(200);
    let [email] = app.fakes.resend.messages().try_into().unwrap();
    assert_eq!((&sent["providerMessageId"], app.fakes.resend.host.requests().len()), (&json!(email.id), 2));
    app.fakes.resend.host.faults().next(2, Fault::LoseAnswer);
    assert_eq!(send(&app, &id, &hello()).await.expect(504)["error"], "provider_timeout");
    assert_eq!((received(&app), app.fakes.resend.host.requests().len()), (2, 4));
    app.fakes.resend.host.faults().next(1, page(200));
    assert_eq!(send(&app, &id, &hello()).await.expect(504)["error"], "provider_timeout");
    app.fakes.resend.host.faults().next(1, refusal(409, "concurrent_idempotent_requests"));
    assert_eq!(send(&app, &id, &hello()).await.expect(504)["error"], "provider_timeout");
}
