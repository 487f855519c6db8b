//! Heroku: the config vars of an app.
//!
//! # Theory of operation
//! An app has one set of config vars, so it is a project with the one environment `production`; stages of a pipeline are
//! apps of their own. A batch is one `PATCH` with a map: null deletes, what is not named stays, so nothing is null there
//! but what shall go. Every `PATCH` restarts the app's dynos: a batch is large, and what is known to be refused is not
//! sent along, since a map is refused whole.
//!
//! Values can be read back, so no markers are needed. Add-ons attach values of their own, such as `DATABASE_URL`, which
//! Heroku lets nobody change or delete: they are read as the others are, and refused here when they are written.
//!
//! A token of the account is pasted. The facts are from Heroku's Platform API reference, version 3.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use futures::FutureExt as _;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use shared::credentials::disclose;
use shared::egress::{Answer, Outgoing, Upstream};

use super::halves::{Called, by_halves};
use super::{
    Abilities, Account, Change, Contents, Entry, ONE_ENVIRONMENT, Outcome, Place, Project, Provider, Session, Trouble,
    Variable, has_prefix, one_environment, segment, settle,
};

const NAME: &str = "Heroku";
/// What a list is asked for with: as much as Heroku gives at once.
const RANGE: &str = "id ..; max=1000";
/// Longer lists than this are not Heroku's.
const MOST_PAGES: usize = 1_000;

static ENTRY: Entry = Entry {
    name: "heroku",
    display_name: NAME,
    token_help: Some(
        "Run `heroku authorizations:create`, or on dashboard.heroku.com open Account settings, Applications, and create \
         an authorization, and paste its token. It reaches every app that you may change. A sync restarts the app's dynos.",
    ),
    abilities: Abilities {
        readable: true,
        environments: ONE_ENVIRONMENT,
        sets_at_once: 250,
        deletes_at_once: 250,
        mixed: true,
        most_names: None,
        largest_value: 24 * 1024,
    },
};

/// Heroku.
pub(super) struct Heroku;

#[async_trait::async_trait]
impl Provider for Heroku {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn reserves(&self, name: &str) -> bool {
        has_prefix(name, "HEROKU")
    }

    async fn accounts(&self, session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
        let user: User = read_json(&accepted(session, request(session, Method::GET, "/account")).await?)?;
        let account = Account {
            id: user.id.clone(),
            name: user.name.unwrap_or(user.email),
            user_id: Some(user.id),
            team_id: None,
        };
        let is_meant = session.team_id.is_none_or(|team| team == account.id);
        Ok(is_meant.then_some(account).into_iter().collect())
    }

    async fn projects(&self, session: &Session<'_>) -> Result<Vec<Project>, Trouble> {
        let apps: Vec<App> = every_range(session, "/apps").await?;
        let project =
            |app: App| Project { id: app.id, name: app.name, linked_repo: None, framework: None, environments: None };
        let mut projects: Vec<Project> = apps.into_iter().map(project).collect();
        projects.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(projects)
    }

    async fn read(&self, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble> {
        one_environment(NAME, place)?;
        let listed = request(session, Method::GET, &config_vars(place));
        let listed: BTreeMap<String, String> = read_json(&accepted(session, listed).await?)?;
        let attached = attached(session, place).await?;
        let mut variables = BTreeMap::new();
        for (name, value) in listed.into_iter().filter(|(name, _)| !self.reserves(name)) {
            let handle = json!(attached.contains(&name));
            variables.insert(name, Variable { value: Some(SecretString::from(value)), marker: None, handle });
        }
        Ok(Contents { variables, hides_names: false })
    }

    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble> {
        one_environment(NAME, place)?;
        let is_attached = |change: &&Change| change.before.as_ref().is_some_and(|one| one.handle == json!(true));
        let (attached, changes): (Vec<&Change>, Vec<&Change>) = batch.iter().partition(is_attached);
        let refused = Trouble::Refused("It belongs to an add-on, and Heroku lets nobody change it.".into());
        let mut outcomes: Vec<Outcome> = attached.iter().map(|one| Outcome::failed(one, refused.clone())).collect();
        let said = by_halves(&changes, |part| patch(session, place, part).boxed()).await;
        let outcome = |(change, result): (&&Change, _)| Outcome { name: change.name.clone(), result };
        outcomes.extend(changes.iter().zip(said).map(outcome));
        settle(outcomes)
    }
}

/// Sets and deletes in one call.
async fn patch(session: &Session<'_>, place: &Place, part: &[&Change]) -> Called<Option<String>> {
    let value = |change: &Change| change.value.as_ref().map_or(Json::Null, |value| json!(disclose(value)));
    let map: Map<String, Json> = part.iter().map(|change| (change.name.clone(), value(change))).collect();
    accepted(session, request(session, Method::PATCH, &config_vars(place)).json(&map)).await?;
    Ok(vec![Ok(None); part.len()])
}

/// The names that add-ons attach. Without the right to see add-ons there are none to be known.
async fn attached(session: &Session<'_>, place: &Place) -> Result<BTreeSet<String>, Trouble> {
    let path = format!("/apps/{}/addons", segment(&place.project_id));
    match every_range::<AddOn>(session, &path).await {
        Ok(addons) => Ok(addons.into_iter().flat_map(|addon| addon.config_vars).collect()),
        Err(Trouble::Forbidden(_)) => Ok(BTreeSet::new()),
        Err(trouble) => Err(trouble),
    }
}

fn config_vars(place: &Place) -> String {
    format!("/apps/{}/config-vars", segment(&place.project_id))
}

fn request(session: &Session<'_>, method: Method, path: &str) -> Outgoing {
    session.bearer(method, Upstream::Heroku, path).header("accept", "application/vnd.heroku+json; version=3")
}

/// Reads a list to its end.
async fn every_range<T: DeserializeOwned>(session: &Session<'_>, path: &str) -> Result<Vec<T>, Trouble> {
    let mut items = Vec::new();
    let mut range = RANGE.to_owned();
    for _ in 0..MOST_PAGES {
        let answer = accepted(session, request(session, Method::GET, path).header("range", &range)).await?;
        items.extend(read_json::<Vec<T>>(&answer)?);
        match answer.header("next-range") {
            Some(next) if answer.status == 206 => range = next.to_owned(),
            _ => break,
        }
    }
    Ok(items)
}

async fn accepted(session: &Session<'_>, request: Outgoing) -> Result<Answer, Trouble> {
    let answer = session.send(NAME, request).await?;
    if answer.is_success() { Ok(answer) } else { Err(trouble(&answer)) }
}

fn read_json<T: DeserializeOwned>(answer: &Answer) -> Result<T, Trouble> {
    answer.json().ok_or_else(|| Trouble::unreadable(NAME))
}

/// Heroku's own words may repeat what was sent, so they are not passed on.
fn trouble(answer: &Answer) -> Trouble {
    match answer.status {
        400 | 409 | 413 | 422 => Trouble::Refused("Heroku does not accept this name or value.".into()),
        _ => Trouble::of_answer(NAME, answer),
    }
}

#[derive(Deserialize)]
struct User {
    id: String,
    email: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct App {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct AddOn {
    #[serde(default)]
    config_vars: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fakes::platforms::Reach;
    use fakes::platforms::heroku::Heroku as Fake;

    use super::*;
    use crate::model::plan::{Deletions, Ledger};
    use crate::providers::testing::{View, pairs, shown, writes};

    /// A user's app, and a connection to it.
    async fn start() -> (Fake, View) {
        let fake = Fake::start().await.unwrap();
        fake.add_token("token", Reach::of("user-1", &["user-1", "acme"]));
        fake.add_app("app-1", "shop", "acme");
        let endpoints = [("HEROKU", fake.host.origin())];
        let view = View::new(&Heroku, &endpoints, "token", ("user-1", None), "app-1", "production");
        (fake, view)
    }

    #[tokio::test]
    async fn a_token_is_of_its_accounts() {
        let (_fake, view) = start().await;
        let accounts = Heroku.accounts(&view.session()).await.unwrap();
        let ids: Vec<(&str, &str)> = accounts.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect();
        assert_eq!(ids, [("user-1", "user-1@example.com")]);
        let foreign = View { team: Some("user-2".into()), ..view };
        assert!(Heroku.accounts(&foreign.session()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn every_page_of_projects_is_read() {
        let (fake, view) = start().await;
        fake.page_by(20);
        for number in 0..45 {
            fake.add_app(&format!("app-x{number}"), &format!("x{number:02}"), "user-1");
            fake.add_app(&format!("app-y{number}"), &format!("y{number:02}"), "user-2");
        }
        let projects = Heroku.projects(&view.session()).await.unwrap();
        assert_eq!((projects.len(), projects[0].id.as_str()), (46, "app-1"));
    }

    #[tokio::test]
    async fn what_is_there_is_read() {
        let (fake, view) = start().await;
        fake.set("app-1", "A", "1");
        fake.attach("app-1", "DATABASE_URL", "postgres://");
        assert_eq!(view.values().await, shown(&[("A", "1"), ("DATABASE_URL", "postgres://")]));
    }

    #[tokio::test]
    async fn one_environment_is_written_and_no_other() {
        let (fake, view) = start().await;
        fake.add_app("app-2", "shop-staging", "acme");
        for app in ["app-1", "app-2"] {
            for name in ["CHANGED", "DELETED", "KEPT"] {
                fake.set(app, name, "old");
            }
        }
        view.wrote(&[("CHANGED", Some("new")), ("FRESH", Some("new")), ("EMPTY", Some("")), ("DELETED", None)]).await;
        let changed = [("CHANGED", "new"), ("EMPTY", ""), ("FRESH", "new"), ("KEPT", "old")];
        assert_eq!(fake.values("app-1"), pairs(&changed));
        assert_eq!(fake.values("app-2"), pairs(&[("CHANGED", "old"), ("DELETED", "old"), ("KEPT", "old")]));
        assert_eq!((writes(&fake.host), fake.releases("app-1"), fake.releases("app-2")), (1, 1, 0));
    }

    #[tokio::test]
    async fn what_add_ons_attach_is_left_alone() {
        let (fake, view) = start().await;
        fake.page_by(1);
        fake.attach("app-1", "DATABASE_URL", "postgres://");
        fake.attach("app-1", "REDIS_URL", "redis://");
        let changes = [("DATABASE_URL", None), ("REDIS_URL", Some("new")), ("A", Some("1")), ("B", Some("2"))];
        let said = view.write(&changes).await.unwrap();
        for name in ["DATABASE_URL", "REDIS_URL"] {
            let Err(Trouble::Refused(message)) = &said[name] else { panic!("{said:?}") };
            assert!(message.contains("add-on"), "{message}");
        }
        assert!(said["A"].is_ok() && said["B"].is_ok(), "{said:?}");
        assert_eq!((writes(&fake.host), fake.releases("app-1")), (1, 1));
        let values = [("A", "1"), ("B", "2"), ("DATABASE_URL", "postgres://"), ("REDIS_URL", "redis://")];
        assert_eq!(fake.values("app-1"), pairs(&values));
    }

    #[tokio::test]
    async fn a_sync_takes_few_calls_and_none_when_nothing_has_changed() {
        let (fake, view) = start().await;
        let names: Vec<String> = (0..100).map(|number| format!("KEY_{number}")).collect();
        let source: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
        let mut ledger = Ledger::new();
        view.push(&source, &mut ledger, Deletions::All).await;
        assert_eq!((fake.values("app-1").len(), writes(&fake.host), fake.releases("app-1")), (100, 1, 1));
        fake.host.forget_requests();
        assert!(view.push(&source, &mut ledger, Deletions::All).await.is_empty());
        assert_eq!((writes(&fake.host), fake.releases("app-1")), (0, 1));
        view.push(&[("KEY_0", "other")], &mut ledger, Deletions::Managed).await;
        assert_eq!(fake.values("app-1"), pairs(&[("KEY_0", "other")]));
    }

    #[tokio::test]
    async fn a_bad_name_does_not_stop_the_others() {
        let (fake, view) = start().await;
        fake.set("app-1", "OLD", "x");
        let changes = [("A", Some("1")), ("1BAD", Some("secret-value")), ("OLD", None), ("Z", Some("3"))];
        let said = view.write(&changes).await.unwrap();
        assert!(["A", "OLD", "Z"].iter().all(|name| said[*name].is_ok()), "{said:?}");
        let Err(Trouble::Refused(message)) = &said["1BAD"] else { panic!("{said:?}") };
        assert!(!message.contains("secret-value"));
        assert_eq!(fake.values("app-1"), pairs(&[("A", "1"), ("Z", "3")]));
    }

    #[tokio::test]
    async fn what_is_gone_already_is_deleted() {
        let (fake, view) = start().await;
        fake.set("app-1", "A", "1");
        let contents = view.read().await.unwrap();
        view.wrote(&[("A", None)]).await;
        let said = view.write_after(&contents, &[("A", None)]).await.unwrap();
        assert!(said["A"].is_ok());
    }

    #[tokio::test]
    async fn throttled() {
        let (fake, view) = start().await;
        let wait = || Trouble::Wait { platform: NAME, for_: Duration::from_secs(10) };
        fake.throttle("PATCH", 1);
        assert_eq!(view.write(&[("A", Some("1"))]).await.unwrap_err(), wait());
        fake.throttle("GET", 1);
        assert_eq!(view.read().await.unwrap_err(), wait());
        assert_eq!(fake.values("app-1"), pairs(&[]));
    }

    #[tokio::test]
    async fn unauthorised() {
        let (fake, view) = start().await;
        fake.revoke("token");
        assert!(matches!(view.read().await.unwrap_err(), Trouble::Unauthorized(_)));
        assert!(matches!(Heroku.accounts(&view.session()).await.unwrap_err(), Trouble::Unauthorized(_)));
    }

    #[tokio::test]
    async fn forbidden() {
        let (fake, view) = start().await;
        fake.add_token("reads", Reach::of("user-1", &["acme"]).reading());
        let said = view.with_token("reads").write(&[("A", Some("1"))]).await.unwrap();
        assert!(matches!(said["A"], Err(Trouble::Forbidden(_))), "{said:?}");
    }

    #[tokio::test]
    async fn unknown_project_or_environment() {
        let (_fake, view) = start().await;
        for project in ["app-9", "../apps", ""] {
            assert!(matches!(view.in_project(project).read().await.unwrap_err(), Trouble::NotFound(_)), "{project}");
        }
        let Trouble::NotFound(message) = view.of("staging").read().await.unwrap_err() else { panic!("found") };
        assert!(message.contains("production"), "{message}");
    }

    #[tokio::test]
    async fn reserved_names_are_left_alone() {
        let (fake, view) = start().await;
        fake.set("app-1", "HEROKU_APP_NAME", "x");
        view.push(&[("HEROKU_SLUG", "1")], &mut Ledger::new(), Deletions::All).await;
        assert_eq!(fake.values("app-1"), pairs(&[("HEROKU_APP_NAME", "x")]));
    }
}
