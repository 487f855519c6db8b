//! `POST /api/integrations/{integrationId}/send`.

use fakes::telegram::{TelegramChat, TelegramChatKind};
use fakes::{Answer as Reply, Fault};
use kit::TestApp;
use reqwest::Method;
use serde_json::{Value, json};

use super::fixtures::{CHANNELS, config, create, received, send};

fn path(id: &str) -> String {
    format!("/api/integrations/{id}/send")
}

/// The names of an answer's fields.
fn fields(answer: &Value) -> Vec<&str> {
    answer.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn an_integration_that_does_not_exist_or_is_somebody_elses_sends_nothing() {
    let app = TestApp::start().await;
    let id = create(&app, "discord", &config(&app, "discord")).await;
    let stranger = app.services_as(&app.tenant("globex").tokens.admin);
    for (client, path) in [(app.services(), path("int_000000000000000000000")), (stranger, path(&id))] {
        let body = client.post(&path, &json!({ "text": "hello" })).await.expect(404);
        assert_eq!((&body["error"], &body["detail"]), (&json!("not_found"), &json!("Integration not found.")));
    }
    assert_eq!(received(&app), 0);
}

#[tokio::test]
async fn a_token_that_may_only_read_cannot_send() {
    let app = TestApp::start().await;
    let id = create(&app, "discord", &config(&app, "discord")).await;
    let reader = app.services_as(&app.tenant("acme").tokens.read_only);
    let body = reader.post(&path(&id), &json!({ "text": "hello" })).await.expect(403);
    assert_eq!((&body["error"], &body["required_scope"]), (&json!("insufficient_scope"), &json!("services:write")));
    assert_eq!(received(&app), 0);
}

#[tokio::test]
async fn what_is_wrong_with_the_body_is_named() {
    let app = TestApp::start().await;
    let id = create(&app, "telegram", &config(&app, "telegram")).await;
    let many: Vec<i32> = (0..1_001).collect();
    for (body, field, told) in [
        (json!({}), "text", "is missing"),
        (json!({ "text": " \n" }), "text", "text of 1 to 100,000 characters"),
        (json!({ "text": ["hello"] }), "text", "text of 1 to 100,000 characters"),
        (json!({ "text": "x".repeat(100_001) }), "text", "text of 1 to 100,000 characters"),
        (json!({ "text": "hello", "title": "" }), "title", "text of 1 to 250 characters"),
        (json!({ "text": "hello", "title": "x".repeat(251) }), "title", "text of 1 to 250 characters"),
        (json!({ "text": "hello", "title": "two\nlines" }), "title", "text of 1 to 250 characters"),
        (json!({ "text": "hello", "to": {} }), "to", "an e-mail address or a list of them, a chat id, or a channel"),
        (json!({ "text": "hello", "to": true }), "to", "a chat id"),
        (json!({ "text": "hello", "to": 1.5 }), "to", "a chat id"),
        (json!({ "text": "hello", "to": [] }), "to", "a chat id"),
        (json!({ "text": "hello", "to": [["a@b.example"]] }), "to", "a chat id"),
        (json!({ "text": "hello", "to": many }), "to", "a chat id"),
        (json!({ "text": "hello", "to": "two\nlines" }), "to", "a chat id"),
        (json!({ "text": "hello", "html": "<b>" }), "html", "the fields are text, title, to"),
    ] {
        let answer = send(&app, &id, &body).await.expect(400);
        assert_eq!(answer["error"], "invalid_input", "{body}");
        let message = answer["fields"][field].as_str().unwrap_or_else(|| panic!("{field} in {answer}"));
        assert!(message.contains(told), "{body}: {message}");
    }
    let all = send(&app, &id, &json!({ "title": 1, "to": false, "html": "" })).await.expect(400);
    assert_eq!(fields(&all["fields"]), ["html", "text", "title", "to"], "every problem at once");
    let text = app.services().header("content-type", "text/plain").send(Method::POST, &path(&id), "hello").await;
    assert_eq!(text.expect(415)["error"], "unsupported_media_type");
    assert_eq!(received(&app), 0);
}

#[tokio::test]
async fn a_type_that_takes_no_messages_says_so() {
    let app = TestApp::start().await;
    for kind in ["web3", "ai-gateway"] {
        let id = create(&app, kind, &config(&app, kind)).await;
        let body = send(&app, &id, &json!({ "text": "hello" })).await.expect(400);
        assert_eq!(body["error"], "invalid_input");
        let message = body["fields"]["type"].as_str().unwrap();
        assert!(message.contains("takes no messages"), "{kind}: {message}");
    }
    assert!(app.fakes.evm.host.requests().is_empty() && app.fakes.ai_gateway.host.requests().is_empty());
}

#[tokio::test]
async fn every_channel_delivers_a_message_once_and_gives_the_providers_id_of_it() {
    let app = TestApp::start().await;
    for &kind in CHANNELS {
        let id = create(&app, kind, &config(&app, kind)).await;
        let mut message = json!({ "text": "The disk is full", "title": "Alert" });
        if matches!(kind, "sendgrid" | "resend") {
            message["to"] = json!("ada@example.org");
        }
        let before = received(&app);
        let sent = send(&app, &id, &message).await.expect(200);
        assert_eq!(sent["status"], "success", "{kind}");
        // Slack says no more than ok to what comes by a webhook.
        let expected: &[&str] = if kind == "slack" { &["status"] } else { &["status", "providerMessageId"] };
        assert_eq!(fields(&sent), expected, "{kind}: {sent}");
        assert_eq!(received(&app), before + 1, "{kind}");
    }
}

#[tokio::test]
async fn a_channel_with_a_default_can_be_sent_elsewhere() {
    let app = TestApp::start().await;
    for (chat, title) in [(-1_001_000_000_002, "Other"), (77, "Ada")] {
        let kind = if chat > 0 { TelegramChatKind::Private } else { TelegramChatKind::Supergroup };
        app.fakes.telegram.add_chat(TelegramChat::new(chat, kind, title));
    }
    let news = TelegramChat {
        username: Some("causeway_news".into()),
        ..TelegramChat::new(-1_001_000_000_003, TelegramChatKind::Channel, "News")
    };
    app.fakes.telegram.add_chat(news);
    let id = create(&app, "telegram", &config(&app, "telegram")).await;
    for to in [json!(-1_001_000_000_002_i64), json!("77"), json!([77]), json!("@causeway_news"), Value::Null] {
        let mut message = json!({ "text": "hello" });
        if !to.is_null() {
            message["to"] = to;
        }
        let _ = send(&app, &id, &message).await.expect(200);
    }
    let chats: Vec<i64> = app.fakes.telegram.messages().iter().map(|message| message.chat_id).collect();
    assert_eq!(chats, [-1_001_000_000_002, 77, 77, -1_001_000_000_003, app.demo.telegram_chat_id.parse().unwrap()]);
    let two = send(&app, &id, &json!({ "text": "hello", "to": [77, 78] })).await.expect(400);
    assert!(two["fields"]["to"].as_str().unwrap().contains("one chat id"), "{two}");
}

#[tokio::test]
async fn an_e_mail_goes_to_one_address_or_a_list_and_nobody_sees_the_others() {
    let app = TestApp::start().await;
    for kind in ["sendgrid", "resend"] {
        let id = create(&app, kind, &config(&app, kind)).await;
        for to in [
            json!("ada@example.org"),
            json!("Ada <ada@example.org>"),
            json!(["ada@example.org", "bob@example.org", "ADA@example.org"]),
        ] {
            let _ = send(&app, &id, &json!({ "text": "hello", "to": to })).await.expect(200);
        }
        for (to, told) in [
            (json!("nobody"), "must be an e-mail address"),
            (json!(["ada@example.org", "nobody"]), "must be an e-mail address"),
            (json!(77), "must be an e-mail address"),
            (Value::Null, "is missing"),
        ] {
            let mut message = json!({ "text": "hello" });
            if !to.is_null() {
                message["to"] = to;
            }
            let answer = send(&app, &id, &message).await.expect(400);
            assert!(answer["fields"]["to"].as_str().unwrap().contains(told), "{kind}: {answer}");
        }
    }
    let [first, second, third] = app.fakes.sendgrid.messages().try_into().unwrap();
    assert_eq!((first.to, second.to), (vec!["ada@example.org".to_owned()], vec!["ada@example.org".to_owned()]));
    assert_eq!(third.to, ["ada@example.org", "bob@example.org"]);
    let each = json!([{ "to": [{ "email": "ada@example.org" }] }, { "to": [{ "email": "bob@example.org" }] }]);
    assert_eq!(third.payload["personalizations"], each);
    let to: Vec<Vec<String>> = app.fakes.resend.messages().into_iter().map(|email| email.to).collect();
    assert_eq!(
        to,
        [["ada@example.org"], ["Ada <ada@example.org>"], ["ada@example.org"], ["bob@example.org"]]
            .map(|to| to.to_vec())
    );
}

#[tokio::test]
async fn a_channel_fixed_by_its_credential_goes_nowhere_else() {
    let app = TestApp::start().await;
    for kind in ["discord", "slack"] {
        let id = create(&app, kind, &config(&app, kind)).await;
        let body = send(&app, &id, &json!({ "text": "hello", "to": "#general" })).await.expect(400);
        assert!(body["fields"]["to"].as_str().unwrap().contains("must be left out"), "{kind}: {body}");
    }
    assert_eq!(received(&app), 0);
}

#[tokio::test]
async fn a_refusal_is_502_and_says_what_to_do() {
    let app = TestApp::start().await;
    let id = create(&app, "discord", &config(&app, "discord")).await;
    app.fakes.discord.delete_webhook("100000000000000001");
    let answer = send(&app, &id, &json!({ "text": "hello" })).await;
    let body = answer.expect(502);
    assert_eq!(fields(&body), ["error", "detail", "hint", "request_id"]);
    assert_eq!(body["error"], "provider_refused");
    assert_eq!(body["detail"], "The webhook was deleted in Discord.");
    assert!(body["hint"].as_str().unwrap().contains("Create a new one"), "{body}");
    assert_eq!(body["request_id"], answer.header("x-request-id").unwrap());
    assert_eq!(answer.header("retry-after"), None);
    assert!(!answer.text.contains("Sandbox-_"), "the credential stays out: {}", answer.text);
}

#[tokio::test]
async fn throttling_is_502_and_tells_how_long_to_wait() {
    let app = TestApp::start().await;
    let id = create(&app, "discord", &config(&app, "discord")).await;
    for (seconds, told) in [(0.2, 1), (2.5, 3), (60.0, 60)] {
        app.fakes.discord.throttle(1, seconds);
        let answer = send(&app, &id, &json!({ "text": "hello" })).await;
        let body = answer.expect(502);
        assert_eq!(fields(&body), ["error", "detail", "hint", "retry_after", "request_id"]);
        assert_eq!((&body["error"], &body["retry_after"]), (&json!("provider_refused"), &json!(told)), "{seconds}");
        assert_eq!(answer.header("retry-after"), Some(told.to_string().as_str()), "{seconds}");
    }
    assert_eq!((received(&app), app.fakes.discord.host.requests().len()), (0, 3), "nothing is sent twice");
}

#[tokio::test]
async fn a_lost_answer_is_504_and_says_that_the_message_may_have_been_delivered() {
    let app = TestApp::start().await;
    let id = create(&app, "slack", &config(&app, "slack")).await;
    app.fakes.slack.hooks.faults().next(1, Fault::LoseAnswer);
    let answer = send(&app, &id, &json!({ "text": "hello" })).await;
    let body = answer.expect(504);
    assert_eq!(fields(&body), ["error", "detail", "hint", "request_id"]);
    assert_eq!(body["error"], "provider_timeout");
    assert!(body["detail"].as_str().unwrap().contains("may or may not have been delivered"), "{body}");
    assert!(body["hint"].as_str().unwrap().contains("before you send it again"), "{body}");
    assert_eq!((received(&app), app.fakes.slack.hooks.requests().len()), (1, 1), "it is not sent again by itself");
}

#[tokio::test]
async fn the_same_idempotency_key_delivers_once_and_answers_alike() {
    let app = TestApp::start().await;
    for &kind in CHANNELS {
        let id = create(&app, kind, &config(&app, kind)).await;
        let mut message = json!({ "text": "The disk is full" });
        if matches!(kind, "sendgrid" | "resend") {
            message["to"] = json!("ada@example.org");
        }
        let (client, before) = (app.services().header("idempotency-key", &format!("send-{kind}")), received(&app));
        let first = client.post(&path(&id), &message).await;
        let second = client.post(&path(&id), &message).await;
        let _ = first.expect(200);
        assert_eq!((second.status, &second.text), (first.status, &first.text), "{kind}");
        assert_eq!(second.header("idempotent-replayed"), Some("true"), "{kind}");
        assert_eq!(received(&app), before + 1, "{kind}");
    }
}

#[tokio::test]
async fn the_same_key_at_the_same_time_delivers_once_too() {
    let app = TestApp::start().await;
    let id = create(&app, "slack", &config(&app, "slack")).await;
    let client = app.services().header("idempotency-key", "send-1");
    let faults = app.fakes.slack.hooks.faults();
    faults.next(1, Fault::Hang);
    let (path, message) = (path(&id), json!({ "text": "hello" }));
    let (first, second, ()) = futures::join!(client.post(&path, &message), client.post(&path, &message), async {
        faults.hanging(1).await;
        faults.release();
    });
    assert_eq!((first.expect(200), first.text), (second.expect(200), second.text));
    assert_eq!((received(&app), app.fakes.slack.hooks.requests().len()), (1, 1));
}

#[tokio::test]
async fn another_message_under_the_same_key_is_a_conflict() {
    let app = TestApp::start().await;
    let id = create(&app, "slack", &config(&app, "slack")).await;
    let client = app.services().header("idempotency-key", "send-1");
    let _ = client.post(&path(&id), &json!({ "text": "hello" })).await.expect(200);
    let body = client.post(&path(&id), &json!({ "text": "hello again" })).await.expect(409);
    assert_eq!(body["error"], "conflict");
    assert_eq!(received(&app), 1);
}

#[tokio::test]
async fn without_a_key_every_request_is_a_message() {
    let app = TestApp::start().await;
    let id = create(&app, "slack", &config(&app, "slack")).await;
    for _ in 0..2 {
        let _ = send(&app, &id, &json!({ "text": "hello" })).await.expect(200);
    }
    assert_eq!(received(&app), 2);
}

#[tokio::test]
async fn a_refused_message_can_be_sent_again_under_its_key() {
    let app = TestApp::start().await;
    let id = create(&app, "slack", &config(&app, "slack")).await;
    let client = app.services().header("idempotency-key", "send-1");
    app.fakes.slack.throttle(1, 1);
    let _ = client.post(&path(&id), &json!({ "text": "hello" })).await.expect(502);
    let _ = client.post(&path(&id), &json!({ "text": "hello" })).await.expect(200);
    assert_eq!(received(&app), 1);
}

#[tokio::test]
async fn a_message_that_may_have_been_delivered_is_not_delivered_again_under_its_key() {
    let app = TestApp::start().await;
    for kind in ["discord", "slack", "telegram", "sendgrid"] {
        let id = create(&app, kind, &config(&app, kind)).await;
        let mut message = json!({ "text": "The disk is full" });
        if kind == "sendgrid" {
            message["to"] = json!("ada@example.org");
        }
        let fakes = &app.fakes;
        for host in [&fakes.discord.host, &fakes.slack.hooks, &fakes.telegram.host, &fakes.sendgrid.host] {
            host.faults().clear();
            host.faults().next(1, Fault::LoseAnswer);
        }
        let (client, before) = (app.services().header("idempotency-key", &format!("send-{kind}")), received(&app));
        let first = client.post(&path(&id), &message).await;
        let again = client.post(&path(&id), &message).await;
        assert_eq!((first.expect(504), &first.text), (again.expect(504), &again.text), "{kind}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{kind}");
        assert_eq!(received(&app), before + 1, "{kind}");
    }
}

#[tokio::test]
async fn where_the_provider_recognises_repetitions_the_same_key_brings_the_answer_after_all() {
    let app = TestApp::start().await;
    let id = create(&app, "webhook", &config(&app, "webhook")).await;
    let client = app.services().header("idempotency-key", "send-1");
    app.fakes.webhook.host.faults().next(1, Fault::LoseAnswer);
    let lost = client.post(&path(&id), &json!({ "text": "hello" })).await.expect(504);
    assert!(lost["hint"].as_str().unwrap().contains("same Idempotency-Key"), "{lost}");
    let _ = client.post(&path(&id), &json!({ "text": "hello" })).await.expect(200);
    assert_eq!((app.fakes.webhook.deliveries().len(), app.fakes.webhook.messages().len()), (2, 1));

    let id = create(&app, "resend", &config(&app, "resend")).await;
    let client = app.services().header("idempotency-key", "send-2");
    let message = json!({ "text": "hello", "to": "ada@example.org" });
    app.fakes.resend.host.faults().all(Fault::LoseAnswer);
    let lost = client.post(&path(&id), &message).await.expect(504);
    assert!(lost["hint"].as_str().unwrap().contains("same Idempotency-Key"), "{lost}");
    app.fakes.resend.host.faults().clear();
    let sent = client.post(&path(&id), &message).await.expect(200);
    let [email] = app.fakes.resend.messages().try_into().unwrap();
    assert_eq!(sent["providerMessageId"], email.id);
}

#[tokio::test]
async fn trouble_that_says_when_to_come_back_is_502_without_its_page() {
    let app = TestApp::start().await;
    let id = create(&app, "slack", &config(&app, "slack")).await;
    let page = Reply::status(503).header("content-type", "text/html").header("retry-after", "120");
    app.fakes.slack.hooks.faults().next(1, Fault::Answer(page.body("<html>down for maintenance</html>")));
    let answer = send(&app, &id, &json!({ "text": "hello" })).await;
    let body = answer.expect(502);
    assert_eq!((&body["error"], &body["retry_after"]), (&json!("provider_refused"), &json!(120)));
    assert!(body["detail"].as_str().unwrap().contains("HTTP 503"), "{body}");
    assert!(!answer.text.contains("maintenance"), "{}", answer.text);
}

#[tokio::test]
async fn trouble_that_the_provider_itself_tells_of_is_502() {
    let app = TestApp::start().await;
    let fakes = &app.fakes;
    for (kind, host, words) in [
        ("discord", &fakes.discord.host, json!({ "code": 0, "message": "500: Internal Server Error" })),
        ("telegram", &fakes.telegram.host, json!({ "ok": false, "error_code": 500, "description": "Internal" })),
        ("sendgrid", &fakes.sendgrid.host, json!({ "errors": [{ "message": "internal error" }] })),
        ("resend", &fakes.resend.host, json!({ "name": "application_error", "message": "An unexpected error" })),
    ] {
        let id = create(&app, kind, &config(&app, kind)).await;
        let mut message = json!({ "text": "hello" });
        if matches!(kind, "sendgrid" | "resend") {
            message["to"] = json!("ada@example.org");
        }
        host.faults().next(1, Fault::Answer(Reply::status(500).json(&words)));
        let body = send(&app, &id, &message).await.expect(502);
        assert_eq!(body["error"], "provider_refused", "{kind}");
        assert!(body["detail"].as_str().unwrap().contains("HTTP 500"), "{kind}: {body}");
    }
}

/// What stands in front of a provider answers in its own words when it has lost the provider's: the message may have been
/// taken by then.
#[tokio::test]
async fn a_message_is_not_delivered_again_under_its_key_after_a_page_in_the_answers_place() {
    let app = TestApp::start().await;
    let fakes = &app.fakes;
    for (kind, host) in [
        ("discord", &fakes.discord.host),
        ("slack", &fakes.slack.hooks),
        ("telegram", &fakes.telegram.host),
        ("sendgrid", &fakes.sendgrid.host),
    ] {
        let id = create(&app, kind, &config(&app, kind)).await;
        let mut message = json!({ "text": "The disk is full" });
        if kind == "sendgrid" {
            message["to"] = json!("ada@example.org");
        }
        for status in [500, 502, 503, 520] {
            host.forget_requests();
            host.faults().next(1, Fault::Answer(Reply::status(status).body("<html>no answer</html>")));
            let client = app.services().header("idempotency-key", &format!("send-{kind}-{status}"));
            let first = client.post(&path(&id), &message).await;
            let again = client.post(&path(&id), &message).await;
            assert_eq!(first.expect(504)["error"], "provider_timeout", "{kind} {status}");
            assert_eq!((again.status, &again.text), (first.status, &first.text), "{kind} {status}");
            assert_eq!(host.requests().len(), 1, "{kind} {status}");
        }
    }
}

/// A gateway in front of the provider that got no answer in time knows as little as one who got none himself.
#[tokio::test]
async fn a_gateways_timeout_is_504_too() {
    let app = TestApp::start().await;
    for &kind in CHANNELS {
        let id = create(&app, kind, &config(&app, kind)).await;
        let mut message = json!({ "text": "hello" });
        if matches!(kind, "sendgrid" | "resend") {
            message["to"] = json!("ada@example.org");
        }
        let fakes = &app.fakes;
        for host in [
            &fakes.discord.host,
            &fakes.slack.hooks,
            &fakes.telegram.host,
            &fakes.sendgrid.host,
            &fakes.resend.host,
            &fakes.webhook.host,
        ] {
            host.faults().clear();
            host.faults().next(1, Fault::Answer(Reply::status(504).body("<html>upstream timed out</html>")));
        }
        assert_eq!(send(&app, &id, &message).await.expect(504)["error"], "provider_timeout", "{kind}");
    }
}
