//! Each type of integration against its provider: what a test says in each case and that nobody notices it, and what
//! becomes of a message.

mod ai_gateway;
mod discord;
mod resend;
mod sendgrid;
mod silence;
mod slack;
mod telegram;
mod web3;
mod webhook;

use fakes::{Answer as Reply, Fault, Host};
use kit::{Answer, TestApp};
use serde_json::{Value, json};

use super::fixtures::{create, received, send};

/// What a test said.
#[derive(Debug)]
struct Judged {
    verdict: String,
    message: String,
}

impl Judged {
    #[track_caller]
    fn is(&self, verdict: &str, told: &str) {
        assert_eq!(self.verdict, verdict, "{}", self.message);
        assert!(self.message.contains(told), "{:?} is not in {:?}", told, self.message);
    }

    #[track_caller]
    fn is_valid(&self) {
        self.is("valid", "Integration test successful");
    }

    #[track_caller]
    fn is_inconclusive(&self, told: &str) {
        self.is("inconclusive", told);
        assert!(self.message.contains("The credential was not judged"), "{}", self.message);
    }
}

/// Tests a config before it is saved. No message may come of it, and nothing secret may be in what it says.
async fn judge(app: &TestApp, kind: &str, config: &Value) -> Judged {
    let before = received(app);
    let answer = app.services().post("/api/integrations/test", &json!({ "type": kind, "config": config })).await;
    let _ = answer.expect(200);
    assert_eq!(received(app), before, "a test was noticed");
    keeps_secrets(&answer, config);
    Judged { verdict: answer.str("/verdict"), message: answer.str("/message") }
}

/// Connects a service and sends one message through it. Nothing secret may be in the answer.
async fn deliver(app: &TestApp, kind: &str, config: &Value, message: &Value) -> Answer {
    let id = create(app, kind, config).await;
    let answer = send(app, &id, message).await;
    keeps_secrets(&answer, config);
    answer
}

/// Checks a refusal: what was wrong, and what to do about it.
#[track_caller]
fn is_refused(answer: &Answer, detail: &str, hint: &str) {
    let body = answer.expect(502);
    assert_eq!(body["error"], "provider_refused");
    for (field, told) in [("detail", detail), ("hint", hint)] {
        let text = body[field].as_str().unwrap();
        assert!(text.contains(told), "{told:?} is not in {text:?}");
    }
}

/// Checks that an answer holds nothing of a config's secrets, nor the part of a URL that makes it one.
#[track_caller]
fn keeps_secrets(answer: &Answer, config: &Value) {
    for name in ["webhookUrl", "apiKey", "botToken", "rpcUrl", "signingSecret"] {
        let Some(secret) = config[name].as_str() else { continue };
        for part in [secret, secret.rsplit(['/', ':']).next().unwrap()] {
            assert!(part.len() < 4 || !answer.text.contains(part), "{part} is in {}", answer.text);
        }
    }
}

/// A page that something between us and the provider put in its place.
fn page(status: u16) -> Fault {
    let page = Reply::status(status).header("content-type", "text/html; charset=utf-8");
    Fault::Answer(page.body("<!doctype html><title>Sign in to the network</title>"))
}

/// A JSON answer in the provider's place.
fn says(status: u16, body: &Value) -> Fault {
    Fault::Answer(Reply::status(status).json(body))
}

/// What no provider is to be blamed for: pages of others, trouble of its own, cut connections, odd redirects.
async fn is_never_blamed(app: &TestApp, kind: &str, config: &Value, host: &Host) {
    for status in [200, 403, 404, 502] {
        host.faults().all(page(status));
        judge(app, kind, config).await.is_inconclusive("HTTP");
    }
    host.faults().clear();
    host.faults().all(Fault::Answer(Reply::status(500)));
    judge(app, kind, config).await.is_inconclusive("HTTP 500");
    host.faults().clear();
    let elsewhere = Reply::status(302).header("location", &app.fakes.webhook.host.origin());
    host.faults().all(Fault::Answer(elsewhere));
    judge(app, kind, config).await.is_inconclusive("HTTP 302");
    host.faults().clear();
    host.faults().all(Fault::Close);
    judge(app, kind, config).await.is_inconclusive("cut");
    host.faults().clear();
    judge(app, kind, config).await.is_valid();
    assert!(app.fakes.webhook.host.requests().is_empty(), "a redirect was followed");
}

/// What may have been delivered is said to be unknown and not sent again: a lost answer, and a page in its place.
async fn is_never_sent_twice(app: &TestApp, kind: &str, config: &Value, message: &Value, host: &Host) {
    let id = create(app, kind, config).await;
    let (before, asked) = (received(app), host.requests().len());
    host.faults().next(1, Fault::LoseAnswer);
    let lost = send(app, &id, message).await;
    keeps_secrets(&lost, config);
    assert_eq!(lost.expect(504)["error"], "provider_timeout");
    assert_eq!((received(app), host.requests().len()), (before + 1, asked + 1));
    for fault in [page(200), Fault::Close] {
        host.faults().next(1, fault);
        assert_eq!(send(app, &id, message).await.expect(504)["error"], "provider_timeout");
    }
    host.faults().next(1, page(403));
    let refused = send(app, &id, message).await;
    is_refused(&refused, "HTTP 403", "");
    assert!(!refused.text.contains("Sign in"), "{}", refused.text);
    assert_eq!((received(app), host.requests().len()), (before + 1, asked + 4));
}
