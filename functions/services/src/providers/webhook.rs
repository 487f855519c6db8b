//! Any HTTP endpoint that takes signed webhooks.
//!
//! The check must not look like a webhook to anyone, so it asks only for the head of the origin's root, without any
//! header of the config: whatever the answer, DNS, the connection and TLS work, and the address is allowed. Whether the
//! endpoint takes our webhooks shows only in one, which is the ping.
//!
//! Webhooks are signed as [Standard Webhooks](https://www.standardwebhooks.com) 1.0 says: an HMAC with SHA-256 over
//! `{webhook-id}.{webhook-timestamp}.{body}`. The id is the same in every repetition of a message, so that the endpoint
//! can tell one; the timestamp is that of the attempt.

use aws_lc_rs::hmac;
use axum::http::Method;
use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use shared::clock::iso_milliseconds;
use shared::digest::sha256_hex;
use shared::egress::{Answer, Egress, EgressError, Outgoing};
use shared::http::FieldProblem;
use url::Url;

use super::{Config, Field, Objection, Provider, Shape, refused_for_now, undelivered, unexpected};
use crate::model::{Delivery, Message, Refusal, Report};

const FIELDS: &[Field] = &[
    Field::plain("url", "URL", Shape::Url, "Where messages are sent to. It must be reachable from the internet.")
        .alias("webhookUrl")
        .required(),
    Field::plain("method", "Method", Shape::Choice(&["POST", "PUT", "PATCH"]), "POST if left out."),
    Field::secret(
        "headers",
        "Headers",
        Shape::Headers,
        "Headers to send along, for instance Authorization, as an object of names and values.",
    ),
    Field::secret(
        "signingSecret",
        "Signing secret",
        Shape::Text(512),
        "The secret by which the endpoint tells that a message is ours (Standard Webhooks): whsec_ and base64. Text that \
         is not base64 is used as it is. Unsigned if left out.",
    ),
];

/// Base64 with or without the padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const NO_URL: &str = "There is no URL. Give url.";

pub(super) struct Webhook;

#[async_trait::async_trait]
impl Provider for Webhook {
    fn label(&self) -> &'static str {
        "Webhook"
    }

    fn description(&self) -> &'static str {
        "Sends messages as signed JSON to any HTTP endpoint."
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn user_addresses(&self) -> &'static [&'static str] {
        &["url"]
    }

    fn rules(&self, config: &Config, path: &str) -> Vec<FieldProblem> {
        let secret = config.secret("signingSecret").map(ExposeSecret::expose_secret);
        if secret.is_some_and(|secret| secret.starts_with("whsk_") || secret.starts_with("whpk_")) {
            let message =
                "is an asymmetric key, with which nothing is signed here; give a secret that begins with whsec_";
            return vec![FieldProblem::new(format!("{path}.signingSecret"), "value", message)];
        }
        Vec::new()
    }

    async fn check(&self, config: &Config, egress: &Egress) -> Report {
        let Some(mut root) = config.url("url") else { return Report::invalid(NO_URL) };
        root.set_path("/");
        root.set_query(None);
        match egress.user_url(Method::HEAD, &root).send().await {
            // Too large an answer is one all the same.
            Ok(_) | Err(EgressError::TooLarge { .. }) => Report::valid(),
            Err(error) => unreached(&error),
        }
    }

    async fn ping(&self, config: &Config, idempotency_key: &str, at: Timestamp, egress: &Egress) -> Report {
        let Some(url) = config.url("url") else { return Report::invalid(NO_URL) };
        let event = event("integration.test", at, &json!({}));
        match signed(config, &url, &message_id(idempotency_key), at, event, egress).send().await {
            Ok(answer) if answer.is_success() => Report::valid(),
            Ok(answer) => objection(&answer).map_or_else(|| unexpected("The endpoint", &answer), Objection::report),
            Err(error) => unreached(&error),
        }
    }

    fn recognises_repetitions(&self) -> bool {
        true
    }

    async fn send(&self, config: &Config, message: &Message, egress: &Egress) -> Result<Delivery, Refusal> {
        let url = config.url("url").ok_or_else(|| Refusal::unusable("url", NO_URL))?;
        let mut data = json!({ "text": message.text });
        if let Json::Object(data) = &mut data {
            data.extend(message.title.as_deref().map(|title| ("title".to_owned(), title.into())));
            data.extend(message.to.as_ref().map(|to| ("to".to_owned(), to.0.clone().into())));
        }
        let id = message_id(&message.idempotency_key);
        let event = event("message", message.at, &data);
        match signed(config, &url, &id, message.at, event, egress).send().await {
            Ok(answer) if answer.is_success() => Ok(Delivery { provider_message_id: Some(id) }),
            Ok(answer) => Err(refusal(&answer)),
            Err(error @ (EgressError::Forbidden | EgressError::Unusable(_))) => Err(Refusal::refused(
                format!("Nothing was sent: {error}."),
                "Set url to a public http or https address.",
            )),
            Err(error) => Err(undelivered("The endpoint", &error)),
        }
    }
}

fn event(kind: &str, at: Timestamp, data: &Json) -> String {
    json!({ "type": kind, "timestamp": iso_milliseconds(at), "data": data }).to_string()
}

/// The same for every attempt under the same key.
fn message_id(idempotency_key: &str) -> String {
    let digest = sha256_hex(idempotency_key.as_bytes());
    format!("msg_{}", digest.get(..32).unwrap_or(&digest))
}

fn signed(config: &Config, url: &Url, id: &str, at: Timestamp, event: String, egress: &Egress) -> Outgoing {
    let method = match config.text("method") {
        Some("PUT") => Method::PUT,
        Some("PATCH") => Method::PATCH,
        _ => Method::POST,
    };
    let timestamp = at.as_second();
    let mut request = egress.user_url(method, url);
    for (name, value) in config.headers("headers") {
        request = request.secret_header(&name, &value);
    }
    request = request.header("webhook-id", id).header("webhook-timestamp", &timestamp.to_string());
    if let Some(secret) = config.secret("signingSecret") {
        request = request.header("webhook-signature", &signature(secret, id, timestamp, &event));
    }
    request.body("application/json", event.into())
}

fn signature(secret: &SecretString, id: &str, timestamp: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key_of(secret.expose_secret()));
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

/// The bytes to sign with: what the base64 stands for, or the text itself if it is none.
fn key_of(secret: &str) -> Vec<u8> {
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    let decoded = LENIENT.decode(encoded).ok().filter(|key| !key.is_empty());
    decoded.unwrap_or_else(|| secret.as_bytes().to_vec())
}

/// The verdict when no answer came: only an address that must not or cannot be used is the config's own fault.
fn unreached(error: &EgressError) -> Report {
    let reason = match error {
        EgressError::Forbidden => {
            return Report::invalid(
                "The URL leads to a private or reserved network, which is not allowed. Use a public one.",
            );
        }
        EgressError::Unusable(reason) => {
            return Report::invalid(format!("The endpoint cannot be asked: {reason}. Correct the URL or the headers."));
        }
        EgressError::Unresolved => "The URL's host name could not be resolved: check its spelling and its DNS records",
        EgressError::Unreachable(_) => {
            "Nothing accepts connections there: check that the server runs and the URL's port"
        }
        EgressError::Untrusted(_) => {
            "The secure connection failed: check that the server speaks TLS on this port and that its certificate is \
             valid for this name and issued by a public authority"
        }
        EgressError::TimedOut { .. } => {
            "The endpoint did not answer in time: check that no firewall drops the connection"
        }
        EgressError::Interrupted(_) => "The endpoint cut the connection before it had answered",
        EgressError::TooLarge { .. } => "The endpoint answered with far more than was to be expected",
    };
    Report::inconclusive(reason)
}

fn refusal(answer: &Answer) -> Refusal {
    match objection(answer) {
        Some(objection) => objection.refusal(),
        None if answer.status == 429 || answer.status >= 500 => refused_for_now("The endpoint", answer, None),
        None => Refusal::refused(
            format!("The endpoint did not take the message (HTTP {}).", answer.status),
            "Look for the reason in the endpoint's own log.",
        ),
    }
}

/// What the endpoint's status means, if it will not pass by itself.
fn objection(answer: &Answer) -> Option<Objection> {
    let status = answer.status;
    let objection = match status {
        300..=399 => Objection::invalid(
            format!("The endpoint redirects (HTTP {status}), and redirects are not followed."),
            "Set url to the address that it redirects to.",
        ),
        401 | 403 => Objection::invalid(
            format!("The endpoint answered but refused our signature or headers (HTTP {status})."),
            "Check signingSecret and headers against what it expects.",
        ),
        404 | 405 => Objection::invalid(
            format!("The URL is reachable, but its path or method is wrong (HTTP {status})."),
            "Check url and method.",
        ),
        410 => Objection::invalid("The endpoint is gone for good (HTTP 410).", "Set url to one that is not."),
        _ => return None,
    };
    Some(objection)
}

#[cfg(test)]
mod tests {
    use super::super::stand_in::{Double, Reply, config, message, nowhere};
    use super::*;
    use crate::model::Verdict::{Inconclusive, Invalid, Valid};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn to(endpoint: &Double) -> Config {
        let url = endpoint.url("/hook?key=1");
        config(FIELDS, json!({ "webhookUrl": url.as_str(), "headers": { "X-Key": "hidden" }, "signingSecret": SECRET }))
    }

    #[test]
    fn the_signature_is_that_of_the_published_example() {
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", r#"{"test": 2432232314}"#);
        for secret in [SECRET, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            let signature = signature(&SecretString::from(secret), id, 1_614_265_330, body);
            assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        }
    }

    #[test]
    fn a_secret_is_decoded_where_it_is_base64() {
        for (secret, key) in [
            ("whsec_aGVsbG8=", "hello"),
            ("whsec_aGVsbG8", "hello"),
            ("aGVsbG8=", "hello"),
            ("whsec_", "whsec_"),
            ("not base64!", "not base64!"),
            ("whsec_not base64!", "whsec_not base64!"),
        ] {
            assert_eq!(key_of(secret), key.as_bytes(), "{secret}");
        }
    }

    #[test]
    fn asymmetric_keys_are_not_taken() {
        let given = json!({ "url": "https://example.com", "signingSecret": "whsk_aGVsbG8=" });
        assert_eq!(Webhook.rules(&config(FIELDS, given), "config")[0].field, "config.signingSecret");
    }

    #[tokio::test]
    async fn the_check_sends_no_webhook_and_takes_any_answer_for_contact() {
        for status in [200, 301, 401, 404, 405, 500, 503] {
            let endpoint = Double::answering([Reply::new(status, "")]).await;
            assert_eq!(Webhook.check(&to(&endpoint), &endpoint.allowed()).await, Report::valid(), "{status}");
            let [asked] = endpoint.asked().try_into().unwrap();
            assert_eq!((asked.method.as_str(), asked.path.as_str()), ("HEAD", "/"));
            assert_eq!((asked.header("x-key"), asked.header("webhook-id")), ("", ""));
        }
    }

    #[tokio::test]
    async fn an_address_that_must_not_be_used_is_invalid_and_trouble_on_the_way_is_not() {
        let endpoint = Double::answering([Reply::new(200, "")]).await;
        let port = endpoint.url("/").port().unwrap();
        let encrypted = format!("https://127.0.0.1:{port}/");
        let given = |url: &str| config(FIELDS, json!({ "url": url }));
        let cases = [
            ("http://127.0.0.1:1/", nowhere(), Invalid, "private or reserved"),
            ("http://169.254.169.254/latest", nowhere(), Invalid, "private or reserved"),
            ("https://user:word@example.com/", nowhere(), Invalid, "password"),
            (encrypted.as_str(), endpoint.allowed(), Inconclusive, "secure connection failed"),
        ];
        for (url, egress, verdict, told) in cases {
            let report = Webhook.check(&given(url), &egress).await;
            assert_eq!(report.verdict, verdict, "{url}: {}", report.message);
            assert!(report.message.contains(told), "{url}: {}", report.message);
            let pinged = Webhook.ping(&given(url), "key", at(0), &egress).await;
            assert_eq!(pinged, report, "{url}");
        }
        let unresolved = unreached(&EgressError::Unresolved);
        assert_eq!(unresolved.verdict, Inconclusive);
        let late = unreached(&EgressError::TimedOut { after: std::time::Duration::from_secs(8) });
        assert_ne!(unresolved.message, late.message);
    }

    #[tokio::test]
    async fn a_ping_is_judged_by_the_endpoints_status() {
        let cases = [
            (204, Valid, "successful"),
            (302, Invalid, "redirects"),
            (401, Invalid, "signature"),
            (403, Invalid, "signature"),
            (404, Invalid, "path or method"),
            (405, Invalid, "path or method"),
            (410, Invalid, "gone"),
            (400, Inconclusive, "HTTP 400"),
            (429, Inconclusive, "too often"),
            (500, Inconclusive, "HTTP 500"),
        ];
        for (status, verdict, told) in cases {
            let endpoint = Double::answering([Reply::new(status, "")]).await;
            let report = Webhook.ping(&to(&endpoint), "key", at(1_614_265_330), &endpoint.allowed()).await;
            assert_eq!(report.verdict, verdict, "{status}");
            assert!(report.message.contains(told), "{}", report.message);
            let [asked] = endpoint.asked().try_into().unwrap();
            assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/hook?key=1"));
            let event = json!({ "type": "integration.test", "timestamp": "2021-02-25T15:02:10.000Z", "data": {} });
            assert_eq!(asked.body, event);
            assert_eq!(asked.header("webhook-timestamp"), "1614265330");
            let signature =
                signature(&SecretString::from(SECRET), asked.header("webhook-id"), 1_614_265_330, &asked.text);
            assert_eq!(asked.header("webhook-signature"), signature);
        }
    }

    #[tokio::test]
    async fn a_message_is_signed_and_keeps_its_id_when_it_is_repeated() {
        let endpoint = Double::answering([Reply::new(202, "")]).await;
        let given = json!({ "url": endpoint.url("/hook").as_str(), "method": "PUT", "headers": { "X-Key": "hidden" } });
        let config = config(FIELDS, given);
        let first = Message { title: Some("Alert".into()), ..message("hello", &["ops"]) };
        let second = Message { at: at(1_614_265_335), ..message("hello", &[]) };
        let sent = Webhook.send(&config, &first, &endpoint.allowed()).await.unwrap();
        Webhook.send(&config, &second, &endpoint.allowed()).await.unwrap();
        let [asked, again] = endpoint.asked().try_into().unwrap();
        let data = json!({ "text": "hello", "title": "Alert", "to": ["ops"] });
        assert_eq!(asked.body, json!({ "type": "message", "timestamp": "2021-02-25T15:02:10.000Z", "data": data }));
        assert_eq!(again.body["data"], json!({ "text": "hello" }));
        assert_eq!((asked.method.as_str(), asked.header("x-key")), ("PUT", "hidden"));
        assert_eq!(asked.header("content-type"), "application/json");
        assert_eq!(asked.header("webhook-signature"), "", "there is nothing to sign with");
        assert_eq!(sent.provider_message_id.as_deref(), Some(asked.header("webhook-id")));
        assert_eq!(asked.header("webhook-id"), again.header("webhook-id"));
        assert_eq!(
            (asked.header("webhook-timestamp"), again.header("webhook-timestamp")),
            ("1614265330", "1614265335")
        );
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do() {
        for (status, told) in [
            (301, "Set url to"),
            (403, "Check signingSecret"),
            (404, "Check url"),
            (422, "own log"),
            (429, "Wait"),
            (503, "Try again later"),
        ] {
            let endpoint = Double::answering([Reply::new(status, "").header("retry-after", 7)]).await;
            let refused = Webhook.send(&to(&endpoint), &message("hello", &[]), &endpoint.allowed()).await.unwrap_err();
            let Refusal::Refused { hint: Some(hint), retry_after, .. } = refused else { panic!("{refused:?}") };
            assert!(hint.contains(told), "{status}: {hint}");
            assert_eq!(retry_after.is_some(), status == 429 || status == 503);
        }
        let endpoint = Double::answering([Reply::new(200, "")]).await;
        let forbidden = Webhook.send(&to(&endpoint), &message("hello", &[]), &nowhere()).await.unwrap_err();
        assert!(matches!(forbidden, Refusal::Refused { hint: Some(hint), .. } if hint.contains("public")));
        assert!(endpoint.asked().is_empty());
    }
}
