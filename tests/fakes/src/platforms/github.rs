//! GitHub: repositories with secrets for their actions, and environments with secrets of their own.
//!
//! What it reproduces, and from where (GitHub's REST documentation, version 2022-11-28):
//! - A secret is sent sealed to the public key of its repository or environment, with the key's id. A box that does not
//!   open, or another key's id, is refused with 422. Values are never given back, only names and `updated_at`, to the second.
//! - Names are stored in upper case, however they are sent: `db_url` overwrites `DB_URL`. They hold letters, digits and `_`,
//!   begin with no digit and not with `GITHUB_`.
//! - A repository has at most a hundred secrets, and so has an environment.
//! - Lists come in pages with a `Link` header; those of secrets also say how many there are.
//! - A caller without a `User-Agent` is refused.
//! - OAuth apps: pages and the token endpoint are another host's. Refusals of the token endpoint are a 200 with `error`.
//!   Tokens do not end; an app can take one back.
//! - Limits: a secondary one is a 403 with `Retry-After`, the primary one a 403 with `X-RateLimit-Remaining: 0` and
//!   `X-RateLimit-Reset`, a second since 1970.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, State as Extracted};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_box::SecretKey;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value, json};

use super::OAuthClient;
use super::consent::{Consent, Wish, back};
use super::gate::{Gate, Reach, START};
use crate::host::Host;
use crate::wire::{Refused, bearer, form, has_user_agent, json as json_answer, lock, plain, text, with_headers};

/// The most secrets of a repository or an environment.
const MOST: usize = 100;
const LARGEST: usize = 48 * 1024;

/// GitHub.
#[derive(Clone, Debug)]
pub struct Github {
    /// Stands for `https://api.github.com`.
    pub host: Host,
    /// Stands for `https://github.com`.
    pub web: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    gate: Gate,
    is_spent: bool,
    repositories: Vec<Repository>,
    key_number: u8,
    consent: Consent,
    consenting: Reach,
}

#[derive(Clone, Debug)]
struct Repository {
    owner: String,
    name: String,
    /// By the environment's name; the repository's own are under the empty one. Values and the moments of their change.
    scopes: BTreeMap<String, BTreeMap<String, (String, String)>>,
}

impl Github {
    /// Starts a server that knows no token.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new().fallback(api).with_state(Arc::clone(&state));
        let web = Router::new()
            .route("/login/oauth/authorize", get(authorize))
            .route("/login/oauth/access_token", post(token))
            .route("/consent/{number}/{decision}", get(decide))
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, web: Host::start(web).await?, state })
    }

    /// Adds a token. The accounts that it reaches are the owners of repositories.
    pub fn add_token(&self, token: &str, reach: Reach) {
        lock(&self.state).gate.add(token, reach);
    }

    /// Takes a token away.
    pub fn revoke(&self, token: &str) {
        lock(&self.state).gate.revoke(token);
    }

    /// Adds a repository with environments.
    pub fn add_repository(&self, owner: &str, name: &str, environments: &[&str]) {
        let scopes = environments.iter().chain(&[""]).map(|name| ((*name).to_owned(), BTreeMap::new())).collect();
        lock(&self.state).repositories.push(Repository { owner: owner.into(), name: name.into(), scopes });
    }

    /// Sets a secret as somebody else does; the empty environment is the repository itself.
    pub fn set(&self, repository: &str, environment: &str, name: &str, value: &str) {
        lock(&self.state).keep(repository, environment, name, value);
    }

    /// The secrets of a repository's environment by name, with their values; the empty one is the repository itself.
    #[must_use]
    pub fn values(&self, repository: &str, environment: &str) -> Vec<(String, String)> {
        let state = lock(&self.state);
        let found = state.repositories.iter().find(|one| one.full_name() == repository);
        let secrets = found.and_then(|one| one.scopes.get(environment)).cloned().unwrap_or_default();
        secrets.into_iter().map(|(name, (value, _))| (name, value)).collect()
    }

    /// Adds an OAuth app.
    pub fn add_client(&self, client: OAuthClient) {
        lock(&self.state).consent.add_client(client);
    }

    /// Who consents from now on.
    pub fn consent_as(&self, reach: Reach) {
        lock(&self.state).consenting = reach;
    }

    /// Lists come so many on a page, however many are asked for.
    pub fn page_by(&self, size: usize) {
        lock(&self.state).gate.page = size;
    }

    /// The public keys that were given out are good no more.
    pub fn rotate_keys(&self) {
        lock(&self.state).key_number += 1;
    }

    /// Refuses the next `count` requests of this method for their haste, asking to wait so many seconds.
    pub fn throttle(&self, method: &str, count: usize, seconds: i64) {
        let mut state = lock(&self.state);
        state.is_spent = false;
        state.gate.throttle(method, count, seconds);
    }

    /// Refuses the next `count` requests of this method because the hour's are spent; it ends in so many seconds.
    pub fn spend(&self, method: &str, count: usize, seconds: i64) {
        let mut state = lock(&self.state);
        state.is_spent = true;
        state.gate.throttle(method, count, seconds);
    }
}

impl Repository {
    fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

fn refused(status: StatusCode, message: &str) -> Response {
    json_answer(status, &json!({ "message": message, "documentation_url": "https://docs.github.com/rest" }))
}

fn not_found() -> Refused {
    refused(StatusCode::NOT_FOUND, "Not Found").into()
}

fn unprocessable(message: &str) -> Refused {
    refused(StatusCode::UNPROCESSABLE_ENTITY, message).into()
}

async fn authorize(Extracted(state): Extracted<Shared>, OriginalUri(uri): OriginalUri) -> Response {
    let fields = form(uri.query().unwrap_or_default().as_bytes());
    let given = |name: &str| Some(text(&fields, name).to_owned()).filter(|value| !value.is_empty());
    let mut state = lock(&state);
    let wish = Wish {
        client_id: text(&fields, "client_id").to_owned(),
        redirect_uri: text(&fields, "redirect_uri").to_owned(),
        state: given("state"),
        challenge: given("code_challenge"),
    };
    let known = state.consent.client(&wish.client_id).is_some_and(|client| client.redirect_uri == wish.redirect_uri);
    if !known {
        return plain(StatusCode::NOT_FOUND, "text/plain", "The application or its redirect address is unknown.\n");
    }
    state.consent.page("GitHub", wish)
}

async fn decide(Extracted(state): Extracted<Shared>, Path((number, decision)): Path<(usize, String)>) -> Response {
    let mut state = lock(&state);
    let Some(wish) = state.consent.wish(number) else { return not_found().into_response() };
    let mut pairs: Vec<(&str, &str)> = wish.state.as_deref().map(|state| ("state", state)).into_iter().collect();
    if decision != "allow" {
        pairs.push(("error", "access_denied"));
        return back(&wish.redirect_uri, &pairs);
    }
    let code = state.consent.code(wish.clone());
    pairs.push(("code", &code));
    back(&wish.redirect_uri, &pairs)
}

async fn token(Extracted(state): Extracted<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let fields = form(&body);
    let mut state = lock(&state);
    let failed = |code: &str| json_answer(StatusCode::OK, &json!({ "error": code, "error_description": "No." }));
    let Ok(client) = state.consent.caller(&headers, &fields) else { return failed("incorrect_client_credentials") };
    if state.consent.redeem(&client, &fields).is_err() {
        return failed("bad_verification_code");
    }
    let access = format!("gho_{}", state.consent.number());
    let reach = state.consenting.clone();
    state.gate.add(&access, reach);
    json_answer(StatusCode::OK, &json!({ "access_token": access, "scope": "repo", "token_type": "bearer" }))
}

async fn api(
    Extracted(state): Extracted<Shared>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let decoded = |part: &str| text(&form(format!("part={part}").as_bytes()), "part").to_owned();
    let path: Vec<String> = uri.path().split('/').skip(1).map(decoded).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let query = form(uri.query().unwrap_or_default().as_bytes());
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
        if !has_user_agent(headers) {
            return Err(refused(StatusCode::FORBIDDEN, "Request forbidden by administrative rules.").into());
        }
        if let ("DELETE", ["applications", client, "token"]) = (method.as_str(), path) {
            return self.take_back(client, headers, body);
        }
        let Some(reach) = self.gate.reach(bearer(headers)) else {
            return Err(refused(StatusCode::UNAUTHORIZED, "Bad credentials").into());
        };
        if let Some(seconds) = self.gate.throttled(method) {
            let answer = refused(StatusCode::FORBIDDEN, "You have exceeded a rate limit.");
            if !self.is_spent {
                return Err(with_headers(answer, [("retry-after", seconds.to_string())]).into());
            }
            let reset = (START + seconds).to_string();
            let limits = [("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", reset)];
            return Err(with_headers(answer, limits).into());
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match (method.as_str(), path) {
            ("GET", ["user"]) => {
                let user = json!({ "id": account_id(&reach.user), "login": reach.user, "name": reach.user });
                Ok(json_answer(StatusCode::OK, &user))
            }
            ("GET", ["users", login]) if reach.has(login) => {
                Ok(json_answer(StatusCode::OK, &json!({ "id": account_id(login), "login": login, "name": null })))
            }
            ("GET", ["user", "repos"]) => {
                let own = self.repositories.iter().filter(|one| reach.has(&one.owner)).map(|one| {
                    json!({ "id": 1, "name": one.name, "full_name": one.full_name(), "owner": { "login": one.owner } })
                });
                Ok(self.paged(&own.collect::<Vec<Value>>(), query, |shown, _| json!(shown)))
            }
            (_, ["repos", owner, name, rest @ ..]) => {
                // Letter case makes no difference in a path.
                let known = |one: &&Repository| {
                    one.owner.eq_ignore_ascii_case(owner)
                        && one.name.eq_ignore_ascii_case(name)
                        && reach.has(&one.owner)
                };
                let repository = self.repositories.iter().find(known).cloned().ok_or_else(not_found)?;
                if reach.read_only && method != Method::GET {
                    let message = "Resource not accessible by personal access token";
                    return Err(refused(StatusCode::FORBIDDEN, message).into());
                }
                match (method.as_str(), rest) {
                    ("GET", ["environments"]) => {
                        let names = repository.scopes.keys().filter(|name| !name.is_empty());
                        let all: Vec<Value> = names.map(|name| json!({ "name": name })).collect();
                        let body = |shown, total| json!({ "total_count": total, "environments": shown });
                        Ok(self.paged(&all, query, body))
                    }
                    (_, ["actions", "secrets", rest @ ..]) => self.secrets(&repository, "", method, rest, query, &body),
                    (_, ["environments", environment, "secrets", rest @ ..]) if !environment.is_empty() => {
                        self.secrets(&repository, environment, method, rest, query, &body)
                    }
                    _ => Err(not_found()),
                }
            }
            _ => Err(not_found()),
        }
    }

    fn take_back(&mut self, client: &str, headers: &HeaderMap, body: &[u8]) -> Result<Response, Refused> {
        let caller = self.consent.caller(headers, &Map::new()).ok().filter(|caller| caller.id == client);
        if caller.is_none() {
            return Err(refused(StatusCode::UNAUTHORIZED, "Bad credentials").into());
        }
        let body: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        let token = text(&body, "access_token");
        self.gate.reach(Some(token)).ok_or_else(not_found)?;
        self.gate.revoke(token);
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    fn paged(&self, all: &[Value], query: &Map<String, Value>, body: impl Fn(Vec<Value>, usize) -> Value) -> Response {
        let size = text(query, "per_page").parse().unwrap_or(30_usize).min(self.gate.page);
        let page = text(query, "page").parse().unwrap_or(1_usize).max(1);
        let shown: Vec<Value> = all.iter().skip((page - 1) * size).take(size).cloned().collect();
        let answer = json_answer(StatusCode::OK, &body(shown, all.len()));
        if page * size >= all.len() {
            return answer;
        }
        with_headers(answer, [("link", format!("</?page={}>; rel=\"next\", </?page=9>; rel=\"last\"", page + 1))])
    }

    fn secrets(
        &mut self,
        repository: &Repository,
        environment: &str,
        method: &Method,
        rest: &[&str],
        query: &Map<String, Value>,
        body: &Value,
    ) -> Result<Response, Refused> {
        let secrets = repository.scopes.get(environment).ok_or_else(not_found)?;
        match (method.as_str(), rest) {
            ("GET", []) => {
                let all: Vec<Value> = secrets
                    .iter()
                    .map(|(name, (_, moment))| json!({ "name": name, "created_at": moment, "updated_at": moment }))
                    .collect();
                Ok(self.paged(&all, query, |shown, total| json!({ "total_count": total, "secrets": shown })))
            }
            ("GET", ["public-key"]) => {
                let key = self.key(repository, environment).public_key();
                let shown = json!({ "key_id": self.key_id(), "key": STANDARD.encode(key.as_bytes()) });
                Ok(json_answer(StatusCode::OK, &shown))
            }
            ("PUT", [name]) => {
                let name = name.to_ascii_uppercase();
                let sound = name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
                    && !name.starts_with(|first: char| first.is_ascii_digit())
                    && !name.starts_with("GITHUB_");
                if !sound {
                    return Err(unprocessable(
                        "Secret names are alphanumeric, and do not begin with a digit or GITHUB_",
                    ));
                }
                let is_new = !secrets.contains_key(&name);
                if is_new && secrets.len() >= MOST {
                    return Err(unprocessable("Secrets limit exceeded"));
                }
                let value = self.opened(repository, environment, body)?;
                self.keep(&repository.full_name(), environment, &name, &value);
                let status = if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
                Ok(status.into_response())
            }
            ("DELETE", [name]) => {
                let name = name.to_ascii_uppercase();
                let all = self.repositories.iter_mut().find(|one| one.full_name() == repository.full_name());
                let kept = all.and_then(|one| one.scopes.get_mut(environment)).ok_or_else(not_found)?;
                kept.remove(&name).map(|_| StatusCode::NO_CONTENT.into_response()).ok_or_else(not_found)
            }
            _ => Err(not_found()),
        }
    }

    /// Another key for every repository and environment.
    fn key(&self, repository: &Repository, environment: &str) -> SecretKey {
        let mut bytes = [self.key_number.wrapping_add(1); 32];
        let place = format!("{}/{environment}", repository.full_name());
        bytes.iter_mut().zip(place.bytes()).for_each(|(byte, letter)| *byte ^= letter);
        SecretKey::from_bytes(bytes)
    }

    fn key_id(&self) -> String {
        format!("key-{}", self.key_number)
    }

    fn opened(&self, repository: &Repository, environment: &str, body: &Value) -> Result<String, Refused> {
        let body = body.as_object().ok_or_else(|| unprocessable("the body should be an object"))?;
        if text(body, "key_id") != self.key_id() {
            return Err(unprocessable("Key id does not match the public key"));
        }
        let sealed = STANDARD.decode(text(body, "encrypted_value")).unwrap_or_default();
        let opened = self.key(repository, environment).unseal(&sealed).ok();
        let value = opened.and_then(|bytes| String::from_utf8(bytes).ok());
        value.filter(|value| value.len() <= LARGEST).ok_or_else(|| unprocessable("The secret could not be decrypted"))
    }

    fn keep(&mut self, repository: &str, environment: &str, name: &str, value: &str) {
        let moment = self.gate.moment();
        let found = self.repositories.iter_mut().find(|one| one.full_name() == repository);
        if let Some(secrets) = found.and_then(|one| one.scopes.get_mut(environment)) {
            secrets.insert(name.to_owned(), (value.to_owned(), moment));
        }
    }
}

/// A number for a login, as GitHub has one.
fn account_id(login: &str) -> u64 {
    login.bytes().fold(7, |number, byte| number * 31 % 1_000_003 + u64::from(byte))
}
