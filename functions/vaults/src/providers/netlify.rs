//! Netlify: the variables of a site, by deploy context.
//!
//! # Theory of operation
//! A variable has a value for each of some contexts, or one for `all`, which hides the others. An environment is a context
//! here, or `branch:<name>` for one branch. What a deploy in the context sees is what is read,
//! but for a branch: `branch-deploy` gives it values too, which are not its own and are left out. Who deletes a branch's
//! own value may get that one instead.
//!
//! A value is set by `PATCH`, which touches one context; a new variable is made with the one context alone, a hundred in
//! a call. Deleting takes the one value, or the variable if it has no other. A value for `all` is never written: to change
//! what it gives one context, the variable is replaced by itself with the value spelled out for every other context, in
//! one `PUT`. That needs the value, so a secret with a value for `all` is refused, and so is a variable that has both,
//! since nobody can say which of its values the others mean.
//!
//! Every batch begins by reading the variables anew: what is not in this context may be in another, and a `PUT` must not
//! forget what has been added since. Scopes are sent back only where they are not the usual ones, since plans without
//! them refuse them.
//!
//! Secret values are given back for `dev` alone, masked for others; `updated_at` of the variable is their marker.
//!
//! The facts are from Netlify's OpenAPI document 2.55 and its command line's source. PKCE and the life of tokens are not
//! documented: the first is not sent, the second not assumed.

use std::collections::BTreeMap;

use axum::http::Method;
use futures::FutureExt as _;
use futures::future::join_all;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use shared::credentials::disclose;
use shared::egress::{Answer, Egress, Outgoing, Upstream};
use url::Url;

use super::halves::{Called, by_halves};
use super::oauth::TokenEndpoint;
use super::{
    Abilities, Account, Authorization, Change, Client, Contents, Entry, OAuth, OAuthError, Outcome, Place, Project,
    Provider, Session, Tokens, Trouble, Variable, has_prefix, segment, settle,
};

const NAME: &str = "Netlify";
/// Every context but `all` and single branches.
const CONTEXTS: &[&str] = &["production", "deploy-preview", "branch-deploy", "dev", "dev-server"];
const PAGE: usize = 100;
/// So many values are written at the same time, since each takes a call.
const AT_ONCE: usize = 4;
/// Longer lists than this are not Netlify's.
const MOST_PAGES: usize = 1_000;
/// A variable's usual scopes: all of them.
const SCOPES: usize = 4;
/// What Netlify sets itself and lets nobody set.
const READ_ONLY: &[&str] = &[
    "BRANCH",
    "BUILD_ID",
    "CACHED_COMMIT_REF",
    "CI",
    "COMMIT_REF",
    "CONTEXT",
    "DEPLOY_ID",
    "DEPLOY_PRIME_URL",
    "DEPLOY_URL",
    "HEAD",
    "PULL_REQUEST",
    "REPOSITORY_URL",
    "REVIEW_ID",
    "SITE_ID",
    "SITE_NAME",
    "URL",
];

static ENTRY: Entry = Entry {
    name: "netlify",
    display_name: NAME,
    token_help: Some(
        "On app.netlify.com open User settings, Applications, Personal access tokens, and create a new access token. It \
         reaches every team that you are in; the value is shown once.",
    ),
    abilities: Abilities {
        readable: true,
        environments: CONTEXTS,
        sets_at_once: 100,
        deletes_at_once: 100,
        mixed: true,
        most_names: None,
        largest_value: 24 * 1024,
    },
};

/// Netlify.
pub(super) struct Netlify;

#[async_trait::async_trait]
impl Provider for Netlify {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn oauth(&self) -> Option<&'static dyn OAuth> {
        Some(&Netlify)
    }

    fn environment(&self, given: &str) -> String {
        match given {
            "preview" => "deploy-preview",
            "development" => "dev",
            given => given,
        }
        .to_owned()
    }

    fn reserves(&self, name: &str) -> bool {
        has_prefix(name, "NETLIFY")
    }

    fn objection(&self, name: &str, _value: &SecretString) -> Option<String> {
        READ_ONLY.contains(&name).then(|| format!("Netlify sets {name} itself and lets nobody change it."))
    }

    async fn accounts(&self, session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
        let user: User = succeed(session, session.bearer(Method::GET, Upstream::Netlify, "/api/v1/user")).await?;
        let accounts = session.bearer(Method::GET, Upstream::Netlify, "/api/v1/accounts");
        let accounts: Vec<NetlifyAccount> = succeed(session, accounts).await?;
        let meant = |account: &NetlifyAccount| session.team_id.is_none_or(|team| team == account.id);
        let account = |one: NetlifyAccount| Account {
            name: one.name.or(one.slug).unwrap_or_else(|| one.id.clone()),
            id: one.id,
            user_id: Some(user.id.clone()),
            team_id: None,
        };
        Ok(accounts.into_iter().filter(meant).map(account).collect())
    }

    async fn projects(&self, session: &Session<'_>) -> Result<Vec<Project>, Trouble> {
        let mut projects = Vec::new();
        for page in 1..=MOST_PAGES {
            let request = session.bearer(Method::GET, Upstream::Netlify, "/api/v1/sites").query(&[
                ("filter", "all"),
                ("page", &page.to_string()),
                ("per_page", &PAGE.to_string()),
            ]);
            let answer = accepted(session, request).await?;
            let sites: Vec<Site> = answer.json().ok_or_else(|| Trouble::unreadable(NAME))?;
            let is_last = match answer.header("link") {
                Some(link) => !link.contains("rel=\"next\""),
                None => sites.len() < PAGE,
            };
            let own = sites.into_iter().filter(|site| site.account_id.as_deref() == Some(session.account_id));
            projects.extend(own.map(Site::shown));
            if is_last {
                break;
            }
        }
        projects.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(projects)
    }

    async fn read(&self, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble> {
        let context = Context::of(self, place)?;
        let known = all(session, place).await?;
        let mut variables = BTreeMap::new();
        for variable in known.into_values().filter(|variable| !self.reserves(&variable.key)) {
            let Some(seen) = variable.seen_in(&context) else { continue };
            let readable = !variable.is_secret || context.name == "dev";
            let value = readable.then(|| SecretString::from(seen.value.clone().unwrap_or_default()));
            let marker = variable.updated_at.clone();
            variables.insert(variable.key, Variable { value, marker, handle: Json::Null });
        }
        Ok(Contents { variables, hides_names: false, ..Contents::default() })
    }

    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble> {
        let context = Context::of(self, place)?;
        let known = all(session, place).await?;
        let writer = Writer { session, place, context: &context };
        settle(writer.write(batch, &known).await)
    }
}

/// The context that an environment is.
#[derive(Debug, PartialEq, Eq)]
struct Context {
    name: String,
    branch: Option<String>,
}

impl Context {
    fn of(netlify: &Netlify, place: &Place) -> Result<Self, Trouble> {
        let word = netlify.environment(&place.environment);
        match word.split_once(':') {
            Some(("branch", branch)) if !branch.is_empty() => {
                Ok(Self { name: "branch".into(), branch: Some(branch.into()) })
            }
            None if CONTEXTS.contains(&word.as_str()) => Ok(Self { name: word, branch: None }),
            _ => Err(Trouble::NotFound(format!(
                "Netlify has no such deploy context. There are {}, and branch:<name> for one branch.",
                CONTEXTS.join(", ")
            ))),
        }
    }

    fn is_of(&self, value: &Value) -> bool {
        value.context == self.name
            && value.context_parameter.as_deref().filter(|name| !name.is_empty()) == self.branch()
    }

    fn branch(&self) -> Option<&str> {
        self.branch.as_deref()
    }

    fn value(&self, value: &SecretString) -> Value {
        Value {
            id: None,
            value: Some(disclose(value).to_owned()),
            context: self.name.clone(),
            context_parameter: self.branch.clone(),
        }
    }
}

/// What a change comes to, by what the variable is now.
enum Step<'a> {
    /// It is so already.
    Nothing,
    /// The variable is new.
    Create(Value),
    /// It gets or changes its value for this context.
    Set(Value),
    /// Its value for `all` is spelled out for every context but this one.
    Split(&'a EnvVar, Option<Value>),
    /// The one value goes.
    Drop(String),
    /// The variable goes: it has no other value.
    Delete,
    /// It cannot be done without touching another context.
    Refuse(&'static str),
}

struct Writer<'a> {
    session: &'a Session<'a>,
    place: &'a Place,
    context: &'a Context,
}

impl Writer<'_> {
    async fn write(&self, batch: &[Change], known: &BTreeMap<String, EnvVar>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        let (mut created, mut single) = (Vec::new(), Vec::new());
        for change in batch {
            match self.step(change, known.get(&change.name)) {
                Step::Create(value) => created.push((change, json!({ "key": change.name, "values": [value] }))),
                step => single.push((change, step)),
            }
        }
        let mut stopped: Option<Trouble> = None;
        for few in single.chunks(AT_ONCE) {
            let results = match &stopped {
                Some(trouble) => vec![Err(trouble.clone()); few.len()],
                None => join_all(few.iter().map(|(change, step)| self.take(&change.name, step))).await,
            };
            let ending = results.iter().filter_map(|result| result.as_ref().err()).find(|trouble| trouble.ends_batch());
            stopped = ending.cloned().or(stopped);
            let outcome =
                |((change, _), result): (&(&Change, Step<'_>), _)| Outcome { name: change.name.clone(), result };
            outcomes.extend(few.iter().zip(results).map(outcome));
        }
        let said = by_halves(&created, |part| self.create(part).boxed()).await;
        let outcome = |((change, _), result): (&(&Change, Json), _)| Outcome { name: change.name.clone(), result };
        outcomes.extend(created.iter().zip(said).map(outcome));
        outcomes
    }

    /// Takes a step that is a call of its own.
    async fn take(&self, key: &str, step: &Step<'_>) -> Result<Option<String>, Trouble> {
        match step {
            Step::Nothing | Step::Create(_) => Ok(None),
            Step::Refuse(why) => Err(Trouble::Refused((*why).into())),
            Step::Set(value) => self.change(Method::PATCH, key, &json!(value)).await,
            Step::Split(variable, value) => {
                self.change(Method::PUT, key, &variable.split(self.context, value.as_ref())).await
            }
            Step::Drop(id) => self.delete(&format!("/{}/value/{}", segment(key), segment(id))).await,
            Step::Delete => self.delete(&format!("/{}", segment(key))).await,
        }
    }

    fn step<'v>(&self, change: &Change, variable: Option<&'v EnvVar>) -> Step<'v> {
        let value = change.value.as_ref().map(|value| self.context.value(value));
        let Some(variable) = variable else { return value.map_or(Step::Nothing, Step::Create) };
        if variable.for_all().is_some() {
            return match variable.values.as_slice() {
                [_] if variable.is_secret => Step::Refuse(
                    "At Netlify it is a secret with one value for all contexts, which cannot be read and so not be kept for \
                     the others. Give it a value for each context there.",
                ),
                [_] => Step::Split(variable, value),
                _ => Step::Refuse(
                    "At Netlify it has a value for all contexts beside values for single ones, and the first hides the \
                     others. Leave it one kind there.",
                ),
            };
        }
        let own = variable.values.iter().find(|value| self.context.is_of(value));
        match (value, own) {
            (Some(value), _) => Step::Set(value),
            (None, None) => Step::Nothing,
            (None, Some(_)) if variable.values.len() == 1 => Step::Delete,
            (None, Some(own)) => match &own.id {
                Some(id) => Step::Drop(id.clone()),
                None => Step::Refuse("Netlify does not say which of its values this one is."),
            },
        }
    }

    fn request(&self, method: Method, rest: &str) -> Outgoing {
        request(self.session, self.place, method, rest)
    }

    async fn create(&self, variables: &[(&Change, Json)]) -> Called<Option<String>> {
        let bodies: Vec<&Json> = variables.iter().map(|(_, body)| body).collect();
        let made: Vec<EnvVar> = succeed(self.session, self.request(Method::POST, "").json(&bodies)).await?;
        let made: BTreeMap<String, EnvVar> = made.into_iter().map(|one| (one.key.clone(), one)).collect();
        let result = |(change, _): &(&Change, Json)| match made.get(&change.name) {
            Some(variable) => Ok(variable.updated_at.clone()),
            None => Err(Trouble::Unexpected("Netlify did not say what became of it.".into())),
        };
        Ok(variables.iter().map(result).collect())
    }

    async fn change(&self, method: Method, key: &str, body: &Json) -> Result<Option<String>, Trouble> {
        let request = self.request(method, &format!("/{}", segment(key))).json(body);
        let changed: EnvVar = succeed(self.session, request).await?;
        Ok(changed.updated_at)
    }

    async fn delete(&self, rest: &str) -> Result<Option<String>, Trouble> {
        match accepted(self.session, self.request(Method::DELETE, rest)).await {
            Ok(_) | Err(Trouble::NotFound(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct EnvVar {
    key: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    values: Vec<Value>,
    #[serde(default)]
    is_secret: bool,
    updated_at: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Value {
    #[serde(skip_serializing)]
    id: Option<String>,
    value: Option<String>,
    context: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_parameter: Option<String>,
}

impl EnvVar {
    fn for_all(&self) -> Option<&Value> {
        self.values.iter().find(|value| value.context == "all")
    }

    /// The value that a deploy in `context` sees; of a branch, its own or the one for all.
    fn seen_in(&self, context: &Context) -> Option<&Value> {
        self.for_all().or_else(|| self.values.iter().find(|value| context.is_of(value)))
    }

    /// The same variable with its value for `all` spelled out, and `value` for `context`, if any.
    fn split(&self, context: &Context, value: Option<&Value>) -> Json {
        let old = self.for_all().and_then(|value| value.value.clone()).unwrap_or_default();
        let others = CONTEXTS.iter().filter(|name| **name != context.name);
        let mut values: Vec<Json> = others.map(|name| json!({ "context": name, "value": old })).collect();
        values.extend(value.map(|value| json!(value)));
        let mut body = json!({ "key": self.key, "values": values, "is_secret": self.is_secret });
        if let Some(body) = body.as_object_mut().filter(|_| self.scopes.len() != SCOPES) {
            body.insert("scopes".into(), json!(self.scopes));
        }
        body
    }
}

#[derive(Deserialize)]
struct User {
    id: String,
}

#[derive(Deserialize)]
struct NetlifyAccount {
    id: String,
    name: Option<String>,
    slug: Option<String>,
}

#[derive(Deserialize)]
struct Site {
    id: String,
    name: String,
    account_id: Option<String>,
    build_settings: Option<BuildSettings>,
}

#[derive(Deserialize)]
struct BuildSettings {
    repo_path: Option<String>,
}

impl Site {
    fn shown(self) -> Project {
        let linked_repo = self.build_settings.and_then(|settings| settings.repo_path).filter(|path| !path.is_empty());
        Project { id: self.id, name: self.name, linked_repo, framework: None, environments: None }
    }
}

/// Every variable of a site, by name.
async fn all(session: &Session<'_>, place: &Place) -> Result<BTreeMap<String, EnvVar>, Trouble> {
    let variables: Vec<EnvVar> = succeed(session, request(session, place, Method::GET, "")).await?;
    Ok(variables.into_iter().map(|variable| (variable.key.clone(), variable)).collect())
}

fn request(session: &Session<'_>, place: &Place, method: Method, rest: &str) -> Outgoing {
    let path = format!("/api/v1/accounts/{}/env{rest}", segment(session.account_id));
    session.bearer(method, Upstream::Netlify, &path).query(&[("site_id", &place.project_id)])
}

async fn accepted(session: &Session<'_>, request: Outgoing) -> Result<Answer, Trouble> {
    let answer = session.send(NAME, request).await?;
    if answer.is_success() { Ok(answer) } else { Err(trouble(session, &answer)) }
}

async fn succeed<T: DeserializeOwned>(session: &Session<'_>, request: Outgoing) -> Result<T, Trouble> {
    accepted(session, request).await?.json().ok_or_else(|| Trouble::unreadable(NAME))
}

/// Netlify's own words may repeat what was sent, so they are not passed on.
fn trouble(session: &Session<'_>, answer: &Answer) -> Trouble {
    match answer.status {
        429 => {
            let reset = answer.header("x-ratelimit-reset").and_then(|seconds| seconds.trim().parse().ok());
            Trouble::wait_until(NAME, answer, reset, session.now())
        }
        409 => Trouble::Refused("Netlify has this variable already. Run the sync again.".into()),
        400 | 413 | 422 => Trouble::Refused("Netlify does not accept this name or value.".into()),
        _ => Trouble::of_answer(NAME, answer),
    }
}

const TOKENS: TokenEndpoint = TokenEndpoint { platform: NAME, upstream: Upstream::Netlify, path: "/oauth/token" };

/// An OAuth application: the code grant. Its tokens say nothing of accounts, so the customer chooses one.
#[async_trait::async_trait]
impl OAuth for Netlify {
    fn authorize_url(
        &self,
        client: &Client,
        authorization: &Authorization<'_>,
        egress: &Egress,
    ) -> Result<Url, &'static str> {
        let url = format!("{}/authorize", egress.base(Upstream::NetlifyWeb));
        let mut url = Url::parse(&url).map_err(|_| "the address of Netlify's pages cannot be used")?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &client.id)
            .append_pair("redirect_uri", authorization.redirect_uri)
            .append_pair("state", authorization.state);
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
        let fields = [("grant_type", "authorization_code"), ("redirect_uri", redirect_uri)];
        TOKENS.exchange(client, &[("code", code)], &fields, egress).await
    }

    async fn refresh(&self, client: &Client, refresh: &SecretString, egress: &Egress) -> Result<Tokens, OAuthError> {
        TOKENS.refresh(client, refresh, egress).await
    }
}

#[cfg(test)]
pub(super) use tests::row;

#[cfg(test)]
mod tests;
