//! Heroku: apps with config vars, and its authorization server.
//!
//! What it reproduces, and from where (Heroku's platform API reference and its article on OAuth):
//! - Every call names version 3 in `Accept`. Errors are `{"id", "message"}`.
//! - `PATCH /apps/{app}/config-vars` takes a map; null deletes. It is done whole or refused whole, and restarts the app
//!   once.
//! - Add-ons attach config vars of their own. A map that names one of them is refused.
//! - Lists come in ranges: 206 with `Next-Range`, which is sent back as `Range`.
//! - The redirect address is the one that the client has; a token lives eight hours, its refresh token stays.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, State as Extracted};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value, json};

use super::OAuthClient;
use super::consent::{Consent, Wish, back, oauth_error};
use crate::host::Host;
use crate::wire::{
    Refused, Throttle, bearer, form, header, json as json_answer, lock, plain, text, whole_seconds, with_headers,
};

/// Heroku.
#[derive(Clone, Debug)]
pub struct Heroku {
    /// Stands for `https://api.heroku.com`.
    pub host: Host,
    /// Stands for `https://id.heroku.com`.
    pub id: Host,
    state: Shared,
}

/// A token, and what it reaches.
#[derive(Clone, Debug, Default)]
pub struct HerokuToken {
    /// The user's id.
    pub user: String,
    /// True if it may not write.
    pub read_only: bool,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    page: usize,
    tokens: HashMap<String, HerokuToken>,
    refresh_tokens: HashMap<String, HerokuToken>,
    apps: Vec<App>,
    throttle: Throttle,
    consent: Consent,
    consenting: HerokuToken,
}

#[derive(Clone, Debug)]
struct App {
    id: String,
    name: String,
    owner: String,
    config: BTreeMap<String, String>,
    attached: Vec<String>,
    restarts: usize,
}

impl Heroku {
    /// Starts a server that knows no token.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        lock(&state).page = 200;
        let api = Router::new().fallback(api).with_state(Arc::clone(&state));
        let id = Router::new()
            .route("/oauth/authorize", get(authorize))
            .route("/oauth/token", post(token))
            .route("/consent/{number}/{decision}", get(decide))
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(api).await?, id: Host::start(id).await?, state })
    }

    /// Adds a token.
    pub fn add_token(&self, token: &str, reach: HerokuToken) {
        lock(&self.state).tokens.insert(token.to_owned(), reach);
    }

    /// Takes a token away.
    pub fn revoke(&self, token: &str) {
        lock(&self.state).tokens.remove(token);
    }

    /// Adds an app of a user.
    pub fn add_app(&self, id: &str, name: &str, owner: &str) {
        lock(&self.state).apps.push(App {
            id: id.into(),
            name: name.into(),
            owner: owner.into(),
            config: BTreeMap::new(),
            attached: Vec::new(),
            restarts: 0,
        });
    }

    /// Lists come in ranges of so many.
    pub fn page_by(&self, size: usize) {
        lock(&self.state).page = size;
    }

    /// Sets a config var as somebody else does.
    pub fn set(&self, app: &str, name: &str, value: &str) {
        if let Some(app) = lock(&self.state).apps.iter_mut().find(|one| one.id == app) {
            app.config.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Sets a config var as an add-on does.
    pub fn attach(&self, app: &str, name: &str, value: &str) {
        self.set(app, name, value);
        if let Some(app) = lock(&self.state).apps.iter_mut().find(|one| one.id == app) {
            app.attached.push(name.to_owned());
        }
    }

    /// The config vars of an app.
    #[must_use]
    pub fn values(&self, app: &str) -> Vec<(String, String)> {
        let state = lock(&self.state);
        let found = state.apps.iter().find(|one| one.id == app);
        found.map(|app| app.config.clone()).unwrap_or_default().into_iter().collect()
    }

    /// How often an app was restarted.
    #[must_use]
    pub fn restarts(&self, app: &str) -> usize {
        lock(&self.state).apps.iter().find(|one| one.id == app).map_or(0, |app| app.restarts)
    }

    /// Refuses the next `count` requests with 429, asking to wait `seconds`.
    pub fn throttle(&self, count: usize, seconds: f64) {
        lock(&self.state).throttle.set(count, seconds);
    }

    /// Adds an OAuth client.
    pub fn add_client(&self, client: OAuthClient) {
        lock(&self.state).consent.add_client(client);
    }

    /// Who consents from now on.
    pub fn consent_as(&self, reach: HerokuToken) {
        lock(&self.state).consenting = reach;
    }
}

fn refused(status: StatusCode, id: &str, message: &str) -> Response {
    json_answer(status, &json!({ "id": id, "message": message }))
}

async fn authorize(Extracted(state): Extracted<Shared>, OriginalUri(uri): OriginalUri) -> Response {
    let fields = form(uri.query().unwrap_or_default().as_bytes());
    let mut state = lock(&state);
    let Some(client) = state.consent.client(text(&fields, "client_id")).cloned() else {
        return plain(StatusCode::BAD_REQUEST, "text/plain", "The client is unknown.\n");
    };
    let wish = Wish {
        client_id: client.id,
        redirect_uri: client.redirect_uri,
        state: Some(text(&fields, "state").to_owned()).filter(|state| !state.is_empty()),
        ..Wish::default()
    };
    state.consent.page("Heroku", wish)
}

async fn decide(Extracted(state): Extracted<Shared>, Path((number, decision)): Path<(usize, String)>) -> Response {
    let mut state = lock(&state);
    let Some(wish) = state.consent.wish(number) else { return StatusCode::NOT_FOUND.into_response() };
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
    let mut fields = form(&body);
    let mut state = lock(&state);
    let invalid = || Refused::from(oauth_error(StatusCode::BAD_REQUEST, "invalid_grant"));
    let granted = state.consent.caller(&headers, &fields).and_then(|client| match text(&fields, "grant_type") {
        "authorization_code" => {
            // The address is the client's, whatever is sent.
            fields.insert("redirect_uri".into(), json!(client.redirect_uri));
            let number = state.consent.number();
            state
                .consent
                .redeem(&client, &fields)
                .map(|_| (state.consenting.clone(), format!("heroku-refresh-{number}")))
        }
        "refresh_token" => {
            let refresh = text(&fields, "refresh_token");
            let known = state.refresh_tokens.get(refresh).cloned();
            known.map(|reach| (reach, refresh.to_owned())).ok_or_else(invalid)
        }
        _ => Err(oauth_error(StatusCode::BAD_REQUEST, "unsupported_grant_type").into()),
    });
    let (reach, refresh) = match granted {
        Ok(granted) => granted,
        Err(refused) => return refused.into_response(),
    };
    let access = format!("heroku-access-{}", state.consent.number());
    state.tokens.insert(access.clone(), reach.clone());
    state.refresh_tokens.insert(refresh.clone(), reach.clone());
    let answer = json!({ "access_token": access, "expires_in": 28_799, "refresh_token": refresh,
        "token_type": "Bearer", "user_id": reach.user, "session_nonce": null });
    json_answer(StatusCode::OK, &answer)
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
    lock(&state).answer(&method, &path, &headers, &body)
}

impl State {
    fn answer(&mut self, method: &Method, path: &[&str], headers: &HeaderMap, body: &Value) -> Response {
        if header(headers, "accept") != Some("application/vnd.heroku+json; version=3") {
            return refused(StatusCode::BAD_REQUEST, "bad_version", "Please specify a version");
        }
        let Some(token) = bearer(headers).and_then(|token| self.tokens.get(token)).cloned() else {
            return refused(StatusCode::UNAUTHORIZED, "unauthorized", "Invalid credentials provided.");
        };
        if let Some(seconds) = self.throttle.take() {
            let answer =
                refused(StatusCode::TOO_MANY_REQUESTS, "rate_limit", "Your account reached the API rate limit");
            return with_headers(answer, [("retry-after", whole_seconds(seconds))]);
        }
        if token.read_only && *method != Method::GET {
            return refused(StatusCode::FORBIDDEN, "forbidden", "You do not have access to this.");
        }
        let not_found = || refused(StatusCode::NOT_FOUND, "not_found", "Couldn't find that app.");
        match (method.as_str(), path) {
            ("GET", ["account"]) => {
                let email = format!("{}@example.com", token.user);
                json_answer(StatusCode::OK, &json!({ "id": token.user, "email": email, "name": null }))
            }
            ("GET", ["apps"]) => self.list(&token, header(headers, "range").unwrap_or_default()),
            (_, ["apps", id, rest @ ("config-vars" | "addons")]) => {
                let own = |app: &&mut App| app.owner == token.user && (app.id == *id || app.name == *id);
                let Some(app) = self.apps.iter_mut().find(own) else { return not_found() };
                match (method.as_str(), *rest) {
                    ("GET", "config-vars") => json_answer(StatusCode::OK, &json!(app.config)),
                    ("PATCH", "config-vars") => app.change(body),
                    ("GET", "addons") => {
                        let addons = app.attached.iter().map(|name| json!({ "name": name, "config_vars": [name] }));
                        json_answer(StatusCode::OK, &addons.collect())
                    }
                    _ => not_found(),
                }
            }
            _ => not_found(),
        }
    }

    fn list(&self, token: &HerokuToken, range: &str) -> Response {
        let mut own: Vec<&App> = self.apps.iter().filter(|app| app.owner == token.user).collect();
        own.sort_by(|one, two| one.id.cmp(&two.id));
        // `id ]<last>..; max=200` goes on behind `<last>`.
        let after = range.split_once(']').and_then(|(_, rest)| rest.split_once("..")).map(|(last, _)| last);
        let rest: Vec<&App> = own.into_iter().filter(|app| after.is_none_or(|last| app.id.as_str() > last)).collect();
        let shown = rest.iter().take(self.page);
        let shown: Vec<Value> = shown
            .map(|app| json!({ "id": app.id, "name": app.name, "buildpack_provided_description": "Ruby" }))
            .collect();
        let last = rest.get(self.page.saturating_sub(1)).map(|app| app.id.clone());
        match last.filter(|_| rest.len() > self.page) {
            Some(last) => {
                let answer = json_answer(StatusCode::PARTIAL_CONTENT, &json!(shown));
                with_headers(answer, [("next-range", format!("id ]{last}..; max={}", self.page))])
            }
            None => json_answer(StatusCode::OK, &json!(shown)),
        }
    }
}

impl App {
    fn change(&mut self, body: &Value) -> Response {
        let no_changes = Map::new();
        let changes = body.as_object().unwrap_or(&no_changes);
        let sound = |(name, value): (&String, &Value)| {
            !name.is_empty() && !name.contains(['=', '-', ' ']) && (value.is_string() || value.is_null())
        };
        if let Some(name) = self.attached.iter().find(|name| changes.contains_key(*name)) {
            let message = format!("Cannot overwrite attachment values {name}.");
            return refused(StatusCode::UNPROCESSABLE_ENTITY, "invalid_params", &message);
        }
        if changes.is_empty() || !changes.iter().all(sound) {
            return refused(StatusCode::UNPROCESSABLE_ENTITY, "invalid_params", &format!("Invalid: {body}"));
        }
        for (name, value) in changes {
            match value.as_str() {
                Some(value) => self.config.insert(name.clone(), value.to_owned()),
                None => self.config.remove(name),
            };
        }
        self.restarts += 1;
        json_answer(StatusCode::OK, &json!(self.config))
    }
}
