//! Heroku: the config vars of an app. An app is one environment.
//!
//! # Theory of operation
//! A batch is one `PATCH` with a map, in which null deletes: what is not named stays, and the app restarts once. It is done
//! whole or refused whole, without a word on which name was wrong, so a refused batch is halved.
//!
//! Add-ons attach config vars of their own, such as `DATABASE_URL`, which Heroku lets nobody change or delete. They are
//! read as the others are and locked: no push plans to write them, and one that was attached since is refused before it is
//! sent, for each half of a refused batch restarts the app.
//!
//! The facts are from Heroku's platform API reference and its article on OAuth. PKCE is not documented and not sent; the
//! address that users are sent back to is the one that is set at Heroku.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use futures::FutureExt as _;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use shared::credentials::disclose;
use shared::egress::{Answer, Egress, Outgoing, Upstream};
use url::Url;

use super::halves::{Called, by_halves};
use super::oauth::TokenEndpoint;
use super::{
    Abilities, Account, Authorization, Change, Client, Contents, Entry, OAuth, OAuthError, Outcome, Place, Project,
    Provider, Session, Tokens, Trouble, Variable, only_environment, segment, settle,
};

const NAME: &str = "Heroku";
/// What every dyno is given where an app has dyno metadata, whatever config vars there are.
const SET_BY_HEROKU: &[&str] = &[
    "HEROKU_APP_DEFAULT_DOMAIN_NAME",
    "HEROKU_APP_ID",
    "HEROKU_APP_NAME",
    "HEROKU_BUILD_COMMIT",
    "HEROKU_BUILD_DESCRIPTION",
    "HEROKU_DYNO_ID",
    "HEROKU_RELEASE_CREATED_AT",
    "HEROKU_RELEASE_VERSION",
    "HEROKU_SLUG_COMMIT",
    "HEROKU_SLUG_DESCRIPTION",
];
const VERSION: &str = "application/vnd.heroku+json; version=3";
/// What is asked for on the consent page: config vars are protected, and the account tells whose they are.
const SCOPES: &str = "identity write-protected";
/// Longer lists than this are not Heroku's.
const MOST_PAGES: usize = 1_000;

static ENTRY: Entry = Entry {
    name: "heroku",
    display_name: NAME,
    token_help: Some(
        "On dashboard.heroku.com open Account settings, Applications, Create authorization, or run `heroku \
         authorizations:create --scope identity,write-protected`, and copy the token.",
    ),
    abilities: Abilities {
        readable: true,
        environments: &["production"],
        sets_at_once: 200,
        deletes_at_once: 200,
        mixed: true,
        most_names: None,
        largest_value: 32 * 1024,
    },
};

/// Heroku.
pub(super) struct Heroku;

#[async_trait::async_trait]
impl Provider for Heroku {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn oauth(&self) -> Option<&'static dyn OAuth> {
        Some(&Heroku)
    }

    fn reserves(&self, name: &str) -> bool {
        SET_BY_HEROKU.contains(&name)
    }

    async fn accounts(&self, session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
        let user: User = succeed(session, request(session, Method::GET, "/account")).await?;
        let name = user.name.or(user.email).unwrap_or_else(|| user.id.clone());
        Ok(vec![Account { id: user.id.clone(), name, user_id: Some(user.id), team_id: None }])
    }

    async fn projects(&self, session: &Session<'_>) -> Result<Vec<Project>, Trouble> {
        let mut projects = Vec::new();
        let mut range = "id ..; max=200".to_owned();
        for _ in 0..MOST_PAGES {
            let answer = accepted(session, request(session, Method::GET, "/apps").header("range", &range)).await?;
            let apps: Vec<App> = answer.json().ok_or_else(|| Trouble::unreadable(NAME))?;
            projects.extend(apps.into_iter().map(App::shown));
            match answer.header("next-range").filter(|_| answer.status == 206) {
                Some(next) => range = next.to_owned(),
                None => break,
            }
        }
        projects.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(projects)
    }

    async fn read(&self, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble> {
        only_environment(&ENTRY, place)?;
        let vars: BTreeMap<String, Option<String>> =
            succeed(session, request(session, Method::GET, &config_vars(place))).await?;
        let locked = attached(session, place).await?;
        let own = vars.into_iter().filter(|(name, _)| !self.reserves(name));
        let variable = |(name, value): (String, Option<String>)| {
            let handle = json!(locked.contains(&name));
            (name, Variable { value: Some(value.unwrap_or_default().into()), marker: None, handle })
        };
        Ok(Contents { variables: own.map(variable).collect(), hides_names: false, locked })
    }

    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble> {
        only_environment(&ENTRY, place)?;
        let is_attached = |change: &&Change| change.before.as_ref().is_some_and(|one| one.handle == json!(true));
        let (attached, changes): (Vec<&Change>, Vec<&Change>) = batch.iter().partition(is_attached);
        let refused = Trouble::Refused("It belongs to an add-on, and Heroku lets nobody change it.".into());
        let mut outcomes: Vec<Outcome> = attached.iter().map(|one| Outcome::failed(one, refused.clone())).collect();
        let said = by_halves(&changes, |part| patch(session, place, part).boxed()).await;
        let outcome = |(change, result): (&&Change, Result<(), Trouble>)| Outcome {
            name: change.name.clone(),
            result: result.map(|()| None),
        };
        outcomes.extend(changes.iter().zip(said).map(outcome));
        settle(outcomes)
    }
}

async fn patch(session: &Session<'_>, place: &Place, changes: &[&Change]) -> Called<()> {
    let change = |change: &&Change| {
        (change.name.clone(), change.value.as_ref().map_or(Json::Null, |value| json!(disclose(value))))
    };
    let body: Map<String, Json> = changes.iter().map(change).collect();
    accepted(session, request(session, Method::PATCH, &config_vars(place)).json(&body)).await?;
    Ok(vec![Ok(()); changes.len()])
}

/// The names that add-ons attach. Where the token may not see add-ons, Heroku's refusal has to do.
async fn attached(session: &Session<'_>, place: &Place) -> Result<BTreeSet<String>, Trouble> {
    let path = format!("/apps/{}/addons", segment(&place.project_id));
    let request = request(session, Method::GET, &path).header("range", "id ..; max=1000");
    match succeed::<Vec<AddOn>>(session, request).await {
        Ok(addons) => Ok(addons.into_iter().flat_map(|addon| addon.config_vars).collect()),
        Err(Trouble::Forbidden(_)) => Ok(BTreeSet::new()),
        Err(trouble) => Err(trouble),
    }
}

fn config_vars(place: &Place) -> String {
    format!("/apps/{}/config-vars", segment(&place.project_id))
}

fn request(session: &Session<'_>, method: Method, path: &str) -> Outgoing {
    session.bearer(method, Upstream::Heroku, path).header("accept", VERSION)
}

async fn accepted(session: &Session<'_>, request: Outgoing) -> Result<Answer, Trouble> {
    let answer = session.send(NAME, request).await?;
    if answer.is_success() { Ok(answer) } else { Err(trouble(&answer)) }
}

async fn succeed<T: DeserializeOwned>(session: &Session<'_>, request: Outgoing) -> Result<T, Trouble> {
    accepted(session, request).await?.json().ok_or_else(|| Trouble::unreadable(NAME))
}

/// Heroku's own words may repeat what was sent, so they are not passed on.
fn trouble(answer: &Answer) -> Trouble {
    match answer.status {
        400 | 409 | 413 | 422 => Trouble::Refused(
            "Heroku does not accept this name or value, or the app's config vars would be more than 64 KB in all."
                .into(),
        ),
        _ => Trouble::of_answer(NAME, answer),
    }
}

#[derive(Deserialize)]
struct User {
    id: String,
    email: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct App {
    id: String,
    name: String,
    buildpack_provided_description: Option<String>,
}

#[derive(Deserialize)]
struct AddOn {
    #[serde(default)]
    config_vars: Vec<String>,
}

impl App {
    fn shown(self) -> Project {
        let framework = self.buildpack_provided_description;
        Project { id: self.id, name: self.name, linked_repo: None, framework, environments: None }
    }
}

const TOKENS: TokenEndpoint = TokenEndpoint { platform: NAME, upstream: Upstream::HerokuId, path: "/oauth/token" };

/// The code grant. Access tokens live eight hours; the refresh token stays.
#[async_trait::async_trait]
impl OAuth for Heroku {
    fn authorize_url(
        &self,
        client: &Client,
        authorization: &Authorization<'_>,
        egress: &Egress,
    ) -> Result<Url, &'static str> {
        let url = format!("{}/oauth/authorize", egress.base(Upstream::HerokuId));
        let mut url = Url::parse(&url).map_err(|_| "the address of Heroku's pages cannot be used")?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &client.id)
            .append_pair("scope", SCOPES)
            .append_pair("state", authorization.state);
        Ok(url)
    }

    async fn exchange(
        &self,
        client: &Client,
        code: &SecretString,
        _verifier: &SecretString,
        _redirect_uri: &str,
        egress: &Egress,
    ) -> Result<Tokens, OAuthError> {
        TOKENS.exchange(client, &[("code", code)], &[("grant_type", "authorization_code")], egress).await
    }

    async fn refresh(&self, client: &Client, refresh: &SecretString, egress: &Egress) -> Result<Tokens, OAuthError> {
        TOKENS.refresh(client, refresh, egress).await
    }
}

#[cfg(test)]
pub(super) use tests::row;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fakes::platforms::OAuthClient;
    use fakes::platforms::heroku::{Heroku as Fake, HerokuToken};

    use super::*;
    use crate::model::plan::{Deletions, Ledger};
    use crate::providers::conformance::{READER, Row};
    use crate::providers::testing::{View, follow, parameter, shown, writes};

    fn reach() -> HerokuToken {
        HerokuToken { user: "user-1".into(), read_only: false }
    }

    async fn start() -> (Fake, View) {
        let fake = Fake::start().await.unwrap();
        fake.add_token("secret-1", reach());
        fake.add_app("app-1", "shop", "user-1");
        let endpoints = [("HEROKU", fake.host.origin()), ("HEROKU_ID", fake.id.origin())];
        let view = View::new(&Heroku, &endpoints, "secret-1", ("user-1", None), "app-1", "production");
        (fake, view)
    }

    /// What the platform promises as every other does.
    pub(in crate::providers) async fn row() -> Row {
        let (fake, view) = start().await;
        fake.add_token(READER, HerokuToken { read_only: true, ..reach() });
        let (host, [sets, there, revokes]) = (fake.host.clone(), [(); 3].map(|()| fake.clone()));
        Row {
            view,
            host,
            set: Box::new(move |name, value| sets.set("app-1", name, value)),
            values: Box::new(move || there.values("app-1")),
            revoke: Box::new(move || revokes.revoke("secret-1")),
            unknown_projects: &["app-9", "../account", ""],
            unknown_environments: (&["staging"], &["production"]),
            reserved: (Some("HEROKU_APP_NAME"), Some("HEROKU_SLUG_COMMIT")),
            ordinary: "HEROKU_API_KEY",
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn a_token_is_of_its_accounts() {
        let (_fake, view) = start().await;
        let accounts = Heroku.accounts(&view.session()).await.unwrap();
        assert_eq!(
            (accounts.len(), accounts[0].id.as_str(), accounts[0].name.as_str()),
            (1, "user-1", "user-1@example.com")
        );
    }

    #[tokio::test]
    async fn every_page_of_projects_is_read() {
        let (fake, view) = start().await;
        fake.page_by(20);
        for number in 0..45 {
            fake.add_app(&format!("app-x{number:02}"), &format!("x{number:02}"), "user-1");
        }
        let projects = Heroku.projects(&view.session()).await.unwrap();
        assert_eq!((projects.len(), projects[0].name.as_str()), (46, "shop"));
        assert_eq!(projects[0].framework.as_deref(), Some("Ruby"));
    }

    #[tokio::test]
    async fn what_is_there_is_read() {
        let (fake, view) = start().await;
        fake.set("app-1", "A", "1");
        assert_eq!(view.values().await, shown(&[("A", "1")]));
    }

    #[tokio::test]
    async fn one_environment_is_written_and_no_other() {
        let (fake, view) = start().await;
        fake.add_app("app-2", "other", "user-1");
        for app in ["app-1", "app-2"] {
            for name in ["CHANGED", "DELETED", "KEPT"] {
                fake.set(app, name, "old");
            }
        }
        view.wrote(&[("CHANGED", Some("new")), ("FRESH", Some("new")), ("DELETED", None)]).await;
        assert_eq!(fake.values("app-1"), pairs(&[("CHANGED", "new"), ("FRESH", "new"), ("KEPT", "old")]));
        assert_eq!(fake.values("app-2"), pairs(&[("CHANGED", "old"), ("DELETED", "old"), ("KEPT", "old")]));
        assert_eq!((fake.restarts("app-1"), fake.restarts("app-2")), (1, 0));
    }

    #[tokio::test]
    async fn what_add_ons_attach_is_left_alone() {
        let (fake, view) = start().await;
        fake.attach("app-1", "DATABASE_URL", "postgres://");
        fake.attach("app-1", "REDIS_URL", "redis://");
        let changes = [("DATABASE_URL", None), ("REDIS_URL", Some("new")), ("A", Some("1")), ("B", Some("2"))];
        let said = view.write(&changes).await.unwrap();
        for name in ["DATABASE_URL", "REDIS_URL"] {
            let Err(Trouble::Refused(message)) = &said[name] else { panic!("{said:?}") };
            assert!(message.contains("add-on"), "{message}");
        }
        assert!(said["A"].is_ok() && said["B"].is_ok(), "{said:?}");
        assert_eq!((writes(&fake.host), fake.restarts("app-1")), (1, 1));
        let values = [("A", "1"), ("B", "2"), ("DATABASE_URL", "postgres://"), ("REDIS_URL", "redis://")];
        assert_eq!(fake.values("app-1"), pairs(&values));
    }

    #[tokio::test]
    async fn a_run_has_nothing_to_do_with_what_add_ons_attach() {
        let (fake, view) = start().await;
        fake.attach("app-1", "DATABASE_URL", "postgres://");
        fake.attach("app-1", "REDIS_URL", "redis://");
        let plan = view.push(&[("A", "1"), ("REDIS_URL", "mine")], &mut Ledger::new(), Deletions::All).await;
        assert_eq!((plan.to_create, plan.to_skip), (vec!["A".to_owned()], vec!["REDIS_URL".to_owned()]));
        assert_eq!((plan.to_update, plan.to_delete), (Vec::new(), Vec::new()));
        let values = [("A", "1"), ("DATABASE_URL", "postgres://"), ("REDIS_URL", "redis://")];
        assert_eq!(fake.values("app-1"), pairs(&values));
    }

    #[tokio::test]
    async fn a_sync_takes_few_calls_and_none_when_nothing_has_changed() {
        let (fake, view) = start().await;
        let names: Vec<String> = (0..100).map(|number| format!("KEY_{number}")).collect();
        let source: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
        let mut ledger = Ledger::new();
        view.push(&source, &mut ledger, Deletions::All).await;
        assert_eq!((fake.values("app-1").len(), writes(&fake.host)), (100, 1));
        assert!(view.push(&source, &mut ledger, Deletions::All).await.is_empty());
        assert_eq!(writes(&fake.host), 1);
        view.push(&[], &mut ledger, Deletions::All).await;
        assert_eq!((fake.values("app-1").len(), writes(&fake.host)), (0, 2));
    }

    #[tokio::test]
    async fn a_bad_name_does_not_stop_the_others() {
        let (fake, view) = start().await;
        fake.set("app-1", "OLD", "1");
        let said = view.write(&[("A", Some("1")), ("BAD-NAME", Some("hunter2")), ("OLD", None)]).await.unwrap();
        assert!(said["A"].is_ok() && said["OLD"].is_ok(), "{said:?}");
        let Err(Trouble::Refused(message)) = &said["BAD-NAME"] else { panic!("{said:?}") };
        assert!(!message.contains("hunter2"));
        assert_eq!(fake.values("app-1"), pairs(&[("A", "1")]));
    }

    #[tokio::test]
    async fn throttled() {
        let (fake, view) = start().await;
        fake.throttle(1, 9.0);
        let wait = Trouble::Wait { platform: NAME, for_: Duration::from_secs(9) };
        assert_eq!(view.read().await.unwrap_err(), wait);
        let contents = view.read().await.unwrap();
        fake.throttle(1, 9.0);
        assert_eq!(view.write_after(&contents, &[("A", Some("1"))]).await.unwrap_err(), wait);
    }

    #[tokio::test]
    async fn an_account_is_connected_by_its_owners_consent() {
        let (fake, view) = start().await;
        let redirect = "http://127.0.0.1:9/callback";
        fake.add_client(OAuthClient::new("client", "secret", redirect));
        fake.consent_as(reach());
        let client = Client { id: "client".into(), secret: "secret".into(), slug: None };
        let authorization = Authorization { state: "state-1", challenge: "unused", redirect_uri: redirect };
        let page = Heroku.authorize_url(&client, &authorization, &view.egress).unwrap();
        let denied = follow(&page, &fake.id.origin(), "deny").await;
        assert_eq!(parameter(&denied, "error").as_deref(), Some("access_denied"));
        let back = follow(&page, &fake.id.origin(), "allow").await;
        assert_eq!(parameter(&back, "state").as_deref(), Some("state-1"));
        let code = SecretString::from(parameter(&back, "code").unwrap());
        let exchange = || Heroku.exchange(&client, &code, &client.secret, redirect, &view.egress);
        let tokens = exchange().await.unwrap();
        assert_eq!(tokens.lives, Some(jiff::SignedDuration::from_secs(28_799)));
        assert_eq!(tokens.user_id.as_deref(), Some("user-1"));
        assert_eq!(exchange().await.unwrap_err(), OAuthError::InvalidGrant);
        let fresh = Heroku.refresh(&client, &tokens.refresh.unwrap(), &view.egress).await.unwrap();
        view.with_token(disclose(&fresh.access)).wrote(&[("A", Some("1"))]).await;
    }
}
