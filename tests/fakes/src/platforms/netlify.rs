//! Netlify: accounts, sites with environment variables by deploy context, and OAuth applications.
//!
//! What it reproduces, and from where (Netlify's OpenAPI document 2.55 and its command line's source):
//! - A variable has values by context (`production`, `deploy-preview`, `branch-deploy`, `dev`, `dev-server`, `branch` with
//!   a name, or `all`), scopes, and `is_secret`. A value for `all` hides the others.
//! - `POST …/env` takes a list of new variables, all or none. `PUT …/env/{key}` replaces everything that the variable has:
//!   what is not named is gone, scopes and `is_secret` too. `PATCH` sets one context's value, and only that, unless the
//!   context is `all`. `DELETE …/env/{key}` takes all contexts along; `…/value/{id}` one.
//! - Values of a secret are given back for `dev` alone; the others come masked.
//! - Scopes are for accounts whose plan has them: others are refused.
//! - Sites come in pages, with a `Link` header.
//! - 429 has `X-RateLimit-Reset`, a second since 1970, and no `Retry-After`.
//!
//! From reports alone: what the token endpoint answers, and that it says nothing of accounts.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, State as Extracted};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::OAuthClient;
use super::consent::{Consent, Wish, back, oauth_error};
use crate::host::Host;
use crate::wire::{Refused, bearer, form, json as json_answer, lock, plain, text, unix_seconds, with_headers};

const SCOPES: [&str; 4] = ["builds", "functions", "runtime", "post-processing"];
const CONTEXTS: [&str; 7] = ["all", "production", "deploy-preview", "branch-deploy", "dev", "dev-server", "branch"];

/// Netlify.
#[derive(Clone, Debug)]
pub struct Netlify {
    /// Stands for `https://api.netlify.com`.
    pub host: Host,
    /// Stands for `https://app.netlify.com`, where users consent.
    pub web: Host,
    state: Shared,
}

/// A token, and what it reaches.
#[derive(Clone, Debug, Default)]
pub struct NetlifyToken {
    /// The user's id.
    pub user: String,
    /// The ids of the accounts that it reaches.
    pub accounts: Vec<String>,
    /// True if it may not write.
    pub read_only: bool,
}

/// A variable of a site, its values included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetlifyVariable {
    /// Its name.
    pub key: String,
    /// Its values.
    pub values: Vec<NetlifyValue>,
    /// Where it is seen.
    pub scopes: Vec<String>,
    /// True if its values are write-only, but for `dev`.
    pub is_secret: bool,
    /// A moment; later with every change.
    pub updated_at: String,
}

/// A value for one context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetlifyValue {
    /// Its id.
    pub id: String,
    /// The value.
    pub value: String,
    /// The context.
    pub context: String,
    /// The branch's name, for the context `branch`.
    pub branch: Option<String>,
}

impl NetlifyVariable {
    /// A variable with values for some contexts, in every scope.
    #[must_use]
    pub fn of(key: &str, values: &[(&str, &str)]) -> Self {
        let value = |(context, value): &(&str, &str)| {
            let (context, branch) = match context.split_once(':') {
                Some((context, branch)) => (context, Some(branch.to_owned())),
                None => (*context, None),
            };
            NetlifyValue { value: (*value).to_owned(), context: context.to_owned(), branch, ..NetlifyValue::default() }
        };
        let scopes = SCOPES.map(str::to_owned).to_vec();
        Self { key: key.into(), values: values.iter().map(value).collect(), scopes, ..Self::default() }
    }

    /// A secret with values for some contexts.
    #[must_use]
    pub fn secret(key: &str, values: &[(&str, &str)]) -> Self {
        Self { is_secret: true, ..Self::of(key, values) }
    }

    fn shown(&self) -> Value {
        let value = |one: &NetlifyValue| {
            let open = !self.is_secret || one.context == "dev";
            let mut shown = json!({ "id": one.id, "value": if open { one.value.as_str() } else { "**********" },
                "context": one.context });
            if let (Some(branch), Some(shown)) = (&one.branch, shown.as_object_mut()) {
                shown.insert("context_parameter".into(), json!(branch));
            }
            shown
        };
        let values: Vec<Value> = self.values.iter().map(value).collect();
        json!({ "key": self.key, "scopes": self.scopes, "values": values, "is_secret": self.is_secret,
            "updated_at": self.updated_at, "updated_by": { "id": "1", "full_name": "Somebody" } })
    }
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    clock: Option<i64>,
    ticks: i64,
    ids: usize,
    tokens: HashMap<String, NetlifyToken>,
    refresh_tokens: HashMap<String, NetlifyToken>,
    accounts: Vec<Account>,
    sites: Vec<Site>,
    page: usize,
    throttle: Option<(String, usize, i64)>,
    consent: Consent,
    consenting: NetlifyToken,
}

#[derive(Clone, Debug)]
struct Account {
    id: String,
    name: String,
    has_scopes: bool,
}

#[derive(Clone, Debug)]
struct Site {
    id: String,
    name: String,
    account: String,
    repo: Option<String>,
    env: Vec<NetlifyVariable>,
}

impl Netlify {
    /// Starts a server that knows no token.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        lock(&state).page = 100;
        let api = Router::new().route("/oauth/token", post(token)).fallback(api).with_state(Arc::clone(&state));
        let web = Router::new()
            .route("/authorize", get(authorize))
            .route("/consent/{number}/{decision}", get(decide))
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(api).await?, web: Host::start(web).await?, state })
    }

    /// Stops the server's clock at this second.
    pub fn set_clock(&self, seconds: i64) {
        lock(&self.state).clock = Some(seconds);
    }

    /// Adds a token.
    pub fn add_token(&self, token: &str, reach: NetlifyToken) {
        lock(&self.state).tokens.insert(token.to_owned(), reach);
    }

    /// Takes a token away.
    pub fn revoke(&self, token: &str) {
        lock(&self.state).tokens.remove(token);
    }

    /// Adds an account, and whether its plan has scopes.
    pub fn add_account(&self, id: &str, name: &str, has_scopes: bool) {
        lock(&self.state).accounts.push(Account { id: id.into(), name: name.into(), has_scopes });
    }

    /// Adds a site, and the repository that it is built from.
    pub fn add_site(&self, id: &str, name: &str, account: &str, repo: Option<&str>) {
        let repo = repo.map(str::to_owned);
        let site = Site { id: id.into(), name: name.into(), account: account.into(), repo, env: Vec::new() };
        lock(&self.state).sites.push(site);
    }

    /// Sites come so many on a page, however many are asked for.
    pub fn page_by(&self, size: usize) {
        lock(&self.state).page = size;
    }

    /// Adds a variable as somebody else made it.
    pub fn add_variable(&self, site: &str, variable: NetlifyVariable) {
        let mut state = lock(&self.state);
        let updated_at = state.tick();
        let mut variable = NetlifyVariable { updated_at, ..variable };
        for value in &mut variable.values {
            value.id = state.id();
        }
        if let Some(site) = state.sites.iter_mut().find(|one| one.id == site) {
            site.env.push(variable);
        }
    }

    /// The variables of a site by name, their values included.
    #[must_use]
    pub fn variables(&self, site: &str) -> Vec<NetlifyVariable> {
        let state = lock(&self.state);
        let found = state.sites.iter().find(|one| one.id == site);
        let mut variables = found.map(|site| site.env.clone()).unwrap_or_default();
        variables.sort_by(|one, two| one.key.cmp(&two.key));
        variables
    }

    /// The values that a deploy in this context sees, by name: `branch:<name>` for one branch.
    #[must_use]
    pub fn values(&self, site: &str, context: &str) -> Vec<(String, String)> {
        let (context, branch) = context.split_once(':').map_or((context, None), |(one, two)| (one, Some(two)));
        let seen = |variable: NetlifyVariable| {
            let all = variable.values.iter().find(|value| value.context == "all");
            let own = variable.values.iter().find(|one| one.context == context && one.branch.as_deref() == branch);
            all.or(own).map(|value| (variable.key.clone(), value.value.clone()))
        };
        self.variables(site).into_iter().filter_map(seen).collect()
    }

    /// Refuses the next `count` requests of this method with 429; the limit ends in so many seconds of the server's clock.
    pub fn throttle(&self, method: &str, count: usize, reset_in: i64) {
        lock(&self.state).throttle = Some((method.to_owned(), count, reset_in));
    }

    /// Adds an OAuth application.
    pub fn add_client(&self, client: OAuthClient) {
        lock(&self.state).consent.add_client(client);
    }

    /// Who consents from now on.
    pub fn consent_as(&self, reach: NetlifyToken) {
        lock(&self.state).consenting = reach;
    }
}

fn refused(status: StatusCode, message: &str) -> Response {
    json_answer(status, &json!({ "code": status.as_u16(), "message": message }))
}

fn not_found() -> Refused {
    refused(StatusCode::NOT_FOUND, "Not Found").into()
}

fn unprocessable(message: &str) -> Refused {
    refused(StatusCode::UNPROCESSABLE_ENTITY, message).into()
}

async fn authorize(Extracted(state): Extracted<Shared>, OriginalUri(uri): OriginalUri) -> Response {
    let fields = form(uri.query().unwrap_or_default().as_bytes());
    let mut state = lock(&state);
    let wish = Wish {
        client_id: text(&fields, "client_id").to_owned(),
        redirect_uri: text(&fields, "redirect_uri").to_owned(),
        state: Some(text(&fields, "state").to_owned()).filter(|state| !state.is_empty()),
        ..Wish::default()
    };
    let known = state.consent.client(&wish.client_id).is_some_and(|client| client.redirect_uri == wish.redirect_uri);
    if !known || text(&fields, "response_type") != "code" {
        return plain(StatusCode::BAD_REQUEST, "text/plain", "The application or its redirect address is unknown.\n");
    }
    state.consent.page("Netlify", wish)
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
    let invalid = || Refused::from(oauth_error(StatusCode::BAD_REQUEST, "invalid_grant"));
    let granted = state.consent.caller(&headers, &fields).and_then(|client| match text(&fields, "grant_type") {
        "authorization_code" => state.consent.redeem(&client, &fields).map(|_| state.consenting.clone()),
        "refresh_token" => state.refresh_tokens.get(text(&fields, "refresh_token")).cloned().ok_or_else(invalid),
        _ => Err(oauth_error(StatusCode::BAD_REQUEST, "unsupported_grant_type").into()),
    });
    let reach = match granted {
        Ok(reach) => reach,
        Err(refused) => return refused.into_response(),
    };
    let number = state.consent.number();
    let (access, refresh) = (format!("netlify-token-{number}"), format!("netlify-refresh-{number}"));
    state.tokens.insert(access.clone(), reach.clone());
    state.refresh_tokens.insert(refresh.clone(), reach);
    let answer = json!({ "access_token": access, "token_type": "Bearer", "refresh_token": refresh, "scope": "public",
        "created_at": state.now() });
    json_answer(StatusCode::OK, &answer)
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
    fn now(&self) -> i64 {
        self.clock.unwrap_or_else(|| i64::try_from(unix_seconds()).unwrap_or_default())
    }

    /// A moment, later with every call.
    fn tick(&mut self) -> String {
        self.ticks += 1;
        Timestamp::from_millisecond(self.now() * 1_000 + self.ticks).unwrap_or_default().to_string()
    }

    fn id(&mut self) -> String {
        self.ids += 1;
        format!("value-{}", self.ids)
    }

    fn answer(
        &mut self,
        method: &Method,
        path: &[&str],
        query: &Map<String, Value>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response, Refused> {
        let now = self.now();
        let Some(token) = bearer(headers).and_then(|token| self.tokens.get(token)).cloned() else {
            return Err(refused(StatusCode::UNAUTHORIZED, "Access Denied").into());
        };
        if let Some((hit, left, reset_in)) =
            self.throttle.as_mut().filter(|(hit, left, _)| *left > 0 && hit == method.as_str())
        {
            *left -= 1;
            let reset = (now + *reset_in).to_string();
            let answer = refused(StatusCode::TOO_MANY_REQUESTS, &format!("API rate limit exceeded for {hit}"));
            let limits = [("x-ratelimit-limit", "500".into()), ("x-ratelimit-remaining", "0".into())];
            return Err(with_headers(with_headers(answer, limits), [("x-ratelimit-reset", reset)]).into());
        }
        if token.read_only && method != Method::GET {
            return Err(refused(StatusCode::FORBIDDEN, "Forbidden").into());
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match (method.as_str(), path) {
            ("GET", ["api", "v1", "user"]) => {
                Ok(json_answer(StatusCode::OK, &json!({ "id": token.user, "full_name": token.user })))
            }
            ("GET", ["api", "v1", "accounts"]) => {
                let own = self.accounts.iter().filter(|account| token.accounts.contains(&account.id));
                let own: Vec<Value> =
                    own.map(|one| json!({ "id": one.id, "name": one.name, "slug": one.name })).collect();
                Ok(json_answer(StatusCode::OK, &json!(own)))
            }
            ("GET", ["api", "v1", "sites"]) => Ok(self.list_sites(&token, query)),
            (_, ["api", "v1", "accounts", account, "env", rest @ ..])
                if token.accounts.iter().any(|one| one == account) =>
            {
                let has_scopes = self.accounts.iter().any(|one| one.id == *account && one.has_scopes);
                let site = text(query, "site_id");
                let known = self.sites.iter().position(|one| one.id == site && one.account == *account);
                self.of_site(known.ok_or_else(not_found)?, has_scopes, method, rest, &body)
            }
            _ => Err(not_found()),
        }
    }

    fn list_sites(&self, token: &NetlifyToken, query: &Map<String, Value>) -> Response {
        let own: Vec<&Site> = self.sites.iter().filter(|site| token.accounts.contains(&site.account)).collect();
        let size = text(query, "per_page").parse().unwrap_or(100_usize).min(self.page);
        let page = text(query, "page").parse().unwrap_or(1_usize).max(1);
        let shown = own.iter().skip((page - 1) * size).take(size).map(|site| {
            json!({ "id": site.id, "name": site.name, "account_id": site.account, "account_slug": site.account,
                "build_settings": { "provider": site.repo.as_ref().map(|_| "github"), "repo_path": site.repo } })
        });
        let shown: Vec<Value> = shown.collect();
        let answer = json_answer(StatusCode::OK, &json!(shown));
        if page * size >= own.len() {
            return with_headers(answer, [("link", "</api/v1/sites?page=1>; rel=\"first\"".to_owned())]);
        }
        with_headers(answer, [("link", format!("</api/v1/sites?page={}>; rel=\"next\"", page + 1))])
    }

    fn of_site(
        &mut self,
        position: usize,
        has_scopes: bool,
        method: &Method,
        rest: &[&str],
        body: &Value,
    ) -> Result<Response, Refused> {
        let env = self.sites.get(position).map(|site| site.env.clone()).unwrap_or_default();
        let known = |key: &str| env.iter().find(|variable| variable.key == key).cloned().ok_or_else(not_found);
        let ok = |variable: &NetlifyVariable, status| Ok(json_answer(status, &variable.shown()));
        match (method.as_str(), rest) {
            ("GET", []) => {
                let all: Vec<Value> = env.iter().map(NetlifyVariable::shown).collect();
                Ok(json_answer(StatusCode::OK, &json!(all)))
            }
            ("GET", [key]) => ok(&known(key)?, StatusCode::OK),
            ("POST", []) => {
                let items = body.as_array().ok_or_else(|| unprocessable("the body should be a list"))?;
                let mut made = Vec::new();
                for item in items {
                    let variable = self.parse(item, has_scopes)?;
                    if known(&variable.key).is_ok() {
                        return Err(refused(StatusCode::CONFLICT, "the key exists already").into());
                    }
                    made.push(variable);
                }
                let shown: Vec<Value> = made.iter().map(NetlifyVariable::shown).collect();
                if let Some(site) = self.sites.get_mut(position) {
                    site.env.extend(made);
                }
                Ok(json_answer(StatusCode::CREATED, &json!(shown)))
            }
            ("PUT", [key]) => {
                known(key)?;
                let variable = self.parse(body, has_scopes)?;
                self.keep(position, key, Some(variable.clone()));
                ok(&variable, StatusCode::OK)
            }
            ("PATCH", [key]) => {
                let mut variable = known(key)?;
                let value = self.parse_value(body)?;
                if value.context == "all" {
                    variable.values.clear();
                }
                let same = |one: &NetlifyValue| one.context == value.context && one.branch == value.branch;
                match variable.values.iter_mut().find(|one| same(one)) {
                    Some(old) => old.value = value.value,
                    None => variable.values.push(value),
                }
                variable.updated_at = self.tick();
                self.keep(position, key, Some(variable.clone()));
                ok(&variable, StatusCode::CREATED)
            }
            ("DELETE", [key]) => {
                known(key)?;
                self.keep(position, key, None);
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            ("DELETE", [key, "value", id]) => {
                let mut variable = known(key)?;
                let before = variable.values.len();
                variable.values.retain(|value| value.id != *id);
                if variable.values.len() == before {
                    return Err(not_found());
                }
                variable.updated_at = self.tick();
                self.keep(position, key, Some(variable));
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            _ => Err(not_found()),
        }
    }

    fn keep(&mut self, position: usize, key: &str, variable: Option<NetlifyVariable>) {
        let Some(site) = self.sites.get_mut(position) else { return };
        let at = site.env.iter().position(|one| one.key == key).unwrap_or(site.env.len());
        site.env.retain(|one| one.key != key);
        if let Some(variable) = variable {
            site.env.insert(at, variable);
        }
    }

    fn parse(&mut self, item: &Value, has_scopes: bool) -> Result<NetlifyVariable, Refused> {
        let item = item.as_object().ok_or_else(|| unprocessable("should be an object"))?;
        let key = text(item, "key");
        let mut bytes = key.bytes();
        let starts = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if !starts || !bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) {
            return Err(unprocessable(&format!("the key of {item:?} is malformed")));
        }
        let texts = |value: &Value| {
            value.as_array().map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        let scopes: Option<Vec<String>> = item.get("scopes").and_then(texts);
        if scopes.is_some() && !has_scopes {
            return Err(unprocessable("Setting scopes is not included in the account's plan"));
        }
        let mut values: Vec<NetlifyValue> = Vec::new();
        for value in item.get("values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
            let value = self.parse_value(value)?;
            if values.iter().any(|one| one.context == value.context && one.branch == value.branch) {
                return Err(unprocessable("a context is named twice"));
            }
            values.push(value);
        }
        Ok(NetlifyVariable {
            key: key.to_owned(),
            values,
            scopes: scopes.unwrap_or_else(|| SCOPES.map(str::to_owned).to_vec()),
            is_secret: item.get("is_secret").and_then(Value::as_bool).unwrap_or_default(),
            updated_at: self.tick(),
        })
    }

    fn parse_value(&mut self, value: &Value) -> Result<NetlifyValue, Refused> {
        let value = value.as_object().ok_or_else(|| unprocessable("a value should be an object"))?;
        let context = text(value, "context").to_owned();
        let branch = value.get("context_parameter").and_then(Value::as_str).map(str::to_owned);
        let sound = CONTEXTS.contains(&context.as_str()) && (context == "branch") == branch.is_some();
        if !sound || !value.get("value").is_some_and(Value::is_string) {
            return Err(unprocessable("a value is malformed"));
        }
        Ok(NetlifyValue { id: self.id(), value: text(value, "value").to_owned(), context, branch })
    }
}
