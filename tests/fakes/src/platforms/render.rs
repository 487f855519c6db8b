//! Render: services with environment variables.
//!
//! What it reproduces, and from where (Render's API reference, and another product's use of it):
//! - Lists are pairs of a thing and a cursor, in pages.
//! - `PUT …/env-vars` replaces the whole list; `PUT` and `DELETE …/env-vars/{key}` one. An empty value is refused.
//! - Nothing takes effect before `POST …/deploys`.
//!
//! From reports alone: the words of errors, and that 429 has `Retry-After`.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State as Extracted};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{Throttle, bearer, form, json as json_answer, lock, text, whole_seconds, with_headers};

/// Render.
#[derive(Clone, Debug)]
pub struct Render {
    /// Stands for `https://api.render.com`.
    pub host: Host,
    state: Shared,
}

/// An API key, and what it reaches.
#[derive(Clone, Debug, Default)]
pub struct RenderKey {
    /// The ids of the workspaces that it reaches.
    pub owners: Vec<String>,
    /// True if it may not write.
    pub read_only: bool,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    page: usize,
    keys: HashMap<String, RenderKey>,
    owners: Vec<(String, String)>,
    services: Vec<Service>,
    throttle: Option<(String, Throttle)>,
}

#[derive(Clone, Debug)]
struct Service {
    id: String,
    name: String,
    owner: String,
    repo: Option<String>,
    env: BTreeMap<String, String>,
    deploys: usize,
}

impl Render {
    /// Starts a server that knows no key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        lock(&state).page = 100;
        let router = Router::new().fallback(api).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds an API key.
    pub fn add_key(&self, key: &str, reach: RenderKey) {
        lock(&self.state).keys.insert(key.to_owned(), reach);
    }

    /// Takes an API key away.
    pub fn revoke(&self, key: &str) {
        lock(&self.state).keys.remove(key);
    }

    /// Adds a workspace.
    pub fn add_owner(&self, id: &str, name: &str) {
        lock(&self.state).owners.push((id.to_owned(), name.to_owned()));
    }

    /// Adds a service of a workspace, and the address of the repository that it is built from.
    pub fn add_service(&self, id: &str, name: &str, owner: &str, repo: Option<&str>) {
        let (repo, env) = (repo.map(str::to_owned), BTreeMap::new());
        let service = Service { id: id.into(), name: name.into(), owner: owner.into(), repo, env, deploys: 0 };
        lock(&self.state).services.push(service);
    }

    /// Lists come so many on a page.
    pub fn page_by(&self, size: usize) {
        lock(&self.state).page = size;
    }

    /// Sets a variable as somebody else does.
    pub fn set(&self, service: &str, name: &str, value: &str) {
        if let Some(service) = lock(&self.state).services.iter_mut().find(|one| one.id == service) {
            service.env.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The variables of a service.
    #[must_use]
    pub fn values(&self, service: &str) -> Vec<(String, String)> {
        let state = lock(&self.state);
        let found = state.services.iter().find(|one| one.id == service);
        found.map(|service| service.env.clone()).unwrap_or_default().into_iter().collect()
    }

    /// How often a service was deployed.
    #[must_use]
    pub fn deploys(&self, service: &str) -> usize {
        lock(&self.state).services.iter().find(|one| one.id == service).map_or(0, |service| service.deploys)
    }

    /// Refuses the next `count` requests of this method with 429, asking to wait `seconds`.
    pub fn throttle(&self, method: &str, count: usize, seconds: f64) {
        let mut throttle = Throttle::default();
        throttle.set(count, seconds);
        lock(&self.state).throttle = Some((method.to_owned(), throttle));
    }
}

fn refused(status: StatusCode, message: &str) -> Response {
    json_answer(status, &json!({ "id": "request", "message": message }))
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
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    lock(&state).answer(&method, &path, &query, &headers, &body)
}

impl State {
    fn answer(
        &mut self,
        method: &Method,
        path: &[&str],
        query: &Map<String, Value>,
        headers: &HeaderMap,
        body: &Value,
    ) -> Response {
        let Some(key) = bearer(headers).and_then(|key| self.keys.get(key)).cloned() else {
            return refused(StatusCode::UNAUTHORIZED, "Unauthorized");
        };
        let throttle = self.throttle.as_mut().filter(|(hit, _)| hit == method.as_str());
        if let Some(seconds) = throttle.and_then(|(_, throttle)| throttle.take()) {
            let answer = refused(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded");
            return with_headers(answer, [("retry-after", whole_seconds(seconds))]);
        }
        if key.read_only && *method != Method::GET {
            return refused(StatusCode::FORBIDDEN, "forbidden");
        }
        let page = self.page;
        match (method.as_str(), path) {
            ("GET", ["v1", "owners"]) => {
                let own = self.owners.iter().filter(|(id, _)| key.owners.contains(id));
                let own = own.map(|(id, name)| ("owner", json!({ "id": id, "name": name, "type": "team" })));
                listed(own.collect(), query, page)
            }
            ("GET", ["v1", "services"]) => {
                let owner = text(query, "ownerId");
                let own = self.services.iter().filter(|one| key.owners.contains(&one.owner));
                let own = own.filter(|one| owner.is_empty() || one.owner == owner).map(|one| {
                    let details = json!({ "id": one.id, "name": one.name, "ownerId": one.owner, "repo": one.repo,
                        "serviceDetails": { "runtime": "node" } });
                    ("service", details)
                });
                listed(own.collect(), query, page)
            }
            (_, ["v1", "services", id, rest @ ..]) => {
                let own = |one: &&mut Service| one.id == *id && key.owners.contains(&one.owner);
                match self.services.iter_mut().find(own) {
                    Some(service) => service.answer(method, rest, query, page, body),
                    None => refused(StatusCode::NOT_FOUND, "not found"),
                }
            }
            _ => refused(StatusCode::NOT_FOUND, "not found"),
        }
    }
}

impl Service {
    fn answer(
        &mut self,
        method: &Method,
        rest: &[&str],
        query: &Map<String, Value>,
        page: usize,
        body: &Value,
    ) -> Response {
        let one = |key: &str, value: &str| json!({ "key": key, "value": value });
        match (method.as_str(), rest) {
            ("GET", ["env-vars"]) => {
                let all = self.env.iter().map(|(key, value)| ("envVar", one(key, value)));
                listed(all.collect(), query, page)
            }
            ("PUT", ["env-vars"]) => {
                let wanted = body.as_array().map(Vec::as_slice).unwrap_or_default();
                let pair = |item: &Value| {
                    Some((item.get("key")?.as_str()?.to_owned(), item.get("value")?.as_str()?.to_owned()))
                };
                self.env = wanted.iter().filter_map(pair).collect();
                json_answer(StatusCode::OK, body)
            }
            ("PUT", ["env-vars", key]) => {
                let value = body.get("value").and_then(Value::as_str).unwrap_or_default();
                if value.is_empty() || key.contains("%20") || key.starts_with(|first: char| first.is_ascii_digit()) {
                    return refused(StatusCode::BAD_REQUEST, &format!("invalid: {key}={value}"));
                }
                self.env.insert((*key).to_owned(), value.to_owned());
                json_answer(StatusCode::OK, &one(key, value))
            }
            ("DELETE", ["env-vars", key]) => match self.env.remove(*key) {
                Some(_) => StatusCode::NO_CONTENT.into_response(),
                None => refused(StatusCode::NOT_FOUND, "not found"),
            },
            ("POST", ["deploys"]) => {
                self.deploys += 1;
                json_answer(StatusCode::CREATED, &json!({ "id": format!("dep-{}", self.deploys) }))
            }
            _ => refused(StatusCode::NOT_FOUND, "not found"),
        }
    }
}

fn listed(all: Vec<(&str, Value)>, query: &Map<String, Value>, page: usize) -> Response {
    let start = text(query, "cursor").parse::<usize>().map_or(0, |cursor| cursor + 1);
    let size = text(query, "limit").parse().unwrap_or(20_usize).min(page);
    let shown = all.into_iter().enumerate().skip(start).take(size);
    let shown: Vec<Value> = shown.map(|(at, (name, one))| json!({ name: one, "cursor": at.to_string() })).collect();
    json_answer(StatusCode::OK, &json!(shown))
}
