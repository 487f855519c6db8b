//! Render: the variables of a service. A service is one environment.
//!
//! # Theory of operation
//! Render's one call for many variables replaces the whole list, with whatever was added meanwhile. So each variable is
//! set or deleted by a call of its own, and [`Provider::apply`] deploys the service once.
//!
//! The facts are from Render's API reference and another product's use of it.

use std::collections::BTreeMap;

use axum::http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use shared::credentials::disclose;
use shared::egress::{Answer, Outgoing, Upstream};
use url::Url;

use super::{
    Abilities, Account, Brake, Change, Contents, Entry, Outcome, Place, Project, Provider, Session, Trouble, Variable,
    only_environment, segment, settle,
};

const NAME: &str = "Render";
/// What every service is given, whatever variables there are.
const SET_BY_RENDER: &[&str] = &[
    "RENDER",
    "RENDER_CPU_COUNT",
    "RENDER_DISCOVERY_SERVICE",
    "RENDER_EXTERNAL_HOSTNAME",
    "RENDER_EXTERNAL_URL",
    "RENDER_GIT_BRANCH",
    "RENDER_GIT_COMMIT",
    "RENDER_GIT_REPO_SLUG",
    "RENDER_INSTANCE_ID",
    "RENDER_SERVICE_ID",
    "RENDER_SERVICE_NAME",
    "RENDER_SERVICE_TYPE",
];
const PAGE: usize = 100;
/// Longer lists than this are not Render's.
const MOST_PAGES: usize = 1_000;

static ENTRY: Entry = Entry {
    name: "render",
    display_name: NAME,
    token_help: Some(
        "On dashboard.render.com open Account Settings, API Keys, and create a key. It reaches every workspace that you are \
         in; the value is shown once.",
    ),
    abilities: Abilities {
        readable: true,
        environments: &["production"],
        sets_at_once: 50,
        deletes_at_once: 50,
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
        SET_BY_RENDER.contains(&name)
    }

    fn objection(&self, _name: &str, value: &SecretString) -> Option<String> {
        disclose(value).is_empty().then(|| "Render takes no empty value.".to_owned())
    }

    async fn accounts(&self, session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
        let owners: Vec<OwnerItem> = all(session, "/v1/owners", &[]).await?;
        let meant = |owner: &Owner| session.team_id.is_none_or(|team| team == owner.id);
        let owners = owners.into_iter().map(|item| item.owner).filter(meant);
        Ok(owners.map(|owner| Account { id: owner.id, name: owner.name, user_id: None, team_id: None }).collect())
    }

    async fn projects(&self, session: &Session<'_>) -> Result<Vec<Project>, Trouble> {
        let services: Vec<ServiceItem> = all(session, "/v1/services", &[("ownerId", session.account_id)]).await?;
        let mut projects: Vec<Project> = services.into_iter().map(|item| item.service.shown()).collect();
        projects.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(projects)
    }

    async fn read(&self, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble> {
        only_environment(&ENTRY, place)?;
        let items: Vec<EnvItem> = all(session, &format!("{}/env-vars", service(place)), &[]).await?;
        let own = items.into_iter().map(|item| item.env_var).filter(|one| !self.reserves(&one.key));
        let variable =
            |one: EnvVar| (one.key, Variable { value: Some(one.value.into()), marker: None, handle: Json::Null });
        Ok(Contents {
            variables: own.map(variable).collect::<BTreeMap<_, _>>(),
            hides_names: false,
            ..Contents::default()
        })
    }

    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble> {
        only_environment(&ENTRY, place)?;
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut calls = Brake::default();
        for change in batch {
            let result = calls.run(write_one(session, place, change)).await;
            outcomes.push(Outcome { name: change.name.clone(), result: result.map(|()| None) });
        }
        settle(outcomes)
    }

    async fn apply(&self, session: &Session<'_>, place: &Place) -> Result<(), Trouble> {
        let request = session.bearer(Method::POST, Upstream::Render, &format!("{}/deploys", service(place)));
        accepted(session, request.json(&json!({}))).await.map(drop)
    }
}

async fn write_one(session: &Session<'_>, place: &Place, change: &Change) -> Result<(), Trouble> {
    let path = format!("{}/env-vars/{}", service(place), segment(&change.name));
    match &change.value {
        Some(value) => {
            let request = session.bearer(Method::PUT, Upstream::Render, &path);
            accepted(session, request.json(&json!({ "value": disclose(value) }))).await.map(drop)
        }
        None => match accepted(session, session.bearer(Method::DELETE, Upstream::Render, &path)).await {
            Ok(_) | Err(Trouble::NotFound(_)) => Ok(()),
            Err(trouble) => Err(trouble),
        },
    }
}

fn service(place: &Place) -> String {
    format!("/v1/services/{}", segment(&place.project_id))
}

/// Every page of a list.
async fn all<T: DeserializeOwned>(
    session: &Session<'_>,
    path: &str,
    filter: &[(&str, &str)],
) -> Result<Vec<T>, Trouble> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let mut request = session.bearer(Method::GET, Upstream::Render, path).query(filter);
        request = request.query(&[("limit", &PAGE.to_string())]);
        if let Some(cursor) = &cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let page: Vec<Json> = accepted(session, request).await?.json().ok_or_else(|| Trouble::unreadable(NAME))?;
        let next = page.last().and_then(|last| last.get("cursor")?.as_str()).map(str::to_owned);
        for item in page {
            items.push(T::deserialize(item).map_err(|_| Trouble::unreadable(NAME))?);
        }
        // Until a page is empty: how many a page holds is Render's to say.
        if next.is_none() || next == cursor {
            break;
        }
        cursor = next;
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
        400 | 409 | 413 | 422 => Trouble::Refused("Render does not accept this name or value.".into()),
        _ => Trouble::of_answer(NAME, answer),
    }
}

#[derive(Deserialize)]
struct OwnerItem {
    owner: Owner,
}

#[derive(Deserialize)]
struct Owner {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct ServiceItem {
    service: Service,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    id: String,
    name: String,
    repo: Option<String>,
    service_details: Option<ServiceDetails>,
}

#[derive(Deserialize)]
struct ServiceDetails {
    runtime: Option<String>,
}

impl Service {
    fn shown(self) -> Project {
        let linked_repo = self.repo.and_then(|repo| {
            let path = Url::parse(&repo).ok()?.path().trim_matches('/').trim_end_matches(".git").to_owned();
            path.contains('/').then_some(path)
        });
        let framework = self.service_details.and_then(|details| details.runtime);
        Project { id: self.id, name: self.name, linked_repo, framework, environments: None }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvItem {
    env_var: EnvVar,
}

#[derive(Deserialize)]
struct EnvVar {
    key: String,
    value: String,
}

#[cfg(test)]
pub(super) use tests::row;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fakes::platforms::render::{Render as Fake, RenderKey};

    use super::*;
    use crate::model::plan::{Deletions, Ledger};
    use crate::providers::conformance::{READER, Row};
    use crate::providers::testing::{View, shown, writes};

    async fn start() -> (Fake, View) {
        let fake = Fake::start().await.unwrap();
        fake.add_owner("tea-1", "Acme");
        fake.add_key("secret-1", RenderKey { owners: vec!["tea-1".into()], read_only: false });
        fake.add_service("srv-1", "shop", "tea-1", Some("https://github.com/acme/shop"));
        let endpoints = [("RENDER", fake.host.origin())];
        let view = View::new(&Render, &endpoints, "secret-1", ("tea-1", None), "srv-1", "production");
        (fake, view)
    }

    /// What the platform promises as every other does.
    pub(in crate::providers) async fn row() -> Row {
        let (fake, view) = start().await;
        fake.add_key(READER, RenderKey { owners: vec!["tea-1".into()], read_only: true });
        let (host, [sets, there, revokes]) = (fake.host.clone(), [(); 3].map(|()| fake.clone()));
        Row {
            view,
            host,
            set: Box::new(move |name, value| sets.set("srv-1", name, value)),
            values: Box::new(move || there.values("srv-1")),
            revoke: Box::new(move || revokes.revoke("secret-1")),
            unknown_projects: &["srv-9", "../owners", ""],
            unknown_environments: (&["staging"], &["production"]),
            reserved: (Some("RENDER_GIT_BRANCH"), Some("RENDER_EXTERNAL_URL")),
            ordinary: "RENDER_API_KEY",
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn a_token_is_of_its_accounts() {
        let (fake, view) = start().await;
        fake.add_owner("tea-2", "Beta");
        fake.add_key("secret-2", RenderKey { owners: vec!["tea-1".into(), "tea-2".into()], read_only: false });
        let wide = view.with_token("secret-2");
        let accounts = Render.accounts(&wide.session()).await.unwrap();
        assert_eq!((accounts.len(), accounts[1].name.as_str()), (2, "Beta"));
        let chosen = View { team: Some("tea-2".into()), ..wide };
        assert_eq!(Render.accounts(&chosen.session()).await.unwrap()[0].id, "tea-2");
    }

    #[tokio::test]
    async fn every_page_of_projects_is_read() {
        let (fake, view) = start().await;
        fake.page_by(20);
        for number in 0..45 {
            fake.add_service(&format!("srv-x{number}"), &format!("x{number:02}"), "tea-1", None);
        }
        let projects = Render.projects(&view.session()).await.unwrap();
        assert_eq!((projects.len(), projects[0].linked_repo.as_deref()), (46, Some("acme/shop")));
        assert_eq!(projects[0].framework.as_deref(), Some("node"));
    }

    #[tokio::test]
    async fn every_page_of_variables_is_read() {
        let (fake, view) = start().await;
        fake.page_by(10);
        for number in 0..25 {
            fake.set("srv-1", &format!("A{number}"), "1");
        }
        assert_eq!(view.values().await.len(), 25);
    }

    #[tokio::test]
    async fn what_is_there_is_read() {
        let (fake, view) = start().await;
        fake.set("srv-1", "A", "1");
        assert_eq!(view.values().await, shown(&[("A", "1")]));
    }

    #[tokio::test]
    async fn one_environment_is_written_and_no_other() {
        let (fake, view) = start().await;
        for name in ["CHANGED", "DELETED", "KEPT"] {
            fake.set("srv-1", name, "old");
        }
        let contents = view.read().await.unwrap();
        // Added by somebody else since: a call that replaces the list would lose it.
        fake.set("srv-1", "THEIRS", "new");
        let changes = [("CHANGED", Some("new")), ("FRESH", Some("new")), ("DELETED", None)];
        let said = view.write_after(&contents, &changes).await.unwrap();
        assert!(said.values().all(Result::is_ok), "{said:?}");
        let expected = [("CHANGED", "new"), ("FRESH", "new"), ("KEPT", "old"), ("THEIRS", "new")];
        assert_eq!(fake.values("srv-1"), pairs(&expected));
        assert_eq!(fake.deploys("srv-1"), 0);
    }

    #[tokio::test]
    async fn a_run_deploys_once() {
        let (fake, view) = start().await;
        let names: Vec<String> = (0..60).map(|number| format!("KEY_{number}")).collect();
        let source: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
        let mut ledger = Ledger::new();
        view.push(&source, &mut ledger, Deletions::All).await;
        assert_eq!((fake.values("srv-1").len(), fake.deploys("srv-1")), (60, 1));
        fake.host.forget_requests();
        assert!(view.push(&source, &mut ledger, Deletions::All).await.is_empty());
        assert_eq!((writes(&fake.host), fake.deploys("srv-1")), (0, 1));
    }

    #[tokio::test]
    async fn a_bad_name_does_not_stop_the_others() {
        let (fake, view) = start().await;
        let said = view.write(&[("A", Some("1")), ("9BAD", Some("hunter2")), ("Z", Some("3"))]).await.unwrap();
        assert!(said["A"].is_ok() && said["Z"].is_ok(), "{said:?}");
        let Err(Trouble::Refused(message)) = &said["9BAD"] else { panic!("{said:?}") };
        assert!(!message.contains("hunter2"));
        assert_eq!(fake.values("srv-1"), pairs(&[("A", "1"), ("Z", "3")]));
        assert!(Render.objection("A", &"".into()).is_some() && Render.objection("A", &"1".into()).is_none());
    }

    #[tokio::test]
    async fn throttled() {
        let (fake, view) = start().await;
        let wait = || Err(Trouble::Wait { platform: NAME, for_: Duration::from_secs(6) });
        fake.set("srv-1", "OLD", "1");
        fake.throttle("PUT", 9, 6.0);
        let said = view.write(&[("OLD", None), ("A", Some("1")), ("B", Some("2"))]).await.unwrap();
        assert_eq!((&said["OLD"], &said["A"], &said["B"]), (&Ok(None), &wait(), &wait()));
        // The first of them, and no more.
        assert_eq!(writes(&fake.host), 2);
    }
}
