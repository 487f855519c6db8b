//! Railway: its authorization server and its GraphQL API.
//!
//! What it reproduces, and from where (Railway's documentation and the schema in its command line's source, August 2026):
//! - Login with Railway: the code grant with S256, `iss` in the answer, a redirect address that must match exactly, and a
//!   refresh token only for `offline_access` with `prompt=consent`. Refresh tokens rotate; using an old one revokes the
//!   whole grant.
//! - Tokens of an account and of a workspace are bearer tokens, those of a project (one environment) have the header
//!   `Project-Access-Token`. What a token may not see or do is "Not Authorized" in a 200.
//! - Variables are a service's or shared, by environment. They are given rendered unless `unrendered` is asked for. A
//!   sealed value is null. `variableCollectionUpsert` with `replace` deletes whatever is not named, sealed ones too; it
//!   deploys unless `skipDeploys`. `variableDelete` always deploys.
//! - An operation of several mutations stops at the first that fails: the ones before are done, `data` is null.
//! - Lists are relay connections in pages. 429 has `Retry-After` and `X-RateLimit-*`.
//!
//! From reports alone: the words of errors.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, State as Extracted};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::OAuthClient;
use super::consent::{Consent, Wish, back, oauth_error};
use super::graphql::{Field, connection, parse, select};
use crate::host::Host;
use crate::wire::{
    Refused, Throttle, bearer, flag, form, header, json as json_answer, lock, plain, text, unix_seconds, whole_seconds,
    with_headers,
};

/// Railway.
#[derive(Clone, Debug)]
pub struct Railway {
    /// Stands for `https://backboard.railway.com`.
    pub host: Host,
    state: Shared,
}

/// What a token reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RailwayReach {
    /// An account: the user's workspaces.
    User {
        /// The user's id.
        id: String,
        /// The ids of the workspaces.
        workspaces: Vec<String>,
    },
    /// A workspace, by its id.
    Workspace(String),
    /// One environment of a project.
    Project {
        /// The project's id.
        project: String,
        /// The environment's id.
        environment: String,
    },
    /// What a user granted to an application.
    Grant {
        /// The user's id.
        user: String,
        /// The ids of the workspaces.
        workspaces: Vec<String>,
        /// The ids of single projects.
        projects: Vec<String>,
        /// True if it may write.
        writes: bool,
    },
}

/// A variable, its value included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RailwayVariable {
    /// The environment's id.
    pub environment: String,
    /// The service's id; none for a shared one.
    pub service: Option<String>,
    /// Its name.
    pub name: String,
    /// Its value, unrendered.
    pub value: String,
    /// True if it is never given back.
    pub sealed: bool,
    /// A moment; later with every change.
    pub updated_at: String,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    origin: String,
    ticks: i64,
    clock: Option<i64>,
    page: usize,
    tokens: HashMap<String, RailwayReach>,
    grants: Vec<Grant>,
    workspaces: Vec<(String, String)>,
    projects: Vec<Project>,
    deploys: Vec<(String, String)>,
    refused_names: Vec<String>,
    cannot_redeploy: bool,
    hides_marks: bool,
    throttle: Throttle,
    has_retry_after: bool,
    consent: Consent,
    consenting: Option<RailwayReach>,
    wishes: HashMap<String, (Vec<String>, bool)>,
}

#[derive(Debug)]
struct Grant {
    reach: RailwayReach,
    access: Vec<String>,
    refresh: Option<String>,
    used: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Project {
    id: String,
    name: String,
    workspace: String,
    environments: Vec<(String, String, bool)>,
    services: Vec<(String, String, Option<String>)>,
    variables: Vec<RailwayVariable>,
}

impl Railway {
    /// Starts a server that knows no token.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new()
            .route("/oauth/auth", get(authorize))
            .route("/oauth/token", post(token))
            .route("/consent/{number}/{decision}", get(decide))
            .route("/graphql/v2", post(graphql))
            .with_state(Arc::clone(&state));
        let host = Host::start(router).await?;
        {
            let mut state = lock(&state);
            state.origin = host.origin();
            state.page = 100;
        }
        Ok(Self { host, state })
    }

    /// Stops the server's clock at this second.
    pub fn set_clock(&self, seconds: i64) {
        lock(&self.state).clock = Some(seconds);
    }

    /// Connections come in pages of at most so many.
    pub fn page_by(&self, size: usize) {
        lock(&self.state).page = size;
    }

    /// Adds a token.
    pub fn add_token(&self, token: &str, reach: RailwayReach) {
        lock(&self.state).tokens.insert(token.to_owned(), reach);
    }

    /// Takes a token away; an access token as if its hour were over.
    pub fn revoke(&self, token: &str) {
        let mut state = lock(&self.state);
        state.tokens.remove(token);
        for grant in &mut state.grants {
            grant.access.retain(|access| access != token);
        }
    }

    /// Ends every access token of a grant before its hour is over. The grants stay.
    pub fn end_access_tokens(&self) {
        for grant in &mut lock(&self.state).grants {
            grant.access.clear();
        }
    }

    /// What codes and tokens begin with from now on.
    pub fn mark(&self, mark: &str) {
        lock(&self.state).consent.mark(mark);
    }

    /// How many grants are in force.
    #[must_use]
    pub fn grants(&self) -> usize {
        lock(&self.state).grants.len()
    }

    /// Adds a workspace.
    pub fn add_workspace(&self, id: &str, name: &str) {
        lock(&self.state).workspaces.push((id.to_owned(), name.to_owned()));
    }

    /// Adds a project.
    pub fn add_project(&self, id: &str, name: &str, workspace: &str) {
        let project = Project { id: id.into(), name: name.into(), workspace: workspace.into(), ..Project::default() };
        lock(&self.state).projects.push(project);
    }

    /// Adds an environment; an ephemeral one is a pull request's.
    pub fn add_environment(&self, project: &str, id: &str, name: &str, is_ephemeral: bool) {
        self.change(project, |project| project.environments.push((id.into(), name.into(), is_ephemeral)));
    }

    /// Adds a service, and the repository that it is built from.
    pub fn add_service(&self, project: &str, id: &str, name: &str, repo: Option<&str>) {
        self.change(project, |project| project.services.push((id.into(), name.into(), repo.map(str::to_owned))));
    }

    /// Sets a variable as somebody else does, and seals it or not.
    pub fn set_variable(
        &self,
        project: &str,
        environment: &str,
        service: Option<&str>,
        (name, value): (&str, &str),
        sealed: bool,
    ) {
        let updated_at = lock(&self.state).tick();
        self.change(project, |project| {
            project.set(environment, service, name, value, updated_at, Some(sealed));
        });
    }

    /// The variables of a project, by environment, service and name, their values included.
    #[must_use]
    pub fn variables(&self, project: &str) -> Vec<RailwayVariable> {
        let state = lock(&self.state);
        let found = state.projects.iter().find(|one| one.id == project);
        let mut variables = found.map(|project| project.variables.clone()).unwrap_or_default();
        variables.sort_by(|one, two| {
            (&one.environment, &one.service, &one.name).cmp(&(&two.environment, &two.service, &two.name))
        });
        variables
    }

    /// The names and values of a service, or the shared ones, in an environment.
    #[must_use]
    pub fn values(&self, project: &str, environment: &str, service: Option<&str>) -> Vec<(String, String)> {
        let own = |one: &RailwayVariable| one.environment == environment && one.service.as_deref() == service;
        let variables = self.variables(project).into_iter().filter(own);
        variables.map(|variable| (variable.name, variable.value)).collect()
    }

    /// The deploys so far: environment and service.
    #[must_use]
    pub fn deploys(&self) -> Vec<(String, String)> {
        lock(&self.state).deploys.clone()
    }

    /// Refuses every call that sets this name.
    pub fn refuse_name(&self, name: &str) {
        lock(&self.state).refused_names.push(name.to_owned());
    }

    /// From now on there is no deployment that could be repeated.
    pub fn never_deployed(&self) {
        lock(&self.state).cannot_redeploy = true;
    }

    /// From now on nobody may ask for an environment's details, only for its variables.
    pub fn hide_marks(&self) {
        lock(&self.state).hides_marks = true;
    }

    /// Refuses the next `count` requests with 429, asking to wait `seconds`, by `Retry-After` or by the reset alone.
    pub fn throttle(&self, count: usize, seconds: f64, has_retry_after: bool) {
        let mut state = lock(&self.state);
        state.throttle.set(count, seconds);
        state.has_retry_after = has_retry_after;
    }

    /// Adds an OAuth application.
    pub fn add_client(&self, client: OAuthClient) {
        lock(&self.state).consent.add_client(client);
    }

    /// What the user grants from now on.
    pub fn consent_as(&self, reach: RailwayReach) {
        lock(&self.state).consenting = Some(reach);
    }

    fn change(&self, project: &str, change: impl FnOnce(&mut Project)) {
        if let Some(project) = lock(&self.state).projects.iter_mut().find(|one| one.id == project) {
            change(project);
        }
    }
}

async fn authorize(Extracted(state): Extracted<Shared>, OriginalUri(uri): OriginalUri) -> Response {
    let fields = form(uri.query().unwrap_or_default().as_bytes());
    let mut state = lock(&state);
    let optional = |name: &str| Some(text(&fields, name).to_owned()).filter(|value| !value.is_empty());
    let wish = Wish {
        client_id: text(&fields, "client_id").to_owned(),
        redirect_uri: text(&fields, "redirect_uri").to_owned(),
        state: optional("state"),
        challenge: optional("code_challenge"),
    };
    let known = state.consent.client(&wish.client_id).is_some_and(|client| client.redirect_uri == wish.redirect_uri);
    let scopes: Vec<String> = text(&fields, "scope").split(' ').map(str::to_owned).collect();
    let s256 = wish.challenge.is_none() || text(&fields, "code_challenge_method") == "S256";
    let is_openid = scopes.iter().any(|scope| scope == "openid");
    if !known || text(&fields, "response_type") != "code" || !s256 || !is_openid {
        return plain(StatusCode::BAD_REQUEST, "text/plain", "The request cannot be used.\n");
    }
    let asks = text(&fields, "prompt").split(' ').any(|word| word == "consent");
    state.wishes.insert(wish.state.clone().unwrap_or_default(), (scopes, asks));
    state.consent.page("Railway", wish)
}

async fn decide(Extracted(state): Extracted<Shared>, Path((number, decision)): Path<(usize, String)>) -> Response {
    let mut state = lock(&state);
    let Some(wish) = state.consent.wish(number) else { return StatusCode::NOT_FOUND.into_response() };
    let issuer = state.origin.clone();
    let mut pairs = vec![("iss", issuer.as_str())];
    pairs.extend(wish.state.as_deref().map(|state| ("state", state)));
    if decision != "allow" {
        pairs.push(("error", "access_denied"));
        return back(&wish.redirect_uri, &pairs);
    }
    let code = state.consent.code(wish.clone());
    pairs.push(("code", &code));
    back(&wish.redirect_uri, &pairs)
}

async fn token(Extracted(state): Extracted<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    lock(&state).token(&headers, &form(&body)).unwrap_or_else(IntoResponse::into_response)
}

async fn graphql(Extracted(state): Extracted<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    lock(&state).graphql(&headers, &body)
}

/// Why a field has no value.
struct Failure(&'static str);

const NOT_AUTHORIZED: Failure = Failure("Not Authorized");

impl State {
    fn now(&self) -> i64 {
        self.clock.unwrap_or_else(|| i64::try_from(unix_seconds()).unwrap_or_default())
    }

    /// A moment, later with every call.
    fn tick(&mut self) -> String {
        self.ticks += 1;
        Timestamp::from_millisecond(self.now() * 1_000 + self.ticks).unwrap_or_default().to_string()
    }

    fn token(&mut self, headers: &HeaderMap, fields: &Map<String, Value>) -> Result<Response, Refused> {
        let client = self.consent.caller(headers, fields)?;
        let invalid = || Refused::from(oauth_error(StatusCode::BAD_REQUEST, "invalid_grant"));
        let position = match text(fields, "grant_type") {
            "authorization_code" => {
                let wish = self.consent.redeem(&client, fields)?;
                let (scopes, asks) = self.wishes.remove(&wish.state.unwrap_or_default()).unwrap_or_default();
                let is_offline = asks && scopes.iter().any(|scope| scope == "offline_access");
                let reach = self.consenting.clone().ok_or_else(invalid)?;
                let refresh = is_offline.then(String::new);
                self.grants.push(Grant { reach, access: Vec::new(), refresh, used: Vec::new() });
                self.grants.len() - 1
            }
            "refresh_token" => {
                let given = text(fields, "refresh_token");
                self.grants.retain(|grant| !grant.used.iter().any(|used| used == given));
                let known = self.grants.iter().position(|grant| grant.refresh.as_deref() == Some(given));
                known.filter(|_| !given.is_empty()).ok_or_else(invalid)?
            }
            _ => return Err(oauth_error(StatusCode::BAD_REQUEST, "unsupported_grant_type").into()),
        };
        let (access, refresh) = self.consent.pair("railway-access", "railway-refresh");
        let grant = self.grants.get_mut(position).ok_or_else(invalid)?;
        grant.access.push(access.clone());
        let mut answer = json!({ "access_token": access, "expires_in": 3600, "id_token": "header.claims.signature",
            "scope": "openid", "token_type": "Bearer" });
        if let Some(old) = grant.refresh.take() {
            grant.used.extend(Some(old).filter(|old| !old.is_empty()));
            grant.refresh = Some(refresh.clone());
            if let Some(answer) = answer.as_object_mut() {
                answer.insert("refresh_token".into(), json!(refresh));
            }
        }
        Ok(json_answer(StatusCode::OK, &answer))
    }

    fn reach(&self, headers: &HeaderMap) -> Option<RailwayReach> {
        let is_project = |reach: &RailwayReach| matches!(reach, RailwayReach::Project { .. });
        if let Some(token) = header(headers, "project-access-token") {
            return self.tokens.get(token).filter(|reach| is_project(reach)).cloned();
        }
        let token = bearer(headers)?;
        let grant = || self.grants.iter().find(|grant| grant.access.iter().any(|one| one == token));
        let known = self.tokens.get(token).filter(|reach| !is_project(reach)).cloned();
        known.or_else(|| grant().map(|grant| grant.reach.clone()))
    }

    fn graphql(&mut self, headers: &HeaderMap, body: &Value) -> Response {
        if let Some(seconds) = self.throttle.take() {
            #[expect(clippy::cast_possible_truncation, reason = "a test's few seconds")]
            let reset = self.now() + seconds.ceil() as i64;
            let answer = json_answer(StatusCode::TOO_MANY_REQUESTS, &json!({ "message": "Too Many Requests" }));
            let limits = [("x-ratelimit-limit", "1000".into()), ("x-ratelimit-remaining", "0".into())];
            let answer = with_headers(with_headers(answer, limits), [("x-ratelimit-reset", reset.to_string())]);
            let wait = [("retry-after", whole_seconds(seconds))];
            return if self.has_retry_after { with_headers(answer, wait) } else { answer };
        }
        let variables = body.get("variables").cloned().unwrap_or_default();
        let operation = match parse(body.get("query").and_then(Value::as_str).unwrap_or_default(), &variables) {
            Ok(operation) => operation,
            Err(message) => return errors(StatusCode::BAD_REQUEST, &message, None),
        };
        let reach = self.reach(headers);
        let mut data = Map::new();
        for field in &operation.fields {
            let Some(reach) = &reach else { return errors(StatusCode::OK, NOT_AUTHORIZED.0, Some(&field.alias)) };
            let found = if operation.is_mutation { self.mutate(reach, field) } else { self.resolve(reach, field) };
            let shown = found.map(|value| {
                // A root connection is shown like any other.
                let holder = json!({ &field.name: value });
                select(&holder, std::slice::from_ref(field), self.page)
            });
            match shown {
                Ok(Ok(Value::Object(shown))) => data.extend(shown),
                Ok(Ok(_)) => {}
                Ok(Err(message)) => return errors(StatusCode::BAD_REQUEST, &message, None),
                Err(Failure(message)) => return errors(StatusCode::OK, message, Some(&field.alias)),
            }
        }
        json_answer(StatusCode::OK, &json!({ "data": data }))
    }

    fn sees(&self, reach: &RailwayReach, project: &Project) -> bool {
        match reach {
            RailwayReach::User { workspaces, .. } => workspaces.contains(&project.workspace),
            RailwayReach::Workspace(workspace) => *workspace == project.workspace,
            RailwayReach::Project { project: own, .. } => *own == project.id,
            RailwayReach::Grant { workspaces, projects, .. } => {
                workspaces.contains(&project.workspace) || projects.contains(&project.id)
            }
        }
    }

    /// The project, if the token sees it and its environment.
    fn project(&self, reach: &RailwayReach, id: &str, environment: Option<&str>) -> Result<usize, Failure> {
        let is_narrow =
            |environment: &str| matches!(reach, RailwayReach::Project { environment: own, .. } if own != environment);
        if environment.is_some_and(is_narrow) {
            return Err(NOT_AUTHORIZED);
        }
        let known = |project: &Project| {
            let has = |environment: &str| project.environments.iter().any(|(id, ..)| id == environment);
            project.id == id && self.sees(reach, project) && environment.is_none_or(has)
        };
        self.projects.iter().position(known).ok_or(NOT_AUTHORIZED)
    }

    fn named(&self, ids: &[String]) -> Vec<Value> {
        let own = self.workspaces.iter().filter(|(id, _)| ids.contains(id));
        own.map(|(id, name)| json!({ "id": id, "name": name })).collect()
    }

    fn resolve(&self, reach: &RailwayReach, field: &Field) -> Result<Value, Failure> {
        match (field.name.as_str(), reach) {
            ("me", RailwayReach::User { id, workspaces } | RailwayReach::Grant { user: id, workspaces, .. }) => {
                let workspaces = self.named(workspaces);
                Ok(json!({ "id": id, "name": id, "email": format!("{id}@example.com"), "workspaces": workspaces }))
            }
            ("apiToken", RailwayReach::Workspace(id)) => {
                Ok(json!({ "workspaces": self.named(std::slice::from_ref(id)) }))
            }
            ("apiToken", RailwayReach::User { workspaces, .. }) => Ok(json!({ "workspaces": self.named(workspaces) })),
            ("projectToken", RailwayReach::Project { project, environment }) => {
                let position = self.project(reach, project, Some(environment))?;
                let found = self.projects.get(position).ok_or(NOT_AUTHORIZED)?;
                let name = found.environments.iter().find(|(id, ..)| id == environment).map(|(_, name, _)| name);
                Ok(json!({ "projectId": project, "environmentId": environment, "project": { "name": found.name },
                    "environment": { "name": name } }))
            }
            ("externalWorkspaces", RailwayReach::Grant { projects, .. }) => {
                let granted = self.projects.iter().filter(|project| projects.contains(&project.id));
                let shown = granted.map(|project| {
                    json!({ "id": project.workspace, "name": project.workspace,
                        "projects": [{ "id": project.id, "name": project.name }] })
                });
                Ok(shown.collect())
            }
            ("projects", RailwayReach::User { .. } | RailwayReach::Workspace(_) | RailwayReach::Grant { .. }) => {
                let workspace = field.text("workspaceId");
                let of_workspace = |project: &&Project| project.workspace == workspace && self.sees(reach, project);
                let granted = match reach {
                    RailwayReach::Grant { workspaces, .. } => workspaces.iter().any(|one| one == workspace),
                    _ => true,
                };
                let own = self.projects.iter().filter(of_workspace).filter(|_| granted);
                Ok(connection(own.map(Project::shown).collect()))
            }
            ("project", _) => {
                let position = self.project(reach, field.text("id"), None)?;
                self.projects.get(position).map(Project::shown).ok_or(NOT_AUTHORIZED)
            }
            ("environment", _) if !self.hides_marks => {
                let id = field.text("id");
                let has = |project: &&Project| project.environments.iter().any(|(one, ..)| one == id);
                let project = self.projects.iter().find(has).ok_or(NOT_AUTHORIZED)?;
                self.project(reach, &project.id, Some(id))?;
                Ok(project.environment_shown(id))
            }
            ("variables", _) => {
                let environment = field.text("environmentId");
                let position = self.project(reach, field.text("projectId"), Some(environment))?;
                let project = self.projects.get(position).ok_or(NOT_AUTHORIZED)?;
                let service = field.arguments.get("serviceId").and_then(Value::as_str);
                Ok(project.map(environment, service, flag(&field.arguments, "unrendered")))
            }
            _ => Err(NOT_AUTHORIZED),
        }
    }

    fn mutate(&mut self, reach: &RailwayReach, field: &Field) -> Result<Value, Failure> {
        if matches!(reach, RailwayReach::Grant { writes: false, .. }) {
            return Err(NOT_AUTHORIZED);
        }
        let input = field.arguments.get("input").and_then(Value::as_object).cloned().unwrap_or_default();
        let environment = text(&input, "environmentId").to_owned();
        let service = input.get("serviceId").and_then(Value::as_str).map(str::to_owned);
        match field.name.as_str() {
            "variableCollectionUpsert" => {
                let position = self.project(reach, text(&input, "projectId"), Some(&environment))?;
                let wanted = input.get("variables").and_then(Value::as_object).cloned().unwrap_or_default();
                let is_bad =
                    |name: &String| name.is_empty() || name.contains(['=', ' ']) || self.refused_names.contains(name);
                if wanted.keys().any(is_bad) || !wanted.values().all(Value::is_string) {
                    return Err(Failure("Invalid variable name or value: it was hunter2"));
                }
                let tick = self.tick();
                let Some(project) = self.projects.get_mut(position) else { return Err(NOT_AUTHORIZED) };
                if flag(&input, "replace") {
                    project.variables.retain(|one| one.environment != environment || one.service != service);
                }
                for (name, value) in &wanted {
                    let value = value.as_str().unwrap_or_default();
                    project.set(&environment, service.as_deref(), name, value, tick.clone(), None);
                }
                if !flag(&input, "skipDeploys") {
                    self.deploy(position, &environment, service.as_deref());
                }
                Ok(json!(true))
            }
            "variableDelete" => {
                let position = self.project(reach, text(&input, "projectId"), Some(&environment))?;
                let name = text(&input, "name");
                let Some(project) = self.projects.get_mut(position) else { return Err(NOT_AUTHORIZED) };
                let before = project.variables.len();
                project
                    .variables
                    .retain(|one| one.name != name || one.environment != environment || one.service != service);
                if project.variables.len() == before {
                    return Err(Failure("Variable not found"));
                }
                self.deploy(position, &environment, service.as_deref());
                Ok(json!(true))
            }
            "serviceInstanceRedeploy" => {
                let (environment, service) = (field.text("environmentId"), field.text("serviceId"));
                let has = |project: &Project| project.services.iter().any(|(id, ..)| id == service);
                let position = self.projects.iter().position(has).ok_or(NOT_AUTHORIZED)?;
                let id = self.projects.get(position).map(|project| project.id.clone()).unwrap_or_default();
                self.project(reach, &id, Some(environment))?;
                if self.cannot_redeploy {
                    return Err(Failure("No deployment found for service instance"));
                }
                self.deploy(position, environment, Some(service));
                Ok(json!(true))
            }
            _ => Err(NOT_AUTHORIZED),
        }
    }

    fn deploy(&mut self, position: usize, environment: &str, service: Option<&str>) {
        let services = self.projects.get(position).map(|project| project.services.clone()).unwrap_or_default();
        let affected = services.into_iter().filter(|(id, ..)| service.is_none_or(|service| service == id));
        self.deploys.extend(affected.map(|(id, ..)| (environment.to_owned(), id)));
    }
}

impl Project {
    fn set(
        &mut self,
        environment: &str,
        service: Option<&str>,
        name: &str,
        value: &str,
        updated_at: String,
        sealed: Option<bool>,
    ) {
        let same = |one: &&mut RailwayVariable| {
            one.environment == environment && one.service.as_deref() == service && one.name == name
        };
        if let Some(old) = self.variables.iter_mut().find(same) {
            (old.value, old.updated_at, old.sealed) = (value.into(), updated_at, sealed.unwrap_or(old.sealed));
            return;
        }
        self.variables.push(RailwayVariable {
            environment: environment.into(),
            service: service.map(str::to_owned),
            name: name.into(),
            value: value.into(),
            sealed: sealed.unwrap_or_default(),
            updated_at,
        });
    }

    fn shown(&self) -> Value {
        let environments = self.environments.iter().map(|(id, ..)| self.environment_shown(id)).collect();
        let services = self.services.iter().map(|(id, name, _)| json!({ "id": id, "name": name })).collect();
        json!({ "id": self.id, "name": self.name, "environments": connection(environments),
            "services": connection(services) })
    }

    fn environment_shown(&self, id: &str) -> Value {
        let Some((id, name, is_ephemeral)) = self.environments.iter().find(|(one, ..)| one == id) else {
            return Value::Null;
        };
        let instances = self
            .services
            .iter()
            .map(|(service, _, repo)| json!({ "serviceId": service, "source": { "repo": repo, "image": null } }));
        let own = self.variables.iter().filter(|one| one.environment == *id);
        let variables = own.map(|one| {
            json!({ "name": one.name, "isSealed": one.sealed, "serviceId": one.service, "updatedAt": one.updated_at })
        });
        json!({ "id": id, "name": name, "isEphemeral": is_ephemeral, "serviceInstances": connection(instances.collect()),
            "variables": connection(variables.collect()) })
    }

    fn map(&self, environment: &str, service: Option<&str>, unrendered: bool) -> Value {
        let own = |one: &&RailwayVariable| one.environment == environment && one.service.as_deref() == service;
        let mut map: Map<String, Value> = Map::new();
        for one in self.variables.iter().filter(own) {
            let value = if unrendered { one.value.clone() } else { self.rendered(environment, &one.value) };
            map.insert(one.name.clone(), if one.sealed { Value::Null } else { json!(value) });
        }
        if service.is_some() {
            map.insert("RAILWAY_PROJECT_NAME".into(), json!(self.name));
        }
        Value::Object(map)
    }

    fn rendered(&self, environment: &str, value: &str) -> String {
        let shared = self.variables.iter().filter(|one| one.environment == environment && one.service.is_none());
        shared.fold(value.to_owned(), |text, one| text.replace(&format!("${{{{shared.{}}}}}", one.name), &one.value))
    }
}

fn errors(status: StatusCode, message: &str, path: Option<&str>) -> Response {
    let path = path.map(|alias| json!([alias]));
    let error = json!({ "message": message, "path": path, "extensions": { "code": "INTERNAL_SERVER_ERROR" } });
    json_answer(status, &json!({ "errors": [error], "data": null }))
}
