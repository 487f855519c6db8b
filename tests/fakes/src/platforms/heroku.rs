//! Heroku: accounts, and apps with config vars and add-ons.
//!
//! What it reproduces, and from where (Heroku's Platform API reference, version 3):
//! - The version stands in `Accept`; without it nothing is answered.
//! - `PATCH …/config-vars` takes a map: null deletes, what is not named stays, one bad name refuses it whole. Each one that
//!   is accepted is a release, which restarts the app's dynos.
//! - Add-ons attach config vars of their own. Nobody can write or delete those: a map with one of them is refused.
//! - Lists come in ranges: a 206 tells the next one in `Next-Range`.
//! - 429 has the id `rate_limit`, and no `Retry-After`.
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
use serde_json::{Value, json};

use super::gate::{Gate, Reach};
use crate::host::Host;
use crate::wire::{Refused, bearer, header, json as json_answer, lock, with_headers};

const VERSION: &str = "application/vnd.heroku+json; version=3";

/// Heroku.
#[derive(Clone, Debug)]
pub struct Heroku {
    /// Stands for `https://api.heroku.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    gate: Gate,
    apps: Vec<App>,
}

#[derive(Clone, Debug)]
struct App {
    id: String,
    name: String,
    owner: String,
    variables: BTreeMap<String, String>,
    attached: Vec<String>,
    releases: usize,
}

impl Heroku {
    /// Starts a server that knows no key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new().fallback(api).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds an API key. The accounts that it reaches are the owners of apps: the user, and teams.
    pub fn add_token(&self, token: &str, reach: Reach) {
        lock(&self.state).gate.add(token, reach);
    }

    /// Takes an API key away.
    pub fn revoke(&self, token: &str) {
        lock(&self.state).gate.revoke(token);
    }

    /// Adds an app.
    pub fn add_app(&self, id: &str, name: &str, owner: &str) {
        lock(&self.state).apps.push(App {
            id: id.into(),
            name: name.into(),
            owner: owner.into(),
            variables: BTreeMap::new(),
            attached: Vec::new(),
            releases: 0,
        });
    }

    /// Sets a config var as somebody else does.
    pub fn set(&self, app: &str, name: &str, value: &str) {
        if let Some(app) = lock(&self.state).apps.iter_mut().find(|one| one.id == app) {
            app.variables.insert(name.into(), value.into());
        }
    }

    /// Sets a config var as an add-on does.
    pub fn attach(&self, app: &str, name: &str, value: &str) {
        self.set(app, name, value);
        if let Some(app) = lock(&self.state).apps.iter_mut().find(|one| one.id == app) {
            app.attached.push(name.into());
        }
    }

    /// The config vars of an app by name.
    #[must_use]
    pub fn values(&self, app: &str) -> Vec<(String, String)> {
        let state = lock(&self.state);
        let found = state.apps.iter().find(|one| one.id == app);
        found.map(|app| app.variables.clone()).unwrap_or_default().into_iter().collect()
    }

    /// How often the dynos of an app were restarted for its config vars.
    #[must_use]
    pub fn releases(&self, app: &str) -> usize {
        lock(&self.state).apps.iter().find(|one| one.id == app).map_or(0, |app| app.releases)
    }

    /// Lists come so many in a range, however many are asked for.
    pub fn page_by(&self, size: usize) {
        lock(&self.state).gate.page = size;
    }

    /// Refuses the next `count` requests of this method with 429.
    pub fn throttle(&self, method: &str, count: usize) {
        lock(&self.state).gate.throttle(method, count, 0);
    }
}

fn refused(status: StatusCode, id: &str, message: &str) -> Response {
    json_answer(status, &json!({ "id": id, "message": message }))
}

fn not_found() -> Refused {
    refused(StatusCode::NOT_FOUND, "not_found", "Couldn't find that app.").into()
}

async fn api(
    Extracted(state): Extracted<Shared>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path: Vec<&str> = uri.path().split('/').skip(1).collect();
    lock(&state).answer(&method, &path, &headers, &body).unwrap_or_else(IntoResponse::into_response)
}

impl State {
    fn answer(
        &mut self,
        method: &Method,
        path: &[&str],
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response, Refused> {
        if header(headers, "accept") != Some(VERSION) {
            return Err(refused(StatusCode::BAD_REQUEST, "bad_version", "Please specify a version.").into());
        }
        let Some(reach) = self.gate.reach(bearer(headers)) else {
            return Err(refused(StatusCode::UNAUTHORIZED, "unauthorized", "Invalid credentials provided.").into());
        };
        if self.gate.throttled(method).is_some() {
            let answer =
                refused(StatusCode::TOO_MANY_REQUESTS, "rate_limit", "Your account reached the API rate limit.");
            return Err(with_headers(answer, [("ratelimit-remaining", "0".to_owned())]).into());
        }
        if reach.read_only && method != Method::GET {
            return Err(refused(StatusCode::FORBIDDEN, "forbidden", "You do not have access to this.").into());
        }
        match (method.as_str(), path) {
            ("GET", ["account"]) => {
                let account = json!({ "id": reach.user, "email": format!("{}@example.com", reach.user), "name": null });
                Ok(json_answer(StatusCode::OK, &account))
            }
            ("GET", ["apps"]) => {
                let own = self.apps.iter().filter(|app| reach.has(&app.owner));
                let all: Vec<Value> = own.map(|app| json!({ "id": app.id, "name": app.name })).collect();
                Ok(self.ranged(&all, headers))
            }
            (_, ["apps", id, rest @ ..]) => {
                let known = |app: &App| (app.id == *id || app.name == *id) && reach.has(&app.owner);
                let at = self.apps.iter().position(known).ok_or_else(not_found)?;
                let app = self.apps.get_mut(at).ok_or_else(not_found)?;
                match (method.as_str(), rest) {
                    ("GET", ["config-vars"]) => Ok(json_answer(StatusCode::OK, &json!(app.variables))),
                    ("PATCH", ["config-vars"]) => app.change(&serde_json::from_slice(body).unwrap_or_default()),
                    ("GET", ["addons"]) => {
                        let addons = app.attached.iter().map(|name| json!({ "id": name, "config_vars": [name] }));
                        let addons: Vec<Value> = addons.collect();
                        Ok(self.ranged(&addons, headers))
                    }
                    _ => Err(not_found()),
                }
            }
            _ => Err(not_found()),
        }
    }

    /// The range that is asked for: `id <start>..; max=<size>`.
    fn ranged(&self, all: &[Value], headers: &HeaderMap) -> Response {
        let range = header(headers, "range").unwrap_or("id ..; max=200");
        let start = range.split([' ', '.']).nth(1).and_then(|start| start.parse().ok()).unwrap_or(0_usize);
        let size = range.split("max=").nth(1).and_then(|size| size.parse().ok()).unwrap_or(200_usize);
        let size = size.min(self.gate.page).min(1_000);
        let shown: Vec<Value> = all.iter().skip(start).take(size).cloned().collect();
        if start + size >= all.len() {
            return json_answer(StatusCode::OK, &json!(shown));
        }
        let answer = json_answer(StatusCode::PARTIAL_CONTENT, &json!(shown));
        with_headers(answer, [("next-range", format!("id {}..; max={size}", start + size))])
    }
}

impl App {
    fn change(&mut self, body: &Value) -> Result<Response, Refused> {
        let bad = |message: &str| Refused::from(refused(StatusCode::UNPROCESSABLE_ENTITY, "invalid_params", message));
        let changes = body.as_object().ok_or_else(|| bad("the body should be an object"))?;
        let mut variables = self.variables.clone();
        for (name, value) in changes {
            if self.attached.contains(name) {
                return Err(bad(&format!("Cannot overwrite attachment values {name}.")));
            }
            let sound = !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit());
            match value.as_str() {
                Some(value) if sound => variables.insert(name.clone(), value.to_owned()),
                None if sound && value.is_null() => variables.remove(name),
                _ => return Err(bad(&format!("{name} = {value} is invalid"))),
            };
        }
        self.variables = variables;
        self.releases += 1;
        Ok(json_answer(StatusCode::OK, &json!(self.variables)))
    }
}
