//! The receiver of webhooks: signatures, duplicates and behaviours.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fakes::Answer;
use fakes::webhook::{WebhookBehaviour, WebhookEndpoint, WebhookReceiver, WebhookSignature};

use crate::client::{Reply, call, client, get};

const SECRET: [u8; 32] = [7; 32];
const NOW: u64 = 1_700_000_000;

fn secret(bytes: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(bytes))
}

fn sign(secret: &[u8], id: &str, timestamp: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes())))
}

async fn deliver(url: &str, id: &str, timestamp: u64, signature: &str, body: &str) -> Reply {
    let timestamp = timestamp.to_string();
    let headers = [("webhook-id", id), ("webhook-timestamp", timestamp.as_str()), ("webhook-signature", signature)];
    call("POST", url, &headers, body.to_owned()).await
}

async fn receiver() -> (WebhookReceiver, String) {
    let receiver = WebhookReceiver::start().await.unwrap();
    receiver.set_now(Some(NOW));
    let url = receiver.add_endpoint(WebhookEndpoint::new("/hook").with_secret(&secret(&SECRET)));
    (receiver, url)
}

#[tokio::test]
async fn the_specifications_own_example_verifies() {
    let receiver = WebhookReceiver::start().await.unwrap();
    receiver.set_now(Some(1_614_265_330));
    let endpoint = WebhookEndpoint::new("/hook").with_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let url = receiver.add_endpoint(endpoint);
    let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "{\"test\": 2432232314}");
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert_eq!(deliver(&url, id, 1_614_265_330, signature, body).await.status, 200);
}

#[tokio::test]
async fn a_signed_delivery_is_accepted_once() {
    let (receiver, url) = receiver().await;
    let signature = sign(&SECRET, "msg_1", NOW, "{}");
    for _ in 0..2 {
        assert_eq!(deliver(&url, "msg_1", NOW, &signature, "{}").await.status, 200);
    }
    let deliveries = receiver.deliveries();
    assert_eq!(deliveries.iter().map(|it| it.is_duplicate).collect::<Vec<_>>(), [false, true]);
    let messages = receiver.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].id.as_deref(), &messages[0].body[..]), (Some("msg_1"), b"{}".as_slice()));
}

#[tokio::test]
async fn a_rotation_signs_with_both_secrets() {
    let (receiver, url) = receiver().await;
    let stranger = [9; 32];
    let list = format!("{} {}", sign(&stranger, "msg_1", NOW, "{}"), sign(&SECRET, "msg_1", NOW, "{}"));
    assert_eq!(deliver(&url, "msg_1", NOW, &list, "{}").await.status, 200);
    let endpoint = WebhookEndpoint::new("/hook").with_secret(&secret(&stranger)).with_secret(&secret(&SECRET));
    receiver.add_endpoint(endpoint);
    let signature = sign(&SECRET, "msg_2", NOW, "{}");
    assert_eq!(deliver(&url, "msg_2", NOW, &signature, "{}").await.status, 200);
}

#[tokio::test]
async fn what_is_not_signed_well_is_refused() {
    let (receiver, url) = receiver().await;
    let good = sign(&SECRET, "msg_1", NOW, "{}");
    let text_key = sign(secret(&SECRET).as_bytes(), "msg_1", NOW, "{}");
    let late = sign(&SECRET, "msg_1", NOW - 301, "{}");
    let cases = [
        (NOW, "v1,AAAA".to_owned(), "{}", WebhookSignature::Mismatch),
        (NOW, text_key, "{}", WebhookSignature::Mismatch),
        (NOW, good.replace("v1,", "v1a,"), "{}", WebhookSignature::Mismatch),
        (NOW, good.clone(), "{ }", WebhookSignature::Mismatch),
        (NOW - 1, good, "{}", WebhookSignature::Mismatch),
        (NOW - 301, late, "{}", WebhookSignature::BadTimestamp),
    ];
    for (timestamp, signature, body, verdict) in cases {
        assert_eq!(deliver(&url, "msg_1", timestamp, &signature, body).await.status, 401);
        assert_eq!(receiver.deliveries().pop().unwrap().signature, verdict);
    }
    assert_eq!(call("POST", &url, &[], "{}").await.status, 401);
    assert_eq!(receiver.deliveries().pop().unwrap().signature, WebhookSignature::Missing);
    assert!(receiver.messages().is_empty());
    let edge = sign(&SECRET, "msg_1", NOW + 300, "{}");
    assert_eq!(deliver(&url, "msg_1", NOW + 300, &edge, "{}").await.status, 200);
}

#[tokio::test]
async fn a_secret_of_the_wrong_size_verifies_nothing() {
    let (receiver, url) = receiver().await;
    receiver.add_endpoint(WebhookEndpoint::new("/hook").with_secret(&secret(&[7; 8])));
    let signature = sign(&[7; 8], "msg_1", NOW, "{}");
    assert_eq!(deliver(&url, "msg_1", NOW, &signature, "{}").await.status, 401);
}

#[tokio::test]
async fn endpoints_answer_as_they_are_told() {
    let (receiver, _) = receiver().await;
    let add = |path: &str, behaviour| receiver.add_endpoint(WebhookEndpoint::new(path).with_behaviour(behaviour));
    let gone = add("/gone", WebhookBehaviour::status(410));
    assert_eq!(call("POST", &gone, &[], "{}").await.status, 410);
    let busy = Answer::status(503).header("retry-after", "120");
    let busy = add("/busy", WebhookBehaviour::Answer(busy));
    let reply = call("POST", &busy, &[], "{}").await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, "120"));
    let target = add("/target", WebhookBehaviour::status(200));
    let moved = add("/moved", WebhookBehaviour::redirect(307, &target));
    let reply = call("POST", &moved, &[], "{}").await;
    assert_eq!((reply.status, reply.header("location")), (307, target.as_str()));
    assert!(receiver.messages().is_empty());
    assert_eq!(receiver.deliveries().len(), 3);
    let slow = add("/slow", WebhookBehaviour::Slow(Duration::from_millis(20)));
    let started = std::time::Instant::now();
    assert_eq!(call("POST", &slow, &[], "{}").await.status, 200);
    assert!(started.elapsed() >= Duration::from_millis(20));
    assert_eq!(call("POST", &target, &[], "{}").await.status, 200);
    assert_eq!(receiver.messages().len(), 2);
}

#[tokio::test]
async fn an_endless_body_waits_for_its_reader() {
    let (receiver, _) = receiver().await;
    let url = receiver.add_endpoint(WebhookEndpoint::new("/endless").with_behaviour(WebhookBehaviour::Endless));
    let mut response = client().post(&url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut read = 0;
    while read < 1_000_000 {
        read += response.chunk().await.unwrap().unwrap().len() as u64;
    }
    assert!(receiver.endless_bytes() >= read);
}

#[tokio::test]
async fn paths_methods_and_headers_are_checked() {
    let (receiver, url) = receiver().await;
    assert_eq!(call("POST", &format!("{url}/nothing"), &[], "").await.status, 404);
    assert_eq!(get(&url).await.status, 405);
    assert!(receiver.deliveries().is_empty());
    let url = receiver.add_endpoint(WebhookEndpoint {
        methods: vec!["PUT".to_owned()],
        required_headers: vec![("x-api-key".to_owned(), "k".to_owned())],
        ..WebhookEndpoint::new("/keyed")
    });
    assert_eq!(call("PUT", &url, &[], "").await.status, 403);
    assert_eq!(call("PUT", &url, &[("x-api-key", "k")], "").await.status, 200);
    let messages = receiver.messages();
    assert_eq!((messages.len(), messages[0].signature), (1, WebhookSignature::NotChecked));
}
