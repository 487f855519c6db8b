//! Railway: the variables of a project's services, and those that they share, by environment.
//!
//! # Theory of operation
//! A project is listed once for its shared variables, by its id, and once for each service, by `<project>/<service>`.
//! Environments are a project's own, by name; those of pull requests are not offered.
//!
//! Values are read unrendered: `${{shared.X}}` stays a reference when it is written back. A batch is one
//! `variableCollectionUpsert`, never with `replace`, which would delete what is not named. Deletions are single mutations,
//! many to a request; one that fails ends the request's others undone, so they are asked for again. Deletions deploy by
//! themselves, Railway has no way not to. A service's values are set without a deploy, and [`Provider::apply`] deploys it
//! once; who uses shared ones only Railway knows, so those are set with its own deploy.
//!
//! Sealed values are null; `updatedAt` is their marker.
//!
//! An answer is a 200 with errors as often as not. Their words may repeat what was sent and are not passed on. "Not
//! Authorized" is said of a bad token, of a missing right and of a project that is not seen; whether the token is good at
//! all is then asked. A token of a project has a header of its own; its account's id begins with `project:`.
//!
//! Refresh tokens rotate, and the use of an old one revokes the grant: nothing here is ever sent twice. The facts are from
//! Railway's documentation and its published schema of August 2026.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use futures::FutureExt as _;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use shared::credentials::disclose;
use shared::egress::{Answer, Egress, Upstream};
use url::Url;

use super::halves::{Called, by_halves};
use super::oauth::TokenEndpoint;
use super::{
    Abilities, Account, Authorization, Change, Client, Contents, Entry, OAuth, OAuthError, Outcome, Place, Project,
    Provider, Session, Tokens, Trouble, Variable, has_prefix, settle,
};

const NAME: &str = "Railway";
/// Before the ids of a project token's project and environment.
const PROJECT_TOKEN: &str = "project:";
/// What is asked for on the consent page. Workspaces are told only with `email` and `profile`.
const SCOPES: &str = "openid email profile offline_access workspace:member project:member";
/// Longer lists than this are not Railway's.
const MOST_PAGES: usize = 1_000;

const PAGE_INFO: &str = "pageInfo { hasNextPage endCursor }";
const ENVIRONMENT: &str = "id name isEphemeral serviceInstances { edges { node { serviceId source { repo } } } }";

static ENTRY: Entry = Entry {
    name: "railway",
    display_name: NAME,
    token_help: Some(
        "On railway.com open Account Settings, Tokens, and create a token for the workspace; or open the project's \
         Settings, Tokens, and create one for the one environment. The value is shown once.",
    ),
    abilities: Abilities {
        readable: true,
        environments: &[],
        sets_at_once: 100,
        deletes_at_once: 25,
        mixed: true,
        most_names: None,
        largest_value: 24 * 1024,
    },
};

/// Railway.
pub(super) struct Railway;

#[async_trait::async_trait]
impl Provider for Railway {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn oauth(&self) -> Option<&'static dyn OAuth> {
        Some(&Railway)
    }

    fn reserves(&self, name: &str) -> bool {
        has_prefix(name, "RAILWAY")
    }

    async fn accounts(&self, session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
        match user(session).await {
            Err(Trouble::Forbidden(_)) => {}
            found => {
                let user = found?;
                return Ok(match session.team_id {
                    Some(team) => user.workspaces.iter().filter(|one| one.id == team).map(Named::account).collect(),
                    None => vec![user.account()],
                });
            }
        }
        match ask::<ApiToken>(session, Scheme::Bearer, "query { apiToken { workspaces { id name } } }", json!({})).await
        {
            Err(Trouble::Forbidden(_)) => {}
            found => {
                let meant = |one: &&Named| session.team_id.is_none_or(|team| team == one.id);
                return Ok(found?.api_token.workspaces.iter().filter(meant).map(Named::account).collect());
            }
        }
        let query = "query { projectToken { projectId environmentId project { name } environment { name } } }";
        match ask::<ProjectTokenReply>(session, Scheme::Project, query, json!({})).await {
            Err(Trouble::Forbidden(_)) => {
                Err(Trouble::Unauthorized("Railway does not accept the token any more. Connect again.".into()))
            }
            found => Ok(vec![found?.project_token.account()]),
        }
    }

    async fn projects(&self, session: &Session<'_>) -> Result<Vec<Project>, Trouble> {
        let mut nodes = Vec::new();
        if let Some((project, environment)) = project_token(session) {
            let mut node = one_project(session, project).await?;
            node.environments.edges.retain(|edge| edge.node.id == environment);
            nodes.push(node);
        } else if let Some(workspace) = session.team_id {
            nodes = in_workspace(session, workspace).await?;
        } else {
            let user = user(session).await.map_err(|trouble| match trouble {
                Trouble::Forbidden(_) => {
                    Trouble::Unauthorized("Railway does not accept the token any more. Connect again.".into())
                }
                trouble => trouble,
            })?;
            for workspace in user.workspaces {
                nodes.extend(in_workspace(session, &workspace.id).await?);
            }
            let seen: BTreeSet<String> = nodes.iter().map(|node| node.id.clone()).collect();
            for id in granted(session).await?.into_iter().filter(|id| !seen.contains(id)) {
                nodes.push(one_project(session, &id).await?);
            }
        }
        let mut projects = Vec::new();
        for node in nodes {
            projects.extend(complete(session, node).await?.shown());
        }
        projects.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(projects)
    }

    async fn read(&self, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble> {
        let scope = Scope::of(session, place).await?;
        let values = scope.values(session).await?;
        let (marks, hides_names) = match scope.marks(session).await {
            Ok(marks) => (marks, false),
            // Without them it is not certain that every sealed name shows.
            Err(Trouble::Forbidden(_) | Trouble::Refused(_) | Trouble::NotFound(_)) => (BTreeMap::new(), true),
            Err(trouble) => return Err(trouble),
        };
        let sealed = marks.iter().filter(|(_, mark)| mark.is_sealed).map(|(name, _)| (name.clone(), None));
        let all: BTreeMap<String, Option<String>> = sealed.chain(values).collect();
        let mut variables = BTreeMap::new();
        for (name, value) in all.into_iter().filter(|(name, _)| !self.reserves(name)) {
            let mark = marks.get(&name);
            let value = value.filter(|_| !mark.is_some_and(|mark| mark.is_sealed)).map(SecretString::from);
            let handle = json!(value.is_none());
            variables.insert(name, Variable { value, marker: mark.map(|mark| mark.updated_at.clone()), handle });
        }
        Ok(Contents { variables, hides_names, ..Contents::default() })
    }

    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble> {
        let scope = Scope::of(session, place).await?;
        let (mut sets, mut deletes) = (Vec::new(), Vec::new());
        for change in batch {
            match &change.value {
                Some(value) => sets.push((change, value)),
                None => deletes.push(change),
            }
        }
        let mut outcomes = scope.delete(session, &deletes).await;
        let said = by_halves(&sets, |part| scope.set(session, part).boxed()).await;
        let is_sealed = |change: &Change| change.before.as_ref().is_some_and(|before| before.handle == json!(true));
        let changed_sealed = sets.iter().zip(&said).any(|((change, _), result)| result.is_ok() && is_sealed(change));
        // Without its marker a sealed value is written again by the next run.
        let marks = if changed_sealed { scope.marks(session).await.unwrap_or_default() } else { BTreeMap::new() };
        for ((change, _), result) in sets.into_iter().zip(said) {
            let marker = marks.get(&change.name).map(|mark| mark.updated_at.clone());
            outcomes.push(Outcome { name: change.name.clone(), result: result.map(|()| marker) });
        }
        settle(outcomes)
    }

    async fn apply(&self, session: &Session<'_>, place: &Place) -> Result<(), Trouble> {
        let scope = Scope::of(session, place).await?;
        let Some(service) = &scope.service else { return Ok(()) };
        let mutation =
            "mutation($e: String!, $s: String!) { serviceInstanceRedeploy(environmentId: $e, serviceId: $s) }";
        let variables = json!({ "e": scope.environment, "s": service });
        match ask::<Json>(session, Scheme::of(session), mutation, variables).await {
            // A service that never ran, or runs on a schedule, takes the values up when it is deployed next.
            Ok(_) | Err(Trouble::Refused(_) | Trouble::NotFound(_)) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }
}

/// Which variables a place means.
#[derive(Debug)]
struct Scope {
    project: String,
    /// None for the shared ones.
    service: Option<String>,
    environment: String,
}

impl Scope {
    async fn of(session: &Session<'_>, place: &Place) -> Result<Self, Trouble> {
        let (project, service) = match place.project_id.split_once('/') {
            Some((project, service)) => (project, Some(service)),
            None => (place.project_id.as_str(), None),
        };
        let node = match one_project(session, project).await {
            Ok(node) => complete(session, node).await?,
            Err(Trouble::Forbidden(_)) => return Err(unseen(session).await),
            Err(trouble) => return Err(trouble),
        };
        if service.is_some_and(|service| !node.services.nodes().any(|one| one.id == service)) {
            return Err(Trouble::NotFound("This project of Railway has no such service.".into()));
        }
        let lasting = || node.environments.nodes().filter(|one| !one.is_ephemeral);
        let Some(environment) = lasting().find(|one| one.name == place.environment) else {
            let names: Vec<&str> = lasting().map(|one| one.name.as_str()).collect();
            let message = format!("This project has no such environment. It has {}.", names.join(", "));
            return Err(Trouble::NotFound(message));
        };
        Ok(Self { project: node.id.clone(), service: service.map(str::to_owned), environment: environment.id.clone() })
    }

    /// The values by name, null where sealed.
    async fn values(&self, session: &Session<'_>) -> Result<BTreeMap<String, Option<String>>, Trouble> {
        let query = "query($p: String!, $e: String!, $s: String) { \
                     variables(projectId: $p, environmentId: $e, serviceId: $s, unrendered: true) }";
        let variables = json!({ "p": self.project, "e": self.environment, "s": self.service });
        let reply: VariablesReply = ask(session, Scheme::of(session), query, variables).await?;
        Ok(reply.variables)
    }

    /// What is known of each variable beside its value.
    async fn marks(&self, session: &Session<'_>) -> Result<BTreeMap<String, Mark>, Trouble> {
        let query = format!(
            "query($e: String!, $after: String) {{ environment(id: $e) {{ variables(after: $after) {{ \
             edges {{ node {{ name isSealed serviceId updatedAt }} }} {PAGE_INFO} }} }} }}"
        );
        let mut marks = BTreeMap::new();
        let mut after: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let variables = json!({ "e": self.environment, "after": after });
            let reply: EnvironmentReply = ask(session, Scheme::of(session), &query, variables).await?;
            after = reply.environment.variables.following();
            let nodes = reply.environment.variables.edges.into_iter().map(|edge| edge.node);
            let own = nodes.filter(|mark| mark.service_id.as_deref() == self.service.as_deref());
            marks.extend(own.map(|mark| (mark.name.clone(), mark)));
            if after.is_none() {
                break;
            }
        }
        Ok(marks)
    }

    /// All of them in one call. A shared variable's users are deployed by it; a service is deployed afterwards, once.
    async fn set(&self, session: &Session<'_>, sets: &[(&Change, &SecretString)]) -> Called<()> {
        let values: Map<String, Json> =
            sets.iter().map(|(change, value)| (change.name.clone(), json!(disclose(value)))).collect();
        let mutation = "mutation($i: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $i) }";
        let mut input = json!({ "projectId": self.project, "environmentId": self.environment, "variables": values,
            "skipDeploys": self.service.is_some() });
        if let (Some(input), Some(service)) = (input.as_object_mut(), &self.service) {
            input.insert("serviceId".into(), json!(service));
        }
        let _: Json = ask(session, Scheme::of(session), mutation, json!({ "i": input })).await?;
        Ok(vec![Ok(()); sets.len()])
    }

    /// Many in one call, and those that a failed one left undone in another.
    async fn delete(&self, session: &Session<'_>, deletes: &[&Change]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(deletes.len());
        let mut rest = deletes;
        while !rest.is_empty() {
            let (done, failed) = match self.delete_call(session, rest).await {
                Ok(()) => (rest.len(), None),
                Err(Stopped { at: Some(at), trouble }) if at < rest.len() => (at, Some(trouble)),
                Err(Stopped { trouble, .. }) => {
                    outcomes.extend(rest.iter().map(|change| Outcome::failed(change, trouble.clone())));
                    break;
                }
            };
            let (before, after) = rest.split_at(done);
            outcomes.extend(before.iter().map(|change| Outcome::done(change, None)));
            rest = after;
            if let (Some(trouble), Some((change, after))) = (failed, rest.split_first()) {
                outcomes.push(match trouble {
                    Trouble::NotFound(_) => Outcome::done(change, None),
                    trouble => Outcome::failed(change, trouble),
                });
                rest = after;
            }
        }
        outcomes
    }

    async fn delete_call(&self, session: &Session<'_>, deletes: &[&Change]) -> Result<(), Stopped> {
        let (mut declared, mut calls, mut variables) = (String::new(), String::new(), Map::new());
        for (at, change) in deletes.iter().enumerate() {
            declared.push_str(&format!("$i{at}: VariableDeleteInput! "));
            calls.push_str(&format!("d{at}: variableDelete(input: $i{at}) "));
            let input = json!({ "projectId": self.project, "environmentId": self.environment, "name": change.name,
                "serviceId": self.service });
            variables.insert(format!("i{at}"), input);
        }
        let mutation = format!("mutation({declared}) {{ {calls} }}");
        let answer = post(session, Scheme::of(session), &mutation, Json::Object(variables)).await?;
        let reply: Reply<Json> = answer.json().ok_or_else(|| Trouble::unreadable(NAME))?;
        match reply.errors.first() {
            None => Ok(()),
            Some(error) => Err(Stopped { at: error.position(), trouble: error.trouble() }),
        }
    }
}

/// Where a request of several mutations ended.
struct Stopped {
    at: Option<usize>,
    trouble: Trouble,
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        Self { at: None, trouble }
    }
}

/// What "Not Authorized" means when a project was asked for: that the token is bad, or that it does not see the project.
async fn unseen(session: &Session<'_>) -> Trouble {
    match Railway.accounts(session).await {
        Ok(_) => Trouble::NotFound("Railway does not know this project, or the token does not see it.".into()),
        Err(trouble) => trouble,
    }
}

fn project_token<'a>(session: &Session<'a>) -> Option<(&'a str, &'a str)> {
    session.account_id.strip_prefix(PROJECT_TOKEN)?.split_once('/')
}

async fn user(session: &Session<'_>) -> Result<User, Trouble> {
    let query = "query { me { id name email workspaces { id name } } }";
    ask::<MeReply>(session, Scheme::Bearer, query, json!({})).await.map(|reply| reply.me)
}

async fn in_workspace(session: &Session<'_>, workspace: &str) -> Result<Vec<ProjectNode>, Trouble> {
    let query = format!(
        "query($w: String!, $after: String) {{ projects(workspaceId: $w, first: 20, after: $after) {{ edges {{ node {{ \
         id name environments {{ edges {{ node {{ {ENVIRONMENT} }} }} {PAGE_INFO} }} \
         services {{ edges {{ node {{ id name }} }} {PAGE_INFO} }} }} }} {PAGE_INFO} }} }}"
    );
    let mut nodes = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let variables = json!({ "w": workspace, "after": after });
        let reply: ProjectsReply = ask(session, Scheme::of(session), &query, variables).await?;
        after = reply.projects.following();
        nodes.extend(reply.projects.edges.into_iter().map(|edge| edge.node));
        if after.is_none() {
            break;
        }
    }
    Ok(nodes)
}

/// The ids of single projects that the user granted. Tokens that are no application's have none.
async fn granted(session: &Session<'_>) -> Result<Vec<String>, Trouble> {
    let query = "query { externalWorkspaces { id name projects { id name } } }";
    match ask::<ExternalReply>(session, Scheme::Bearer, query, json!({})).await {
        Ok(reply) => {
            let projects = reply.external_workspaces.into_iter().flat_map(|workspace| workspace.projects);
            Ok(projects.map(|project| project.id).collect())
        }
        Err(Trouble::Forbidden(_) | Trouble::Refused(_) | Trouble::NotFound(_)) => Ok(Vec::new()),
        Err(trouble) => Err(trouble),
    }
}

async fn one_project(session: &Session<'_>, id: &str) -> Result<ProjectNode, Trouble> {
    let query = format!(
        "query($p: String!) {{ project(id: $p) {{ id name environments {{ edges {{ node {{ {ENVIRONMENT} }} }} {PAGE_INFO} }} \
         services {{ edges {{ node {{ id name }} }} {PAGE_INFO} }} }} }}"
    );
    ask::<ProjectReply>(session, Scheme::of(session), &query, json!({ "p": id })).await.map(|reply| reply.project)
}

/// The same with the pages of environments and services that follow.
async fn complete(session: &Session<'_>, mut node: ProjectNode) -> Result<ProjectNode, Trouble> {
    for _ in 0..MOST_PAGES {
        let Some(after) = node.environments.following() else { break };
        let page: ProjectPage<EnvironmentNode> = more(session, &node.id, "environments", ENVIRONMENT, &after).await?;
        node.environments.take(page.list);
    }
    for _ in 0..MOST_PAGES {
        let Some(after) = node.services.following() else { break };
        let page: ProjectPage<Named> = more(session, &node.id, "services", "id name", &after).await?;
        node.services.take(page.list);
    }
    Ok(node)
}

async fn more<T: DeserializeOwned>(
    session: &Session<'_>,
    project: &str,
    list: &str,
    fields: &str,
    after: &str,
) -> Result<ProjectPage<T>, Trouble> {
    let query = format!(
        "query($p: String!, $after: String) {{ project(id: $p) {{ list: {list}(after: $after) {{ edges {{ node {{ {fields} \
         }} }} {PAGE_INFO} }} }} }}"
    );
    let reply: MoreReply<T> =
        ask(session, Scheme::of(session), &query, json!({ "p": project, "after": after })).await?;
    Ok(reply.project)
}

/// How a token is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Project,
}

impl Scheme {
    fn of(session: &Session<'_>) -> Self {
        if project_token(session).is_some() { Self::Project } else { Self::Bearer }
    }
}

async fn post(session: &Session<'_>, scheme: Scheme, query: &str, variables: Json) -> Result<Answer, Trouble> {
    let request = session.request(Method::POST, Upstream::RailwayGraphql, "/graphql/v2");
    let request = match scheme {
        Scheme::Bearer => request.bearer(session.token()),
        Scheme::Project => request.secret_header("project-access-token", session.token()),
    };
    let answer = session.send(NAME, request.json(&json!({ "query": query, "variables": variables }))).await?;
    match answer.status {
        200..300 => Ok(answer),
        429 => {
            let reset = answer.header("x-ratelimit-reset").and_then(|seconds| seconds.trim().parse().ok());
            Err(Trouble::wait_until(NAME, &answer, reset, session.now()))
        }
        _ => Err(Trouble::of_answer(NAME, &answer)),
    }
}

async fn ask<T: DeserializeOwned>(
    session: &Session<'_>,
    scheme: Scheme,
    query: &str,
    variables: Json,
) -> Result<T, Trouble> {
    let answer = post(session, scheme, query, variables).await?;
    let reply: Reply<Json> = answer.json().ok_or_else(|| Trouble::unreadable(NAME))?;
    match reply.errors.first() {
        Some(error) => Err(error.trouble()),
        None => T::deserialize(reply.data.unwrap_or_default()).map_err(|_| Trouble::unreadable(NAME)),
    }
}

#[derive(Deserialize)]
struct Reply<T> {
    data: Option<T>,
    #[serde(default)]
    errors: Vec<GraphqlError>,
}

#[derive(Deserialize)]
struct GraphqlError {
    #[serde(default)]
    message: String,
    path: Option<Vec<Json>>,
}

impl GraphqlError {
    /// The number of the mutation that failed.
    fn position(&self) -> Option<usize> {
        self.path.as_ref()?.first()?.as_str()?.strip_prefix('d')?.parse().ok()
    }

    fn trouble(&self) -> Trouble {
        let message = self.message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if says(&["not authorized", "unauthorized", "forbidden"]) {
            Trouble::Forbidden("Railway does not allow this with the token that was given.".into())
        } else if says(&["rate limit", "too many requests"]) {
            Trouble::Wait { platform: NAME, for_: std::time::Duration::from_secs(10) }
        } else if says(&["not found", "no deployment"]) {
            Trouble::NotFound("Railway does not know it, or the token does not see it.".into())
        } else if says(&["problem processing", "internal", "timed out", "timeout"]) {
            Trouble::Down("Railway has trouble of its own.".into())
        } else {
            Trouble::Refused("Railway does not accept this name or value.".into())
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection<T> {
    edges: Vec<Edge<T>>,
    page_info: Option<PageInfo>,
}

#[derive(Deserialize)]
struct Edge<T> {
    node: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

impl<T> Connection<T> {
    fn nodes(&self) -> impl Iterator<Item = &T> {
        self.edges.iter().map(|edge| &edge.node)
    }

    /// Where the next page begins.
    fn following(&self) -> Option<String> {
        self.page_info.as_ref().filter(|info| info.has_next_page)?.end_cursor.clone()
    }

    fn take(&mut self, page: Self) {
        self.edges.extend(page.edges);
        self.page_info = page.page_info;
    }
}

#[derive(Deserialize)]
struct MeReply {
    me: User,
}

#[derive(Deserialize)]
struct User {
    id: String,
    name: Option<String>,
    email: Option<String>,
    #[serde(default)]
    workspaces: Vec<Named>,
}

impl User {
    fn account(self) -> Account {
        let name = self.name.or(self.email).unwrap_or_else(|| self.id.clone());
        Account { id: self.id.clone(), name, user_id: Some(self.id), team_id: None }
    }
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: String,
}

impl Named {
    fn account(&self) -> Account {
        Account { id: self.id.clone(), name: self.name.clone(), user_id: None, team_id: Some(self.id.clone()) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiToken {
    api_token: ApiTokenContext,
}

#[derive(Deserialize)]
struct ApiTokenContext {
    workspaces: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProjectTokenReply {
    project_token: ProjectToken,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProjectToken {
    project_id: String,
    environment_id: String,
    project: Option<OnlyName>,
    environment: Option<OnlyName>,
}

#[derive(Deserialize)]
struct OnlyName {
    name: String,
}

impl ProjectToken {
    fn account(self) -> Account {
        let name = |named: Option<OnlyName>, id: &str| named.map_or_else(|| id.to_owned(), |named| named.name);
        Account {
            id: format!("{PROJECT_TOKEN}{}/{}", self.project_id, self.environment_id),
            name: format!("{}, {}", name(self.project, &self.project_id), name(self.environment, &self.environment_id)),
            user_id: None,
            team_id: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExternalReply {
    external_workspaces: Vec<ExternalWorkspace>,
}

#[derive(Deserialize)]
struct ExternalWorkspace {
    projects: Vec<Named>,
}

#[derive(Deserialize)]
struct ProjectsReply {
    projects: Connection<ProjectNode>,
}

#[derive(Deserialize)]
struct ProjectReply {
    project: ProjectNode,
}

#[derive(Deserialize)]
struct MoreReply<T> {
    project: ProjectPage<T>,
}

#[derive(Deserialize)]
struct ProjectPage<T> {
    list: Connection<T>,
}

#[derive(Deserialize)]
struct ProjectNode {
    id: String,
    name: String,
    environments: Connection<EnvironmentNode>,
    services: Connection<Named>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvironmentNode {
    id: String,
    name: String,
    #[serde(default)]
    is_ephemeral: bool,
    service_instances: Connection<ServiceInstance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceInstance {
    service_id: String,
    source: Option<Source>,
}

#[derive(Deserialize)]
struct Source {
    repo: Option<String>,
}

impl ProjectNode {
    /// Its shared variables and its services, each as a project.
    fn shown(self) -> Vec<Project> {
        let lasting = || self.environments.nodes().filter(|one| !one.is_ephemeral);
        let environments: Vec<String> = lasting().map(|one| one.name.clone()).collect();
        let repo = |service: &str| {
            let mut instances = lasting().flat_map(|one| one.service_instances.nodes());
            instances.find_map(|one| one.source.as_ref()?.repo.clone().filter(|_| one.service_id == service))
        };
        let project = |id: String, name: String, linked_repo: Option<String>| Project {
            id,
            name,
            linked_repo,
            framework: None,
            environments: Some(environments.clone()),
        };
        let mut shown = vec![project(self.id.clone(), format!("{} (shared variables)", self.name), None)];
        for service in self.services.nodes() {
            let (id, name) = (format!("{}/{}", self.id, service.id), format!("{} / {}", self.name, service.name));
            shown.push(project(id, name, repo(&service.id)));
        }
        shown
    }
}

#[derive(Deserialize)]
struct VariablesReply {
    variables: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
struct EnvironmentReply {
    environment: EnvironmentVariables,
}

#[derive(Deserialize)]
struct EnvironmentVariables {
    variables: Connection<Mark>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mark {
    name: String,
    is_sealed: bool,
    service_id: Option<String>,
    updated_at: String,
}

const TOKENS: TokenEndpoint = TokenEndpoint { platform: NAME, upstream: Upstream::Railway, path: "/oauth/token" };

/// Login with Railway: the code grant with S256 and `iss`. Its refresh tokens rotate.
#[async_trait::async_trait]
impl OAuth for Railway {
    fn issuer(&self, egress: &Egress) -> Option<String> {
        Some(egress.base(Upstream::Railway))
    }

    fn authorize_url(
        &self,
        client: &Client,
        authorization: &Authorization<'_>,
        egress: &Egress,
    ) -> Result<Url, &'static str> {
        let url = format!("{}/oauth/auth", egress.base(Upstream::Railway));
        let mut url = Url::parse(&url).map_err(|_| "the address of Railway's pages cannot be used")?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &client.id)
            .append_pair("redirect_uri", authorization.redirect_uri)
            .append_pair("scope", SCOPES)
            .append_pair("state", authorization.state)
            .append_pair("code_challenge", authorization.challenge)
            .append_pair("code_challenge_method", "S256")
            // Without it who has consented before is not asked, and no refresh token is given.
            .append_pair("prompt", "consent");
        Ok(url)
    }

    async fn exchange(
        &self,
        client: &Client,
        code: &SecretString,
        verifier: &SecretString,
        redirect_uri: &str,
        egress: &Egress,
    ) -> Result<Tokens, OAuthError> {
        let fields = [("grant_type", "authorization_code"), ("redirect_uri", redirect_uri)];
        TOKENS.exchange(client, &[("code", code), ("code_verifier", verifier)], &fields, egress).await
    }

    async fn refresh(&self, client: &Client, refresh: &SecretString, egress: &Egress) -> Result<Tokens, OAuthError> {
        TOKENS.refresh(client, refresh, egress).await
    }
}

#[cfg(test)]
pub(super) use tests::row;

#[cfg(test)]
mod tests;
