//! Vercel: users, teams, projects with environment variables, and integrations.
//!
//! What it reproduces, and from where (Vercel's SDK and documentation, its Terraform provider, and reports):
//! - A record has one value for several targets and custom environments. `POST …/env` takes one or a list: a malformed one
//!   refuses all (400 `bad_request`); a conflict or a reserved name is told in `failed` of a success. With `upsert` the
//!   record that is in the way is overwritten with all its targets, and takes the new ones on.
//! - `sensitive` values are write-only: not for `development`, their type cannot be changed by PATCH, nor may a PATCH
//!   carry their name. `encrypted` ones are given back only with `decrypt=true`, or one by one.
//! - The list comes bare, with `pagination`, or with `hiddenProductionEnvCount` ([`Vercel::list_as`]).
//! - What belongs to a team is there only with its `teamId`. A token may be of all of a user's teams, or of one project:
//!   then users and teams are forbidden.
//! - A wrong token is 403 `forbidden` with `invalidToken`. 429 has `error.limit.reset`, and `Retry-After` not always.
//! - The integration's install page knows `state` alone; the code comes back with `configurationId` and `teamId`.
//! - A variable that is made with an installation's token is the installation's (`configurationId`). Deleting the
//!   installation ends all its tokens and deletes its variables in every project.
//!
//! From reports alone: what `upsert` does to a record with more targets.

use std::collections::HashMap;
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
    Refused, bearer, flag, form, json as json_answer, list, lock, plain, text, unix_seconds, with_headers,
};

const STANDARD_TARGETS: [&str; 3] = ["production", "preview", "development"];

/// Vercel.
#[derive(Clone, Debug)]
pub struct Vercel {
    /// Stands for `https://api.vercel.com`.
    pub host: Host,
    /// Stands for `https://vercel.com`, where users install integrations.
    pub web: Host,
    state: Shared,
}

/// A token, and what it reaches.
#[derive(Clone, Debug, Default)]
pub struct VercelToken {
    /// The user's id.
    pub user: String,
    /// The teams that it reaches.
    pub teams: Vec<String>,
    /// The one project that it reaches, if it is so narrow.
    pub project: Option<String>,
    /// True if it may not write.
    pub read_only: bool,
    /// The installation that it was given out for. What is made with it is the installation's.
    pub installation: Option<String>,
}

/// A record of a project, its value included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VercelRecord {
    /// Its id.
    pub id: String,
    /// The variable's name.
    pub key: String,
    /// The value.
    pub value: String,
    /// `system`, `encrypted`, `plain` or `sensitive`.
    pub kind: String,
    /// The standard targets that it covers.
    pub target: Vec<String>,
    /// The ids of custom environments that it covers.
    pub custom: Vec<String>,
    /// The branch that it is for.
    pub git_branch: Option<String>,
    /// What is said about it.
    pub comment: Option<String>,
    /// Milliseconds since 1970; rises with every change.
    pub updated_at: i64,
    /// `config` or `secret`, in newer records.
    pub visibility: Option<String>,
    /// The installation that made it and takes it along when it goes.
    pub installation: Option<String>,
}

impl VercelRecord {
    /// An encrypted value for some targets.
    #[must_use]
    pub fn of(key: &str, value: &str, target: &[&str]) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            kind: "encrypted".into(),
            target: target.iter().map(|one| (*one).to_owned()).collect(),
            ..Self::default()
        }
    }

    /// A write-only value for some targets.
    #[must_use]
    pub fn sensitive(key: &str, value: &str, target: &[&str]) -> Self {
        Self { kind: "sensitive".into(), ..Self::of(key, value, target) }
    }

    fn is_secret(&self) -> bool {
        self.kind == "sensitive" || self.visibility.as_deref() == Some("secret")
    }

    fn overlaps(&self, other: &Self) -> bool {
        let shared = |one: &[String], two: &[String]| one.iter().any(|item| two.contains(item));
        self.key == other.key
            && self.git_branch == other.git_branch
            && (shared(&self.target, &other.target) || shared(&self.custom, &other.custom))
    }

    fn shown(&self, decrypt: bool) -> Value {
        let (value, decrypted) = match (self.is_secret(), self.kind == "plain" || decrypt) {
            (true, _) => (json!(""), false),
            (false, true) => (json!(self.value), true),
            (false, false) => (json!("eyJ2IjoidjIifQ=="), false),
        };
        let mut shown = json!({ "id": self.id, "key": self.key, "value": value, "type": self.kind,
            "decrypted": decrypted, "target": self.target, "gitBranch": self.git_branch, "comment": self.comment,
            "configurationId": self.installation, "createdAt": 1, "updatedAt": self.updated_at,
            "customEnvironmentIds": self.custom });
        if let (Some(visibility), Some(shown)) = (&self.visibility, shown.as_object_mut()) {
            shown.insert("visibility".into(), json!(visibility));
        }
        shown
    }
}

/// In which of its forms the list of variables comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VercelList {
    /// `{"envs"}`.
    #[default]
    Bare,
    /// The list itself.
    Naked,
    /// With `pagination`, so many on a page.
    Paged(usize),
    /// With `hiddenProductionEnvCount`.
    Hiding(u64),
}

type Shared = Arc<Mutex<State>>;

/// How things stand at the server.
#[derive(Clone, Debug)]
pub struct VercelState(State);

#[derive(Clone, Debug, Default)]
struct State {
    clock: Option<i64>,
    ticks: i64,
    ids: usize,
    tokens: HashMap<String, VercelToken>,
    teams: Vec<(String, String)>,
    projects: Vec<Project>,
    form: VercelList,
    page: usize,
    never_decrypts: bool,
    throttles: Vec<Throttled>,
    refused_names: HashMap<String, String>,
    consent: Consent,
    /// Whom the next consent is of: the user, and the team if it is not for the user's own account.
    consenting: (String, Option<String>),
    installations: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct Throttled {
    method: String,
    left: usize,
    reset_in: i64,
    header: bool,
}

#[derive(Clone, Debug, Default)]
struct Project {
    id: String,
    name: String,
    account: String,
    framework: Option<String>,
    link: Option<Value>,
    custom: Vec<(String, String)>,
    env: Vec<VercelRecord>,
}

impl Vercel {
    /// Starts a server that knows no token.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        lock(&state).page = 20;
        let api = Router::new().fallback(api).with_state(Arc::clone(&state));
        let api = Router::new().route("/v2/oauth/access_token", post(token)).with_state(Arc::clone(&state)).merge(api);
        let web = Router::new()
            .route("/integrations/{slug}/new", get(install))
            .route("/consent/{number}/{decision}", get(decide))
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(api).await?, web: Host::start(web).await?, state })
    }

    /// How things stand.
    #[must_use]
    pub fn state(&self) -> VercelState {
        VercelState(lock(&self.state).clone())
    }

    /// Puts things back as they stood.
    pub fn restore(&self, state: &VercelState) {
        lock(&self.state).clone_from(&state.0);
    }

    /// Stops the server's clock at this second.
    pub fn set_clock(&self, seconds: i64) {
        lock(&self.state).clock = Some(seconds);
    }

    /// Adds a token.
    pub fn add_token(&self, token: &str, reach: VercelToken) {
        lock(&self.state).tokens.insert(token.to_owned(), reach);
    }

    /// Takes a token away.
    pub fn revoke(&self, token: &str) {
        lock(&self.state).tokens.remove(token);
    }

    /// Whether a token is still good.
    #[must_use]
    pub fn knows(&self, token: &str) -> bool {
        lock(&self.state).tokens.contains_key(token)
    }

    /// Adds a team, whose id begins with `team_`.
    pub fn add_team(&self, id: &str, name: &str) {
        lock(&self.state).teams.push((id.to_owned(), name.to_owned()));
    }

    /// Adds a project of a team or a user.
    pub fn add_project(&self, id: &str, name: &str, account: &str) {
        let project = Project { id: id.into(), name: name.into(), account: account.into(), ..Project::default() };
        lock(&self.state).projects.push(project);
    }

    /// Says what a project is made of and with: `link` as the API gives it.
    pub fn describe_project(&self, id: &str, framework: Option<&str>, link: Option<Value>) {
        self.change(id, |project| {
            project.framework = framework.map(str::to_owned);
            project.link = link;
        });
    }

    /// Adds a custom environment.
    pub fn add_environment(&self, project: &str, id: &str, slug: &str) {
        self.change(project, |project| project.custom.push((id.to_owned(), slug.to_owned())));
    }

    /// Adds a record as somebody else made it. Gives its id.
    pub fn add_record(&self, project: &str, record: VercelRecord) -> String {
        let mut state = lock(&self.state);
        let (id, updated_at) = (state.id(), state.tick());
        let record = VercelRecord { id: id.clone(), updated_at, ..record };
        if let Some(project) = state.projects.iter_mut().find(|one| one.id == project) {
            project.env.push(record);
        }
        id
    }

    /// Deletes a record as somebody else would.
    pub fn remove(&self, project: &str, id: &str) {
        self.change(project, |project| project.env.retain(|record| record.id != id));
    }

    /// Changes a record's value as somebody else would.
    pub fn edit(&self, project: &str, id: &str, value: &str) {
        let tick = lock(&self.state).tick();
        self.change(project, |project| {
            for record in project.env.iter_mut().filter(|record| record.id == id) {
                (record.value, record.updated_at) = (value.to_owned(), tick);
            }
        });
    }

    /// The records of a project, by name and targets, their values included.
    #[must_use]
    pub fn records(&self, project: &str) -> Vec<VercelRecord> {
        let state = lock(&self.state);
        let found = state.projects.iter().find(|one| one.id == project);
        let mut records = found.map(|project| project.env.clone()).unwrap_or_default();
        records.sort_by(|one, two| (&one.key, &one.target, &one.id).cmp(&(&two.key, &two.target, &two.id)));
        records
    }

    /// The values that a deployment of this target gets, by name.
    #[must_use]
    pub fn values(&self, project: &str, target: &str) -> Vec<(String, String)> {
        let covers = |record: &VercelRecord| {
            record.git_branch.is_none() && record.target.iter().chain(&record.custom).any(|one| one == target)
        };
        let records = self.records(project).into_iter().filter(covers);
        records.map(|record| (record.key, record.value)).collect()
    }

    /// How the list of variables comes from now on.
    pub fn list_as(&self, form: VercelList) {
        lock(&self.state).form = form;
    }

    /// From now on the list gives encrypted values back only as they are stored.
    pub fn never_decrypt_lists(&self) {
        lock(&self.state).never_decrypts = true;
    }

    /// Refuses a name within a success, with this code.
    pub fn refuse_name(&self, name: &str, code: &str) {
        lock(&self.state).refused_names.insert(name.to_owned(), code.to_owned());
    }

    /// Refuses the next `count` requests of this method with 429; the limit ends in so many seconds of the server's clock,
    /// and `Retry-After` says so too or does not.
    pub fn throttle(&self, method: &str, count: usize, reset_in: i64, header: bool) {
        let throttled = Throttled { method: method.to_owned(), left: count, reset_in, header };
        lock(&self.state).throttles.push(throttled);
    }

    /// Adds an integration: its slug, client and redirect address.
    pub fn add_client(&self, client: OAuthClient) {
        lock(&self.state).consent.add_client(client);
    }

    /// Who consents from now on, and for which team.
    pub fn consent_as(&self, user: &str, team: Option<&str>) {
        lock(&self.state).consenting = (user.to_owned(), team.map(str::to_owned));
    }

    /// What codes and tokens begin with from now on.
    pub fn mark(&self, mark: &str) {
        lock(&self.state).consent.mark(mark);
    }

    /// Removes an installation as its owner does at Vercel: with its tokens and with the variables that it made.
    pub fn uninstall(&self, id: &str) {
        lock(&self.state).uninstall(id);
    }

    /// The ids of the integrations' installations.
    #[must_use]
    pub fn installations(&self) -> Vec<String> {
        lock(&self.state).installations.iter().map(|(id, _)| id.clone()).collect()
    }

    fn change(&self, project: &str, change: impl FnOnce(&mut Project)) {
        if let Some(project) = lock(&self.state).projects.iter_mut().find(|one| one.id == project) {
            change(project);
        }
    }
}

fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    json_answer(status, &json!({ "error": { "code": code, "message": message } }))
}

fn not_found() -> Response {
    refused(StatusCode::NOT_FOUND, "not_found", "Not found")
}

fn bad_request(message: &str) -> Response {
    refused(StatusCode::BAD_REQUEST, "bad_request", message)
}

async fn install(
    Extracted(state): Extracted<Shared>,
    Path(slug): Path<String>,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let fields = form(uri.query().unwrap_or_default().as_bytes());
    let mut state = lock(&state);
    let Some(client) = state.consent.client_of_slug(&slug).cloned() else { return not_found() };
    let wish = Wish {
        client_id: client.id,
        redirect_uri: client.redirect_uri,
        state: Some(text(&fields, "state").to_owned()).filter(|state| !state.is_empty()),
        ..Wish::default()
    };
    state.consent.page("Vercel", wish)
}

async fn decide(Extracted(state): Extracted<Shared>, Path((number, decision)): Path<(usize, String)>) -> Response {
    let mut state = lock(&state);
    let Some(wish) = state.consent.wish(number) else { return not_found() };
    if decision != "allow" {
        // The install page has no answer for who closes it: the user stays at Vercel.
        return plain(StatusCode::OK, "text/html; charset=utf-8", "<!doctype html>\n<p>Nothing was installed.</p>\n");
    }
    let (user, team) = state.consenting.clone();
    let owner = team.clone().unwrap_or(user);
    let known = state.installations.iter().find(|(_, scope)| *scope == owner).map(|(id, _)| id.clone());
    let installation = known.unwrap_or_else(|| {
        let id = format!("icfg_{}", state.consent.number());
        state.installations.push((id.clone(), owner));
        id
    });
    let code = state.consent.code(wish.clone());
    let mut pairs = vec![("code", code.as_str()), ("configurationId", installation.as_str())];
    pairs.extend(team.as_deref().map(|team| ("teamId", team)));
    pairs.extend(wish.state.as_deref().map(|state| ("state", state)));
    back(&wish.redirect_uri, &pairs)
}

async fn token(Extracted(state): Extracted<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let fields = form(&body);
    let mut state = lock(&state);
    let redeemed = state.consent.caller(&headers, &fields).and_then(|client| state.consent.redeem(&client, &fields));
    if let Err(refused) = redeemed {
        return refused.into_response();
    }
    let (user, team) = state.consenting.clone();
    let owner = team.clone().unwrap_or_else(|| user.clone());
    let Some(installation) = state.installations.iter().find(|(_, scope)| *scope == owner).map(|(id, _)| id.clone())
    else {
        return oauth_error(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    let token = state.consent.given("vercel-token");
    let reach = VercelToken {
        user: user.clone(),
        teams: team.iter().cloned().collect(),
        installation: Some(installation.clone()),
        ..VercelToken::default()
    };
    state.tokens.insert(token.clone(), reach);
    let answer = json!({ "token_type": "Bearer", "access_token": token, "installation_id": installation,
        "user_id": user, "team_id": team });
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

    /// Milliseconds, later with every call.
    fn tick(&mut self) -> i64 {
        self.ticks += 1;
        self.now() * 1_000 + self.ticks
    }

    fn id(&mut self) -> String {
        self.ids += 1;
        format!("env{:04}", self.ids)
    }

    fn throttled(&mut self, method: &Method) -> Option<Response> {
        let now = self.now();
        let hit = self.throttles.iter_mut().find(|one| one.left > 0 && one.method == method.as_str())?;
        hit.left -= 1;
        let body = json!({ "error": { "code": "rate_limited", "message": "Rate limit exceeded",
            "name": "api-projects-environment-variable",
            "limit": { "total": 60, "remaining": 0, "reset": now + hit.reset_in } } });
        let answer = json_answer(StatusCode::TOO_MANY_REQUESTS, &body);
        Some(if hit.header { with_headers(answer, [("retry-after", hit.reset_in.to_string())]) } else { answer })
    }

    fn answer(
        &mut self,
        method: &Method,
        path: &[&str],
        query: &Map<String, Value>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response, Refused> {
        let Some(token) = bearer(headers).and_then(|token| self.tokens.get(token)).cloned() else {
            let body = json!({ "error": { "code": "forbidden", "message": "Not authorized", "invalidToken": true } });
            return Err(json_answer(StatusCode::FORBIDDEN, &body).into());
        };
        if let Some(refused) = self.throttled(method) {
            return Err(refused.into());
        }
        let forbidden = || Refused::from(refused(StatusCode::FORBIDDEN, "forbidden", "Not authorized"));
        let team = Some(text(query, "teamId")).filter(|team| !team.is_empty());
        if team.is_some_and(|team| !token.teams.iter().any(|one| one == team)) {
            return Err(forbidden());
        }
        if token.read_only && method != Method::GET {
            return Err(forbidden());
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let account = team.unwrap_or(&token.user).to_owned();
        match (method.as_str(), path) {
            ("GET", ["v2", "user" | "teams", ..]) if token.project.is_some() => Err(forbidden()),
            ("GET", ["v2", "user"]) => {
                let user = json!({ "id": token.user, "username": token.user, "name": token.user });
                Ok(json_answer(StatusCode::OK, &json!({ "user": user })))
            }
            ("GET", ["v2", "teams"]) => Ok(self.teams(&token, query)),
            ("GET", ["v2", "teams", id]) => {
                let known =
                    self.teams.iter().find(|(team, _)| team == id).filter(|_| token.teams.iter().any(|one| one == id));
                let (id, name) = known.ok_or_else(forbidden)?;
                Ok(json_answer(StatusCode::OK, &json!({ "id": id, "name": name, "slug": name })))
            }
            ("GET", ["v10", "projects"]) => Ok(self.list_projects(&token, &account, query)),
            ("DELETE", ["v1", "integrations", "configuration", id]) => {
                if !self.installations.iter().any(|(one, scope)| one == id && *scope == account) {
                    return Err(not_found().into());
                }
                self.uninstall(id);
                Ok(json_answer(StatusCode::NO_CONTENT, &Value::Null))
            }
            (_, [_, "projects", id, ..]) => {
                let allowed = token.project.as_deref().is_none_or(|one| one == *id);
                let found = self.projects.iter().position(|one| one.id == *id && one.account == account);
                let project = found.filter(|_| allowed).ok_or_else(not_found)?;
                self.of_project(project, method, path, query, (&body, token.installation.as_deref()))
            }
            _ => Err(not_found().into()),
        }
    }

    fn teams(&self, token: &VercelToken, query: &Map<String, Value>) -> Response {
        let own: Vec<&(String, String)> = self.teams.iter().filter(|(id, _)| token.teams.contains(id)).collect();
        let start = text(query, "until").parse().unwrap_or(0_usize);
        let shown = own.iter().skip(start).take(self.page);
        let teams: Vec<Value> = shown.map(|(id, name)| json!({ "id": id, "name": name, "slug": name })).collect();
        let next = Some(start + teams.len()).filter(|end| *end < own.len());
        let pagination = json!({ "count": teams.len(), "next": next, "prev": null });
        json_answer(StatusCode::OK, &json!({ "teams": teams, "pagination": pagination }))
    }

    fn list_projects(&self, token: &VercelToken, account: &str, query: &Map<String, Value>) -> Response {
        let seen = |project: &&Project| match &token.project {
            Some(one) => project.id == *one,
            None => project.account == account,
        };
        let own: Vec<&Project> = self.projects.iter().filter(seen).collect();
        let limit = text(query, "limit").parse().unwrap_or(20_usize).min(self.page);
        let start = text(query, "from").parse().unwrap_or(0_usize);
        let shown = own.iter().skip(start).take(limit);
        let projects: Vec<Value> = shown.map(|project| project.shown()).collect();
        let next = Some(start + projects.len()).filter(|end| *end < own.len());
        let pagination = json!({ "count": projects.len(), "next": next, "prev": null });
        json_answer(StatusCode::OK, &json!({ "projects": projects, "pagination": pagination }))
    }

    fn of_project(
        &mut self,
        position: usize,
        method: &Method,
        path: &[&str],
        query: &Map<String, Value>,
        (body, installation): (&Value, Option<&str>),
    ) -> Result<Response, Refused> {
        let Some(project) = self.projects.get(position).cloned() else { return Err(not_found().into()) };
        let env = &project.env;
        match (method.as_str(), path) {
            ("GET", ["v9", _, _, "custom-environments"]) => {
                let shown =
                    project.custom.iter().map(|(id, slug)| json!({ "id": id, "slug": slug, "type": "preview" }));
                let environments: Vec<Value> = shown.collect();
                Ok(json_answer(StatusCode::OK, &json!({ "environments": environments })))
            }
            ("GET", ["v10", _, _, "env"]) => Ok(self.list_env(env, query)),
            ("GET", ["v1", _, _, "env", id]) => {
                let record = env.iter().find(|record| record.id == *id).ok_or_else(not_found)?;
                Ok(json_answer(StatusCode::OK, &record.shown(true)))
            }
            ("POST", ["v10", _, _, "env"]) => self.create(position, flag(query, "upsert"), body, installation),
            ("PATCH", ["v9", _, _, "env", id]) => self.patch(position, id, body),
            ("DELETE", ["v9", _, _, "env", id]) => {
                let record = env.iter().find(|record| record.id == *id).ok_or_else(not_found)?.shown(false);
                self.delete(position, &[(*id).to_owned()]);
                Ok(json_answer(StatusCode::OK, &record))
            }
            ("DELETE", ["v1", _, _, "env"]) => {
                let wanted = body.as_object().map(|body| list(body, "ids")).unwrap_or_default();
                let ids: Vec<String> = wanted.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                if ids.is_empty() || ids.iter().any(|id| !env.iter().any(|record| record.id == *id)) {
                    return Err(not_found().into());
                }
                self.delete(position, &ids);
                Ok(json_answer(StatusCode::OK, &json!({ "deleted": ids.len(), "ids": ids })))
            }
            _ => Err(not_found().into()),
        }
    }

    fn list_env(&self, env: &[VercelRecord], query: &Map<String, Value>) -> Response {
        let decrypt = flag(query, "decrypt") && !self.never_decrypts;
        let all: Vec<Value> = env.iter().map(|record| record.shown(decrypt)).collect();
        let body = match self.form {
            VercelList::Bare => json!({ "envs": all }),
            VercelList::Naked => json!(all),
            VercelList::Hiding(count) => {
                let pagination = json!({ "count": all.len(), "next": null, "prev": null });
                json!({ "envs": all, "pagination": pagination, "hiddenProductionEnvCount": count })
            }
            VercelList::Paged(size) => {
                let start = text(query, "until").parse().unwrap_or(0_usize);
                let page: Vec<&Value> = all.iter().skip(start).take(size).collect();
                let next = Some(start + page.len()).filter(|end| *end < all.len());
                let pagination = json!({ "count": page.len(), "next": next, "prev": null });
                json!({ "envs": page, "pagination": pagination })
            }
        };
        json_answer(StatusCode::OK, &body)
    }

    /// Removes an installation with its tokens and with the variables that it made.
    fn uninstall(&mut self, id: &str) {
        self.installations.retain(|(one, _)| one != id);
        self.tokens.retain(|_, token| token.installation.as_deref() != Some(id));
        for project in &mut self.projects {
            project.env.retain(|record| record.installation.as_deref() != Some(id));
        }
    }

    fn delete(&mut self, position: usize, ids: &[String]) {
        if let Some(project) = self.projects.get_mut(position) {
            project.env.retain(|record| !ids.contains(&record.id));
        }
    }

    fn create(
        &mut self,
        position: usize,
        upsert: bool,
        body: &Value,
        installation: Option<&str>,
    ) -> Result<Response, Refused> {
        let wanted = match body {
            Value::Array(items) => items.clone(),
            one => vec![one.clone()],
        };
        let custom = self.projects.get(position).map(|project| project.custom.clone()).unwrap_or_default();
        let mut records = Vec::new();
        for item in &wanted {
            records.push(new_record(item, &custom).map_err(bad_request)?);
        }
        let (mut created, mut failed) = (Vec::new(), Vec::new());
        for record in records {
            let code = match self.refused_names.get(&record.key) {
                Some(code) => Some(code.clone()),
                None if record.key.starts_with("VERCEL_") => Some("RESERVED_ENV_VARIABLE".to_owned()),
                None => None,
            };
            let (id, tick) = (self.id(), self.tick());
            let Some(project) = self.projects.get_mut(position) else { return Err(not_found().into()) };
            let in_the_way = project.env.iter_mut().find(|one| one.overlaps(&record));
            match (code, in_the_way) {
                (Some(code), _) => failed.push(failure(&code, &record)),
                (None, Some(old)) if upsert => {
                    old.value = record.value;
                    old.kind = record.kind;
                    old.updated_at = tick;
                    old.comment = record.comment;
                    for target in record.target {
                        if !old.target.contains(&target) {
                            old.target.push(target);
                        }
                    }
                    created.push(old.shown(true));
                }
                (None, Some(old)) => {
                    let same = old.target == record.target && old.custom == record.custom;
                    failed.push(failure(if same { "ENV_ALREADY_EXISTS" } else { "ENV_CONFLICT" }, &record));
                }
                (None, None) => {
                    let installation = installation.map(str::to_owned);
                    let record = VercelRecord { id, updated_at: tick, installation, ..record };
                    created.push(record.shown(true));
                    project.env.push(record);
                }
            }
        }
        let created = if body.is_array() { json!(created) } else { json!(created.first()) };
        Ok(json_answer(StatusCode::CREATED, &json!({ "created": created, "failed": failed })))
    }

    fn patch(&mut self, position: usize, id: &str, body: &Value) -> Result<Response, Refused> {
        let tick = self.tick();
        let project = self.projects.get_mut(position).ok_or_else(not_found)?;
        let others: Vec<VercelRecord> = project.env.iter().filter(|record| record.id != id).cloned().collect();
        let record = project.env.iter_mut().find(|record| record.id == id).ok_or_else(not_found)?;
        let body = body.as_object().ok_or_else(|| bad_request("Invalid request"))?;
        let mut changed = record.clone();
        let texts = |name: &str| list(body, name).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if body.contains_key("key") {
            if record.kind == "sensitive" {
                return Err(bad_request("You cannot change the key of a Sensitive Environment Variable.").into());
            }
            changed.key = text(body, "key").to_owned();
        }
        if let Some(kind) = body.get("type").and_then(Value::as_str) {
            if (kind == "sensitive") != (record.kind == "sensitive") {
                return Err(bad_request("You cannot change the type of a Sensitive Environment Variable.").into());
            }
            changed.kind = kind.to_owned();
        }
        if body.contains_key("target") {
            changed.target = texts("target");
        }
        if body.contains_key("customEnvironmentIds") {
            changed.custom = texts("customEnvironmentIds");
        }
        if body.contains_key("value") {
            changed.value = text(body, "value").to_owned();
        }
        well_formed(&changed).map_err(bad_request)?;
        if others.iter().any(|other| other.overlaps(&changed)) {
            return Err(refused(StatusCode::BAD_REQUEST, "ENV_CONFLICT", "Another variable is in the way").into());
        }
        changed.updated_at = tick;
        *record = changed;
        Ok(json_answer(StatusCode::OK, &record.shown(true)))
    }
}

impl Project {
    fn shown(&self) -> Value {
        let custom: Vec<Value> = self.custom.iter().map(|(id, slug)| json!({ "id": id, "slug": slug })).collect();
        let mut shown = json!({ "id": self.id, "name": self.name, "accountId": self.account,
            "framework": self.framework, "customEnvironments": custom });
        if let (Some(link), Some(shown)) = (&self.link, shown.as_object_mut()) {
            shown.insert("link".into(), link.clone());
        }
        shown
    }
}

fn failure(code: &str, record: &VercelRecord) -> Value {
    json!({ "error": { "code": code, "message": format!("{} cannot be {}", record.key, record.value),
        "envVarKey": record.key, "target": record.target } })
}

fn new_record(item: &Value, custom: &[(String, String)]) -> Result<VercelRecord, &'static str> {
    let item = item.as_object().ok_or("Invalid request: should be object")?;
    if !item.get("value").is_some_and(Value::is_string) {
        return Err("Invalid request: `value` should be string");
    }
    let texts = |name: &str| list(item, name).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let optional = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
    let record = VercelRecord {
        key: text(item, "key").to_owned(),
        value: text(item, "value").to_owned(),
        kind: text(item, "type").to_owned(),
        target: texts("target"),
        custom: texts("customEnvironmentIds"),
        git_branch: optional("gitBranch"),
        comment: optional("comment"),
        ..VercelRecord::default()
    };
    if record.custom.iter().any(|id| !custom.iter().any(|(known, _)| known == id)) {
        return Err("Invalid request: unknown custom environment");
    }
    well_formed(&record)?;
    Ok(record)
}

fn well_formed(record: &VercelRecord) -> Result<(), &'static str> {
    let mut bytes = record.key.bytes();
    let starts = bytes.next().is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic());
    if !starts || !bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) || record.key.len() > 256 {
        return Err("Invalid request: `key` should match pattern");
    }
    if !matches!(record.kind.as_str(), "system" | "encrypted" | "plain" | "sensitive") {
        return Err("Invalid request: `type` should be one of the allowed values");
    }
    if record.target.is_empty() && record.custom.is_empty() {
        return Err("Invalid request: `target` or `customEnvironmentIds` is required");
    }
    if record.target.iter().any(|target| !STANDARD_TARGETS.contains(&target.as_str())) {
        return Err("Invalid request: `target` should be one of the allowed values");
    }
    if record.kind == "sensitive" && record.target.iter().any(|target| target == "development") {
        return Err("You cannot set a Sensitive Environment Variable's target to development.");
    }
    Ok(())
}
