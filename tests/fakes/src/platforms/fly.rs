//! Fly.io: organisations, and apps with secrets.
//!
//! What it reproduces, and from where (Fly.io's documentation and its Go client, August 2026):
//! - Macaroons, which begin with `fm`, come with the scheme `FlyV1`, other tokens with `Bearer`.
//! - Values are never given back, only digests. A digest is opaque; here it differs with every write.
//! - `POST …/secrets` takes a map: null deletes, what is not named stays. One bad name refuses the map.
//! - One request a second for each kind of action and app, three at once, when [`Fly::pace_by`] turns it on.
//! - GraphQL answers 200 with errors; lists are relay connections.
//!
//! From reports alone: the words and codes of the errors, and that a 429 may come without `Retry-After`.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State as Extracted};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::gate::{Gate, Reach};
use super::graphql::{connection, parse, select};
use crate::host::Host;
use crate::wire::{Refused, header, json as json_answer, lock, with_headers};

const BURST: f64 = 3.0;

/// Fly.io.
#[derive(Clone, Debug)]
pub struct Fly {
    /// Stands for `https://api.machines.dev` and `https://api.fly.io`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    gate: Gate,
    organisations: Vec<(String, String)>,
    apps: Vec<App>,
    pace: Option<Duration>,
    buckets: HashMap<String, (f64, Instant)>,
}

#[derive(Clone, Debug)]
struct App {
    name: String,
    organisation: String,
    secrets: BTreeMap<String, Secret>,
}

#[derive(Clone, Debug)]
struct Secret {
    value: String,
    digest: String,
}

impl Fly {
    /// Starts a server that knows no token.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new().fallback(api).with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds a token.
    pub fn add_token(&self, token: &str, reach: Reach) {
        lock(&self.state).gate.add(token, reach);
    }

    /// Takes a token away.
    pub fn revoke(&self, token: &str) {
        lock(&self.state).gate.revoke(token);
    }

    /// Adds an organisation.
    pub fn add_organisation(&self, slug: &str, name: &str) {
        lock(&self.state).organisations.push((slug.into(), name.into()));
    }

    /// Adds an app.
    pub fn add_app(&self, name: &str, organisation: &str) {
        let app = App { name: name.into(), organisation: organisation.into(), secrets: BTreeMap::new() };
        lock(&self.state).apps.push(app);
    }

    /// Sets a secret as somebody else does.
    pub fn set(&self, app: &str, name: &str, value: &str) {
        lock(&self.state).keep(app, name, Some(value));
    }

    /// The secrets of an app by name, with their values.
    #[must_use]
    pub fn values(&self, app: &str) -> Vec<(String, String)> {
        let state = lock(&self.state);
        let found = state.apps.iter().find(|one| one.name == app);
        let secrets = found.map(|app| app.secrets.clone()).unwrap_or_default();
        secrets.into_iter().map(|(name, secret)| (name, secret.value)).collect()
    }

    /// Lists come so many on a page, however many are asked for.
    pub fn page_by(&self, size: usize) {
        lock(&self.state).gate.page = size;
    }

    /// Allows one request in so long for each kind of action and app, three at once.
    pub fn pace_by(&self, pace: Duration) {
        lock(&self.state).pace = Some(pace);
    }

    /// Refuses the next `count` requests of this method with 429, asking to wait so long; 0 asks for nothing.
    pub fn throttle(&self, method: &str, count: usize, seconds: i64) {
        lock(&self.state).gate.throttle(method, count, seconds);
    }
}

fn refused(status: StatusCode, message: &str) -> Response {
    json_answer(status, &json!({ "error": message, "status": status.canonical_reason().unwrap_or_default() }))
}

fn throttled(seconds: i64) -> Refused {
    let answer = refused(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded");
    if seconds == 0 { answer.into() } else { with_headers(answer, [("retry-after", seconds.to_string())]).into() }
}

fn not_found() -> Refused {
    refused(StatusCode::NOT_FOUND, "app not found").into()
}

async fn api(
    Extracted(state): Extracted<Shared>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path: Vec<&str> = uri.path().split('/').skip(1).collect();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut state = lock(&state);
    match (method.as_str(), path.as_slice()) {
        ("POST", ["graphql"]) => state.graphql(&headers, &body),
        (_, ["v1", "apps", app, "secrets"]) => {
            state.secrets(&method, app, &headers, &body).unwrap_or_else(IntoResponse::into_response)
        }
        _ => not_found().into_response(),
    }
}

/// The token, if its scheme is the one for its kind.
fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = header(headers, "authorization")?.split_once(' ')?;
    let wanted = if token.starts_with("fm") { "FlyV1" } else { "Bearer" };
    (scheme == wanted).then_some(token)
}

impl State {
    fn graphql(&self, headers: &HeaderMap, body: &Value) -> Response {
        let failed = |message: &str, code: &str| {
            let errors = json!([{ "message": message, "extensions": { "code": code } }]);
            json_answer(StatusCode::OK, &json!({ "data": null, "errors": errors }))
        };
        let Some(reach) = self.gate.reach(token(headers)) else {
            return failed("You must be authenticated to view this.", "UNAUTHORIZED");
        };
        let shown = |slug: &str| {
            let name = self.organisations.iter().find(|(one, _)| one == slug).map(|(_, name)| name.clone());
            json!({ "id": format!("org-{slug}"), "slug": slug, "name": name })
        };
        let organisations = self.organisations.iter().filter(|(slug, _)| reach.has(slug)).map(|(slug, _)| shown(slug));
        let apps = self.apps.iter().filter(|app| reach.has(&app.organisation)).map(
            |app| json!({ "id": app.name, "name": app.name, "status": "deployed", "organization": shown(&app.organisation) }),
        );
        let root = json!({ "organizations": connection(organisations.collect()), "apps": connection(apps.collect()) });
        let document = body.get("query").and_then(Value::as_str).unwrap_or_default();
        let variables = body.get("variables").cloned().unwrap_or_default();
        match parse(document, &variables).and_then(|operation| select(&root, &operation.fields, self.gate.page)) {
            Ok(data) => json_answer(StatusCode::OK, &json!({ "data": data })),
            Err(message) => failed(&message, "INVALID"),
        }
    }

    fn secrets(&mut self, method: &Method, app: &str, headers: &HeaderMap, body: &Value) -> Result<Response, Refused> {
        let Some(reach) = self.gate.reach(token(headers)) else {
            return Err(refused(StatusCode::UNAUTHORIZED, "Authenticate: token validation error").into());
        };
        if let Some(seconds) = self.gate.throttled(method) {
            return Err(throttled(seconds));
        }
        if !self.is_in_pace(&format!("{method} {app}")) {
            return Err(throttled(0));
        }
        let known =
            self.apps.iter().find(|one| one.name == app && reach.has(&one.organisation)).ok_or_else(not_found)?;
        match method.as_str() {
            "GET" => {
                let shown = known.secrets.iter().map(|(name, secret)| json!({ "name": name, "digest": secret.digest }));
                Ok(json_answer(StatusCode::OK, &json!({ "secrets": shown.collect::<Vec<Value>>() })))
            }
            "POST" if reach.read_only => Err(refused(StatusCode::FORBIDDEN, "permission denied").into()),
            "POST" => self.change(app, body),
            _ => Err(not_found()),
        }
    }

    fn change(&mut self, app: &str, body: &Value) -> Result<Response, Refused> {
        let values = body.get("values").and_then(Value::as_object).cloned().unwrap_or_default();
        for (name, value) in &values {
            let mut bytes = name.bytes();
            let starts = bytes.next().is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic());
            let sound = starts && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
            if !sound || !(value.is_null() || value.is_string()) {
                return Err(refused(StatusCode::BAD_REQUEST, &format!("invalid secret {name}: {value}")).into());
            }
        }
        let mut shown = Vec::new();
        for (name, value) in &values {
            if let Some(digest) = self.keep(app, name, value.as_str()) {
                shown.push(json!({ "name": name, "digest": digest }));
            }
        }
        let version = self.gate.number();
        Ok(json_answer(StatusCode::OK, &json!({ "secrets": shown, "version": version })))
    }

    fn keep(&mut self, app: &str, name: &str, value: Option<&str>) -> Option<String> {
        let digest = format!("{:016x}", self.gate.number());
        let app = self.apps.iter_mut().find(|one| one.name == app)?;
        let Some(value) = value else {
            app.secrets.remove(name);
            return None;
        };
        app.secrets.insert(name.to_owned(), Secret { value: value.to_owned(), digest: digest.clone() });
        Some(digest)
    }

    fn is_in_pace(&mut self, action: &str) -> bool {
        let Some(pace) = self.pace else { return true };
        let now = Instant::now();
        let (left, since) = self.buckets.entry(action.to_owned()).or_insert((BURST, now));
        let gained = now.duration_since(*since).as_secs_f64() / pace.as_secs_f64();
        *left = (*left + gained).min(BURST);
        *since = now;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}
