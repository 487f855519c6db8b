//! Resend: `GET /domains`, `POST /emails` and `POST /emails/batch`.
//!
//! What it reproduces, and from where:
//! - Errors are `{"statusCode", "name", "message"}`; their names and statuses are Resend's error page and its official
//!   Rust SDK. A 403 is a bad key, a 401 a missing one or one that may only send: the other way round from most.
//! - A bad key is documented as 403 `invalid_api_key`. What people see of the live service is 400 `validation_error`, and
//!   at times 401 `validation_error`, with the same message; [`Resend::answer_bad_keys_with`] chooses.
//! - A request without `User-Agent` is stopped at the edge: 403, "error code: 1010", not JSON (Resend's documentation).
//! - The sender's domain must be verified exactly, subdomain included: 403 `validation_error`. `resend.dev` reaches only
//!   the account's own address. A key limited to one domain answers 403 "not authorized to send emails from" for others
//!   (people's reports; its `name` is not shown in them, here it is `validation_error`).
//! - `Idempotency-Key`, 1 to 256 characters, per key: the same body gets the same id again and nothing is sent twice,
//!   another body 409 `invalid_idempotent_request`. Keys live 24 hours; [`Resend::forget_idempotency_keys`] lets that
//!   time pass. Refused requests do not use a key up (Resend's documentation and another emulator's source).
//! - A batch is a list of up to 100 e-mails, all of which are taken or none: the first error is the batch's (Resend's page
//!   on validation modes; the other mode, `permissive`, is not reproduced). A body that is no list is 422
//!   `validation_error`, "The `request.body` field must be an `array`." (reports on the PHP SDK). An e-mail of a batch has
//!   neither attachments nor a schedule (Resend's page on batches). The words for those and for a batch that is empty or
//!   too long are not documented; here they are 422 `validation_error` as well. One `Idempotency-Key` stands for the whole
//!   batch.
//! - Every answer carries `ratelimit-limit`, `-remaining` and `-reset` (seconds to wait, no date). Resend's pages
//!   disagree about the number, so a caller must read it. A used-up quota is a 429 as well, told apart by its name.
//! - `GET /domains` answers everything unless `limit` (1 to 100) asks for a page; then `has_more` and `after` lead on
//!   (Resend's page on pagination).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{RawQuery, Request, State as Extracted};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::host::Host;
use crate::wire::{
    Refused, Throttle, bearer, form, has_user_agent, header, json, lock, plain, text, whole_seconds, with_headers,
};

/// Requests a second.
const RATE: u32 = 5;
/// Most recipients of an e-mail.
const MOST_RECIPIENTS: usize = 50;
/// Most e-mails of a batch.
const LARGEST_BATCH: usize = 100;
/// The domain that everybody may try, towards the account's own address.
const TRIAL_DOMAIN: &str = "resend.dev";

/// Resend, one account.
#[derive(Clone, Debug)]
pub struct Resend {
    /// Stands for `https://api.resend.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    keys: HashMap<String, ResendPermission>,
    domains: Vec<ResendDomain>,
    emails: Vec<ResendEmail>,
    /// By API key and idempotency key: the body and the answer it got.
    answered: HashMap<(String, String), (Value, Value)>,
    own_address: String,
    bad_key: ResendBadKey,
    quota: Option<ResendQuota>,
    throttle: Throttle,
}

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResendPermission {
    /// Everything.
    FullAccess,
    /// Only send e-mails, from any of the account's domains or only from this one.
    SendingAccess {
        /// The only domain to send from.
        domain: Option<String>,
    },
}

/// How a bad key is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResendBadKey {
    /// 403 `invalid_api_key`, as documented.
    #[default]
    Forbidden,
    /// 400 `validation_error`, as mostly seen.
    ValidationError,
    /// 401 `validation_error`, as sometimes seen: a 401 that does not mean a restricted key.
    Unauthorized,
}

/// A quota that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResendQuota {
    /// `daily_quota_exceeded`.
    Daily,
    /// `monthly_quota_exceeded`.
    Monthly,
}

/// A domain of the account.
#[derive(Clone, Debug)]
pub struct ResendDomain {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// `not_started`, `pending`, `verified` or `failed`.
    pub status: String,
}

/// An e-mail that was accepted.
#[derive(Clone, Debug)]
pub struct ResendEmail {
    /// The id.
    pub id: String,
    /// The sender as given, with or without a name.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The whole payload.
    pub payload: Value,
    /// The caller's idempotency key.
    pub idempotency_key: Option<String>,
}

impl Resend {
    /// Starts an account without keys and domains; its own address is `owner@sandbox.example`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State { own_address: "owner@sandbox.example".to_owned(), ..State::default() }));
        let router = Router::new()
            .route("/domains", get(list_domains))
            .route("/emails", post(send_email))
            .route("/emails/batch", post(send_batch))
            .fallback(async || error(StatusCode::NOT_FOUND, "not_found", "The requested endpoint does not exist"))
            .method_not_allowed_fallback(async || {
                error(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "This endpoint does not support this method",
                )
            })
            .layer(from_fn_with_state(Arc::clone(&state), edge))
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds a key, or changes what it may do.
    pub fn add_key(&self, key: &str, permission: ResendPermission) {
        lock(&self.state).keys.insert(key.to_owned(), permission);
    }

    /// Deletes a key.
    pub fn revoke_key(&self, key: &str) {
        lock(&self.state).keys.remove(key);
    }

    /// Chooses how bad keys are answered.
    pub fn answer_bad_keys_with(&self, answer: ResendBadKey) {
        lock(&self.state).bad_key = answer;
    }

    /// Adds a domain with this status, or changes its status.
    pub fn set_domain(&self, name: &str, status: &str) {
        let mut state = lock(&self.state);
        if let Some(domain) = state.domains.iter_mut().find(|domain| domain.name == name) {
            status.clone_into(&mut domain.status);
            return;
        }
        let id = fake_id("d", state.domains.len() + 1);
        state.domains.push(ResendDomain { id, name: name.to_owned(), status: status.to_owned() });
    }

    /// Verifies a domain.
    pub fn verify_domain(&self, name: &str) {
        self.set_domain(name, "verified");
    }

    /// Uses up a quota, or gives it back.
    pub fn set_quota(&self, exceeded: Option<ResendQuota>) {
        lock(&self.state).quota = exceeded;
    }

    /// Lets 24 hours pass for idempotency keys.
    pub fn forget_idempotency_keys(&self) {
        lock(&self.state).answered.clear();
    }

    /// Answers the next `count` requests with 429 `rate_limit_exceeded`, asking to wait `seconds`.
    pub fn throttle(&self, count: usize, seconds: u32) {
        lock(&self.state).throttle.set(count, seconds.into());
    }

    /// Every e-mail that was accepted, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<ResendEmail> {
        lock(&self.state).emails.clone()
    }
}

/// An id in the shape of Resend's, counted.
fn fake_id(kind: &str, number: usize) -> String {
    format!("{kind}0000000-0000-4000-8000-{number:012x}")
}

fn error(status: StatusCode, name: &str, message: &str) -> Refused {
    json(status, &json!({ "statusCode": status.as_u16(), "name": name, "message": message })).into()
}

fn limits(response: Response, remaining: u32, seconds: f64) -> Response {
    with_headers(
        response,
        [
            ("ratelimit-limit", RATE.to_string()),
            ("ratelimit-remaining", remaining.to_string()),
            ("ratelimit-reset", whole_seconds(seconds)),
        ],
    )
}

/// What stands before the API: the edge that wants a `User-Agent`, and the rate limit.
async fn edge(Extracted(state): Extracted<Shared>, request: Request, next: Next) -> Response {
    if !has_user_agent(request.headers()) {
        return plain(StatusCode::FORBIDDEN, "text/plain; charset=UTF-8", "error code: 1010");
    }
    let throttled = lock(&state).throttle.take();
    if let Some(seconds) = throttled {
        let message = "Too many requests. Slow down, or ask for a higher limit.";
        let refused = error(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message);
        return with_headers(limits(refused.into_response(), 0, seconds), [("retry-after", whole_seconds(seconds))]);
    }
    limits(next.run(request).await, RATE - 1, 1.0)
}

impl State {
    /// The caller's key and what it may do.
    fn key(&self, headers: &HeaderMap) -> Result<(String, ResendPermission), Refused> {
        let Some(key) = bearer(headers) else {
            let message = "Missing API key in the authorization header";
            return Err(error(StatusCode::UNAUTHORIZED, "missing_api_key", message));
        };
        if let Some(permission) = self.keys.get(key) {
            return Ok((key.to_owned(), permission.clone()));
        }
        let (status, name) = match self.bad_key {
            ResendBadKey::Forbidden => (StatusCode::FORBIDDEN, "invalid_api_key"),
            ResendBadKey::ValidationError => (StatusCode::BAD_REQUEST, "validation_error"),
            ResendBadKey::Unauthorized => (StatusCode::UNAUTHORIZED, "validation_error"),
        };
        Err(error(status, name, "API key is invalid"))
    }
}

async fn list_domains(
    Extracted(state): Extracted<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let state = lock(&state);
    if let (_, ResendPermission::SendingAccess { .. }) = state.key(&headers)? {
        let message = "This API key is restricted to only send emails";
        return Err(error(StatusCode::UNAUTHORIZED, "restricted_api_key", message));
    }
    let query = form(query.unwrap_or_default().as_bytes());
    let limit = match query.get("limit").and_then(Value::as_str).map(str::parse::<usize>) {
        None => usize::MAX,
        Some(Ok(limit)) if (1..=100).contains(&limit) => limit,
        Some(_) => {
            let message = "The limit must be a number between 1 and 100";
            return Err(error(StatusCode::UNPROCESSABLE_ENTITY, "validation_error", message));
        }
    };
    let after = text(&query, "after");
    let skipped = state.domains.iter().position(|domain| domain.id == after).map_or(0, |position| position + 1);
    let rest = state.domains.iter().skip(skipped);
    let has_more = rest.clone().nth(limit).is_some();
    let data: Vec<Value> = rest.take(limit).map(domain_object).collect();
    Ok(json(StatusCode::OK, &json!({ "object": "list", "has_more": has_more, "data": data })))
}

fn domain_object(domain: &ResendDomain) -> Value {
    json!({
        "id": domain.id,
        "name": domain.name,
        "status": domain.status,
        "created_at": "2026-01-01 00:00:00.000000+00",
        "region": "us-east-1",
        "capabilities": { "sending": "enabled", "receiving": "disabled" },
    })
}

async fn send_email(Extracted(state): Extracted<Shared>, headers: HeaderMap, body: Bytes) -> Result<Response, Refused> {
    let answer = lock(&state).send(&headers, &body, State::take_email)?;
    Ok(json(StatusCode::OK, &answer))
}

async fn send_batch(Extracted(state): Extracted<Shared>, headers: HeaderMap, body: Bytes) -> Result<Response, Refused> {
    let answer = lock(&state).send(&headers, &body, State::take_batch)?;
    Ok(json(StatusCode::OK, &answer))
}

fn unprocessable(name: &str, message: &str) -> Refused {
    error(StatusCode::UNPROCESSABLE_ENTITY, name, message)
}

/// Who sends: what the key may do, and the idempotency key.
struct Sender {
    permission: ResendPermission,
    idempotency_key: Option<String>,
}

impl State {
    /// What both ways of sending share: the key, the body, and the idempotency key. `take` does the work and gives the
    /// answer.
    fn send(
        &mut self,
        headers: &HeaderMap,
        body: &Bytes,
        take: fn(&mut Self, &Sender, &Value) -> Result<Value, Refused>,
    ) -> Result<Value, Refused> {
        let (key, permission) = self.key(headers)?;
        let idempotency_key = header(headers, "idempotency-key").map(str::to_owned);
        if idempotency_key.as_ref().is_some_and(|key| !(1..=256).contains(&key.chars().count())) {
            let message = "The idempotency key must be between 1 and 256 characters";
            return Err(error(StatusCode::BAD_REQUEST, "invalid_idempotency_key", message));
        }
        let payload: Value = serde_json::from_slice(body)
            .map_err(|_| error(StatusCode::BAD_REQUEST, "validation_error", "The request body is not JSON"))?;
        let slot = idempotency_key.clone().map(|idempotency_key| (key, idempotency_key));
        if let Some((known, answer)) = slot.as_ref().and_then(|slot| self.answered.get(slot)) {
            if *known == payload {
                return Ok(answer.clone());
            }
            let message = "This idempotency key was used with another request body in the last 24 hours";
            return Err(error(StatusCode::CONFLICT, "invalid_idempotent_request", message));
        }
        let answer = take(self, &Sender { permission, idempotency_key }, &payload)?;
        if let Some(slot) = slot {
            self.answered.insert(slot, (payload, answer.clone()));
        }
        Ok(answer)
    }

    fn take_email(&mut self, sender: &Sender, payload: &Value) -> Result<Value, Refused> {
        if !payload.is_object() {
            return Err(error(StatusCode::BAD_REQUEST, "validation_error", "The request body is not a JSON object"));
        }
        let email = self.check(sender, payload, self.emails.len())?;
        let answer = json!({ "id": email.id });
        self.emails.push(email);
        Ok(answer)
    }

    fn take_batch(&mut self, sender: &Sender, payload: &Value) -> Result<Value, Refused> {
        let Some(payloads) = payload.as_array() else {
            return Err(unprocessable("validation_error", "The `request.body` field must be an `array`."));
        };
        if !(1..=LARGEST_BATCH).contains(&payloads.len()) {
            return Err(unprocessable("validation_error", "The `request.body` field must have 1 to 100 items."));
        }
        let mut emails = Vec::new();
        for payload in payloads {
            if let Some(name) = ["attachments", "scheduled_at"].iter().find(|name| payload.get(**name).is_some()) {
                let message = format!("The `{name}` field is not supported in a batch.");
                return Err(unprocessable("validation_error", &message));
            }
            emails.push(self.check(sender, payload, self.emails.len() + emails.len())?);
        }
        let ids: Vec<Value> = emails.iter().map(|email| json!({ "id": email.id })).collect();
        self.emails.append(&mut emails);
        Ok(json!({ "data": ids }))
    }

    /// Everything that can be wrong with an e-mail. `before` counts the e-mails before it.
    fn check(&self, sender: &Sender, payload: &Value, before: usize) -> Result<ResendEmail, Refused> {
        let field = |name: &str| payload.get(name).and_then(Value::as_str).unwrap_or_default();
        let has_content = ["html", "text", "react", "template"].iter().any(|name| payload.get(name).is_some());
        let to = match payload.get("to") {
            Some(Value::String(to)) => vec![to.clone()],
            Some(Value::Array(to)) => to.iter().map(|to| to.as_str().unwrap_or_default().to_owned()).collect(),
            _ => Vec::new(),
        };
        let missing = [
            ("from", field("from").is_empty()),
            ("to", to.is_empty()),
            ("subject", field("subject").is_empty() && payload.get("template").is_none()),
            ("html", !has_content),
        ];
        if let Some((name, _)) = missing.iter().find(|(_, is_missing)| *is_missing) {
            return Err(unprocessable("missing_required_field", &format!("Missing `{name}` field.")));
        }
        if to.len() > MOST_RECIPIENTS || !to.iter().all(|to| domain_of(to).is_some()) {
            return Err(unprocessable("validation_error", "Invalid `to` field."));
        }
        let Some(domain) = domain_of(field("from")) else {
            return Err(unprocessable("invalid_from_address", "Invalid `from` field."));
        };
        self.check_sender(&sender.permission, &domain, &to)?;
        if let Some(quota) = self.quota {
            let (name, message) = match quota {
                ResendQuota::Daily => ("daily_quota_exceeded", "You have reached your daily email quota."),
                ResendQuota::Monthly => ("monthly_quota_exceeded", "You have reached your monthly email quota."),
            };
            return Err(error(StatusCode::TOO_MANY_REQUESTS, name, message));
        }
        Ok(ResendEmail {
            id: fake_id("e", before + 1),
            from: field("from").to_owned(),
            to,
            subject: field("subject").to_owned(),
            payload: payload.clone(),
            idempotency_key: sender.idempotency_key.clone(),
        })
    }

    fn check_sender(&self, permission: &ResendPermission, domain: &str, to: &[String]) -> Result<(), Refused> {
        let forbidden = |message: String| Err(error(StatusCode::FORBIDDEN, "validation_error", message.as_str()));
        if let ResendPermission::SendingAccess { domain: Some(only) } = permission
            && only != domain
        {
            return forbidden(format!("This API key is not authorized to send emails from {domain}"));
        }
        if domain == TRIAL_DOMAIN {
            if to.iter().all(|to| to == &self.own_address) {
                return Ok(());
            }
            let own = &self.own_address;
            return forbidden(format!("You can only send testing emails to your own email address ({own})."));
        }
        if self.domains.iter().any(|known| known.name == domain && known.status == "verified") {
            return Ok(());
        }
        let advice = "Please, add and verify your domain on https://resend.com/domains";
        forbidden(format!("The {domain} domain is not verified. {advice}"))
    }
}

/// The domain of `name@domain` or `Name <name@domain>`.
fn domain_of(address: &str) -> Option<String> {
    let bare = match address.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>')?,
        None => address.trim(),
    };
    let (name, domain) = bare.split_once('@')?;
    let is_valid = !name.is_empty() && domain.contains('.') && !domain.contains('@') && !bare.contains([' ', '<', '>']);
    is_valid.then(|| domain.to_ascii_lowercase())
}
