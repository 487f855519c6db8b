//! Vercel: the variables of a project, by target.
//!
//! # Theory of operation
//! A record holds one value for one or more targets (`production`, `preview`, `development`) and custom environments. To
//! change one of several, the record is first taken off that target and a new one is made for it; if the new one is
//! refused, the old one is put back. Records of a git branch are nobody's environment here and are left alone.
//!
//! New variables and values of records that cover one target go in one call, up to fifty at a time. `upsert` is asked for
//! only where the record read a moment ago covers exactly the target that is written: it overwrites whatever record the
//! name has there, with all the targets that it covers.
//!
//! Values of type `sensitive` (or visibility `secret`) are never given back; `updatedAt` is their marker. Their type
//! cannot be changed, and a change of them must not repeat the name.
//!
//! A grant is not taken back: Vercel can only delete the whole installation, and with it goes every variable that was made
//! with its token, in every project, whoever else uses the installation. Its owner removes it at Vercel, where that is
//! said.
//!
//! A token of a team works only with `teamId` on every call. A refusal's words may repeat what was sent, so only its code
//! is passed on. The facts are from Vercel's SDK and documentation of 2026; that a wrong token is a 403 with
//! `invalidToken` is from its own client.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use futures::FutureExt as _;
use futures::future::try_join_all;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use shared::credentials::disclose;
use shared::egress::{Answer, Egress, Outgoing, Upstream};
use url::Url;

use super::halves::{Called, by_halves};
use super::oauth::TokenEndpoint;
use super::{
    Abilities, Account, Authorization, Brake, Change, Client, Contents, Entry, OAuth, OAuthError, Outcome, Place,
    Project, Provider, Session, Tokens, Trouble, Variable, has_prefix, segment, settle,
};

const NAME: &str = "Vercel";
const TARGETS: &[&str] = &["production", "preview", "development"];
const PAGE: &str = "100";
/// Longer lists than this are not Vercel's.
const MOST_PAGES: usize = 1_000;
/// So many values are asked for at the same time, where the list does not give them.
const AT_ONCE: usize = 8;

static ENTRY: Entry = Entry {
    name: "vercel",
    display_name: NAME,
    token_help: Some(
        "On vercel.com open Account Settings, Tokens, and create a token for the team, or for the one project, whose \
         variables are to be synced. The value is shown once.",
    ),
    abilities: Abilities {
        readable: true,
        environments: TARGETS,
        sets_at_once: 50,
        deletes_at_once: 50,
        mixed: true,
        most_names: None,
        largest_value: 64 * 1024,
    },
};

/// Vercel.
pub(super) struct Vercel;

#[async_trait::async_trait]
impl Provider for Vercel {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn oauth(&self) -> Option<&'static dyn OAuth> {
        Some(&Vercel)
    }

    fn reserves(&self, name: &str) -> bool {
        has_prefix(name, "VERCEL")
    }

    async fn accounts(&self, session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
        let found = match session.team_id {
            Some(team) => one_team(session, team).await.map(|team| vec![team.account(None)]),
            None => own_accounts(session).await,
        };
        match found {
            // A token of one project sees neither users nor teams.
            Err(Trouble::Forbidden(_)) => account_of_projects(session).await,
            found => found,
        }
    }

    async fn projects(&self, session: &Session<'_>) -> Result<Vec<Project>, Trouble> {
        let mut projects = Vec::new();
        let mut from: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let page = project_page(session, PAGE, from.as_deref()).await?;
            projects.extend(page.projects.into_iter().map(VercelProject::shown));
            from = page.pagination.and_then(Pagination::following);
            if from.is_none() {
                break;
            }
        }
        projects.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(projects)
    }

    async fn read(&self, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble> {
        let target = Target::of(session, place).await?;
        let (records, hides_names) = records(session, place).await?;
        let own =
            |record: &Record| record.kind != "system" && !self.reserves(&record.key) && target.is_covered_by(record);
        let mut records: Vec<Record> = records.into_iter().filter(own).collect();
        reveal(session, place, &mut records).await?;
        let mut variables = BTreeMap::new();
        for record in records {
            let shown = !record.is_secret();
            let value = shown.then(|| SecretString::from(record.value.clone().unwrap_or_default()));
            let marker = record.marker();
            let handle = serde_json::to_value(Handle::from(&record)).unwrap_or_default();
            variables.insert(record.key, Variable { value, marker, handle });
        }
        Ok(Contents { variables, hides_names, ..Contents::default() })
    }

    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble> {
        let target = Target::of(session, place).await?;
        let writer = Writer { session, place, target: &target };
        settle(writer.write(batch).await)
    }
}

/// Which records an environment's variables are in.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Standard(String),
    /// By its id.
    Custom(String),
}

impl Target {
    /// Custom environments are named by their slug and meant by their id, so Vercel is asked.
    async fn of(session: &Session<'_>, place: &Place) -> Result<Self, Trouble> {
        if TARGETS.contains(&place.environment.as_str()) {
            return Ok(Self::Standard(place.environment.clone()));
        }
        let path = format!("/v9/projects/{}/custom-environments", segment(&place.project_id));
        let known: CustomEnvironments = succeed(session, request(session, Method::GET, &path)).await?;
        match known.environments.iter().find(|one| one.slug == place.environment) {
            Some(found) => Ok(Self::Custom(found.id.clone())),
            None => {
                let names = TARGETS.iter().copied().chain(known.environments.iter().map(|one| one.slug.as_str()));
                let names = names.collect::<Vec<_>>().join(", ");
                Err(Trouble::NotFound(format!("This project has no such environment. It has {names}.")))
            }
        }
    }

    fn is_covered_by(&self, record: &Record) -> bool {
        record.git_branch.as_ref().is_none_or(String::is_empty)
            && match self {
                Self::Standard(name) => record.targets().contains(name),
                Self::Custom(id) => record.custom_environment_ids.contains(id),
            }
    }
}

/// Writes a batch to one target.
struct Writer<'a> {
    session: &'a Session<'a>,
    place: &'a Place,
    target: &'a Target,
}

/// A record that is to be made, or overwritten.
struct New<'a> {
    change: &'a Change,
    body: Json,
    /// The record that was taken off the target for it.
    taken_off: Option<Handle>,
}

impl<'a> Writer<'a> {
    async fn write(&self, batch: &'a [Change]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        let (mut created, mut overwritten, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
        let mut changes = Brake::default();
        for change in batch {
            let before = change.before.as_ref().and_then(|before| Handle::read(&before.handle));
            match (&change.value, before) {
                (Some(value), None) => created.push(self.record(change, value, None)),
                (Some(value), Some(before)) if before.covers_only(self.target) && before.secret => {
                    let said = changes.run(self.change_secret(&before, value)).await;
                    outcomes.push(Outcome { name: change.name.clone(), result: said });
                }
                (Some(value), Some(before)) if before.covers_only(self.target) => {
                    overwritten.push(self.record(change, value, Some(before)));
                }
                (Some(value), Some(before)) => match changes.run(self.take_off(&before)).await {
                    Ok(()) => created.push(self.record(change, value, Some(before))),
                    Err(trouble) => outcomes.push(Outcome::failed(change, trouble)),
                },
                (None, None) => outcomes.push(Outcome::done(change, None)),
                (None, Some(before)) if before.covers_only(self.target) => deleted.push((change, before.id)),
                (None, Some(before)) => {
                    let said = changes.run(self.take_off(&before)).await;
                    outcomes.push(Outcome { name: change.name.clone(), result: said.map(|()| None) });
                }
            }
        }
        outcomes.extend(self.delete(&deleted).await);
        outcomes.extend(self.set(&created, false).await);
        outcomes.extend(self.set(&overwritten, true).await);
        outcomes
    }

    fn record(&self, change: &'a Change, value: &SecretString, before: Option<Handle>) -> New<'a> {
        let kind = match &before {
            Some(before) if before.secret && *self.target != Target::Standard("development".into()) => "sensitive",
            Some(before) if before.kind == "plain" => "plain",
            _ => "encrypted",
        };
        let mut body = json!({ "key": change.name, "value": disclose(value), "type": kind });
        let (name, target) = match self.target {
            Target::Standard(name) => ("target", name),
            Target::Custom(id) => ("customEnvironmentIds", id),
        };
        set(&mut body, name, json!([target]));
        if let Some(comment) = before.as_ref().and_then(|before| before.comment.as_ref()) {
            set(&mut body, "comment", json!(comment));
        }
        let taken_off = before.filter(|before| !before.covers_only(self.target));
        New { change, body, taken_off }
    }

    /// Makes records, or overwrites those that cover this target alone.
    async fn set(&self, records: &[New<'_>], upsert: bool) -> Vec<Outcome> {
        let said = by_halves(records, |part| self.post(part, upsert).boxed()).await;
        let mut outcomes = Vec::with_capacity(records.len());
        for (record, result) in records.iter().zip(said) {
            let result = match (result, &record.taken_off) {
                (Err(trouble), Some(before)) => Err(self.put_back(before, trouble).await),
                (result, _) => result,
            };
            outcomes.push(Outcome { name: record.change.name.clone(), result });
        }
        outcomes
    }

    async fn post(&self, records: &[New<'_>], upsert: bool) -> Called<Option<String>> {
        let bodies: Vec<&Json> = records.iter().map(|record| &record.body).collect();
        let path = format!("/v10/projects/{}/env", segment(&self.place.project_id));
        let mut request = request(self.session, Method::POST, &path).json(&bodies);
        if upsert {
            request = request.query(&[("upsert", "true")]);
        }
        let reply: Created = succeed(self.session, request).await?;
        let made: BTreeMap<String, Option<String>> = many(reply.created)
            .into_iter()
            .filter_map(record_of)
            .map(|made| (made.key.clone(), made.marker()))
            .collect();
        let refused: BTreeMap<String, String> = many(reply.failed).into_iter().filter_map(failure).collect();
        let result = |record: &New<'_>| match (refused.get(&record.change.name), made.get(&record.change.name)) {
            (Some(code), _) => Err(Trouble::Refused(words(code))),
            (None, Some(marker)) => Ok(marker.clone()),
            (None, None) => Err(Trouble::Unexpected("Vercel did not say what became of it.".into())),
        };
        Ok(records.iter().map(result).collect())
    }

    /// A write-only value of this target alone: neither its type nor its name may be sent.
    async fn change_secret(&self, before: &Handle, value: &SecretString) -> Result<Option<String>, Trouble> {
        let changed: Record = self.patch(&before.id, &json!({ "value": disclose(value) })).await?;
        Ok(changed.marker())
    }

    /// Takes a record that covers more off this target.
    async fn take_off(&self, before: &Handle) -> Result<(), Trouble> {
        let rest = before.without(self.target);
        match self.patch::<Json>(&before.id, &rest.scope()).await {
            Ok(_) | Err(Trouble::NotFound(_)) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Puts a record back whose successor was refused. Where it is not known whether the successor was made, the record
    /// stays as it is: the next run sees.
    async fn put_back(&self, before: &Handle, why: Trouble) -> Trouble {
        if matches!(why, Trouble::Down(_) | Trouble::TimedOut(_) | Trouble::Unexpected(_)) {
            return why;
        }
        match self.patch::<Json>(&before.id, &before.scope()).await {
            Ok(_) => why,
            Err(_) => Trouble::Unexpected(format!(
                "{why} Its value in {} was taken out of a record that covers other environments too, and could not be put \
                 back: run the sync again.",
                self.place.environment
            )),
        }
    }

    async fn patch<T: serde::de::DeserializeOwned>(&self, id: &str, body: &Json) -> Result<T, Trouble> {
        let path = format!("/v9/projects/{}/env/{}", segment(&self.place.project_id), segment(id));
        succeed(self.session, request(self.session, Method::PATCH, &path).json(body)).await
    }

    /// Deletes records that cover this target alone.
    async fn delete(&self, records: &[(&'a Change, String)]) -> Vec<Outcome> {
        let said = by_halves(records, |part| self.delete_call(part).boxed()).await;
        let outcome = |((change, _), result): (&(&Change, String), Result<(), Trouble>)| {
            let result = match result {
                Ok(()) | Err(Trouble::NotFound(_)) => Ok(None),
                Err(trouble) => Err(trouble),
            };
            Outcome { name: change.name.clone(), result }
        };
        records.iter().zip(said).map(outcome).collect()
    }

    async fn delete_call(&self, records: &[(&Change, String)]) -> Called<()> {
        let project = segment(&self.place.project_id);
        if let [(_, id)] = records {
            let path = format!("/v9/projects/{project}/env/{}", segment(id));
            let _: Json = succeed(self.session, request(self.session, Method::DELETE, &path)).await?;
            return Ok(vec![Ok(())]);
        }
        let ids: Vec<&str> = records.iter().map(|(_, id)| id.as_str()).collect();
        let path = format!("/v1/projects/{project}/env");
        let request = request(self.session, Method::DELETE, &path).json(&json!({ "ids": ids }));
        let reply: Deleted = match succeed(self.session, request).await {
            // One that is gone already: told apart one by one.
            Err(Trouble::NotFound(message)) => return Err(Trouble::Refused(message)),
            reply => reply?,
        };
        let gone: BTreeSet<String> = reply.ids.into_iter().collect();
        let result = |(_, id): &(&Change, String)| match gone.contains(id) {
            true => Ok(()),
            false => Err(Trouble::Unexpected("Vercel did not delete it.".into())),
        };
        Ok(records.iter().map(result).collect())
    }
}

/// What is kept of a record until it is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Handle {
    id: String,
    kind: String,
    secret: bool,
    target: Vec<String>,
    custom: Vec<String>,
    /// True if it covered custom environments when it was read.
    had_custom: bool,
    comment: Option<String>,
}

impl From<&Record> for Handle {
    fn from(record: &Record) -> Self {
        Self {
            id: record.id.clone(),
            kind: record.kind.clone(),
            secret: record.is_secret(),
            target: record.targets(),
            custom: record.custom_environment_ids.clone(),
            had_custom: !record.custom_environment_ids.is_empty(),
            comment: record.comment.clone().filter(|comment| !comment.is_empty()),
        }
    }
}

impl Handle {
    fn read(handle: &Json) -> Option<Self> {
        Self::deserialize(handle).ok()
    }

    fn covers_only(&self, target: &Target) -> bool {
        let rest = self.without(target);
        rest.target.is_empty() && rest.custom.is_empty()
    }

    fn without(&self, target: &Target) -> Self {
        let mut rest = self.clone();
        match target {
            Target::Standard(name) => rest.target.retain(|one| one != name),
            Target::Custom(id) => rest.custom.retain(|one| one != id),
        }
        rest
    }

    /// What it covers, for a change of that alone. A field that is left out stays as it is, so that the last custom
    /// environment goes only with an empty list.
    fn scope(&self) -> Json {
        let mut scope = json!({ "target": self.target });
        if self.had_custom || self.target.is_empty() {
            set(&mut scope, "customEnvironmentIds", json!(self.custom));
        }
        scope
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(default)]
    id: String,
    key: String,
    #[serde(rename = "type", default)]
    kind: String,
    visibility: Option<String>,
    value: Option<String>,
    decrypted: Option<bool>,
    /// A list; one word in old records.
    #[serde(default)]
    target: Json,
    #[serde(default)]
    custom_environment_ids: Vec<String>,
    git_branch: Option<String>,
    comment: Option<String>,
    updated_at: Option<i64>,
}

impl Record {
    fn targets(&self) -> Vec<String> {
        many(self.target.clone()).iter().filter_map(Json::as_str).map(str::to_owned).collect()
    }

    fn is_secret(&self) -> bool {
        match self.visibility.as_deref() {
            Some(visibility) => visibility == "secret",
            None => matches!(self.kind.as_str(), "sensitive" | "secret"),
        }
    }

    fn is_readable(&self) -> bool {
        self.kind == "plain" || self.decrypted == Some(true)
    }

    fn marker(&self) -> Option<String> {
        self.updated_at.map(|at| at.to_string())
    }
}

/// The three forms of the list of variables: bare, with pages, and with a count of what is hidden.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Bare(Vec<Record>),
    #[serde(rename_all = "camelCase")]
    Wrapped {
        envs: Vec<Record>,
        pagination: Option<Pagination>,
        hidden_production_env_count: Option<u64>,
    },
}

/// Every record of a project, and whether there may be more than is shown.
async fn records(session: &Session<'_>, place: &Place) -> Result<(Vec<Record>, bool), Trouble> {
    let path = format!("/v10/projects/{}/env", segment(&place.project_id));
    let (mut all, mut seen, mut hides) = (Vec::new(), BTreeSet::new(), false);
    let mut until: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let mut request = request(session, Method::GET, &path).query(&[("decrypt", "true")]);
        if let Some(until) = &until {
            request = request.query(&[("until", until)]);
        }
        let (page, next) = match succeed(session, request).await? {
            Listed::Bare(records) => (records, None),
            Listed::Wrapped { envs, pagination, hidden_production_env_count } => {
                hides |= hidden_production_env_count.is_some_and(|count| count > 0);
                (envs, pagination.and_then(Pagination::following))
            }
        };
        let before = all.len();
        all.extend(page.into_iter().filter(|record| seen.insert(record.id.clone())));
        until = next;
        if until.is_none() {
            return Ok((all, hides));
        }
        if all.len() == before {
            break;
        }
    }
    // There is a next page and it does not come.
    Ok((all, true))
}

/// Asks one by one, a few at a time, for the values that the list gave only as they are stored.
async fn reveal(session: &Session<'_>, place: &Place, records: &mut [Record]) -> Result<(), Trouble> {
    let mut closed: Vec<&mut Record> =
        records.iter_mut().filter(|record| !record.is_secret() && !record.is_readable()).collect();
    for few in closed.chunks_mut(AT_ONCE) {
        let values = try_join_all(few.iter().map(|record| decrypted(session, place, record.id.clone()))).await?;
        for (record, value) in few.iter_mut().zip(values) {
            record.value = Some(value);
        }
    }
    Ok(())
}

async fn decrypted(session: &Session<'_>, place: &Place, id: String) -> Result<String, Trouble> {
    let path = format!("/v1/projects/{}/env/{}", segment(&place.project_id), segment(&id));
    let record: Record = succeed(session, request(session, Method::GET, &path)).await?;
    record.value.ok_or_else(|| Trouble::unreadable(NAME))
}

#[derive(Deserialize)]
struct Pagination {
    #[serde(default)]
    next: Json,
}

impl Pagination {
    /// Where the next page begins: a number or a text.
    fn following(self) -> Option<String> {
        match self.next {
            Json::Number(number) => Some(number.to_string()),
            Json::String(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Created {
    #[serde(default)]
    created: Json,
    #[serde(default)]
    failed: Json,
}

#[derive(Deserialize)]
struct Deleted {
    #[serde(default)]
    ids: Vec<String>,
}

#[derive(Deserialize)]
struct CustomEnvironments {
    environments: Vec<CustomEnvironment>,
}

#[derive(Deserialize)]
struct CustomEnvironment {
    id: String,
    slug: String,
}

#[derive(Deserialize)]
struct ProjectPage {
    projects: Vec<VercelProject>,
    pagination: Option<Pagination>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VercelProject {
    id: String,
    name: String,
    account_id: Option<String>,
    framework: Option<String>,
    link: Option<Link>,
    #[serde(default)]
    custom_environments: Vec<CustomEnvironment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    org: Option<String>,
    repo: Option<String>,
    owner: Option<String>,
    slug: Option<String>,
    project_namespace: Option<String>,
    project_name: Option<String>,
}

impl VercelProject {
    fn shown(self) -> Project {
        let linked_repo = self.link.and_then(|link| {
            let owner = link.org.or(link.project_namespace).or(link.owner)?;
            let name = link.repo.or(link.project_name).or(link.slug)?;
            Some(format!("{owner}/{name}"))
        });
        let own = self.custom_environments.into_iter().map(|one| one.slug);
        let environments = TARGETS.iter().map(|name| (*name).to_owned()).chain(own).collect();
        Project {
            id: self.id,
            name: self.name,
            linked_repo,
            framework: self.framework,
            environments: Some(environments),
        }
    }
}

async fn project_page(session: &Session<'_>, limit: &str, from: Option<&str>) -> Result<ProjectPage, Trouble> {
    let mut request = request(session, Method::GET, "/v10/projects").query(&[("limit", limit)]);
    if let Some(from) = from {
        request = request.query(&[("from", from)]);
    }
    succeed(session, request).await
}

#[derive(Deserialize)]
struct Team {
    id: String,
    name: Option<String>,
    slug: Option<String>,
}

impl Team {
    fn account(self, user_id: Option<String>) -> Account {
        let name = self.name.or(self.slug).unwrap_or_else(|| self.id.clone());
        Account { id: self.id.clone(), name, user_id, team_id: Some(self.id) }
    }
}

async fn one_team(session: &Session<'_>, team: &str) -> Result<Team, Trouble> {
    succeed(session, session.bearer(Method::GET, Upstream::Vercel, &format!("/v2/teams/{}", segment(team)))).await
}

#[derive(Deserialize)]
struct UserReply {
    user: User,
}

#[derive(Deserialize)]
struct User {
    id: String,
    username: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct TeamPage {
    teams: Vec<Team>,
    pagination: Option<Pagination>,
}

/// The user and every team that the token reaches.
async fn own_accounts(session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
    let UserReply { user } = succeed(session, session.bearer(Method::GET, Upstream::Vercel, "/v2/user")).await?;
    let name = user.name.or(user.username).unwrap_or_else(|| user.id.clone());
    let mut accounts = vec![Account { id: user.id.clone(), name, user_id: Some(user.id.clone()), team_id: None }];
    let mut until: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let mut request = session.bearer(Method::GET, Upstream::Vercel, "/v2/teams").query(&[("limit", PAGE)]);
        if let Some(until) = &until {
            request = request.query(&[("until", until)]);
        }
        let page: TeamPage = match succeed(session, request).await {
            // An integration that was installed on the user's own account.
            Err(Trouble::Forbidden(_)) => break,
            page => page?,
        };
        accounts.extend(page.teams.into_iter().map(|team| team.account(Some(user.id.clone()))));
        until = page.pagination.and_then(Pagination::following);
        if until.is_none() {
            break;
        }
    }
    Ok(accounts)
}

/// The account of a token that sees only projects: theirs.
async fn account_of_projects(session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
    let page = project_page(session, "1", None).await?;
    let first = page.projects.into_iter().next();
    let Some((id, name)) = first.and_then(|project| Some((project.account_id?, project.name))) else {
        return Err(Trouble::Forbidden(
            "This token sees no project of Vercel. Make one for the team or project.".into(),
        ));
    };
    let team_id = id.starts_with("team_").then(|| id.clone());
    Ok(vec![Account { id, name, user_id: None, team_id }])
}

fn request(session: &Session<'_>, method: Method, path: &str) -> Outgoing {
    let request = session.bearer(method, Upstream::Vercel, path);
    match session.team_id {
        Some(team) => request.query(&[("teamId", team)]),
        None => request,
    }
}

async fn succeed<T: serde::de::DeserializeOwned>(session: &Session<'_>, request: Outgoing) -> Result<T, Trouble> {
    let answer = session.send(NAME, request).await?;
    if !answer.is_success() {
        return Err(trouble(session, &answer));
    }
    answer.json().ok_or_else(|| Trouble::unreadable(NAME))
}

#[derive(Deserialize)]
struct Refusal {
    error: Problem,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Problem {
    code: String,
    invalid_token: bool,
    limit: Option<Limit>,
}

#[derive(Deserialize)]
struct Limit {
    reset: Option<i64>,
}

fn trouble(session: &Session<'_>, answer: &Answer) -> Trouble {
    let problem = answer.json::<Refusal>().map(|refusal| refusal.error).unwrap_or_default();
    match answer.status {
        429 => Trouble::wait_until(NAME, answer, problem.limit.and_then(|limit| limit.reset), session.now()),
        403 if problem.invalid_token => {
            Trouble::Unauthorized("Vercel does not accept the token any more. Connect again.".into())
        }
        403 => Trouble::Forbidden(
            "Vercel does not allow this: the token does not reach this team or project, or the integration is disabled \
             there."
                .into(),
        ),
        400 | 409 | 413 | 422 => Trouble::Refused(words(&problem.code)),
        _ => Trouble::of_answer(NAME, answer),
    }
}

/// A refusal's code in words. Vercel's own words may repeat what was sent.
fn words(code: &str) -> String {
    match code {
        "ENV_CONFLICT" | "ENV_ALREADY_EXISTS" => {
            "Vercel has another variable of this name for this environment. Run the sync again.".into()
        }
        _ if !code.is_empty()
            && code.len() <= 64
            && code.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) =>
        {
            format!("Vercel does not accept this name or value ({code}).")
        }
        _ => "Vercel does not accept this name or value.".into(),
    }
}

/// A list, one thing, or nothing, as a list.
fn many(json: Json) -> Vec<Json> {
    match json {
        Json::Array(items) => items,
        Json::Null => Vec::new(),
        one => vec![one],
    }
}

fn record_of(json: Json) -> Option<Record> {
    serde_json::from_value(json).ok()
}

/// The name and the code of a variable that was not made although the call succeeded.
fn failure(json: Json) -> Option<(String, String)> {
    let error: &Map<String, Json> = json.get("error")?.as_object()?;
    let text = |name: &str| error.get(name).and_then(Json::as_str).map(str::to_owned);
    Some((text("envVarKey").or_else(|| text("key"))?, text("code").unwrap_or_default()))
}

fn set(object: &mut Json, name: &str, value: Json) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

const TOKENS: TokenEndpoint =
    TokenEndpoint { platform: NAME, upstream: Upstream::Vercel, path: "/v2/oauth/access_token" };

/// The integration's install flow. It has neither PKCE nor refresh tokens, and takes the user back to the address that is
/// set at Vercel.
#[async_trait::async_trait]
impl OAuth for Vercel {
    fn authorize_url(
        &self,
        client: &Client,
        authorization: &Authorization<'_>,
        egress: &Egress,
    ) -> Result<Url, &'static str> {
        let slug = client.slug.as_deref().filter(|slug| !slug.is_empty());
        let slug = slug.ok_or("Vercel's client has no slug: the integration's name in its install address")?;
        let url = format!("{}/integrations/{}/new", egress.base(Upstream::VercelWeb), segment(slug));
        let mut url = Url::parse(&url).map_err(|_| "the address of Vercel's pages cannot be used")?;
        url.query_pairs_mut().append_pair("state", authorization.state);
        Ok(url)
    }

    async fn exchange(
        &self,
        client: &Client,
        code: &SecretString,
        _verifier: &SecretString,
        redirect_uri: &str,
        egress: &Egress,
    ) -> Result<Tokens, OAuthError> {
        TOKENS.exchange(client, &[("code", code)], &[("redirect_uri", redirect_uri)], egress).await
    }

    async fn refresh(&self, _client: &Client, _refresh: &SecretString, _egress: &Egress) -> Result<Tokens, OAuthError> {
        Err(OAuthError::InvalidGrant)
    }
}

#[cfg(test)]
pub(super) use tests::row;

#[cfg(test)]
mod tests;
