//! Supabase: organisations, and projects with secrets for their functions.
//!
//! What it reproduces, and from where (Supabase's OpenAPI document of its management API):
//! - `GET …/secrets` gives names with the SHA-256 of each value where the value would be, and `updated_at`. The platform's
//!   own, which begin with `SUPABASE_`, are among them.
//! - `POST …/secrets` takes a list and overwrites what is there; `DELETE …/secrets` takes a list of names. Each is done
//!   whole or not at all.
//! - A project has at most a hundred secrets of its owner's. A list that would pass it is refused.
//!
//! - The authorization server is the same host's: codes with PKCE, access tokens of a day, refresh tokens that rotate.
//!
//! From reports alone: the words of the errors, and that 429 comes with `X-RateLimit-Reset` in seconds to go.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, State as Extracted};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::OAuthClient;
use super::consent::{Consent, Wish, back, oauth_error};
use super::gate::{Gate, Reach};
use crate::host::Host;
use crate::wire::{Refused, bearer, form, json as json_answer, lock, plain, text, with_headers};

/// The most secrets of a project.
const MOST: usize = 100;
const OWN: [&str; 2] = ["SUPABASE_DB_URL", "SUPABASE_URL"];

/// Supabase.
#[derive(Clone, Debug)]
pub struct Supabase {
    /// Stands for `https://api.supabase.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    gate: Gate,
    organisations: Vec<(String, String)>,
    projects: Vec<Project>,
    consent: Consent,
    consenting: Reach,
    refresh_tokens: HashMap<String, Reach>,
}

#[derive(Clone, Debug)]
struct Project {
    reference: String,
    name: String,
    organisation: String,
    /// Values and the moments of their last change.
    secrets: BTreeMap<String, (String, String)>,
}

impl Supabase {
    /// Starts a server that knows no token.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new()
            .route("/v1/oauth/authorize", get(authorize))
            .route("/v1/oauth/token", post(token))
            .route("/consent/{number}/{decision}", get(decide))
            .fallback(api)
            .with_state(Arc::clone(&state));
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
    pub fn add_organisation(&self, id: &str, name: &str) {
        lock(&self.state).organisations.push((id.into(), name.into()));
    }

    /// Adds a project.
    pub fn add_project(&self, reference: &str, name: &str, organisation: &str) {
        let mut state = lock(&self.state);
        let moment = state.gate.moment();
        let own = OWN.map(|name| (name.to_owned(), ("theirs".to_owned(), moment.clone())));
        state.projects.push(Project {
            reference: reference.into(),
            name: name.into(),
            organisation: organisation.into(),
            secrets: own.into(),
        });
    }

    /// Sets a secret as somebody else does.
    pub fn set(&self, project: &str, name: &str, value: &str) {
        lock(&self.state).keep(project, name, value);
    }

    /// The secrets of a project by name, with their values, the platform's own left out.
    #[must_use]
    pub fn values(&self, project: &str) -> Vec<(String, String)> {
        let state = lock(&self.state);
        let found = state.projects.iter().find(|one| one.reference == project);
        let secrets = found.map(|project| project.secrets.clone()).unwrap_or_default();
        let own = secrets.into_iter().filter(|(name, _)| !OWN.contains(&name.as_str()));
        own.map(|(name, (value, _))| (name, value)).collect()
    }

    /// Adds an OAuth application.
    pub fn add_client(&self, client: OAuthClient) {
        lock(&self.state).consent.add_client(client);
    }

    /// Who consents from now on.
    pub fn consent_as(&self, reach: Reach) {
        lock(&self.state).consenting = reach;
    }

    /// Refuses the next `count` requests of this method with 429; the limit ends in so many seconds.
    pub fn throttle(&self, method: &str, count: usize, seconds: i64) {
        lock(&self.state).gate.throttle(method, count, seconds);
    }
}

fn refused(status: StatusCode, message: &str) -> Response {
    json_answer(status, &json!({ "message": message }))
}

fn bad(message: &str) -> Refused {
    refused(StatusCode::BAD_REQUEST, message).into()
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
    if !known || text(&fields, "response_type") != "code" {
        return plain(StatusCode::BAD_REQUEST, "text/plain", "The application or its redirect address is unknown.\n");
    }
    state.consent.page("Supabase", wish)
}

async fn decide(Extracted(state): Extracted<Shared>, Path((number, decision)): Path<(usize, String)>) -> Response {
    let mut state = lock(&state);
    let Some(wish) = state.consent.wish(number) else {
        return refused(StatusCode::NOT_FOUND, "Cannot find this");
    };
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
        "refresh_token" => state.refresh_tokens.remove(text(&fields, "refresh_token")).ok_or_else(invalid),
        _ => Err(oauth_error(StatusCode::BAD_REQUEST, "unsupported_grant_type").into()),
    });
    let reach = match granted {
        Ok(reach) => reach,
        Err(refused) => return refused.into_response(),
    };
    let number = state.consent.number();
    let (access, refresh) = (format!("sbp-oauth-{number}"), format!("sbp-refresh-{number}"));
    state.gate.add(&access, reach.clone());
    state.refresh_tokens.insert(refresh.clone(), reach);
    let answer =
        json!({ "access_token": access, "refresh_token": refresh, "expires_in": 86_400, "token_type": "Bearer" });
    json_answer(StatusCode::CREATED, &answer)
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
        let Some(reach) = self.gate.reach(bearer(headers)) else {
            return Err(refused(StatusCode::UNAUTHORIZED, "JWT could not be decoded").into());
        };
        if let Some(seconds) = self.gate.throttled(method) {
            let answer = refused(StatusCode::TOO_MANY_REQUESTS, "ThrottlerException: Too Many Requests");
            return Err(with_headers(answer, [("x-ratelimit-reset", seconds.to_string())]).into());
        }
        if reach.read_only && method != Method::GET {
            return Err(refused(StatusCode::FORBIDDEN, "Your account does not have the necessary privileges").into());
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let shown: Vec<Value> = match (method.as_str(), path) {
            ("GET", ["v1", "organizations"]) => {
                let own = self.organisations.iter().filter(|(id, _)| reach.has(id));
                own.map(|(id, name)| json!({ "id": id, "slug": id, "name": name })).collect()
            }
            ("GET", ["v1", "projects"]) => {
                let own = self.projects.iter().filter(|project| reach.has(&project.organisation));
                own.map(|project| {
                    json!({ "id": project.reference, "ref": project.reference, "name": project.name,
                        "organization_id": project.organisation, "status": "ACTIVE_HEALTHY" })
                })
                .collect()
            }
            (_, ["v1", "projects", reference, "secrets"]) => {
                let known = |one: &&Project| one.reference == *reference && reach.has(&one.organisation);
                let Some(project) = self.projects.iter().find(known).cloned() else {
                    return Err(refused(StatusCode::NOT_FOUND, "Project not found").into());
                };
                return self.secrets(&project, method, &body);
            }
            _ => return Err(refused(StatusCode::NOT_FOUND, "Cannot find this").into()),
        };
        Ok(json_answer(StatusCode::OK, &json!(shown)))
    }

    fn secrets(&mut self, project: &Project, method: &Method, body: &Value) -> Result<Response, Refused> {
        let items = body.as_array().map(Vec::as_slice).unwrap_or_default();
        match method.as_str() {
            "GET" => {
                let secrets = project.secrets.iter();
                let shown = secrets.map(
                    |(name, (value, moment))| json!({ "name": name, "value": hashed(value), "updated_at": moment }),
                );
                Ok(json_answer(StatusCode::OK, &json!(shown.collect::<Vec<Value>>())))
            }
            "POST" => {
                let mut pairs = Vec::new();
                for item in items.iter().filter_map(Value::as_object) {
                    let (name, value) = (text(item, "name"), text(item, "value"));
                    if name.starts_with("SUPABASE_") {
                        return Err(bad("Secret name must not start with the SUPABASE_ prefix"));
                    }
                    if name.is_empty() || name.len() > 256 || name.contains('=') || value.len() > 24_576 {
                        return Err(bad(&format!("{item:?} is malformed")));
                    }
                    pairs.push((name, value));
                }
                let mut names: Vec<&str> = project.secrets.keys().map(String::as_str).collect();
                names.extend(pairs.iter().map(|(name, _)| *name));
                names.sort_unstable();
                names.dedup();
                if names.len() > MOST + OWN.len() {
                    return Err(bad("Maximum number of secrets reached"));
                }
                for (name, value) in pairs {
                    self.keep(&project.reference, name, value);
                }
                Ok(StatusCode::CREATED.into_response())
            }
            "DELETE" => {
                let names: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                if names.iter().any(|name| name.starts_with("SUPABASE_")) {
                    return Err(bad("Secrets of the platform cannot be deleted"));
                }
                if let Some(kept) = self.projects.iter_mut().find(|one| one.reference == project.reference) {
                    kept.secrets.retain(|name, _| !names.contains(&name.as_str()));
                }
                Ok(json_answer(StatusCode::OK, &json!({})))
            }
            _ => Err(refused(StatusCode::NOT_FOUND, "Cannot find this").into()),
        }
    }

    fn keep(&mut self, project: &str, name: &str, value: &str) {
        let moment = self.gate.moment();
        if let Some(project) = self.projects.iter_mut().find(|one| one.reference == project) {
            project.secrets.insert(name.to_owned(), (value.to_owned(), moment));
        }
    }
}

fn hashed(value: &str) -> String {
    digest(&SHA256, value.as_bytes()).as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
