//! Cloudflare: accounts, and Workers with secrets.
//!
//! What it reproduces, and from where (Cloudflare's TypeScript client and its changelog, 2026):
//! - Every answer is an envelope with `success`, `errors` and `result`.
//! - `GET …/secrets` gives names and kinds, never values, and nothing that tells when they were changed.
//! - `PATCH …/secrets-bulk` is a merge patch: null deletes, what is not named stays. More than a hundred operations, or one
//!   bad name, refuse it whole. It makes one new version, which is deployed at once; if the newest version is not
//!   deployed, it is refused with 10215.
//! - Values hold 5 KB at most.
//!
//! From reports alone: that 10000, "Authentication error", is said of a bad token and of a missing right alike.

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
use crate::wire::{Refused, bearer, form, header, json as json_answer, lock, text, with_headers};

const MOST_OPERATIONS: usize = 100;
const LARGEST: usize = 5 * 1024;

/// Cloudflare.
#[derive(Clone, Debug)]
pub struct Cloudflare {
    /// Stands for `https://api.cloudflare.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    gate: Gate,
    accounts: Vec<(String, String)>,
    workers: Vec<Worker>,
    hides_accounts: bool,
}

#[derive(Clone, Debug, Default)]
struct Worker {
    name: String,
    account: String,
    /// Kinds and values.
    secrets: BTreeMap<String, (String, String)>,
    versions: usize,
    is_behind: bool,
}

impl Cloudflare {
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

    /// Adds an account.
    pub fn add_account(&self, id: &str, name: &str) {
        lock(&self.state).accounts.push((id.into(), name.into()));
    }

    /// Adds a Worker.
    pub fn add_worker(&self, account: &str, name: &str) {
        let worker = Worker { name: name.into(), account: account.into(), ..Worker::default() };
        lock(&self.state).workers.push(worker);
    }

    /// Sets a secret as somebody else does: `secret_text` or `secret_key`.
    pub fn set(&self, worker: &str, name: &str, kind: &str, value: &str) {
        if let Some(worker) = lock(&self.state).workers.iter_mut().find(|one| one.name == worker) {
            worker.secrets.insert(name.into(), (kind.into(), value.into()));
        }
    }

    /// The secrets of a Worker by name, with their values.
    #[must_use]
    pub fn values(&self, worker: &str) -> Vec<(String, String)> {
        let state = lock(&self.state);
        let found = state.workers.iter().find(|one| one.name == worker);
        let secrets = found.map(|worker| worker.secrets.clone()).unwrap_or_default();
        secrets.into_iter().map(|(name, (_, value))| (name, value)).collect()
    }

    /// How many versions of a Worker were made by changes of its secrets.
    #[must_use]
    pub fn versions(&self, worker: &str) -> usize {
        lock(&self.state).workers.iter().find(|one| one.name == worker).map_or(0, |worker| worker.versions)
    }

    /// From now on the Worker's newest version is not the deployed one.
    pub fn leave_behind(&self, worker: &str) {
        if let Some(worker) = lock(&self.state).workers.iter_mut().find(|one| one.name == worker) {
            worker.is_behind = true;
        }
    }

    /// From now on tokens may not list accounts.
    pub fn hide_accounts(&self) {
        lock(&self.state).hides_accounts = true;
    }

    /// Lists come so many on a page, however many are asked for.
    pub fn page_by(&self, size: usize) {
        lock(&self.state).gate.page = size;
    }

    /// Refuses the next `count` requests of this method with 429, asking to wait so many seconds.
    pub fn throttle(&self, method: &str, count: usize, seconds: i64) {
        lock(&self.state).gate.throttle(method, count, seconds);
    }
}

fn refused(status: StatusCode, code: u32, message: &str) -> Response {
    let errors = json!([{ "code": code, "message": message }]);
    json_answer(status, &json!({ "success": false, "errors": errors, "messages": [], "result": null }))
}

fn accepted(result: &Value) -> Response {
    json_answer(StatusCode::OK, &json!({ "success": true, "errors": [], "messages": [], "result": result }))
}

fn unauthenticated() -> Refused {
    refused(StatusCode::FORBIDDEN, 10_000, "Authentication error").into()
}

fn not_found() -> Refused {
    refused(StatusCode::NOT_FOUND, 10_007, "This Worker does not exist on your account.").into()
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

impl State {
    fn answer(
        &mut self,
        method: &Method,
        path: &[&str],
        query: &Map<String, Value>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response, Refused> {
        let reach = self.gate.reach(bearer(headers));
        if let ["client", "v4", "user", "tokens", "verify"] = path {
            let bad = || Refused::from(refused(StatusCode::UNAUTHORIZED, 1_000, "Invalid API Token"));
            return reach.map(|_| accepted(&json!({ "id": "token-1", "status": "active" }))).ok_or_else(bad);
        }
        let reach = reach.ok_or_else(unauthenticated)?;
        if let Some(seconds) = self.gate.throttled(method) {
            let answer =
                refused(StatusCode::TOO_MANY_REQUESTS, 971, "Please wait and consider throttling your requests");
            return Err(with_headers(answer, [("retry-after", seconds.to_string())]).into());
        }
        match (method.as_str(), path) {
            ("GET", ["client", "v4", "accounts"]) => Ok(self.list_accounts(&reach, query)),
            (_, ["client", "v4", "accounts", account, "workers", "scripts", rest @ ..]) => {
                if !reach.has(account) || (reach.read_only && method != Method::GET) {
                    return Err(unauthenticated());
                }
                if let ("GET", []) = (method.as_str(), rest) {
                    let own = self.workers.iter().filter(|one| one.account == *account);
                    return Ok(accepted(&own.map(|one| json!({ "id": one.name, "handlers": ["fetch"] })).collect()));
                }
                let [script, rest @ ..] = rest else { return Err(not_found()) };
                let known = self.workers.iter_mut().find(|one| one.account == *account && one.name == *script);
                let worker = known.ok_or_else(not_found)?;
                match (method.as_str(), rest) {
                    ("GET", ["secrets"]) => {
                        let secrets = worker.secrets.iter();
                        Ok(accepted(&secrets.map(|(name, (kind, _))| json!({ "name": name, "type": kind })).collect()))
                    }
                    ("PATCH", ["secrets-bulk"]) => {
                        let content_type = header(headers, "content-type").unwrap_or_default();
                        if !content_type.starts_with("application/merge-patch+json") {
                            return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, 10_068, "not a merge patch").into());
                        }
                        worker.change(&serde_json::from_slice(body).unwrap_or_default())
                    }
                    _ => Err(not_found()),
                }
            }
            _ => Err(not_found()),
        }
    }

    fn list_accounts(&self, reach: &Reach, query: &Map<String, Value>) -> Response {
        let own = self.accounts.iter().filter(|(id, _)| reach.has(id) && !self.hides_accounts);
        let own: Vec<Value> = own.map(|(id, name)| json!({ "id": id, "name": name })).collect();
        let size = text(query, "per_page").parse().unwrap_or(20_usize).min(self.gate.page);
        let page = text(query, "page").parse().unwrap_or(1_usize).max(1);
        let shown: Vec<Value> = own.iter().skip((page - 1) * size).take(size).cloned().collect();
        let info = json!({ "page": page, "per_page": size, "count": shown.len(), "total_count": own.len(),
            "total_pages": own.len().div_ceil(size) });
        let body = json!({ "success": true, "errors": [], "messages": [], "result": shown, "result_info": info });
        json_answer(StatusCode::OK, &body)
    }
}

impl Worker {
    fn change(&mut self, body: &Value) -> Result<Response, Refused> {
        let bad = |message: &str| Refused::from(refused(StatusCode::BAD_REQUEST, 10_021, message));
        if self.is_behind {
            let message = "Secret edit failed. You attempted to modify a secret, but the latest version of your Worker \
                           isn't currently deployed.";
            return Err(refused(StatusCode::BAD_REQUEST, 10_215, message).into());
        }
        let changes = body.get("secrets").and_then(Value::as_object).ok_or_else(|| bad("no secrets"))?;
        if changes.len() > MOST_OPERATIONS {
            return Err(bad("too many operations"));
        }
        let mut secrets = self.secrets.clone();
        for (name, change) in changes {
            let Some(change) = change.as_object() else {
                secrets.remove(name);
                continue;
            };
            let (kind, value) = (text(change, "type"), text(change, "text"));
            let sound = !name.starts_with(|first: char| first.is_ascii_digit())
                && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
                && text(change, "name") == name;
            if !sound || kind != "secret_text" || value.len() > LARGEST {
                return Err(bad(&format!("binding {change:?} is malformed")));
            }
            secrets.insert(name.clone(), (kind.to_owned(), value.to_owned()));
        }
        self.secrets = secrets;
        self.versions += 1;
        Ok(accepted(&json!({})))
    }
}
