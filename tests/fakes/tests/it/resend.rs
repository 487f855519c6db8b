//! Resend: keys, domains, idempotency and the two kinds of 429.

use fakes::resend::{Resend, ResendBadKey, ResendPermission, ResendQuota};
use serde_json::{Value, json};

use crate::client::{JSON, Reply, call, call_as_is, get};

const KEY: &str = "re_full";

async fn resend() -> Resend {
    let resend = Resend::start().await.unwrap();
    resend.add_key(KEY, ResendPermission::FullAccess);
    resend.verify_domain("mail.example.com");
    resend.set_domain("pending.example", "pending");
    resend
}

fn email(from: &str) -> Value {
    json!({ "from": from, "to": ["ada@example.org"], "subject": "hello", "text": "world" })
}

async fn domains(resend: &Resend, key: &str, query: &str) -> Reply {
    let url = format!("{}/domains{query}", resend.host.origin());
    call("GET", &url, &[("authorization", &format!("Bearer {key}"))], "").await
}

async fn send(resend: &Resend, key: &str, idempotency_key: Option<&str>, body: &Value) -> Reply {
    post(resend, "/emails", key, idempotency_key, body).await
}

async fn send_batch(resend: &Resend, key: &str, idempotency_key: Option<&str>, body: &Value) -> Reply {
    post(resend, "/emails/batch", key, idempotency_key, body).await
}

async fn post(resend: &Resend, path: &str, key: &str, idempotency_key: Option<&str>, body: &Value) -> Reply {
    let authorization = format!("Bearer {key}");
    let mut headers = vec![("authorization", authorization.as_str()), JSON];
    headers.extend(idempotency_key.map(|key| ("idempotency-key", key)));
    call("POST", &format!("{}{path}", resend.host.origin()), &headers, body.to_string()).await
}

/// Checks an error's status and name, and that its body repeats the status.
fn assert_error(reply: &Reply, status: u16, name: &str) {
    let body = reply.json();
    assert_eq!((reply.status, &body["statusCode"], &body["name"]), (status, &json!(status), &json!(name)));
}

#[tokio::test]
async fn domains_are_listed_in_whole_or_by_page() {
    let resend = resend().await;
    let reply = domains(&resend, KEY, "").await;
    assert_eq!(reply.status, 200);
    assert_eq!((reply.header("ratelimit-limit"), reply.header("ratelimit-reset")), ("5", "1"));
    let body = reply.json();
    assert_eq!((&body["object"], &body["has_more"]), (&json!("list"), &json!(false)));
    assert_eq!(
        (&body["data"][0]["name"], &body["data"][0]["status"]),
        (&json!("mail.example.com"), &json!("verified"))
    );
    assert_eq!(body["data"][1]["status"], "pending");

    let first = domains(&resend, KEY, "?limit=1").await.json();
    assert_eq!((&first["has_more"], first["data"].as_array().unwrap().len()), (&json!(true), 1));
    let after = first["data"][0]["id"].as_str().unwrap();
    let second = domains(&resend, KEY, &format!("?limit=1&after={after}")).await.json();
    assert_eq!((&second["has_more"], &second["data"][0]["name"]), (&json!(false), &json!("pending.example")));
    assert_eq!(domains(&resend, KEY, "?limit=0").await.status, 422);
}

#[tokio::test]
async fn keys_are_missing_bad_or_restricted() {
    let resend = resend().await;
    let url = format!("{}/domains", resend.host.origin());
    assert_error(&get(&url).await, 401, "missing_api_key");
    assert_error(&domains(&resend, "re_unknown", "").await, 403, "invalid_api_key");
    resend.answer_bad_keys_with(ResendBadKey::ValidationError);
    let reply = domains(&resend, "re_unknown", "").await;
    assert_error(&reply, 400, "validation_error");
    assert_eq!(reply.json()["message"], "API key is invalid");
    resend.answer_bad_keys_with(ResendBadKey::Unauthorized);
    assert_error(&domains(&resend, "re_unknown", "").await, 401, "validation_error");

    resend.add_key("re_send", ResendPermission::SendingAccess { domain: None });
    assert_error(&domains(&resend, "re_send", "").await, 401, "restricted_api_key");
    assert_eq!(send(&resend, "re_send", None, &email("ops@mail.example.com")).await.status, 200);
    resend.revoke_key(KEY);
    assert_eq!(domains(&resend, KEY, "").await.status, 401);
}

#[tokio::test]
async fn a_caller_without_a_name_is_stopped_at_the_edge() {
    let resend = resend().await;
    let url = format!("{}/domains", resend.host.origin());
    let reply = call_as_is("GET", &url, &[("authorization", "Bearer re_full")], "").await.unwrap();
    assert_eq!((reply.status, reply.text.as_str()), (403, "error code: 1010"));
}

#[tokio::test]
async fn the_sender_must_be_of_a_domain_verified_exactly() {
    let resend = resend().await;
    for from in ["ops@mail.example.com", "Ops <ops@mail.example.com>"] {
        let reply = send(&resend, KEY, None, &email(from)).await;
        assert_eq!((reply.status, &reply.json()["id"]), (200, &json!(resend.messages().last().unwrap().id)));
    }
    for from in ["ops@example.com", "ops@pending.example", "ops@elsewhere.example"] {
        let reply = send(&resend, KEY, None, &email(from)).await;
        assert_error(&reply, 403, "validation_error");
        assert!(reply.json()["message"].as_str().unwrap().contains("domain is not verified"));
    }
    assert_error(&send(&resend, KEY, None, &email("nobody")).await, 422, "invalid_from_address");
    assert_error(&send(&resend, KEY, None, &email("Ops <ops@a@b.example>")).await, 422, "invalid_from_address");

    let mut trial = email("onboarding@resend.dev");
    assert_error(&send(&resend, KEY, None, &trial).await, 403, "validation_error");
    trial["to"] = json!("owner@sandbox.example");
    assert_eq!(send(&resend, KEY, None, &trial).await.status, 200);

    let only = ResendPermission::SendingAccess { domain: Some("other.example".to_owned()) };
    resend.add_key("re_other", only);
    let reply = send(&resend, "re_other", None, &email("ops@mail.example.com")).await;
    assert_error(&reply, 403, "validation_error");
    assert!(reply.json()["message"].as_str().unwrap().contains("not authorized to send emails from mail.example.com"));
    assert_eq!(resend.messages().len(), 3);
}

#[tokio::test]
async fn incomplete_emails_are_unprocessable() {
    let resend = resend().await;
    for field in ["from", "to", "subject", "text"] {
        let mut email = email("ops@mail.example.com");
        email.as_object_mut().unwrap().remove(field);
        assert_error(&send(&resend, KEY, None, &email).await, 422, "missing_required_field");
    }
    let mut many = email("ops@mail.example.com");
    many["to"] = json!(vec!["ada@example.org"; 51]);
    assert_error(&send(&resend, KEY, None, &many).await, 422, "validation_error");
    many["to"] = json!(["nobody"]);
    assert_error(&send(&resend, KEY, None, &many).await, 422, "validation_error");
    assert_error(&send(&resend, KEY, None, &json!([])).await, 400, "validation_error");
    assert!(resend.messages().is_empty());
}

#[tokio::test]
async fn an_idempotency_key_sends_once() {
    let resend = resend().await;
    let hello = email("ops@mail.example.com");
    let first = send(&resend, KEY, Some("key-1"), &hello).await.json();
    assert_eq!(send(&resend, KEY, Some("key-1"), &hello).await.json(), first);
    assert_eq!(resend.messages().len(), 1);
    assert_eq!(resend.messages()[0].idempotency_key.as_deref(), Some("key-1"));

    let mut other = hello.clone();
    other["subject"] = json!("changed");
    assert_error(&send(&resend, KEY, Some("key-1"), &other).await, 409, "invalid_idempotent_request");
    assert_eq!(send(&resend, KEY, Some("key-2"), &other).await.status, 200);
    for bad in ["", &"x".repeat(257)] {
        assert_error(&send(&resend, KEY, Some(bad), &hello).await, 400, "invalid_idempotency_key");
    }
    assert_eq!(send(&resend, KEY, Some(&"x".repeat(256)), &hello).await.status, 200);

    // A refused request leaves the key free.
    assert_eq!(send(&resend, KEY, Some("key-3"), &email("ops@elsewhere.example")).await.status, 403);
    assert_eq!(send(&resend, KEY, Some("key-3"), &hello).await.status, 200);
    // Another API key is another account's.
    resend.add_key("re_second", ResendPermission::FullAccess);
    assert_ne!(send(&resend, "re_second", Some("key-1"), &hello).await.json(), first);
    resend.forget_idempotency_keys();
    assert_ne!(send(&resend, KEY, Some("key-1"), &hello).await.json(), first);
}

#[tokio::test]
async fn a_batch_is_taken_whole_or_not_at_all() {
    let resend = resend().await;
    let good = email("ops@mail.example.com");
    let mut unsigned = good.clone();
    unsigned.as_object_mut().unwrap().remove("from");
    let mut attached = good.clone();
    attached["attachments"] = json!([]);
    for (batch, status, name) in [
        (json!({ "from": "ops@mail.example.com" }), 422, "validation_error"),
        (json!([]), 422, "validation_error"),
        (json!(vec![good.clone(); 101]), 422, "validation_error"),
        (json!([good, unsigned]), 422, "missing_required_field"),
        (json!([good, attached]), 422, "validation_error"),
        (json!([good, "no e-mail"]), 422, "missing_required_field"),
        (json!([good, email("nobody")]), 422, "invalid_from_address"),
        (json!([good, email("ops@elsewhere.example")]), 403, "validation_error"),
    ] {
        assert_error(&send_batch(&resend, KEY, None, &batch).await, status, name);
    }
    assert_error(&send_batch(&resend, "re_unknown", None, &json!([good])).await, 403, "invalid_api_key");
    assert!(resend.messages().is_empty());

    let reply = send_batch(&resend, KEY, None, &json!(vec![good; 100])).await;
    assert_eq!(reply.status, 200);
    let ids: Vec<_> = resend.messages().iter().map(|email| json!({ "id": email.id })).collect();
    assert_eq!((reply.json(), ids.len()), (json!({ "data": ids }), 100));
}

#[tokio::test]
async fn one_idempotency_key_stands_for_a_whole_batch() {
    let resend = resend().await;
    let batch = json!([email("ops@mail.example.com"), email("more@mail.example.com")]);
    let first = send_batch(&resend, KEY, Some("batch-1"), &batch).await.json();
    assert_eq!(send_batch(&resend, KEY, Some("batch-1"), &batch).await.json(), first);
    assert_eq!(resend.messages().len(), 2);
    assert!(resend.messages().iter().all(|email| email.idempotency_key.as_deref() == Some("batch-1")));
    let reply = send_batch(&resend, KEY, Some("batch-1"), &json!([email("ops@mail.example.com")])).await;
    assert_error(&reply, 409, "invalid_idempotent_request");
}

#[tokio::test]
async fn a_rate_limit_and_a_quota_are_both_429() {
    let resend = resend().await;
    resend.throttle(1, 2);
    let reply = send(&resend, KEY, None, &email("ops@mail.example.com")).await;
    assert_error(&reply, 429, "rate_limit_exceeded");
    assert_eq!((reply.header("retry-after"), reply.header("ratelimit-remaining")), ("2", "0"));
    for (quota, name) in
        [(ResendQuota::Daily, "daily_quota_exceeded"), (ResendQuota::Monthly, "monthly_quota_exceeded")]
    {
        resend.set_quota(Some(quota));
        let reply = send(&resend, KEY, None, &email("ops@mail.example.com")).await;
        assert_error(&reply, 429, name);
        assert_eq!(reply.header("retry-after"), "");
        assert_eq!(domains(&resend, KEY, "").await.status, 200);
    }
    resend.set_quota(None);
    assert_eq!(send(&resend, KEY, None, &email("ops@mail.example.com")).await.status, 200);
    assert_error(&call("GET", &format!("{}/emails", resend.host.origin()), &[], "").await, 405, "method_not_allowed");
    assert_error(&get(&format!("{}/nothing", resend.host.origin())).await, 404, "not_found");
}
