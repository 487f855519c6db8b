//! SendGrid: scopes, regions, senders, sandbox mode and rate limits.

use fakes::sendgrid::SendGrid;
use serde_json::{Value, json};

use crate::client::{JSON, Reply, call, get};

const KEY: &str = "SG.id.secret";

async fn sendgrid() -> SendGrid {
    let sendgrid = SendGrid::start().await.unwrap();
    sendgrid.add_key(KEY, &["mail.send", "alerts.read"]);
    sendgrid.verify_sender("ops@example.com");
    sendgrid.verify_sender("corp.example");
    sendgrid
}

fn email(from: &str) -> Value {
    json!({
        "personalizations": [{ "to": [{ "email": "ada@example.org" }, { "email": "bob@example.org" }] }],
        "from": { "email": from },
        "subject": "hello",
        "content": [{ "type": "text/plain", "value": "world" }],
    })
}

async fn scopes(sendgrid: &SendGrid, key: &str) -> Reply {
    let url = format!("{}/v3/scopes", sendgrid.host.origin());
    call("GET", &url, &[("authorization", &format!("Bearer {key}"))], "").await
}

async fn send(sendgrid: &SendGrid, key: &str, body: &Value) -> Reply {
    let url = format!("{}/v3/mail/send", sendgrid.host.origin());
    call("POST", &url, &[("authorization", &format!("Bearer {key}")), JSON], body.to_string()).await
}

fn message(reply: &Reply) -> String {
    reply.json()["errors"][0]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn scopes_are_listed_for_a_good_key() {
    let sendgrid = sendgrid().await;
    let reply = scopes(&sendgrid, KEY).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "scopes": ["mail.send", "alerts.read"] })));
    assert_eq!(reply.header("x-ratelimit-limit"), "600");
    sendgrid.hide_scopes(KEY);
    let reply = scopes(&sendgrid, KEY).await;
    assert_eq!((reply.status, message(&reply).as_str()), (403, "access forbidden"));
    assert_eq!(send(&sendgrid, KEY, &email("ops@example.com")).await.status, 202);
}

#[tokio::test]
async fn bad_keys_are_unauthorized() {
    let (here, there) = (sendgrid().await, SendGrid::start().await.unwrap());
    let reply = get(&format!("{}/v3/scopes", here.host.origin())).await;
    assert_eq!((reply.status, message(&reply).as_str()), (401, "authorization required"));
    assert_eq!(reply.json()["errors"][0]["field"], Value::Null);
    // The key is good in one region and unknown in the other.
    assert_eq!(scopes(&here, KEY).await.status, 200);
    let reply = scopes(&there, KEY).await;
    assert_eq!(reply.status, 401);
    assert_eq!(message(&reply), "The provided authorization grant is invalid, expired, or revoked");
    here.revoke_key(KEY);
    assert_eq!(send(&here, KEY, &email("ops@example.com")).await.status, 401);
}

#[tokio::test]
async fn a_send_is_accepted_with_an_id_and_no_body() {
    let sendgrid = sendgrid().await;
    for from in ["ops@example.com", "OPS@Example.com", "anybody@corp.example"] {
        let reply = send(&sendgrid, KEY, &email(from)).await;
        assert_eq!((reply.status, reply.text.as_str()), (202, ""));
        assert_eq!(reply.header("x-message-id"), sendgrid.messages().last().unwrap().id);
        assert_eq!(reply.header("x-ratelimit-limit"), "");
    }
    let first = sendgrid.messages().remove(0);
    assert_eq!(first.to, ["ada@example.org", "bob@example.org"]);
    assert_eq!((first.from.as_str(), first.subject.as_str()), ("ops@example.com", "hello"));
}

#[tokio::test]
async fn both_kinds_of_403_mean_a_good_key() {
    let sendgrid = sendgrid().await;
    let reply = send(&sendgrid, KEY, &email("eve@elsewhere.example")).await;
    assert_eq!((reply.status, &reply.json()["errors"][0]["field"]), (403, &json!("from")));
    assert!(message(&reply).starts_with("The from address does not match a verified Sender Identity."));
    assert_eq!(send(&sendgrid, KEY, &email("ops@sub.corp.example")).await.status, 403);
    sendgrid.forget_sender("ops@example.com");
    assert_eq!(send(&sendgrid, KEY, &email("ops@example.com")).await.status, 403);

    sendgrid.add_key("SG.read.only", &["alerts.read"]);
    assert_eq!(scopes(&sendgrid, "SG.read.only").await.status, 200);
    let reply = send(&sendgrid, "SG.read.only", &email("anybody@corp.example")).await;
    assert_eq!((reply.status, message(&reply).as_str()), (403, "access forbidden"));
    assert!(sendgrid.messages().is_empty());
}

#[tokio::test]
async fn the_sandbox_mode_takes_a_real_boolean() {
    let sendgrid = sendgrid().await;
    let with = |enable: Value| {
        let mut email = email("ops@example.com");
        email["mail_settings"] = json!({ "sandbox_mode": { "enable": enable } });
        email
    };
    let reply = send(&sendgrid, KEY, &with(json!(true))).await;
    assert_eq!((reply.status, sendgrid.messages().len()), (200, 0));
    assert_eq!(send(&sendgrid, KEY, &with(json!("true"))).await.status, 202);
    assert_eq!(sendgrid.messages().len(), 1);
}

#[tokio::test]
async fn incomplete_emails_are_refused_with_the_field() {
    let sendgrid = sendgrid().await;
    let without = |name: &str| {
        let mut email = email("ops@example.com");
        email.as_object_mut().unwrap().remove(name);
        email
    };
    let mut empty = email("ops@example.com");
    empty["content"][0]["value"] = json!("");
    let mut bad_recipient = email("ops@example.com");
    bad_recipient["personalizations"][0]["to"][0]["email"] = json!("nobody");
    for (body, field) in [
        (without("personalizations"), "personalizations"),
        (without("from"), "from.email"),
        (email("nobody"), "from.email"),
        (without("subject"), "subject"),
        (without("content"), "content"),
        (empty, "content.0.value"),
        (bad_recipient, "personalizations.0.to.0.email"),
    ] {
        let reply = send(&sendgrid, KEY, &body).await;
        assert_eq!((reply.status, &reply.json()["errors"][0]["field"]), (400, &json!(field)));
    }
    let url = format!("{}/v3/mail/send", sendgrid.host.origin());
    let key = ("authorization", "Bearer SG.id.secret");
    assert_eq!(call("POST", &url, &[key], email("ops@example.com").to_string()).await.status, 415);
    assert_eq!(call("POST", &url, &[key, JSON], "{").await.status, 400);
    assert!(sendgrid.messages().is_empty());
}

#[tokio::test]
async fn a_rate_limit_names_its_end_but_no_retry_after() {
    let sendgrid = sendgrid().await;
    sendgrid.throttle(1, 30);
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let reply = scopes(&sendgrid, KEY).await;
    assert_eq!((reply.status, message(&reply).as_str()), (429, "too many requests"));
    assert_eq!((reply.header("retry-after"), reply.header("x-ratelimit-remaining")), ("", "0"));
    let reset: u64 = reply.header("x-ratelimit-reset").parse().unwrap();
    assert!((before + 30..before + 60).contains(&reset));
    assert_eq!(scopes(&sendgrid, KEY).await.status, 200);
}
