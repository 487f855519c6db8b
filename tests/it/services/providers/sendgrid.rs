//! Type `sendgrid`: e-mail, in either region.

use fakes::{Answer as Reply, Fault, Host};
use kit::TestApp;
use serde_json::{Value, json};

use super::super::fixtures::{config, create, read, received, send, with};
use super::{deliver, is_never_blamed, is_never_sent_twice, is_refused, judge, page, says};

fn hello() -> Value {
    json!({ "text": "hello", "to": "ada@example.org" })
}

/// What SendGrid says to a good key of an account that has used up its e-mails.
fn out_of_credit(host: &Host) {
    host.faults().next(1, says(401, &json!({ "errors": [{ "message": "Maximum credits exceeded" }] })));
}

#[tokio::test]
async fn a_key_that_no_region_knows_is_invalid() {
    let app = TestApp::start().await;
    for region in ["global", "eu"] {
        let wrong = json!({ "apiKey": "SG.wrong-key-of-nobody.secret", "region": region });
        judge(&app, "sendgrid", &wrong).await.is("invalid", "Create a new key");
    }
    app.fakes.sendgrid.revoke_key(&app.demo.sendgrid_api_key);
    judge(&app, "sendgrid", &config(&app, "sendgrid")).await.is("invalid", "Create a new key");
}

#[tokio::test]
async fn a_key_of_the_other_region_is_limited_and_the_region_is_told() {
    let app = TestApp::start().await;
    let (global, eu) = (&app.demo.sendgrid_api_key, &app.demo.sendgrid_eu_api_key);
    judge(&app, "sendgrid", &json!({ "apiKey": eu })).await.is("limited", "Set region to eu");
    judge(&app, "sendgrid", &json!({ "apiKey": eu, "region": "global" })).await.is("limited", "Set region to eu");
    judge(&app, "sendgrid", &json!({ "apiKey": global, "region": "eu" })).await.is("limited", "Set region to global");
    judge(&app, "sendgrid", &json!({ "apiKey": eu, "region": "eu" })).await.is_valid();
    judge(&app, "sendgrid", &json!({ "apiKey": global, "region": "global" })).await.is_valid();
}

#[tokio::test]
async fn a_key_without_the_right_to_send_is_limited() {
    let app = TestApp::start().await;
    app.fakes.sendgrid.add_key(&app.demo.sendgrid_api_key, &["mail.batch.read", "sender_verification_eligible"]);
    judge(&app, "sendgrid", &config(&app, "sendgrid")).await.is("limited", "lacks the scope mail.send");
    let refused = deliver(&app, "sendgrid", &config(&app, "sendgrid"), &hello()).await;
    is_refused(&refused, "does not let the API key send", "give the key Mail Send access");
}

#[tokio::test]
async fn a_key_that_may_not_read_its_own_scopes_is_limited() {
    let app = TestApp::start().await;
    app.fakes.sendgrid.hide_scopes(&app.demo.sendgrid_api_key);
    judge(&app, "sendgrid", &config(&app, "sendgrid")).await.is("limited", "mail.send was not seen");
    let _ = deliver(&app, "sendgrid", &config(&app, "sendgrid"), &hello()).await.expect(200);
}

#[tokio::test]
async fn a_good_key_of_an_account_without_credit_is_limited() {
    let app = TestApp::start().await;
    out_of_credit(&app.fakes.sendgrid.host);
    judge(&app, "sendgrid", &config(&app, "sendgrid")).await.is("limited", "used up its e-mails");
    assert!(app.fakes.sendgrid_eu.host.requests().is_empty(), "the key is known, so the other region is not asked");
    out_of_credit(&app.fakes.sendgrid.host);
    let refused = deliver(&app, "sendgrid", &config(&app, "sendgrid"), &hello()).await;
    is_refused(&refused, "used up its e-mails", "upgrade the plan");
}

#[tokio::test]
async fn throttling_and_trouble_are_not_held_against_the_key() {
    let app = TestApp::start().await;
    let working = config(&app, "sendgrid");
    app.fakes.sendgrid.throttle(1, 30);
    judge(&app, "sendgrid", &working).await.is_inconclusive("too often");
    is_never_blamed(&app, "sendgrid", &working, &app.fakes.sendgrid.host).await;
    assert!(app.fakes.sendgrid_eu.host.requests().is_empty(), "a page does not refuse a key");
}

/// The key may be a good one of the region that could not be asked.
#[tokio::test]
async fn a_key_is_not_condemned_while_the_other_region_cannot_be_asked() {
    let app = TestApp::start().await;
    let other_regions = json!({ "apiKey": app.demo.sendgrid_eu_api_key });
    let id = create(&app, "sendgrid", &other_regions).await;
    let throttled = says(429, &json!({ "errors": [{ "message": "too many requests" }] }));
    for (fault, told) in [
        (throttled, "HTTP 429"),
        (page(200), "HTTP 200"),
        (page(503), "HTTP 503"),
        (Fault::Answer(Reply::status(500)), "HTTP 500"),
        (Fault::Close, "cut"),
    ] {
        app.fakes.sendgrid_eu.host.faults().all(fault);
        judge(&app, "sendgrid", &other_regions).await.is_inconclusive(told);
        app.advance(86_400);
        let _ = app.invoke("services-check", &app.scheduled_event()).await;
        let checked = read(&app, &id).await;
        assert_eq!(
            (&checked["lastTest"]["verdict"], &checked["needsAttention"]),
            (&json!("inconclusive"), &json!(false)),
            "{told}"
        );
        app.fakes.sendgrid_eu.host.faults().clear();
    }
}

#[tokio::test]
async fn an_e_mail_is_accepted_once_with_its_subject_and_its_sender() {
    let app = TestApp::start().await;
    let named = with(config(&app, "sendgrid"), json!({ "fromEmail": "Causeway <alerts@sandbox.example>" }));
    let message = with(hello(), json!({ "title": "Alert", "text": "first line\n<b>second</b>" }));
    let sent = deliver(&app, "sendgrid", &named, &message).await;
    let [email] = app.fakes.sendgrid.messages().try_into().unwrap();
    assert_eq!(sent.expect(200)["providerMessageId"], email.id);
    assert_eq!((email.from.as_str(), email.subject.as_str()), ("alerts@sandbox.example", "Alert"));
    assert_eq!(email.payload["from"], json!({ "email": "alerts@sandbox.example", "name": "Causeway" }));
    assert_eq!(email.payload["content"], json!([{ "type": "text/plain", "value": "first line\n<b>second</b>" }]));

    let european = json!({ "apiKey": app.demo.sendgrid_eu_api_key, "fromEmail": email.from, "region": "eu" });
    let _ = deliver(&app, "sendgrid", &european, &hello()).await.expect(200);
    let [email] = app.fakes.sendgrid_eu.messages().try_into().unwrap();
    assert_eq!(email.subject, "hello", "without a title the text's first line stands in");
}

#[tokio::test]
async fn an_e_mail_needs_a_sender_that_is_verified() {
    let app = TestApp::start().await;
    let anonymous = json!({ "apiKey": app.demo.sendgrid_api_key });
    let body = deliver(&app, "sendgrid", &anonymous, &hello()).await.expect(400);
    assert!(body["fields"]["config.fromEmail"].as_str().unwrap().contains("is missing"), "{body}");
    let unverified = with(anonymous, json!({ "fromEmail": "ceo@elsewhere.example" }));
    let refused = deliver(&app, "sendgrid", &unverified, &hello()).await;
    is_refused(&refused, "ceo@elsewhere.example", "verify the address or its domain");
    app.fakes.sendgrid.verify_sender("elsewhere.example");
    let _ = deliver(&app, "sendgrid", &unverified, &hello()).await.expect(200);
    assert_eq!(received(&app), 1);
}

#[tokio::test]
async fn a_key_that_is_refused_when_sending_is_named() {
    let app = TestApp::start().await;
    let wrong = with(config(&app, "sendgrid"), json!({ "apiKey": "SG.wrong-key-of-nobody.secret" }));
    is_refused(
        &deliver(&app, "sendgrid", &wrong, &hello()).await,
        "does not accept the API key",
        "Test the integration",
    );
}

/// SendGrid names the moment at which the limit ends, not the time until then.
#[tokio::test]
async fn throttling_tells_how_long_to_wait() {
    let app = TestApp::start().await;
    let id = create(&app, "sendgrid", &config(&app, "sendgrid")).await;
    app.fakes.sendgrid.throttle(1, 30);
    let answer = send(&app, &id, &hello()).await;
    is_refused(&answer, "too much", "Wait");
    let wait = answer.json()["retry_after"].as_u64().unwrap();
    assert!((28..=30).contains(&wait), "{wait}");
    assert_eq!(answer.header("retry-after"), Some(wait.to_string().as_str()));
    assert_eq!((received(&app), app.fakes.sendgrid.host.requests().len()), (0, 1));
}

#[tokio::test]
async fn what_may_have_been_sent_is_not_sent_again() {
    let app = TestApp::start().await;
    is_never_sent_twice(&app, "sendgrid", &config(&app, "sendgrid"), &hello(), &app.fakes.sendgrid.host).await;
}
