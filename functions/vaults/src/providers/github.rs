//! GitHub Actions: the secrets of a repository, and those of its environments.
//!
//! # Theory of operation
//! A project is a repository, by `owner/name`. Its environment `repository` is the repository's own secrets, which every
//! workflow sees; any other is one of the repository's environments, by its name. Which environments a repository has
//! takes a call for each, so a list of projects does not say; asking for one that is not there does.
//!
//! A value is sent in a sealed box (X25519, XSalsa20, Poly1305) to the public key of the repository or environment, and is
//! never given back. The key is fetched once for a batch, and again if GitHub has changed it meanwhile. `updated_at` is the
//! marker; since it counts seconds, a change in the second of our own write is not seen.
//!
//! GitHub stores names in upper case, so that `db_url` would overwrite `DB_URL`. A name that is not in upper case is
//! refused here, before it can.
//!
//! A limit is a 403 as often as a 429: `Retry-After`, or a remainder of 0 with the second at which it is filled again.
//!
//! Tokens of an OAuth app do not end; its token endpoint refuses with a 200. The scope `repo` is the least that reaches
//! secrets. Revoking takes the one token back, since the user may have let the app in more than once.
//!
//! The facts are from GitHub's REST documentation, version 2022-11-28.

use std::collections::BTreeMap;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_box::PublicKey;
use crypto_box::aead::OsRng;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use shared::credentials::disclose;
use shared::egress::{Answer, Egress, Outgoing, Upstream};
use url::Url;

use super::oauth::TokenEndpoint;
use super::{
    Abilities, Account, Authorization, Brake, Change, Client, Contents, Entry, OAuth, OAuthError, Outcome, Place,
    Project, Provider, Session, Tokens, Trouble, Variable, has_prefix, segment, settle,
};

const NAME: &str = "GitHub";
/// The environment that is the repository itself.
const REPOSITORY: &str = "repository";
const PAGE: usize = 100;
/// Longer lists than this are not GitHub's.
const MOST_PAGES: usize = 1_000;
/// The most secrets of a repository, and of an environment.
const MOST: usize = 100;

static ENTRY: Entry = Entry {
    name: "github",
    display_name: "GitHub Actions",
    token_help: Some(
        "On github.com open Settings, Developer settings, Personal access tokens, Fine-grained tokens, and generate one \
         for the repositories, with the repository permissions Secrets: read and write, and Environments: read and write \
         for the secrets of environments. The value is shown once.",
    ),
    abilities: Abilities {
        readable: false,
        environments: &[REPOSITORY],
        sets_at_once: 25,
        deletes_at_once: 25,
        mixed: true,
        most_names: Some(MOST),
        largest_value: 48 * 1024,
    },
};

/// GitHub Actions.
pub(super) struct Github;

#[async_trait::async_trait]
impl Provider for Github {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn oauth(&self) -> Option<&'static dyn OAuth> {
        Some(&Github)
    }

    fn reserves(&self, name: &str) -> bool {
        has_prefix(name, "GITHUB")
    }

    fn objection(&self, name: &str, _value: &SecretString) -> Option<String> {
        name_objection(name)
    }

    /// GitHub takes a repository's name in any letter case.
    fn project(&self, given: &str) -> String {
        given.to_lowercase()
    }

    async fn accounts(&self, session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
        let user: User = succeed(session, request(session, Method::GET, "/user")).await?;
        let user_id = Some(user.id.to_string());
        let (account, team_id) = match session.team_id {
            None => (user, None),
            Some(login) if login.eq_ignore_ascii_case(&user.login) => (user, None),
            Some(login) => {
                let path = format!("/users/{}", segment(login));
                let owner: User = succeed(session, request(session, Method::GET, &path)).await?;
                let login = owner.login.clone();
                (owner, Some(login))
            }
        };
        Ok(vec![Account { id: account.id.to_string(), name: account.login, user_id, team_id }])
    }

    async fn projects(&self, session: &Session<'_>) -> Result<Vec<Project>, Trouble> {
        let mut projects = Vec::new();
        let pages = |page: &[Repository]| {
            let meant =
                |one: &&Repository| session.team_id.is_none_or(|team| team.eq_ignore_ascii_case(&one.owner.login));
            projects.extend(page.iter().filter(meant).map(Repository::shown));
        };
        every_page(session, "/user/repos", |page: Vec<Repository>| page, pages).await?;
        projects.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(projects)
    }

    async fn read(&self, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble> {
        let scope = Scope::of(place)?;
        let variable = |marker| Variable { value: None, marker: Some(marker), handle: Json::Null };
        let listed = scope.list(session).await?.into_iter().filter(|(name, _)| !self.reserves(name));
        Ok(Contents {
            variables: listed.map(|(name, marker)| (name, variable(marker))).collect(),
            hides_names: false,
            ..Contents::default()
        })
    }

    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble> {
        let scope = Scope::of(place)?;
        let mut outcomes = Vec::with_capacity(batch.len());
        let (mut calls, mut sets) = (Brake::default(), Vec::new());
        for change in batch {
            match &change.value {
                Some(value) => sets.push((change, value)),
                None => {
                    let result = calls.run(scope.delete(session, &change.name)).await;
                    outcomes.push(Outcome { name: change.name.clone(), result });
                }
            }
        }
        let mut key = None;
        let mut written = Vec::new();
        for (change, value) in sets {
            let result = match name_objection(&change.name) {
                Some(objection) => Err(Trouble::Refused(objection)),
                None => calls.run(scope.set(session, &mut key, &change.name, value)).await,
            };
            match result {
                Ok(()) => written.push(change),
                Err(trouble) => outcomes.push(Outcome::failed(change, trouble)),
            }
        }
        // Without its marker a value is written again by the next run.
        let markers = if written.is_empty() { BTreeMap::new() } else { scope.list(session).await.unwrap_or_default() };
        outcomes.extend(written.iter().map(|change| Outcome::done(change, markers.get(&change.name).cloned())));
        settle(outcomes)
    }
}

/// What GitHub would not take, or would take for another name.
fn name_objection(name: &str) -> Option<String> {
    let known = |byte: u8| byte == b'_' || byte.is_ascii_uppercase() || byte.is_ascii_digit();
    if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Some(format!(
            "GitHub stores names in upper case, so {name} would become {}.",
            name.to_ascii_uppercase()
        ));
    }
    let sound = name.bytes().all(known) && !name.is_empty() && !name.starts_with(|one: char| one.is_ascii_digit());
    (!sound).then(|| "At GitHub a name has letters, digits and underscores, and no digit in front.".into())
}

/// Which secrets a place means.
struct Scope {
    /// The path of the repository.
    repository: String,
    /// The path of the secrets.
    secrets: String,
    is_environment: bool,
}

impl Scope {
    fn of(place: &Place) -> Result<Self, Trouble> {
        let unknown = || Trouble::NotFound("A repository of GitHub is called owner/name.".into());
        let (owner, name) = place.project_id.split_once('/').ok_or_else(unknown)?;
        let repository = format!("/repos/{}/{}", segment(owner), segment(name));
        let is_environment = place.environment != REPOSITORY;
        let secrets = match place.environment.as_str() {
            REPOSITORY => format!("{repository}/actions/secrets"),
            environment => format!("{repository}/environments/{}/secrets", segment(environment)),
        };
        Ok(Self { repository, secrets, is_environment })
    }

    /// The names, and when each was last changed.
    async fn list(&self, session: &Session<'_>) -> Result<BTreeMap<String, String>, Trouble> {
        let mut names = BTreeMap::new();
        let take = |page: &[Secret]| names.extend(page.iter().map(|one| (one.name.clone(), one.updated_at.clone())));
        match every_page(session, &self.secrets, |page: Secrets| page.secrets, take).await {
            Err(Trouble::NotFound(_)) if self.is_environment => Err(self.missing(session).await),
            Err(trouble) => Err(trouble),
            Ok(()) => Ok(names),
        }
    }

    /// Whether it is the environment that is not there, or the repository.
    async fn missing(&self, session: &Session<'_>) -> Trouble {
        let mut names = vec![REPOSITORY.to_owned()];
        let take = |page: &[Named]| names.extend(page.iter().map(|one| one.name.clone()));
        let path = format!("{}/environments", self.repository);
        match every_page(session, &path, |page: Environments| page.environments, take).await {
            Err(trouble) => trouble,
            Ok(()) => {
                Trouble::NotFound(format!("This repository has no such environment. It has {}.", names.join(", ")))
            }
        }
    }

    /// Sets a secret with the key at hand, or with a new one if that is not the right one any more.
    async fn set(
        &self,
        session: &Session<'_>,
        key: &mut Option<Key>,
        name: &str,
        value: &SecretString,
    ) -> Result<(), Trouble> {
        let at_hand = match key.take() {
            Some(at_hand) => at_hand,
            None => self.key(session).await?,
        };
        let sent = self.put(session, &at_hand, name, value).await;
        if !matches!(sent, Err(Trouble::Refused(_))) {
            *key = Some(at_hand);
            return sent;
        }
        let now = self.key(session).await?;
        let is_other = now.id != at_hand.id;
        let sent = if is_other { self.put(session, &now, name, value).await } else { sent };
        *key = Some(now);
        sent
    }

    async fn put(&self, session: &Session<'_>, key: &Key, name: &str, value: &SecretString) -> Result<(), Trouble> {
        let body = json!({ "encrypted_value": key.seal(value)?, "key_id": key.id });
        let path = format!("{}/{}", self.secrets, segment(name));
        accepted(session, request(session, Method::PUT, &path).json(&body)).await.map(|_| ())
    }

    async fn delete(&self, session: &Session<'_>, name: &str) -> Result<Option<String>, Trouble> {
        let path = format!("{}/{}", self.secrets, segment(name));
        match accepted(session, request(session, Method::DELETE, &path)).await {
            Ok(_) | Err(Trouble::NotFound(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    async fn key(&self, session: &Session<'_>) -> Result<Key, Trouble> {
        let path = format!("{}/public-key", self.secrets);
        let reply: KeyReply = succeed(session, request(session, Method::GET, &path)).await?;
        let bytes = STANDARD.decode(&reply.key).ok();
        let key = bytes.and_then(|bytes| PublicKey::from_slice(&bytes).ok());
        Ok(Key { id: reply.key_id, key: key.ok_or_else(|| Trouble::unreadable(NAME))? })
    }
}

/// What secrets of one repository or environment are sealed to.
struct Key {
    id: String,
    key: PublicKey,
}

impl Key {
    fn seal(&self, value: &SecretString) -> Result<String, Trouble> {
        let sealed = self.key.seal(&mut OsRng, disclose(value).as_bytes());
        sealed
            .map(|bytes| STANDARD.encode(bytes))
            .map_err(|_| Trouble::Refused("The value could not be sealed.".into()))
    }
}

/// Reads a list to its end. `items` takes them out of a page.
async fn every_page<P: DeserializeOwned, T>(
    session: &Session<'_>,
    path: &str,
    items: impl Fn(P) -> Vec<T>,
    mut take: impl FnMut(&[T]),
) -> Result<(), Trouble> {
    for page in 1..=MOST_PAGES {
        let pages = [("per_page", PAGE.to_string()), ("page", page.to_string())];
        let pages = pages.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = accepted(session, request(session, Method::GET, path).query(&pages)).await?;
        take(&items(answer.json().ok_or_else(|| Trouble::unreadable(NAME))?));
        if !answer.header("link").is_some_and(|link| link.contains("rel=\"next\"")) {
            break;
        }
    }
    Ok(())
}

fn request(session: &Session<'_>, method: Method, path: &str) -> Outgoing {
    let request = session.bearer(method, Upstream::Github, path);
    request.header("accept", "application/vnd.github+json").header("x-github-api-version", "2022-11-28")
}

async fn accepted(session: &Session<'_>, request: Outgoing) -> Result<Answer, Trouble> {
    let answer = session.send(NAME, request).await?;
    if answer.is_success() { Ok(answer) } else { Err(trouble(session, &answer)) }
}

async fn succeed<T: DeserializeOwned>(session: &Session<'_>, request: Outgoing) -> Result<T, Trouble> {
    accepted(session, request).await?.json().ok_or_else(|| Trouble::unreadable(NAME))
}

fn trouble(session: &Session<'_>, answer: &Answer) -> Trouble {
    let is_limit = answer.retry_after().is_some() || answer.header("x-ratelimit-remaining") == Some("0");
    match answer.status {
        403 | 429 if is_limit => {
            let reset = answer.header("x-ratelimit-reset").and_then(|second| second.trim().parse().ok());
            Trouble::wait_until(NAME, answer, reset, session.now())
        }
        400 | 409 | 413 | 422 => Trouble::Refused("GitHub does not accept this name or value.".into()),
        _ => Trouble::of_answer(NAME, answer),
    }
}

#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
    owner: Owner,
}

#[derive(Deserialize)]
struct Owner {
    login: String,
}

impl Repository {
    fn shown(&self) -> Project {
        Project {
            id: self.full_name.to_lowercase(),
            name: self.full_name.clone(),
            linked_repo: Some(self.full_name.clone()),
            framework: None,
            environments: None,
        }
    }
}

#[derive(Deserialize)]
struct Secrets {
    secrets: Vec<Secret>,
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    updated_at: String,
}

#[derive(Deserialize)]
struct Environments {
    environments: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct KeyReply {
    key_id: String,
    key: String,
}

const TOKENS: TokenEndpoint =
    TokenEndpoint { platform: NAME, upstream: Upstream::GithubWeb, path: "/login/oauth/access_token" };

/// An OAuth app: the code grant.
#[async_trait::async_trait]
impl OAuth for Github {
    fn authorize_url(
        &self,
        client: &Client,
        authorization: &Authorization<'_>,
        egress: &Egress,
    ) -> Result<Url, &'static str> {
        let url = format!("{}/login/oauth/authorize", egress.base(Upstream::GithubWeb));
        let mut url = Url::parse(&url).map_err(|_| "the address of GitHub's pages cannot be used")?;
        url.query_pairs_mut()
            .append_pair("client_id", &client.id)
            .append_pair("redirect_uri", authorization.redirect_uri)
            .append_pair("scope", "repo")
            .append_pair("state", authorization.state)
            .append_pair("code_challenge", authorization.challenge)
            .append_pair("code_challenge_method", "S256");
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
        let secrets = [("code", code), ("code_verifier", verifier)];
        TOKENS.exchange(client, &secrets, &[("redirect_uri", redirect_uri)], egress).await
    }

    async fn refresh(&self, client: &Client, refresh: &SecretString, egress: &Egress) -> Result<Tokens, OAuthError> {
        TOKENS.refresh(client, refresh, egress).await
    }

    async fn revoke(&self, client: &Client, tokens: &Tokens, egress: &Egress) -> Result<bool, OAuthError> {
        let pair = STANDARD.encode(format!("{}:{}", client.id, disclose(&client.secret)));
        let request = egress
            .hiding(vec![client.secret.clone(), tokens.access.clone()])
            .upstream(Method::DELETE, Upstream::Github, &format!("/applications/{}/token", segment(&client.id)))
            .header("accept", "application/vnd.github+json")
            .secret_header("authorization", &format!("Basic {pair}").into())
            .json(&json!({ "access_token": disclose(&tokens.access) }));
        let failed = |_| Trouble::Down("GitHub could not be asked to take the token back.".into());
        let answer = request.send().await.map_err(failed)?;
        match answer.status {
            // What is unknown is revoked already.
            204 | 404 | 422 => Ok(true),
            401 => Err(OAuthError::InvalidClient),
            _ => Err(Trouble::of_answer(NAME, &answer).into()),
        }
    }
}

#[cfg(test)]
pub(super) use tests::row;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_lc_rs::digest::{SHA256, digest};
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use fakes::platforms::github::Github as Fake;
    use fakes::platforms::{OAuthClient, Reach};

    use super::*;
    use crate::model::plan::{Deletions, Ledger};
    use crate::providers::conformance::{READER, Row};
    use crate::providers::testing::{View, follow, hidden, pairs, parameter, writes};

    /// A repository with environments, and a connection to its production.
    async fn start() -> (Fake, View) {
        let fake = Fake::start().await.unwrap();
        fake.add_token("token", Reach::of("ada", &["ada", "acme"]));
        fake.add_repository("acme", "shop", &["production", "a/b"]);
        let endpoints = [("GITHUB", fake.host.origin()), ("GITHUB_WEB", fake.web.origin())];
        let view = View::new(&Github, &endpoints, "token", ("1", None), "acme/shop", "production");
        (fake, view)
    }

    /// What the platform promises as every other does.
    pub(in crate::providers) async fn row() -> Row {
        let (fake, view) = start().await;
        fake.add_token(READER, Reach::of("ada", &["acme"]).reading());
        let (host, [sets, there, revokes]) = (fake.host.clone(), [(); 3].map(|()| fake.clone()));
        Row {
            view,
            host,
            set: Box::new(move |name, value| sets.set("acme/shop", "production", name, value)),
            values: Box::new(move || there.values("acme/shop", "production")),
            revoke: Box::new(move || revokes.revoke("token")),
            unknown_projects: &["acme/nothing", "other/shop", "acme/../shop", "shop", "/", ""],
            unknown_environments: (&["staging", "production/../..", ""], &["repository", "production"]),
            reserved: (None, Some("GITHUB_TOKEN")),
            ordinary: "GITHUBBER",
        }
    }

    fn numbered(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("KEY_{number:03}")).collect()
    }

    fn valued(names: &[String]) -> Vec<(&str, &str)> {
        names.iter().map(|name| (name.as_str(), "value")).collect()
    }

    #[tokio::test]
    async fn a_token_is_of_its_accounts() {
        let (fake, view) = start().await;
        fake.add_repository("ada", "notes", &[]);
        let own = Github.accounts(&view.session()).await.unwrap().remove(0);
        assert_eq!((own.name.as_str(), own.team_id.as_deref()), ("ada", None));
        let chosen = View { team: Some("acme".into()), ..view.clone() };
        let team = Github.accounts(&chosen.session()).await.unwrap().remove(0);
        assert_eq!((team.name.as_str(), team.team_id.as_deref()), ("acme", Some("acme")));
        assert_ne!(own.id, team.id);
        assert_eq!(own.user_id, team.user_id);
        let projects = Github.projects(&chosen.session()).await.unwrap();
        assert_eq!(projects.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["acme/shop"]);
    }

    #[tokio::test]
    async fn every_page_of_projects_is_read() {
        let (fake, view) = start().await;
        fake.page_by(20);
        for number in 0..45 {
            fake.add_repository("acme", &format!("x{number}"), &[]);
        }
        let projects = Github.projects(&view.session()).await.unwrap();
        assert_eq!((projects.len(), projects[0].linked_repo.as_deref()), (46, Some("acme/shop")));
    }

    #[tokio::test]
    async fn what_is_there_is_read() {
        let (fake, view) = start().await;
        fake.page_by(20);
        for name in numbered(45) {
            fake.set("acme/shop", "production", &name, "1");
        }
        fake.set("acme/shop", "", "SHARED", "2");
        fake.set("acme/shop", "a/b", "OTHER", "3");
        assert_eq!(view.values().await.len(), 45);
        assert_eq!(view.of("repository").values().await, hidden(&["SHARED"]));
        assert_eq!(view.of("a/b").values().await, hidden(&["OTHER"]));
    }

    #[tokio::test]
    async fn one_environment_is_written_and_no_other() {
        let (fake, view) = start().await;
        for environment in ["", "production", "a/b"] {
            for name in ["CHANGED", "DELETED", "KEPT"] {
                fake.set("acme/shop", environment, name, "old");
            }
        }
        let (old, new) =
            ([("CHANGED", "old"), ("DELETED", "old"), ("KEPT", "old")], [("CHANGED", "new"), ("KEPT", "old")]);
        view.wrote(&[("CHANGED", Some("new")), ("DELETED", None)]).await;
        assert_eq!(fake.values("acme/shop", "production"), pairs(&new));
        assert_eq!(fake.values("acme/shop", ""), pairs(&old));
        assert_eq!(fake.values("acme/shop", "a/b"), pairs(&old));
        view.of("repository").wrote(&[("CHANGED", Some("new")), ("DELETED", None)]).await;
        assert_eq!(fake.values("acme/shop", ""), pairs(&new));
        view.of("a/b").wrote(&[("FRESH", Some("ü"))]).await;
        assert_eq!(fake.values("acme/shop", "a/b").len(), 4);
    }

    #[tokio::test]
    async fn values_are_sent_sealed() {
        let (fake, view) = start().await;
        view.wrote(&[("KEY", Some("plain-text")), ("OTHER", Some("plain-text"))]).await;
        assert_eq!(fake.values("acme/shop", "production"), pairs(&[("KEY", "plain-text"), ("OTHER", "plain-text")]));
        let sent: Vec<Json> =
            fake.host.requests().iter().filter(|one| one.method == "PUT").map(fakes::Recorded::json).collect();
        assert!(sent.iter().all(|body| !body.to_string().contains("plain-text")));
        assert_ne!(sent[0]["encrypted_value"], sent[1]["encrypted_value"], "equal values must not look equal");
        assert_eq!(fake.host.calls("public-key"), 1);
    }

    #[tokio::test]
    async fn a_key_that_was_changed_meanwhile_is_fetched_again() {
        let (fake, view) = start().await;
        let place = Scope::of(&view.place).unwrap();
        let session = view.session();
        let mut key = Some(place.key(&session).await.unwrap());
        fake.rotate_keys();
        for name in ["A", "B"] {
            place.set(&session, &mut key, name, &"1".into()).await.unwrap();
        }
        assert_eq!(fake.values("acme/shop", "production"), pairs(&[("A", "1"), ("B", "1")]));
        assert_eq!(fake.host.calls("public-key"), 2);
    }

    #[tokio::test]
    async fn a_name_never_overwrites_its_upper_case() {
        let (fake, view) = start().await;
        fake.set("acme/shop", "production", "DB_URL", "old");
        let said = view.write(&[("db_url", Some("1")), ("Db_Url", Some("2")), ("OTHER", Some("3"))]).await.unwrap();
        for name in ["db_url", "Db_Url"] {
            let Err(Trouble::Refused(message)) = &said[name] else { panic!("{said:?}") };
            assert!(message.contains("DB_URL"), "{message}");
            assert!(Github.objection(name, &"1".into()).is_some());
        }
        assert!(said["OTHER"].is_ok() && Github.objection("OTHER", &"1".into()).is_none());
        assert_eq!(fake.values("acme/shop", "production"), pairs(&[("DB_URL", "old"), ("OTHER", "3")]));
    }

    #[tokio::test]
    async fn a_sync_takes_few_calls_and_none_when_nothing_has_changed() {
        let (fake, view) = start().await;
        let names = numbered(50);
        let mut ledger = Ledger::new();
        view.push(&valued(&names), &mut ledger, Deletions::All).await;
        assert_eq!((fake.values("acme/shop", "production").len(), writes(&fake.host)), (50, 50));
        fake.host.forget_requests();
        assert!(view.push(&valued(&names), &mut ledger, Deletions::All).await.is_empty());
        assert_eq!((writes(&fake.host), fake.host.requests().len()), (0, 1));
        view.push(&[("KEY_000", "other")], &mut ledger, Deletions::Managed).await;
        assert_eq!(fake.values("acme/shop", "production"), pairs(&[("KEY_000", "other")]));
    }

    #[tokio::test]
    async fn a_full_environment_is_emptied_before_it_is_filled() {
        let (fake, view) = start().await;
        for name in numbered(100) {
            fake.set("acme/shop", "production", &name, "old");
        }
        let said = view.write(&[("ONE", Some("1"))]).await.unwrap();
        assert!(matches!(said["ONE"], Err(Trouble::Refused(_))), "{said:?}");
        view.wrote(&[("ONE", Some("1")), ("KEY_000", None)]).await;
        assert_eq!(fake.values("acme/shop", "production").len(), 100);
    }

    #[tokio::test]
    async fn write_only_values_have_markers() {
        let (fake, view) = start().await;
        let source = [("KEY", "new")];
        let mut ledger = Ledger::new();
        view.push(&source, &mut ledger, Deletions::All).await;
        assert!(ledger["KEY"].marker.is_some());
        assert_eq!(view.marker("KEY").await, ledger["KEY"].marker);
        fake.set("acme/shop", "production", "KEY", "theirs");
        assert_eq!(view.push(&source, &mut ledger, Deletions::All).await.to_update, ["KEY"]);
        assert_eq!(fake.values("acme/shop", "production"), pairs(&source));
    }

    #[tokio::test]
    async fn a_bad_name_does_not_stop_the_others() {
        let (fake, view) = start().await;
        let said = view.write(&[("A", Some("1")), ("1BAD", Some("secret-value")), ("Z", Some("3"))]).await.unwrap();
        assert!(said["A"].is_ok() && said["Z"].is_ok(), "{said:?}");
        let Err(Trouble::Refused(message)) = &said["1BAD"] else { panic!("{said:?}") };
        assert!(!message.contains("secret-value"));
        assert_eq!(fake.values("acme/shop", "production"), pairs(&[("A", "1"), ("Z", "3")]));
    }

    #[tokio::test]
    async fn a_lost_answer_is_made_good_by_the_next_run() {
        let (fake, view) = start().await;
        let source = [("A", "new"), ("B", "1")];
        let mut ledger = Ledger::new();
        view.push(&[("A", "old"), ("B", "1")], &mut ledger, Deletions::None).await;
        let contents = view.read().await.unwrap();
        fake.host.faults().next_on("/secrets/A", 1, fakes::Fault::LoseAnswer);
        let said = view.write_after(&contents, &[("A", Some("new"))]).await.unwrap();
        assert!(matches!(said["A"], Err(Trouble::Down(_))), "{said:?}");
        view.push(&source, &mut ledger, Deletions::None).await;
        assert_eq!(fake.values("acme/shop", "production"), pairs(&source));
        assert!(view.push(&source, &mut ledger, Deletions::None).await.is_empty());
    }

    #[tokio::test]
    async fn throttled() {
        let (fake, view) = start().await;
        let wait = |seconds| Trouble::Wait { platform: NAME, for_: Duration::from_secs(seconds) };
        fake.throttle("PUT", 1, 23);
        assert_eq!(view.write(&[("A", Some("1")), ("B", Some("2"))]).await.unwrap_err(), wait(23));
        assert_eq!(writes(&fake.host), 1);
        fake.spend("GET", 1, 600);
        assert_eq!(view.read().await.unwrap_err(), wait(600));
        fake.spend("GET", 1, -5);
        assert_eq!(view.read().await.unwrap_err(), wait(1));
    }

    #[tokio::test]
    async fn an_account_is_connected_by_its_owners_consent() {
        let (fake, view) = start().await;
        let redirect = "http://127.0.0.1:9/callback";
        fake.add_client(OAuthClient::new("client", "secret", redirect));
        fake.consent_as(Reach::of("ada", &["acme"]));
        let client = Client { id: "client".into(), secret: "secret".into(), slug: None };
        let verifier = SecretString::from("v".repeat(43));
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, disclose(&verifier).as_bytes()));
        let authorization = Authorization { state: "state-1", challenge: &challenge, redirect_uri: redirect };
        let page = Github.authorize_url(&client, &authorization, &view.egress).unwrap();
        let denied = follow(&page, &fake.web.origin(), "deny").await;
        assert_eq!(parameter(&denied, "error").as_deref(), Some("access_denied"));
        let back = follow(&page, &fake.web.origin(), "allow").await;
        assert_eq!(parameter(&back, "state").as_deref(), Some("state-1"));
        let code = SecretString::from(parameter(&back, "code").unwrap());
        let wrong = Client { secret: "wrong".into(), ..client.clone() };
        let refused = Github.exchange(&wrong, &code, &verifier, redirect, &view.egress).await;
        assert_eq!(refused.unwrap_err(), OAuthError::InvalidClient);
        let exchange = || Github.exchange(&client, &code, &verifier, redirect, &view.egress);
        let tokens = exchange().await.unwrap();
        assert_eq!(exchange().await.unwrap_err(), OAuthError::InvalidGrant);
        assert!(tokens.lives.is_none() && tokens.refresh.is_none());
        let connected = view.with_token(disclose(&tokens.access));
        assert_eq!(Github.accounts(&connected.session()).await.unwrap()[0].name, "ada");
        connected.wrote(&[("A", Some("1"))]).await;
        assert_eq!(Github.revoke(&wrong, &tokens, &view.egress).await.unwrap_err(), OAuthError::InvalidClient);
        for _ in 0..2 {
            assert!(Github.revoke(&client, &tokens, &view.egress).await.unwrap());
        }
        assert!(matches!(connected.read().await.unwrap_err(), Trouble::Unauthorized(_)));
    }
}
