//! Render: owners, and services with environment variables.
//!
//! What it reproduces, and from where (Render's API reference and the sources of its clients):
//! - Lists come in pages: an item is wrapped with a cursor, and the next page follows the cursor of the last item. Twenty
//!   are on a page unless more are asked for, a hundred at most.
//! - `PUT …/env-vars` replaces the whole list: what is not named is gone. `PUT` and `DELETE …/env-vars/{key}` touch one.
//! - Empty values are refused.
//! - 429 has `Ratelimit-Reset`, in seconds to go, and no `Retry-After`.
//!
//! From reports alone: the words of the errors.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State as Extracted};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value, json};

use super::gate::{Gate, Reach};
use crate::host::Host;
use crate::wire::{Refused, bearer, form, json as json_answer, lock, text, with_headers};

/// Render.
#[derive(Clone, Debug)]
pub struct Render {
    /// Stands for `https://api.render.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    gate: Gate,
    owners: Vec<(String, String)>,
    services: Vec<Service>,
}

#[derive(Clone, Debug)]
struct Service {
    id: String,
    name: String,
    owner: String,
    repository: Option<String>,
    variables: BTreeMap<String, String>,
}

impl Render {
    /// Starts a server that knows no key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new().fallback(api).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds an API key.
    pub fn add_token(&self, token: &str, reach: Reach) {
        lock(&self.state).gate.add(token, reach);
    }

    /// Takes an API key away.
    pub fn revoke(&self, token: &str) {
        lock(&self.state).gate.revoke(token);
    }

    /// Adds an owner: a workspace.
    pub fn add_owner(&self, id: &str, name: &str) {
        lock(&self.state).owners.push((id.into(), name.into()));
    }

    /// Adds a service, and the address of the repository that it is built from.
    pub fn add_service(&self, id: &str, name: &str, owner: &str, repository: Option<&str>) {
        lock(&self.state).services.push(Service {
            id: id.into(),
            name: name.into(),
            owner: owner.into(),
            repository: repository.map(str::to_owned),
            variables: BTreeMap::new(),
        });
    }

    /// Sets a variable as somebody else does.
    pub fn set(&self, service: &str, name: &str, value: &str) {
        if let Some(service) = lock(&self.state).services.iter_mut().find(|one| one.id == service) {
            service.variables.insert(name.into(), value.into());
        }
    }

    /// The variables of a service by name.
    #[must_use]
    pub fn values(&self, service: &str) -> Vec<(String, String)> {
        let state = lock(&self.state);
        let found = state.services.iter().find(|one| one.id == service);
        found.map(|service| service.variables.clone()).unwrap_or_default().into_iter().collect()
    }

    /// Refuses the next `count` requests of this method with 429; the limit ends in so many seconds.
    pub fn throttle(&self, method: &str, count: usize, seconds: i64) {
        lock(&self.state).gate.throttle(method, count, seconds);
    }
}

fn refused(status: StatusCode, message: &str) -> Response {
    json_answer(status, &json!({ "id": "error-1", "message": message }))
}

fn bad(message: &str) -> Refused {
    refused(StatusCode::BAD_REQUEST, message).into()
}

fn not_found() -> Refused {
    refused(StatusCode::NOT_FOUND, "not found").into()
}

async fn api(
    Extracted(state): Extracted<Shared>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = form(uri.query().unwrap_or_default().as_bytes());
    let path: Vec<&str> = uri.path().split('/').skip(1).collect();
    lock(&state).answer(&method, &path, &query, &headers, &body).unwrap_or_else(IntoResponse::into_response)
}

/// A page of `items`, each under `name` and with its cursor.
fn paged(items: Vec<Value>, name: &str, query: &Map<String, Value>) -> Response {
    let start = text(query, "cursor").parse::<usize>().map_or(0, |cursor| cursor + 1);
    let size = text(query, "limit").parse().unwrap_or(20_usize).clamp(1, 100);
    let shown = items.into_iter().enumerate().skip(start).take(size);
    let shown: Vec<Value> = shown.map(|(at, item)| json!({ name: item, "cursor": at.to_string() })).collect();
    json_answer(StatusCode::OK, &json!(shown))
}

/// A name and a value that Render takes.
fn sound(name: &str, value: Option<&Value>) -> Result<String, Refused> {
    let starts = name.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic());
    if !starts || !name.bytes().all(|byte| matches!(byte, b'_' | b'-' | b'.') || byte.is_ascii_alphanumeric()) {
        return Err(bad(&format!("invalid environment variable {name}: {value:?}")));
    }
    match value.and_then(Value::as_str) {
        Some(value) if !value.is_empty() => Ok(value.to_owned()),
        _ => Err(bad("must provide either a value or generateValue")),
    }
}

impl State {
    fn answer(
        &mut self,
        method: &Method,
        path: &[&str],
        query: &Map<String, Value>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response, Refused> {
        let Some(reach) = self.gate.reach(bearer(headers)) else {
            return Err(refused(StatusCode::UNAUTHORIZED, "Unauthorized").into());
        };
        if let Some(seconds) = self.gate.throttled(method) {
            let answer = refused(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded");
            return Err(with_headers(answer, [("ratelimit-reset", seconds.to_string())]).into());
        }
        if reach.read_only && method != Method::GET {
            return Err(refused(StatusCode::FORBIDDEN, "Forbidden").into());
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match (method.as_str(), path) {
            ("GET", ["v1", "owners"]) => {
                let own = self.owners.iter().filter(|(id, _)| reach.has(id));
                let own = own.map(|(id, name)| json!({ "id": id, "name": name, "type": "team" })).collect();
                Ok(paged(own, "owner", query))
            }
            ("GET", ["v1", "services"]) => {
                let wanted = text(query, "ownerId");
                let meant = |one: &&Service| reach.has(&one.owner) && (wanted.is_empty() || wanted == one.owner);
                let shown = self.services.iter().filter(meant).map(|one| {
                    json!({ "id": one.id, "name": one.name, "ownerId": one.owner, "repo": one.repository,
                        "type": "web_service" })
                });
                Ok(paged(shown.collect(), "service", query))
            }
            (_, ["v1", "services", id, "env-vars", rest @ ..]) => {
                let known = |one: &&mut Service| one.id == *id && reach.has(&one.owner);
                let service = self.services.iter_mut().find(known).ok_or_else(not_found)?;
                service.variables(method, rest, query, &body)
            }
            _ => Err(not_found()),
        }
    }
}

impl Service {
    fn variables(
        &mut self,
        method: &Method,
        rest: &[&str],
        query: &Map<String, Value>,
        body: &Value,
    ) -> Result<Response, Refused> {
        match (method.as_str(), rest) {
            ("GET", []) => {
                let all = self.variables.iter().map(|(name, value)| json!({ "key": name, "value": value })).collect();
                Ok(paged(all, "envVar", query))
            }
            ("PUT", []) => {
                let items = body.as_array().ok_or_else(|| bad("the body should be a list"))?;
                let mut variables = BTreeMap::new();
                for item in items.iter().filter_map(Value::as_object) {
                    variables.insert(text(item, "key").to_owned(), sound(text(item, "key"), item.get("value"))?);
                }
                self.variables = variables;
                Ok(json_answer(StatusCode::OK, body))
            }
            ("PUT", [name]) => {
                let value = sound(name, body.get("value"))?;
                self.variables.insert((*name).to_owned(), value.clone());
                Ok(json_answer(StatusCode::OK, &json!({ "key": name, "value": value })))
            }
            ("DELETE", [name]) => {
                self.variables.remove(*name).map(|_| StatusCode::NO_CONTENT.into_response()).ok_or_else(not_found)
            }
            _ => Err(not_found()),
        }
    }
}
