//! Cloudflare Workers: the secrets of a Worker.
//!
//! # Theory of operation
//! A Worker has one set of secrets, so it is a project with the one environment `production`. A batch is one merge patch of
//! at most a hundred operations: null deletes, what is not named stays. It makes one new version, which is deployed at
//! once; so a batch is never more calls than it must be.
//!
//! Only names are given back, with no marker: whether somebody else has changed a value is not seen, and a value that was
//! written from here counts as unchanged until the vault's changes. Keys for cryptography (`secret_key`) stand among the
//! secrets; they are never written over or deleted.
//!
//! While a Worker's newest version is not deployed Cloudflare refuses every change of secrets, since it would deploy that
//! version too.
//!
//! "Authentication error" is said of a bad token and of a missing right alike, so whether the token is good at all is asked
//! then. The facts are from Cloudflare's TypeScript client and its changelog of June 2026; the meanings of error codes are
//! from reports.

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
    Abilities, Account, Change, Contents, Entry, Outcome, Place, Project, Provider, Session, Trouble, Variable,
    only_environment, segment, settle,
};

const NAME: &str = "Cloudflare";
/// The most operations of one call.
const MOST_OPERATIONS: usize = 100;
const PAGE: usize = 50;
/// Longer lists than this are not Cloudflare's.
const MOST_PAGES: usize = 1_000;
/// The kind of the secrets that are written here.
const TEXT: &str = "secret_text";
/// The newest version of the Worker is not the deployed one.
const BEHIND: i64 = 10_215;

static ENTRY: Entry = Entry {
    name: "cloudflare",
    display_name: "Cloudflare Workers",
    token_help: Some(
        "On dash.cloudflare.com open My Profile, API Tokens, Create Token, and give it the permissions Workers Scripts: \
         Edit and Account Settings: Read for the account. Without the second, name the account's id. The value is shown \
         once.",
    ),
    abilities: Abilities {
        readable: false,
        environments: &["production"],
        sets_at_once: MOST_OPERATIONS,
        deletes_at_once: MOST_OPERATIONS,
        mixed: true,
        most_names: None,
        largest_value: 5 * 1024,
    },
};

/// Cloudflare Workers.
pub(super) struct Cloudflare;

#[async_trait::async_trait]
impl Provider for Cloudflare {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    /// A Worker has no names but those that it is given: `CF_API_TOKEN` is a secret like any other.
    fn reserves(&self, _name: &str) -> bool {
        false
    }

    async fn accounts(&self, session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
        if let Some(id) = session.team_id {
            // The token need not be allowed to list accounts, but it must see the Workers of this one.
            let _: Vec<Script> =
                succeed(session, session.bearer(Method::GET, Upstream::Cloudflare, &scripts(id))).await?;
            return Ok(vec![Account { id: id.to_owned(), name: id.to_owned(), user_id: None, team_id: None }]);
        }
        let mut accounts = Vec::new();
        for page in 1..=MOST_PAGES {
            let request = session
                .bearer(Method::GET, Upstream::Cloudflare, "/client/v4/accounts")
                .query(&[("page", &page.to_string()), ("per_page", &PAGE.to_string())]);
            let envelope: Envelope<Vec<CloudflareAccount>> = ask(session, request).await?;
            accounts.extend(envelope.result.unwrap_or_default());
            if envelope.result_info.is_none_or(|info| page >= info.total_pages) {
                break;
            }
        }
        if accounts.is_empty() {
            let message = "The token may not say which account it is for. Name the account's id as well.";
            return Err(Trouble::Forbidden(message.into()));
        }
        let account = |one: CloudflareAccount| Account { id: one.id, name: one.name, user_id: None, team_id: None };
        Ok(accounts.into_iter().map(account).collect())
    }

    async fn projects(&self, session: &Session<'_>) -> Result<Vec<Project>, Trouble> {
        let request = session.bearer(Method::GET, Upstream::Cloudflare, &scripts(session.account_id));
        let listed: Vec<Script> = succeed(session, request).await?;
        let project = |script: Script| Project {
            name: script.id.clone(),
            id: script.id,
            linked_repo: None,
            framework: None,
            environments: None,
        };
        let mut projects: Vec<Project> = listed.into_iter().map(project).collect();
        projects.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(projects)
    }

    async fn read(&self, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble> {
        only_environment(&ENTRY, place)?;
        let listed: Vec<Secret> = succeed(session, request(session, place, Method::GET, "secrets")).await?;
        let variable =
            |secret: Secret| (secret.name, Variable { value: None, marker: None, handle: json!(secret.kind) });
        Ok(Contents {
            variables: listed.into_iter().map(variable).collect(),
            hides_names: false,
            ..Contents::default()
        })
    }

    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble> {
        only_environment(&ENTRY, place)?;
        let is_key = |change: &&Change| change.before.as_ref().is_some_and(|before| before.handle != json!(TEXT));
        let (keys, changes): (Vec<&Change>, Vec<&Change>) = batch.iter().partition(is_key);
        let refused = Trouble::Refused("At Cloudflare it is no text but a key, which is left alone.".into());
        let mut outcomes: Vec<Outcome> = keys.iter().map(|key| Outcome::failed(key, refused.clone())).collect();
        let said = by_halves(&changes, |part| patch(session, place, part).boxed()).await;
        let outcome = |(change, result): (&&Change, _)| Outcome { name: change.name.clone(), result };
        outcomes.extend(changes.iter().zip(said).map(outcome));
        settle(outcomes)
    }
}

/// Sets and deletes in one call.
async fn patch(session: &Session<'_>, place: &Place, part: &[&Change]) -> Called<Option<String>> {
    let operation = |name: &str, value: &SecretString| json!({ "name": name, "type": TEXT, "text": disclose(value) });
    let pair = |change: &&Change| {
        let value = change.value.as_ref();
        (change.name.clone(), value.map_or(Json::Null, |value| operation(&change.name, value)))
    };
    let secrets: Map<String, Json> = part.iter().map(pair).collect();
    let request = request(session, place, Method::PATCH, "secrets-bulk");
    let request = request.header("content-type", "application/merge-patch+json").json(&json!({ "secrets": secrets }));
    let _: Envelope<Json> = ask(session, request).await?;
    Ok(vec![Ok(None); part.len()])
}

fn scripts(account: &str) -> String {
    format!("/client/v4/accounts/{}/workers/scripts", segment(account))
}

fn request(session: &Session<'_>, place: &Place, method: Method, rest: &str) -> Outgoing {
    let path = format!("{}/{}/{rest}", scripts(session.account_id), segment(&place.project_id));
    session.bearer(method, Upstream::Cloudflare, &path)
}

async fn succeed<T: DeserializeOwned>(session: &Session<'_>, request: Outgoing) -> Result<T, Trouble> {
    ask(session, request).await?.result.ok_or_else(|| Trouble::unreadable(NAME))
}

async fn ask<T: DeserializeOwned>(session: &Session<'_>, request: Outgoing) -> Result<Envelope<T>, Trouble> {
    let answer = session.send(NAME, request).await?;
    let envelope: Option<Envelope<T>> = answer.json();
    match envelope {
        Some(envelope) if answer.is_success() && envelope.success => Ok(envelope),
        None if answer.is_success() => Err(Trouble::unreadable(NAME)),
        _ => Err(trouble(session, &answer).await),
    }
}

/// Cloudflare's own words may repeat what was sent, so they are not passed on.
async fn trouble(session: &Session<'_>, answer: &Answer) -> Trouble {
    let errors = answer.json::<Envelope<Json>>().map(|envelope| envelope.errors).unwrap_or_default();
    let code = errors.first().map_or(0, |error| error.code);
    match (answer.status, code) {
        (_, BEHIND) => Trouble::Forbidden(
            "The newest version of this Worker is not deployed, and a change of its secrets would deploy it. Deploy it \
             first."
                .into(),
        ),
        // A token with characters that no token has.
        (400, 6_003 | 6_111) => refusal_of_token(),
        (401 | 403, _) => match is_good(session).await {
            Ok(true) => Trouble::Forbidden("Cloudflare does not allow this with the token that was given.".into()),
            Ok(false) => refusal_of_token(),
            Err(trouble) => trouble,
        },
        (400 | 409 | 413 | 415 | 422, _) => Trouble::Refused("Cloudflare does not accept this name or value.".into()),
        (200..300, _) => Trouble::Refused("Cloudflare did not do it.".into()),
        _ => Trouble::of_answer(NAME, answer),
    }
}

fn refusal_of_token() -> Trouble {
    Trouble::Unauthorized("Cloudflare does not accept the token any more. Connect again.".into())
}

/// Whether the token is good for anything: a user's, or one of the account itself.
async fn is_good(session: &Session<'_>) -> Result<bool, Trouble> {
    let mut paths = vec!["/client/v4/user/tokens/verify".to_owned()];
    if !session.account_id.is_empty() {
        paths.push(format!("/client/v4/accounts/{}/tokens/verify", segment(session.account_id)));
    }
    for path in paths {
        let answer = session.send(NAME, session.bearer(Method::GET, Upstream::Cloudflare, &path)).await?;
        let envelope: Option<Envelope<Verdict>> = answer.json();
        let verdict = envelope.filter(|_| answer.is_success()).and_then(|envelope| envelope.result);
        if verdict.is_some_and(|verdict| verdict.status == "active") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[derive(Deserialize)]
struct Envelope<T> {
    success: bool,
    #[serde(default)]
    errors: Vec<CloudflareError>,
    result: Option<T>,
    result_info: Option<ResultInfo>,
}

#[derive(Deserialize)]
struct CloudflareError {
    code: i64,
}

#[derive(Deserialize)]
struct ResultInfo {
    #[serde(default)]
    total_pages: usize,
}

#[derive(Deserialize)]
struct CloudflareAccount {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Script {
    id: String,
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Verdict {
    status: String,
}

#[cfg(test)]
pub(super) use tests::row;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fakes::platforms::Reach;
    use fakes::platforms::cloudflare::Cloudflare as Fake;

    use super::*;
    use crate::model::plan::{Deletions, Ledger};
    use crate::providers::conformance::{READER, Row};
    use crate::providers::testing::{View, hidden, pairs, writes};

    /// An account's Worker, and a connection to it.
    async fn start() -> (Fake, View) {
        let fake = Fake::start().await.unwrap();
        fake.add_account("acc-1", "Acme");
        fake.add_token("token", Reach::of("user-1", &["acc-1"]));
        fake.add_worker("acc-1", "shop");
        let endpoints = [("CLOUDFLARE", fake.host.origin())];
        let view = View::new(&Cloudflare, &endpoints, "token", ("acc-1", None), "shop", "production");
        (fake, view)
    }

    /// What the platform promises as every other does.
    pub(in crate::providers) async fn row() -> Row {
        let (fake, view) = start().await;
        fake.add_token(READER, Reach::of("user-1", &["acc-1"]).reading());
        let (host, [sets, there, revokes]) = (fake.host.clone(), [(); 3].map(|()| fake.clone()));
        Row {
            view,
            host,
            set: Box::new(move |name, value| sets.set("shop", name, TEXT, value)),
            values: Box::new(move || there.values("shop")),
            revoke: Box::new(move || revokes.revoke("token")),
            unknown_projects: &["nothing", "../scripts", ""],
            unknown_environments: (&["staging"], &["production"]),
            reserved: (None, None),
            ordinary: "CF_API_TOKEN",
        }
    }

    #[tokio::test]
    async fn a_token_is_of_its_accounts() {
        let (fake, view) = start().await;
        fake.page_by(2);
        for id in ["acc-2", "acc-3", "acc-4"] {
            fake.add_account(id, "Beta");
        }
        fake.add_token("wide", Reach::of("user-1", &["acc-1", "acc-2", "acc-3"]));
        let accounts = Cloudflare.accounts(&view.with_token("wide").session()).await.unwrap();
        let ids: Vec<&str> = accounts.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["acc-1", "acc-2", "acc-3"]);
        fake.hide_accounts();
        let Trouble::Forbidden(message) = Cloudflare.accounts(&view.session()).await.unwrap_err() else { panic!() };
        assert!(message.contains("account's id"), "{message}");
        let chosen = View { team: Some("acc-1".into()), ..view.clone() };
        assert_eq!(Cloudflare.accounts(&chosen.session()).await.unwrap()[0].id, "acc-1");
        let foreign = View { team: Some("acc-4".into()), ..view };
        assert!(matches!(Cloudflare.accounts(&foreign.session()).await.unwrap_err(), Trouble::Forbidden(_)));
    }

    #[tokio::test]
    async fn every_project_is_listed() {
        let (fake, view) = start().await;
        for number in 0..145 {
            fake.add_worker("acc-1", &format!("x{number}"));
            fake.add_worker("acc-2", &format!("y{number}"));
        }
        let projects = Cloudflare.projects(&view.session()).await.unwrap();
        assert_eq!((projects.len(), projects[0].id.as_str()), (146, "shop"));
    }

    #[tokio::test]
    async fn what_is_there_is_read() {
        let (fake, view) = start().await;
        fake.set("shop", "A", TEXT, "1");
        fake.set("shop", "B", TEXT, "2");
        assert_eq!(view.values().await, hidden(&["A", "B"]));
    }

    #[tokio::test]
    async fn one_environment_is_written_and_no_other() {
        let (fake, view) = start().await;
        fake.add_worker("acc-1", "shop-staging");
        for worker in ["shop", "shop-staging"] {
            for name in ["CHANGED", "DELETED", "KEPT"] {
                fake.set(worker, name, TEXT, "old");
            }
        }
        view.wrote(&[("CHANGED", Some("new")), ("FRESH", Some("new")), ("DELETED", None)]).await;
        assert_eq!(fake.values("shop"), pairs(&[("CHANGED", "new"), ("FRESH", "new"), ("KEPT", "old")]));
        assert_eq!(fake.values("shop-staging"), pairs(&[("CHANGED", "old"), ("DELETED", "old"), ("KEPT", "old")]));
        assert_eq!((writes(&fake.host), fake.versions("shop")), (1, 1));
    }

    #[tokio::test]
    async fn a_sync_takes_few_calls_and_none_when_nothing_has_changed() {
        let (fake, view) = start().await;
        let names: Vec<String> = (0..250).map(|number| format!("KEY_{number}")).collect();
        let source: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
        let mut ledger = Ledger::new();
        view.push(&source, &mut ledger, Deletions::All).await;
        assert_eq!((fake.values("shop").len(), writes(&fake.host), fake.versions("shop")), (250, 3, 3));
        fake.host.forget_requests();
        assert!(view.push(&source, &mut ledger, Deletions::All).await.is_empty());
        assert_eq!(writes(&fake.host), 0);
        view.push(&[("KEY_0", "other")], &mut ledger, Deletions::Managed).await;
        assert_eq!(fake.values("shop"), pairs(&[("KEY_0", "other")]));
    }

    #[tokio::test]
    async fn write_only_values_have_no_markers() {
        let (fake, view) = start().await;
        let source = [("KEY", "new")];
        let mut ledger = Ledger::new();
        view.push(&source, &mut ledger, Deletions::All).await;
        assert_eq!((view.marker("KEY").await, ledger["KEY"].marker.clone()), (None, None));
        fake.set("shop", "KEY", TEXT, "theirs");
        assert!(view.push(&source, &mut ledger, Deletions::All).await.is_empty());
        assert_eq!(view.push(&[("KEY", "newer")], &mut ledger, Deletions::All).await.to_update, ["KEY"]);
        assert_eq!(fake.values("shop"), pairs(&[("KEY", "newer")]));
    }

    #[tokio::test]
    async fn keys_for_cryptography_are_left_alone() {
        let (fake, view) = start().await;
        fake.set("shop", "SIGNING", "secret_key", "jwk");
        for value in [Some("new"), None] {
            let said = view.write(&[("SIGNING", value), ("OTHER", Some("1"))]).await.unwrap();
            assert!(matches!(said["SIGNING"], Err(Trouble::Refused(_))) && said["OTHER"].is_ok(), "{said:?}");
        }
        assert_eq!(fake.values("shop"), pairs(&[("OTHER", "1"), ("SIGNING", "jwk")]));
    }

    #[tokio::test]
    async fn a_version_that_is_not_deployed_stays_so() {
        let (fake, view) = start().await;
        fake.leave_behind("shop");
        let said = view.write(&[("A", Some("1")), ("B", Some("2"))]).await.unwrap();
        for name in ["A", "B"] {
            let Err(Trouble::Forbidden(message)) = &said[name] else { panic!("{said:?}") };
            assert!(message.contains("Deploy it"), "{message}");
        }
        assert_eq!((writes(&fake.host), fake.versions("shop")), (1, 0));
    }

    #[tokio::test]
    async fn a_bad_name_does_not_stop_the_others() {
        let (fake, view) = start().await;
        fake.set("shop", "OLD", TEXT, "x");
        let changes = [("A", Some("1")), ("1BAD", Some("secret-value")), ("OLD", None), ("Z", Some("3"))];
        let said = view.write(&changes).await.unwrap();
        assert!(["A", "OLD", "Z"].iter().all(|name| said[*name].is_ok()), "{said:?}");
        let Err(Trouble::Refused(message)) = &said["1BAD"] else { panic!("{said:?}") };
        assert!(!message.contains("secret-value"));
        assert_eq!(fake.values("shop"), pairs(&[("A", "1"), ("Z", "3")]));
    }

    #[tokio::test]
    async fn a_lost_answer_is_made_good_by_the_next_run() {
        let (fake, view) = start().await;
        let source = [("A", "new"), ("B", "1")];
        let mut ledger = Ledger::new();
        view.push(&[("A", "old"), ("B", "1")], &mut ledger, Deletions::None).await;
        let contents = view.read().await.unwrap();
        fake.host.faults().next_on("/secrets-bulk", 1, fakes::Fault::LoseAnswer);
        let said = view.write_after(&contents, &[("A", Some("new"))]).await.unwrap();
        assert!(matches!(said["A"], Err(Trouble::Down(_))), "{said:?}");
        view.push(&source, &mut ledger, Deletions::None).await;
        assert_eq!(fake.values("shop"), pairs(&source));
        assert!(view.push(&source, &mut ledger, Deletions::None).await.is_empty());
    }

    #[tokio::test]
    async fn throttled() {
        let (fake, view) = start().await;
        let wait = |seconds| Trouble::Wait { platform: NAME, for_: Duration::from_secs(seconds) };
        fake.throttle("PATCH", 1, 23);
        assert_eq!(view.write(&[("A", Some("1"))]).await.unwrap_err(), wait(23));
        fake.throttle("GET", 1, 5);
        assert_eq!(view.read().await.unwrap_err(), wait(5));
        assert_eq!(fake.values("shop"), pairs(&[]));
    }
}
