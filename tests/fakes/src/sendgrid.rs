//! SendGrid: `GET /v3/scopes` and `POST /v3/mail/send`. One fake per region, because a key belongs to one: the other
//! region's host does not know it.
//!
//! What it reproduces, and from where:
//! - A missing key is 401 "authorization required" (SendGrid's OpenAPI document); an unknown, revoked or foreign one is
//!   401 "The provided authorization grant is invalid, expired, or revoked" (many transcripts). That a key of the other
//!   region fails just so is not documented by SendGrid; it follows from the regions being separate systems.
//! - 403 is a good key without the right: "access forbidden" when the scope is missing, and another text naming the
//!   field `from` when the sender is not verified (transcripts; Twilio's error 60222).
//! - A real send is 202 with an empty body and `X-Message-Id`. With `mail_settings.sandbox_mode.enable` set to a real
//!   `true` it is 200 and nothing is sent (Twilio's documentation).
//! - A verified domain verifies each of its addresses (Twilio's documentation of senders).
//! - A 429 has no `Retry-After`: the wait is in `X-RateLimit-Reset`, seconds since 1970. `mail/send` shows no such
//!   headers otherwise (SendGrid's documentation of rate limits).

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{Encoding, Refused, Throttle, bearer, encoding, json, list, lock, text, unix_seconds, with_headers};

/// The limit of `GET /v3/scopes`, a minute.
const REQUESTS_A_MINUTE: u32 = 600;

/// SendGrid in one region.
#[derive(Clone, Debug)]
pub struct SendGrid {
    /// Stands for `https://api.sendgrid.com` or `https://api.eu.sendgrid.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    keys: Vec<Key>,
    /// Addresses, and domains without `@`.
    senders: Vec<String>,
    messages: Vec<SendGridMessage>,
    throttle: Throttle,
}

#[derive(Debug)]
struct Key {
    key: String,
    scopes: Vec<String>,
    reads_scopes: bool,
}

/// An e-mail that was accepted.
#[derive(Clone, Debug)]
pub struct SendGridMessage {
    /// What `X-Message-Id` said.
    pub id: String,
    /// The sender's address.
    pub from: String,
    /// All recipients' addresses.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The whole payload.
    pub payload: Value,
}

impl SendGrid {
    /// Starts one region without any key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new()
            .route("/v3/scopes", get(scopes))
            .route("/v3/mail/send", post(send))
            .fallback(async || error(StatusCode::NOT_FOUND, None, "not found"))
            .method_not_allowed_fallback(async || error(StatusCode::METHOD_NOT_ALLOWED, None, "method not allowed"))
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds a key of this region, or replaces its scopes.
    pub fn add_key(&self, key: &str, scopes: &[&str]) {
        let mut state = lock(&self.state);
        state.keys.retain(|known| known.key != key);
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        state.keys.push(Key { key: key.to_owned(), scopes, reads_scopes: true });
    }

    /// Revokes a key.
    pub fn revoke_key(&self, key: &str) {
        lock(&self.state).keys.retain(|known| known.key != key);
    }

    /// Answers 403 when this key asks for its scopes.
    pub fn hide_scopes(&self, key: &str) {
        for known in lock(&self.state).keys.iter_mut().filter(|known| known.key == key) {
            known.reads_scopes = false;
        }
    }

    /// Verifies a sender: an address, or a domain and with it all its addresses.
    pub fn verify_sender(&self, sender: &str) {
        lock(&self.state).senders.push(sender.to_ascii_lowercase());
    }

    /// Takes the verification of a sender back.
    pub fn forget_sender(&self, sender: &str) {
        lock(&self.state).senders.retain(|known| !known.eq_ignore_ascii_case(sender));
    }

    /// Answers the next `count` requests with 429; the limit is over in `seconds`.
    pub fn throttle(&self, count: usize, seconds: u32) {
        lock(&self.state).throttle.set(count, seconds.into());
    }

    /// Every e-mail that was accepted, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<SendGridMessage> {
        lock(&self.state).messages.clone()
    }
}

fn error(status: StatusCode, field: Option<&str>, message: &str) -> Refused {
    json(status, &json!({ "errors": [{ "message": message, "field": field, "help": null }] })).into()
}

fn limits(response: Response, remaining: u32, seconds: f64) -> Response {
    let seconds = std::time::Duration::from_secs_f64(seconds).as_secs();
    with_headers(
        response,
        [
            ("x-ratelimit-limit", REQUESTS_A_MINUTE.to_string()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-reset", (unix_seconds() + seconds).to_string()),
        ],
    )
}

impl State {
    /// The key of a request, after the rate limit.
    fn key(&mut self, headers: &HeaderMap) -> Result<&Key, Refused> {
        if let Some(seconds) = self.throttle.take() {
            let refused = error(StatusCode::TOO_MANY_REQUESTS, None, "too many requests");
            return Err(limits(refused.into_response(), 0, seconds).into());
        }
        let unauthorized = |message| error(StatusCode::UNAUTHORIZED, None, message);
        let key = bearer(headers).ok_or_else(|| unauthorized("authorization required"))?;
        self.keys
            .iter()
            .find(|known| known.key == key)
            .ok_or_else(|| unauthorized("The provided authorization grant is invalid, expired, or revoked"))
    }

    fn is_verified(&self, from: &str) -> bool {
        let from = from.to_ascii_lowercase();
        let domain = from.rsplit_once('@').map(|(_, domain)| domain);
        self.senders.iter().any(|sender| *sender == from || Some(sender.as_str()) == domain)
    }
}

async fn scopes(Extracted(state): Extracted<Shared>, headers: HeaderMap) -> Result<Response, Refused> {
    let mut state = lock(&state);
    let key = state.key(&headers)?;
    if !key.reads_scopes {
        return Err(error(StatusCode::FORBIDDEN, None, "access forbidden"));
    }
    Ok(limits(json(StatusCode::OK, &json!({ "scopes": key.scopes })), REQUESTS_A_MINUTE - 1, 60.0))
}

async fn send(Extracted(state): Extracted<Shared>, headers: HeaderMap, body: Bytes) -> Result<Response, Refused> {
    let mut state = lock(&state);
    let refuse = |status, field, message| Err(error(status, field, message));
    if !state.key(&headers)?.scopes.iter().any(|scope| scope == "mail.send") {
        return refuse(StatusCode::FORBIDDEN, None, "access forbidden");
    }
    if encoding(&headers) != Encoding::Json {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, "Content-Type should be application/json.");
    }
    let Ok(payload) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, None, "Bad Request");
    };
    let from = check_content(&payload)?;
    let to = recipients(&payload)?;
    if !state.is_verified(&from) {
        let message = "The from address does not match a verified Sender Identity. \
                       Mail cannot be sent until this error is resolved.";
        return refuse(StatusCode::FORBIDDEN, Some("from"), message);
    }
    // Only a real boolean counts: a text "true" sends the e-mail.
    if payload.get("mail_settings").and_then(|it| it.pointer("/sandbox_mode/enable")) == Some(&Value::Bool(true)) {
        return Ok(StatusCode::OK.into_response());
    }
    let id = format!("sandbox-{:08}", state.messages.len() + 1);
    let subject = subject(&payload).unwrap_or_default().to_owned();
    state.messages.push(SendGridMessage { id: id.clone(), from, to, subject, payload: Value::Object(payload) });
    Ok(with_headers(StatusCode::ACCEPTED.into_response(), [("x-message-id", id)]))
}

fn bad_field(field: &str, message: &str) -> Refused {
    error(StatusCode::BAD_REQUEST, Some(field), message)
}

fn email(value: Option<&Value>) -> &str {
    value.and_then(|it| it.get("email")).and_then(Value::as_str).unwrap_or_default()
}

fn subject(payload: &Map<String, Value>) -> Option<&str> {
    let own = list(payload, "personalizations").first().and_then(|it| it.get("subject")).and_then(Value::as_str);
    own.or_else(|| payload.get("subject").and_then(Value::as_str)).filter(|subject| !subject.is_empty())
}

/// Checks what a message must have beside recipients, and returns its sender.
fn check_content(payload: &Map<String, Value>) -> Result<String, Refused> {
    let from = email(payload.get("from"));
    if from.is_empty() {
        return Err(bad_field("from.email", "The from email is required."));
    }
    if !is_address(from) {
        return Err(bad_field("from.email", "The from email does not contain a valid address."));
    }
    let uses_template = !text(payload, "template_id").is_empty();
    if subject(payload).is_none() && !uses_template {
        return Err(bad_field("subject", "The subject is required."));
    }
    let content = list(payload, "content");
    if content.is_empty() && !uses_template {
        return Err(bad_field("content", "At least one content is required."));
    }
    let is_empty = |content: &Value| content.get("value").and_then(Value::as_str).unwrap_or_default().is_empty();
    if content.iter().any(is_empty) {
        return Err(bad_field(
            "content.0.value",
            "The content value must be a string at least one character in length.",
        ));
    }
    Ok(from.to_owned())
}

fn recipients(payload: &Map<String, Value>) -> Result<Vec<String>, Refused> {
    let personalizations = list(payload, "personalizations");
    if personalizations.is_empty() {
        return Err(bad_field("personalizations", "At least one personalization is required."));
    }
    let mut recipients = Vec::new();
    for personalization in personalizations.iter().filter_map(Value::as_object) {
        let to = list(personalization, "to");
        if to.is_empty() {
            return Err(bad_field("personalizations.0.to", "The to array is required."));
        }
        let all = [to, list(personalization, "cc"), list(personalization, "bcc")];
        recipients.extend(all.into_iter().flatten().map(|to| email(Some(to)).to_owned()));
    }
    if recipients.iter().all(|to| is_address(to)) {
        Ok(recipients)
    } else {
        Err(bad_field("personalizations.0.to.0.email", "Does not contain a valid address."))
    }
}

fn is_address(address: &str) -> bool {
    address.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.'))
        && !address.contains(char::is_whitespace)
}
