//! Render: the environment variables of a service.
//!
//! # Theory of operation
//! A service has one set of variables, so it is a project with the one environment `production`. Those of environment
//! groups that it is linked to are not its own and are not touched.
//!
//! `PUT` of the whole list would delete what is not named in it, also what somebody has added since it was read. So each
//! name is set or deleted by a call of its own. Values can be read back, so no markers are needed. Empty values are
//! refused by Render, and here before it is asked.
//!
//! What is written is taken up by the next deploy. Nothing is deployed here: the service's owner chooses when.
//!
//! The facts are from Render's API reference; that its 429 tells the seconds to go is from reports.

use std::collections::BTreeMap;

use axum::http::Method;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use shared::credentials::disclose;
use shared::egress::{Answer, Outgoing, Upstream};

use super::{
    Abilities, Account, Brake, Change, Contents, Entry, ONE_ENVIRONMENT, Outcome, Place, Project, Provider, Session,
    Trouble, Variable, has_prefix, one_environment, segment, settle,
};

const NAME: &str = "Render";
const PAGE: usize = 100;
/// Longer lists than this are not Render's.
const MOST_PAGES: usize = 1_000;

static ENTRY: Entry = Entry {
    name: "render",
    display_name: NAME,
    token_help: Some(
        "On dashboard.render.com open Account Settings, API Keys, and create a key. It reaches every workspace that you \
         are in; the value is shown once. Services take new variables up when they are next deployed.",
    ),
    abilities: Abilities {
        readable: true,
        environments: ONE_ENVIRONMENT,
        sets_at_once: 25,
        deletes_at_once: 25,
        mixed: true,
        most_names: None,
        largest_value: 24 * 1024,
    },
};

/// Render.
pub(super) struct Render;

#[async_trait::async_trait]
impl Provider for Render {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn reserves(&self, name: &str) -> bool {
        has_prefix(name, "RENDER")
    }

    fn objection(&self, _name: &str, value: &SecretString) -> Option<String> {
        disclose(value).is_empty().then(|| "Render takes no empty values.".into())
    }

    async fn accounts(&self, session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
        let owners = every_page(session, "/v1/owners", &[], |item: OwnerItem| (item.owner, item.cursor)).await?;
        let meant = |one: &Owner| session.team_id.is_none_or(|team| team == one.id);
        let account = |one: Owner| Account { id: one.id, name: one.name, user_id: None, team_id: None };
        Ok(owners.into_iter().filter(meant).map(account).collect())
    }

    async fn projects(&self, session: &Session<'_>) -> Result<Vec<Project>, Trouble> {
        let owner = [("ownerId", session.account_id)];
        let services =
            every_page(session, "/v1/services", &owner, |item: ServiceItem| (item.service, item.cursor)).await?;
        let mut projects: Vec<Project> = services.into_iter().map(Service::shown).collect();
        projects.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(projects)
    }

    async fn read(&self, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble> {
        one_environment(NAME, place)?;
        let listed = every_page(session, &path(place), &[], |item: EnvVarItem| (item.env_var, item.cursor)).await?;
        let mut variables = BTreeMap::new();
        for one in listed.into_iter().filter(|one| !self.reserves(&one.key)) {
            let value = Some(SecretString::from(one.value));
            variables.insert(one.key, Variable { value, marker: None, handle: Json::Null });
        }
        Ok(Contents { variables, hides_names: false })
    }

    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble> {
        one_environment(NAME, place)?;
        let mut calls = Brake::default();
        let mut outcomes = Vec::with_capacity(batch.len());
        for change in batch {
            let objection = change.value.as_ref().and_then(|value| self.objection(&change.name, value));
            let result = match (objection, &change.value) {
                (Some(objection), _) => Err(Trouble::Refused(objection)),
                (None, Some(value)) => calls.run(set(session, place, &change.name, value)).await,
                (None, None) => calls.run(delete(session, place, &change.name)).await,
            };
            outcomes.push(Outcome { name: change.name.clone(), result: result.map(|()| None) });
        }
        settle(outcomes)
    }
}

async fn set(session: &Session<'_>, place: &Place, name: &str, value: &SecretString) -> Result<(), Trouble> {
    let body = json!({ "value": disclose(value) });
    accepted(session, variable(session, place, Method::PUT, name).json(&body)).await.map(|_| ())
}

async fn delete(session: &Session<'_>, place: &Place, name: &str) -> Result<(), Trouble> {
    match accepted(session, variable(session, place, Method::DELETE, name)).await {
        Ok(_) | Err(Trouble::NotFound(_)) => Ok(()),
        Err(trouble) => Err(trouble),
    }
}

fn path(place: &Place) -> String {
    format!("/v1/services/{}/env-vars", segment(&place.project_id))
}

/// A request about one variable: never about all of them.
fn variable(session: &Session<'_>, place: &Place, method: Method, name: &str) -> Outgoing {
    session.bearer(method, Upstream::Render, &format!("{}/{}", path(place), segment(name)))
}

/// Reads a list to its end. `open` gives an item and its cursor.
async fn every_page<I: serde::de::DeserializeOwned, T>(
    session: &Session<'_>,
    path: &str,
    query: &[(&str, &str)],
    open: impl Fn(I) -> (T, Option<String>),
) -> Result<Vec<T>, Trouble> {
    let mut items = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let mut request = session.bearer(Method::GET, Upstream::Render, path).query(query);
        request = request.query(&[("limit", &PAGE.to_string())]);
        if let Some(cursor) = &after {
            request = request.query(&[("cursor", cursor)]);
        }
        let page: Vec<I> = accepted(session, request).await?.json().ok_or_else(|| Trouble::unreadable(NAME))?;
        let is_last = page.len() < PAGE;
        after = None;
        for item in page {
            let (item, cursor) = open(item);
            items.push(item);
            after = cursor;
        }
        if is_last || after.is_none() {
            break;
        }
    }
    Ok(items)
}

async fn accepted(session: &Session<'_>, request: Outgoing) -> Result<Answer, Trouble> {
    let answer = session.send(NAME, request).await?;
    if answer.is_success() { Ok(answer) } else { Err(trouble(&answer)) }
}

/// Render's own words may repeat what was sent, so they are not passed on.
fn trouble(answer: &Answer) -> Trouble {
    match answer.status {
        429 => {
            let to_go = answer.header("ratelimit-reset").and_then(|seconds| seconds.trim().parse().ok());
            Trouble::wait_until(NAME, answer, to_go, Timestamp::UNIX_EPOCH)
        }
        400 | 409 | 413 | 422 => Trouble::Refused("Render does not accept this name or value.".into()),
        _ => Trouble::of_answer(NAME, answer),
    }
}

#[derive(Deserialize)]
struct OwnerItem {
    owner: Owner,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Owner {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct ServiceItem {
    service: Service,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Service {
    id: String,
    name: String,
    repo: Option<String>,
}

impl Service {
    fn shown(self) -> Project {
        // The address of a repository: https://github.com/acme/shop.
        let address = self.repo.and_then(|repo| url::Url::parse(&repo).ok());
        let linked_repo = address.map(|url| url.path().trim_matches('/').trim_end_matches(".git").to_owned());
        let linked_repo = linked_repo.filter(|repo| repo.contains('/'));
        Project { id: self.id, name: self.name, linked_repo, framework: None, environments: None }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvVarItem {
    env_var: EnvVar,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct EnvVar {
    key: String,
    value: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fakes::platforms::Reach;
    use fakes::platforms::render::Render as Fake;

    use super::*;
    use crate::model::plan::{Deletions, Ledger};
    use crate::providers::testing::{View, pairs, shown, writes};

    /// An owner's service, and a connection to it.
    async fn start() -> (Fake, View) {
        let fake = Fake::start().await.unwrap();
        fake.add_owner("tea-1", "Acme");
        fake.add_token("token", Reach::of("user-1", &["tea-1"]));
        fake.add_service("srv-1", "shop", "tea-1", Some("https://github.com/acme/shop"));
        let endpoints = [("RENDER", fake.host.origin())];
        let view = View::new(&Render, &endpoints, "token", ("tea-1", None), "srv-1", "production");
        (fake, view)
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
        fake.add_owner("tea-2", "Beta");
        fake.add_owner("tea-3", "Gamma");
        fake.add_token("wide", Reach::of("user-1", &["tea-1", "tea-2"]));
        let accounts = Render.accounts(&view.with_token("wide").session()).await.unwrap();
        let ids: Vec<(&str, &str)> = accounts.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect();
        assert_eq!(ids, [("tea-1", "Acme"), ("tea-2", "Beta")]);
        let chosen = View { team: Some("tea-2".into()), ..view.with_token("wide") };
        let accounts = Render.accounts(&chosen.session()).await.unwrap();
        assert_eq!((accounts.len(), accounts[0].id.as_str()), (1, "tea-2"));
    }

    #[tokio::test]
    async fn every_page_of_projects_is_read() {
        let (fake, view) = start().await;
        fake.add_owner("tea-2", "Beta");
        fake.add_token("token", Reach::of("user-1", &["tea-1", "tea-2"]));
        for number in 0..145 {
            fake.add_service(&format!("srv-x{number}"), &format!("x{number:03}"), "tea-1", None);
            fake.add_service(&format!("srv-y{number}"), &format!("y{number:03}"), "tea-2", None);
        }
        let projects = Render.projects(&view.session()).await.unwrap();
        assert_eq!((projects.len(), projects[0].linked_repo.as_deref()), (146, Some("acme/shop")));
    }

    #[tokio::test]
    async fn what_is_there_is_read() {
        let (fake, view) = start().await;
        for name in numbered(245) {
            fake.set("srv-1", &name, "value");
        }
        assert_eq!(view.values().await, shown(&valued(&numbered(245))));
    }

    #[tokio::test]
    async fn one_environment_is_written_and_no_other() {
        let (fake, view) = start().await;
        fake.add_service("srv-2", "shop-staging", "tea-1", None);
        for service in ["srv-1", "srv-2"] {
            for name in ["CHANGED", "DELETED", "KEPT"] {
                fake.set(service, name, "old");
            }
        }
        view.wrote(&[("CHANGED", Some("new")), ("FRESH", Some("new")), ("DELETED", None)]).await;
        assert_eq!(fake.values("srv-1"), pairs(&[("CHANGED", "new"), ("FRESH", "new"), ("KEPT", "old")]));
        assert_eq!(fake.values("srv-2"), pairs(&[("CHANGED", "old"), ("DELETED", "old"), ("KEPT", "old")]));
    }

    #[tokio::test]
    async fn the_whole_list_is_never_replaced() {
        let (fake, view) = start().await;
        fake.set("srv-1", "A", "1");
        let contents = view.read().await.unwrap();
        fake.set("srv-1", "LATER", "theirs");
        view.write_after(&contents, &[("A", Some("2")), ("B", Some("3"))]).await.unwrap();
        for name in ["", ".", ".."] {
            let said = view.write(&[(name, Some("x"))]).await.unwrap();
            assert!(said[name].is_err(), "{said:?}");
        }
        assert_eq!(fake.values("srv-1"), pairs(&[("A", "2"), ("B", "3"), ("LATER", "theirs")]));
        let is_whole = |path: &str| path.trim_end_matches('/').ends_with("/env-vars");
        let whole = fake.host.requests().iter().any(|one| one.method != "GET" && is_whole(&one.path));
        assert!(!whole);
    }

    #[tokio::test]
    async fn a_sync_takes_few_calls_and_none_when_nothing_has_changed() {
        let (fake, view) = start().await;
        let names = numbered(50);
        let mut ledger = Ledger::new();
        view.push(&valued(&names), &mut ledger, Deletions::All).await;
        assert_eq!((fake.values("srv-1").len(), writes(&fake.host)), (50, 50));
        fake.host.forget_requests();
        assert!(view.push(&valued(&names), &mut ledger, Deletions::All).await.is_empty());
        assert_eq!((writes(&fake.host), fake.host.requests().len()), (0, 1));
        view.push(&[("KEY_000", "other")], &mut ledger, Deletions::Managed).await;
        assert_eq!(fake.values("srv-1"), pairs(&[("KEY_000", "other")]));
    }

    #[tokio::test]
    async fn a_bad_name_does_not_stop_the_others() {
        let (fake, view) = start().await;
        let changes = [("A", Some("1")), ("1BAD", Some("secret-value")), ("EMPTY", Some("")), ("Z", Some("3"))];
        let said = view.write(&changes).await.unwrap();
        assert!(said["A"].is_ok() && said["Z"].is_ok(), "{said:?}");
        let Err(Trouble::Refused(message)) = &said["1BAD"] else { panic!("{said:?}") };
        assert!(!message.contains("secret-value"));
        let Err(Trouble::Refused(message)) = &said["EMPTY"] else { panic!("{said:?}") };
        assert!(message.contains("empty"), "{message}");
        assert_eq!(fake.values("srv-1"), pairs(&[("A", "1"), ("Z", "3")]));
        assert_eq!(writes(&fake.host), 3);
    }

    #[tokio::test]
    async fn what_is_gone_already_is_deleted() {
        let (fake, view) = start().await;
        fake.set("srv-1", "A", "1");
        let contents = view.read().await.unwrap();
        view.wrote(&[("A", None)]).await;
        let said = view.write_after(&contents, &[("A", None)]).await.unwrap();
        assert!(said["A"].is_ok());
    }

    #[tokio::test]
    async fn throttled() {
        let (fake, view) = start().await;
        let wait = |seconds| Trouble::Wait { platform: NAME, for_: Duration::from_secs(seconds) };
        fake.throttle("PUT", 1, 23);
        assert_eq!(view.write(&[("A", Some("1")), ("B", Some("2"))]).await.unwrap_err(), wait(23));
        assert_eq!(writes(&fake.host), 1);
        fake.throttle("GET", 1, 5);
        assert_eq!(view.read().await.unwrap_err(), wait(5));
        assert_eq!(fake.values("srv-1"), pairs(&[]));
    }

    #[tokio::test]
    async fn unauthorised() {
        let (fake, view) = start().await;
        fake.revoke("token");
        assert!(matches!(view.read().await.unwrap_err(), Trouble::Unauthorized(_)));
        assert!(matches!(Render.accounts(&view.session()).await.unwrap_err(), Trouble::Unauthorized(_)));
    }

    #[tokio::test]
    async fn forbidden() {
        let (fake, view) = start().await;
        fake.add_token("reads", Reach::of("user-1", &["tea-1"]).reading());
        let said = view.with_token("reads").write(&[("A", Some("1"))]).await.unwrap();
        assert!(matches!(said["A"], Err(Trouble::Forbidden(_))), "{said:?}");
    }

    #[tokio::test]
    async fn unknown_project_or_environment() {
        let (_fake, view) = start().await;
        for project in ["srv-9", "../services", ""] {
            assert!(matches!(view.in_project(project).read().await.unwrap_err(), Trouble::NotFound(_)), "{project}");
        }
        let Trouble::NotFound(message) = view.of("staging").read().await.unwrap_err() else { panic!("found") };
        assert!(message.contains("production"), "{message}");
    }

    #[tokio::test]
    async fn reserved_names_are_left_alone() {
        let (fake, view) = start().await;
        fake.set("srv-1", "RENDER_EXTERNAL_URL", "x");
        view.push(&[("RENDER", "1")], &mut Ledger::new(), Deletions::All).await;
        assert_eq!(fake.values("srv-1"), pairs(&[("RENDER_EXTERNAL_URL", "x")]));
    }
}
