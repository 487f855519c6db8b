//! Two AI gateways: Vercel's, and any other that speaks OpenAI's protocol.
//!
//! What they reproduce, and from where:
//! - Vercel's `GET /v1/credits` answers `balance` and `total_used` as texts, in US dollars; a bad key is 401 with
//!   `error.type` `authentication_error`, a blocked one 403 `forbidden` (Vercel's documentation and its SDK's source).
//! - Vercel's `GET /v1/models` is open to everybody, so it proves nothing about a key. Vercel's page says that some
//!   endpoints need none; that this is one shows in Vercel's own chat template, which reads it without.
//! - Another gateway's `GET /v1/models` either checks the key or is a public catalogue; which of the two cannot be told
//!   from one good answer. [`OpenAiCompatible::set_catalogue`] switches.
//! - OpenAI's 401 repeats the key in the message, masked in the middle (seen in people's reports): a caller that passes
//!   the message on leaks a part of it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State as Extracted;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::host::Host;
use crate::wire::{Throttle, bearer, json, lock, whole_seconds, with_headers};

/// Vercel's AI Gateway.
#[derive(Clone, Debug)]
pub struct AiGateway {
    /// Stands for `https://ai-gateway.vercel.sh`.
    pub host: Host,
    state: Shared<Vercel>,
}

/// Another gateway, addressed by its base URL.
#[derive(Clone, Debug)]
pub struct OpenAiCompatible {
    /// Stands for a gateway of the user's choice.
    pub host: Host,
    state: Shared<Compatible>,
}

type Shared<T> = Arc<Mutex<T>>;

#[derive(Debug, Default)]
struct Vercel {
    /// By key: its team's credits, or nothing when it is blocked.
    keys: HashMap<String, Option<Credits>>,
    throttle: Throttle,
}

#[derive(Clone, Debug)]
struct Credits {
    balance: String,
    total_used: String,
}

#[derive(Debug, Default)]
struct Compatible {
    keys: Vec<String>,
    catalogue: Catalogue,
    throttle: Throttle,
}

/// Who may read a gateway's list of models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Catalogue {
    /// Only who has a good key.
    #[default]
    ChecksKeys,
    /// Everybody, with any key or none.
    Public,
}

impl AiGateway {
    /// Starts without any key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::<Vercel>::default();
        let router = Router::new()
            .route("/v1/credits", get(credits))
            .route("/v1/models", get(vercel_models))
            .fallback(async || vercel_error(StatusCode::NOT_FOUND, "not_found", "Not found"))
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds a key with its team's credits in US dollars, or changes them.
    pub fn add_key(&self, key: &str, balance: &str, total_used: &str) {
        let credits = Credits { balance: balance.to_owned(), total_used: total_used.to_owned() };
        lock(&self.state).keys.insert(key.to_owned(), Some(credits));
    }

    /// Deletes a key: 401.
    pub fn revoke_key(&self, key: &str) {
        lock(&self.state).keys.remove(key);
    }

    /// Blocks a key: 403.
    pub fn block_key(&self, key: &str) {
        lock(&self.state).keys.insert(key.to_owned(), None);
    }

    /// Answers the next `count` requests with 429, asking to wait `seconds`.
    pub fn throttle(&self, count: usize, seconds: u32) {
        lock(&self.state).throttle.set(count, seconds.into());
    }
}

fn vercel_error(status: StatusCode, kind: &str, message: &str) -> Response {
    json(status, &json!({ "error": { "message": message, "type": kind } }))
}

fn vercel_throttle(state: &mut Vercel) -> Option<Response> {
    let seconds = state.throttle.take()?;
    let refused = vercel_error(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "Rate limit exceeded");
    Some(with_headers(refused, [("retry-after", whole_seconds(seconds))]))
}

async fn credits(Extracted(state): Extracted<Shared<Vercel>>, headers: HeaderMap) -> Response {
    let mut state = lock(&state);
    if let Some(refused) = vercel_throttle(&mut state) {
        return refused;
    }
    match bearer(&headers).and_then(|key| state.keys.get(key)) {
        None => vercel_error(StatusCode::UNAUTHORIZED, "authentication_error", "Invalid API key"),
        Some(None) => vercel_error(StatusCode::FORBIDDEN, "forbidden", "This API key is blocked"),
        Some(Some(credits)) => {
            json(StatusCode::OK, &json!({ "balance": credits.balance, "total_used": credits.total_used }))
        }
    }
}

async fn vercel_models(Extracted(state): Extracted<Shared<Vercel>>) -> Response {
    let refused = vercel_throttle(&mut lock(&state));
    refused.unwrap_or_else(|| json(StatusCode::OK, &models("openai/gpt-sandbox")))
}

fn models(id: &str) -> Value {
    json!({
        "object": "list",
        "data": [{ "id": id, "object": "model", "created": 1_767_225_600, "owned_by": "sandbox" }],
    })
}

impl OpenAiCompatible {
    /// Starts without any key, with a catalogue that checks keys.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::<Compatible>::default();
        let router = Router::new()
            .route("/v1/models", get(compatible_models))
            .fallback(async || compatible_error(StatusCode::NOT_FOUND, "Unknown request URL", "unknown_url"))
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// The base URL to configure: the origin and `/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.host.origin())
    }

    /// Adds a key.
    pub fn add_key(&self, key: &str) {
        let mut state = lock(&self.state);
        if !state.keys.iter().any(|known| known == key) {
            state.keys.push(key.to_owned());
        }
    }

    /// Deletes a key.
    pub fn revoke_key(&self, key: &str) {
        lock(&self.state).keys.retain(|known| known != key);
    }

    /// Opens the catalogue to everybody, or closes it again.
    pub fn set_catalogue(&self, catalogue: Catalogue) {
        lock(&self.state).catalogue = catalogue;
    }

    /// Answers the next `count` requests with 429, asking to wait `seconds`.
    pub fn throttle(&self, count: usize, seconds: u32) {
        lock(&self.state).throttle.set(count, seconds.into());
    }

    /// The address as a user may write it in a URL.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.host.address()
    }
}

fn compatible_error(status: StatusCode, message: &str, code: &str) -> Response {
    let error = json!({ "message": message, "type": "invalid_request_error", "param": null, "code": code });
    json(status, &json!({ "error": error }))
}

async fn compatible_models(Extracted(state): Extracted<Shared<Compatible>>, headers: HeaderMap) -> Response {
    let mut state = lock(&state);
    if let Some(seconds) = state.throttle.take() {
        let refused = compatible_error(StatusCode::TOO_MANY_REQUESTS, "Rate limit reached", "rate_limit_exceeded");
        return with_headers(refused, [("retry-after", whole_seconds(seconds))]);
    }
    let key = bearer(&headers);
    let is_known = key.is_some_and(|key| state.keys.iter().any(|known| known == key));
    match (state.catalogue, key) {
        (Catalogue::ChecksKeys, None) => {
            compatible_error(StatusCode::UNAUTHORIZED, "You didn't provide an API key.", "invalid_api_key")
        }
        (Catalogue::ChecksKeys, Some(key)) if !is_known => {
            let message = format!("Incorrect API key provided: {}.", masked(key));
            compatible_error(StatusCode::UNAUTHORIZED, &message, "invalid_api_key")
        }
        (Catalogue::ChecksKeys | Catalogue::Public, _) => json(StatusCode::OK, &models("sandbox-1")),
    }
}

/// A key as OpenAI's error repeats it: the first eight and the last four characters.
fn masked(key: &str) -> String {
    let length = key.chars().count();
    key.chars().enumerate().map(|(index, shown)| if index < 8 || index + 4 >= length { shown } else { '*' }).collect()
}
