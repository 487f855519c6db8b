//! Fly.io: the secrets of an app.
//!
//! # Theory of operation
//! An app has one set of secrets, so it is a project with the one environment `production`. A batch is one
//! `POST …/secrets` with a map: null deletes, what is not named stays. So nothing is null there but what shall go.
//!
//! Values are never given back. What is read of a secret is its digest, which is opaque and not computed here: the digest
//! that came with our write is the marker, and another one means that somebody else wrote.
//!
//! Fly.io hears one request a second for each kind of action and app, three at once. A batch needs one; where it is halved
//! to find a bad name, the calls after the third keep the pace.
//!
//! Secrets are taken up by machines that start or are updated after them. Nothing is restarted here: that ends
//! connections, so the app's owner chooses when.
//!
//! Only pasted tokens: OAuth is for Fly.io's partners, and may read alone. Macaroons, which begin with `fm`, have a scheme
//! of their own. The facts are from Fly.io's documentation and its Go client of August 2026; what GraphQL says of a token
//! that is not good is from reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Method;
use futures::FutureExt as _;
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

const NAME: &str = "Fly.io";
/// What every machine is given, whatever secrets there are.
const SET_BY_FLY: &[&str] = &[
    "FLY_ALLOC_ID",
    "FLY_APP_NAME",
    "FLY_IMAGE_REF",
    "FLY_MACHINE_ID",
    "FLY_MACHINE_VERSION",
    "FLY_PRIVATE_IP",
    "FLY_PROCESS_GROUP",
    "FLY_PUBLIC_IP",
    "FLY_REGION",
    "FLY_VM_MEMORY_MB",
];
/// What macaroons begin with.
const MACAROONS: &[&str] = &["fm1r_", "fm1a_", "fm2_"];
/// So many requests of one kind may come at once.
const BURST: usize = 3;
/// Longer lists than this are not Fly.io's.
const MOST_PAGES: usize = 1_000;

static ENTRY: Entry = Entry {
    name: "fly",
    display_name: NAME,
    token_help: Some(
        "Run `fly tokens create org` for every app of an organisation, or `fly tokens create deploy` in an app's folder \
         for that app alone, and paste what it prints. Apps take new secrets up when their machines are next restarted \
         or deployed.",
    ),
    abilities: Abilities {
        readable: false,
        environments: &["production"],
        sets_at_once: 250,
        deletes_at_once: 250,
        mixed: true,
        most_names: None,
        largest_value: 24 * 1024,
    },
};

/// Fly.io.
pub(super) struct Fly {
    /// How long a call waits once more than [`BURST`] were made.
    pace: Duration,
}

/// Fly.io at the pace that it allows.
pub(super) static FLY: Fly = Fly { pace: Duration::from_millis(1_100) };

#[async_trait::async_trait]
impl Provider for Fly {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn reserves(&self, name: &str) -> bool {
        SET_BY_FLY.contains(&name)
    }

    fn tidy(&self, token: &str) -> String {
        let token = token.trim();
        let is_scheme = |word: &str| ["flyv1", "bearer"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
        match token.split_once(char::is_whitespace) {
            Some((scheme, rest)) if is_scheme(scheme) => rest.trim().to_owned(),
            _ => token.to_owned(),
        }
    }

    async fn accounts(&self, session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
        let query = "query { organizations(first: 100) { edges { node { slug name } } } }";
        let organisations = match ask::<OrganisationsReply>(session, query, json!({})).await {
            Ok(reply) => reply.organizations.edges.into_iter().map(|edge| edge.node).collect(),
            Err(Trouble::Forbidden(_) | Trouble::Refused(_) | Trouble::NotFound(_)) => Vec::new(),
            Err(trouble) => return Err(trouble),
        };
        // A token of one app may see no organisation but through the app.
        let organisations = if organisations.is_empty() {
            apps(session).await?.into_iter().map(|app| app.organization).collect()
        } else {
            organisations
        };
        let mut seen = BTreeSet::new();
        let meant = |one: &Organisation| session.team_id.is_none_or(|team| team == one.slug);
        let own = organisations.into_iter().filter(|one| meant(one) && seen.insert(one.slug.clone()));
        let account = |one: Organisation| Account {
            name: one.name.unwrap_or_else(|| one.slug.clone()),
            id: one.slug,
            user_id: None,
            team_id: None,
        };
        Ok(own.map(account).collect())
    }

    async fn projects(&self, session: &Session<'_>) -> Result<Vec<Project>, Trouble> {
        let own = apps(session).await?.into_iter().filter(|app| app.organization.slug == session.account_id);
        let project = |app: App| Project {
            id: app.name.clone(),
            name: app.name,
            linked_repo: None,
            framework: None,
            environments: None,
        };
        let mut projects: Vec<Project> = own.map(project).collect();
        projects.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(projects)
    }

    async fn read(&self, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble> {
        only_environment(&ENTRY, place)?;
        let listed: Secrets = succeed(session, secrets(session, place, Method::GET)).await?;
        let own = listed.secrets.into_iter().filter(|secret| !self.reserves(&secret.name));
        let variable =
            |secret: Secret| (secret.name, Variable { value: None, marker: secret.digest, handle: Json::Null });
        Ok(Contents { variables: own.map(variable).collect(), hides_names: false, ..Contents::default() })
    }

    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble> {
        only_environment(&ENTRY, place)?;
        let calls = &AtomicUsize::new(0);
        let call = |part| {
            async move {
                if calls.fetch_add(1, Ordering::Relaxed) >= BURST {
                    tokio::time::sleep(self.pace).await;
                }
                change(session, place, part).await
            }
            .boxed()
        };
        let said = by_halves(batch, call).await;
        let outcome = |(change, result): (&Change, _)| Outcome { name: change.name.clone(), result };
        settle(batch.iter().zip(said).map(outcome).collect())
    }
}

/// Sets and deletes in one call; gives the digests.
async fn change(session: &Session<'_>, place: &Place, part: &[Change]) -> Called<Option<String>> {
    let pair = |one: &Change| (one.name.clone(), one.value.as_ref().map_or(Json::Null, |value| json!(disclose(value))));
    let values: Map<String, Json> = part.iter().map(pair).collect();
    let request = secrets(session, place, Method::POST).json(&json!({ "values": values }));
    let changed: Secrets = succeed(session, request).await?;
    let mut digests: BTreeMap<String, Option<String>> =
        changed.secrets.into_iter().map(|secret| (secret.name, secret.digest)).collect();
    let marker = |one: &Change| one.value.as_ref().and_then(|_| digests.remove(&one.name).flatten());
    Ok(part.iter().map(marker).map(Ok).collect())
}

/// Every app that the token sees.
async fn apps(session: &Session<'_>) -> Result<Vec<App>, Trouble> {
    let query = "query($after: String) { apps(first: 100, after: $after) { edges { node { name organization { slug name \
                 } } } pageInfo { hasNextPage endCursor } } }";
    let mut apps = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let reply: AppsReply = ask(session, query, json!({ "after": after })).await?;
        after = reply.apps.page_info.filter(|page| page.has_next_page).and_then(|page| page.end_cursor);
        apps.extend(reply.apps.edges.into_iter().map(|edge| edge.node));
        if after.is_none() {
            break;
        }
    }
    Ok(apps)
}

fn secrets(session: &Session<'_>, place: &Place, method: Method) -> Outgoing {
    request(session, method, Upstream::Fly, &format!("/v1/apps/{}/secrets", segment(&place.project_id)))
}

fn request(session: &Session<'_>, method: Method, upstream: Upstream, path: &str) -> Outgoing {
    let token = disclose(session.token());
    let scheme = if MACAROONS.iter().any(|start| token.starts_with(start)) { "FlyV1" } else { "Bearer" };
    session.request(method, upstream, path).secret_header("authorization", &format!("{scheme} {token}").into())
}

async fn ask<T: DeserializeOwned>(session: &Session<'_>, query: &str, variables: Json) -> Result<T, Trouble> {
    let body = json!({ "query": query, "variables": variables });
    let request = request(session, Method::POST, Upstream::FlyGraphql, "/graphql").repeatable().json(&body);
    let reply: Reply<T> = succeed(session, request).await?;
    match reply.errors.unwrap_or_default().first() {
        Some(error) => Err(error.trouble()),
        None => reply.data.ok_or_else(|| Trouble::unreadable(NAME)),
    }
}

async fn succeed<T: DeserializeOwned>(session: &Session<'_>, request: Outgoing) -> Result<T, Trouble> {
    let answer = session.send(NAME, request).await?;
    if !answer.is_success() {
        return Err(trouble(&answer));
    }
    answer.json().ok_or_else(|| Trouble::unreadable(NAME))
}

/// Fly.io's own words may repeat what was sent, so they are not passed on.
fn trouble(answer: &Answer) -> Trouble {
    match answer.status {
        429 => Trouble::Wait { platform: NAME, for_: answer.retry_after().unwrap_or(FLY.pace) },
        400 | 413 | 422 => Trouble::Refused("Fly.io does not accept this name or value.".into()),
        _ => Trouble::of_answer(NAME, answer),
    }
}

#[derive(Deserialize)]
struct Secrets {
    #[serde(default)]
    secrets: Vec<Secret>,
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    digest: Option<String>,
}

#[derive(Deserialize)]
struct Reply<T> {
    data: Option<T>,
    errors: Option<Vec<GraphqlError>>,
}

#[derive(Deserialize)]
struct GraphqlError {
    #[serde(default)]
    extensions: Json,
}

impl GraphqlError {
    fn trouble(&self) -> Trouble {
        match self.extensions.get("code").and_then(Json::as_str) {
            Some("UNAUTHORIZED" | "UNAUTHENTICATED") => {
                Trouble::Unauthorized("Fly.io does not accept the token any more. Connect again.".into())
            }
            Some("FORBIDDEN") => Trouble::Forbidden("Fly.io does not allow this with the token that was given.".into()),
            Some("NOT_FOUND") => Trouble::NotFound("Fly.io does not know this, or the token does not see it.".into()),
            _ => Trouble::Refused("Fly.io did not answer the question.".into()),
        }
    }
}

#[derive(Deserialize)]
struct OrganisationsReply {
    organizations: Connection<Organisation>,
}

#[derive(Deserialize)]
struct AppsReply {
    apps: Connection<App>,
}

#[derive(Deserialize)]
struct Connection<T> {
    edges: Vec<Edge<T>>,
    #[serde(rename = "pageInfo")]
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

#[derive(Deserialize)]
struct Organisation {
    slug: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct App {
    name: String,
    organization: Organisation,
}

#[cfg(test)]
pub(super) use tests::row;

#[cfg(test)]
mod tests {
    use fakes::platforms::Reach;
    use fakes::platforms::fly::Fly as Fake;

    use super::*;
    use crate::model::plan::{Deletions, Ledger};
    use crate::providers::conformance::{READER, Row};
    use crate::providers::testing::{View, hidden, pairs, writes};

    const TOKEN: &str = "fm2_token,fm2_discharge";
    static QUICK: Fly = Fly { pace: Duration::from_millis(25) };

    /// An organisation's app, and a connection to it.
    async fn start() -> (Fake, View) {
        let fake = Fake::start().await.unwrap();
        fake.add_organisation("acme", "Acme");
        fake.add_token(TOKEN, Reach::of("user-1", &["acme"]));
        fake.add_app("shop", "acme");
        let endpoints = [("FLY", fake.host.origin()), ("FLY_GRAPHQL", fake.host.origin())];
        let view = View::new(&QUICK, &endpoints, TOKEN, ("acme", None), "shop", "production");
        (fake, view)
    }

    /// What the platform promises as every other does.
    pub(in crate::providers) async fn row() -> Row {
        let (fake, view) = start().await;
        fake.add_token(READER, Reach::of("user-1", &["acme"]).reading());
        let (host, [sets, there, revokes]) = (fake.host.clone(), [(); 3].map(|()| fake.clone()));
        Row {
            view,
            host,
            set: Box::new(move |name, value| sets.set("shop", name, value)),
            values: Box::new(move || there.values("shop")),
            revoke: Box::new(move || revokes.revoke(TOKEN)),
            unknown_projects: &["nothing", "../apps", ""],
            unknown_environments: (&["staging"], &["production"]),
            reserved: (Some("FLY_REGION"), Some("FLY_APP_NAME")),
            ordinary: "FLY_API_TOKEN",
        }
    }

    #[tokio::test]
    async fn a_token_is_of_its_accounts() {
        let (fake, view) = start().await;
        fake.add_organisation("beta", "Beta");
        fake.add_organisation("gamma", "Gamma");
        fake.add_token("wide", Reach::of("user-1", &["acme", "beta"]));
        let accounts = QUICK.accounts(&view.with_token("wide").session()).await.unwrap();
        let ids: Vec<(&str, &str)> = accounts.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect();
        assert_eq!(ids, [("acme", "Acme"), ("beta", "Beta")]);
        let chosen = View { team: Some("beta".into()), ..view.with_token("wide") };
        let accounts = QUICK.accounts(&chosen.session()).await.unwrap();
        assert_eq!((accounts.len(), accounts[0].id.as_str()), (1, "beta"));
    }

    #[tokio::test]
    async fn a_token_is_taken_with_its_scheme_or_without() {
        let (fake, view) = start().await;
        fake.add_token("personal", Reach::of("user-1", &["acme"]));
        for pasted in [" FlyV1 fm2_token,fm2_discharge\n", "Bearer fm2_token,fm2_discharge", TOKEN, "bearer personal"] {
            let tidy = view.with_token(&QUICK.tidy(pasted));
            assert!(tidy.read().await.is_ok(), "{pasted}");
        }
    }

    #[tokio::test]
    async fn every_page_of_projects_is_read() {
        let (fake, view) = start().await;
        fake.page_by(20);
        fake.add_organisation("beta", "Beta");
        fake.add_token(TOKEN, Reach::of("user-1", &["acme", "beta"]));
        for number in 0..45 {
            fake.add_app(&format!("x{number:02}"), "acme");
            fake.add_app(&format!("y{number:02}"), "beta");
        }
        let projects = QUICK.projects(&view.session()).await.unwrap();
        assert_eq!((projects.len(), projects[0].id.as_str()), (46, "shop"));
    }

    #[tokio::test]
    async fn what_is_there_is_read() {
        let (fake, view) = start().await;
        fake.set("shop", "A", "1");
        fake.set("shop", "B", "2");
        assert_eq!(view.values().await, hidden(&["A", "B"]));
    }

    #[tokio::test]
    async fn one_environment_is_written_and_no_other() {
        let (fake, view) = start().await;
        fake.add_app("shop-staging", "acme");
        for app in ["shop", "shop-staging"] {
            for name in ["CHANGED", "DELETED", "KEPT"] {
                fake.set(app, name, "old");
            }
        }
        view.wrote(&[("CHANGED", Some("new")), ("FRESH", Some("new")), ("EMPTY", Some("")), ("DELETED", None)]).await;
        let changed = [("CHANGED", "new"), ("EMPTY", ""), ("FRESH", "new"), ("KEPT", "old")];
        assert_eq!(fake.values("shop"), pairs(&changed));
        assert_eq!(fake.values("shop-staging"), pairs(&[("CHANGED", "old"), ("DELETED", "old"), ("KEPT", "old")]));
        assert_eq!(writes(&fake.host), 1);
        let sent = fake.host.requests().into_iter().find(|request| request.method == "POST").unwrap().json();
        let nulls = sent["values"].as_object().unwrap().iter().filter(|(_, value)| value.is_null());
        assert_eq!(nulls.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["DELETED"]);
    }

    #[tokio::test]
    async fn a_sync_takes_few_calls_and_none_when_nothing_has_changed() {
        let (fake, view) = start().await;
        let names: Vec<String> = (0..100).map(|number| format!("KEY_{number}")).collect();
        let source: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
        let mut ledger = Ledger::new();
        view.push(&source, &mut ledger, Deletions::All).await;
        assert_eq!((fake.values("shop").len(), writes(&fake.host)), (100, 1));
        fake.host.forget_requests();
        assert!(view.push(&source, &mut ledger, Deletions::All).await.is_empty());
        assert_eq!(writes(&fake.host), 0);
        view.push(&[("KEY_0", "other")], &mut ledger, Deletions::Managed).await;
        assert_eq!(fake.values("shop"), pairs(&[("KEY_0", "other")]));
    }

    #[tokio::test]
    async fn write_only_values_have_markers() {
        let (fake, view) = start().await;
        let source = [("KEY", "new")];
        let mut ledger = Ledger::new();
        view.push(&source, &mut ledger, Deletions::All).await;
        assert!(ledger["KEY"].marker.is_some());
        assert_eq!(view.marker("KEY").await, ledger["KEY"].marker);
        fake.set("shop", "KEY", "theirs");
        assert_eq!(view.push(&source, &mut ledger, Deletions::All).await.to_update, ["KEY"]);
        assert_eq!(fake.values("shop"), pairs(&source));
    }

    #[tokio::test]
    async fn a_bad_name_does_not_stop_the_others() {
        let (fake, view) = start().await;
        fake.set("shop", "OLD", "x");
        let changes = [("A", Some("1")), ("1BAD", Some("secret-value")), ("OLD", None), ("Z", Some("3"))];
        let said = view.write(&changes).await.unwrap();
        assert!(["A", "OLD", "Z"].iter().all(|name| said[*name].is_ok()), "{said:?}");
        let Err(Trouble::Refused(message)) = &said["1BAD"] else { panic!("{said:?}") };
        assert!(!message.contains("secret-value"));
        assert_eq!(fake.values("shop"), pairs(&[("A", "1"), ("Z", "3")]));
    }

    #[tokio::test]
    async fn calls_keep_the_pace() {
        let (fake, view) = start().await;
        fake.pace_by(Duration::from_millis(20));
        let said = view.write(&[("A", Some("1")), ("1BAD", Some("2")), ("Y", Some("3")), ("Z", Some("4"))]).await;
        let said = said.unwrap();
        assert_eq!(said.values().filter(|result| result.is_ok()).count(), 3, "{said:?}");
        assert!(writes(&fake.host) > BURST, "the pace was not needed");
    }

    #[tokio::test]
    async fn a_lost_answer_is_made_good_by_the_next_run() {
        let (fake, view) = start().await;
        let source = [("A", "new"), ("B", "1")];
        let mut ledger = Ledger::new();
        view.push(&[("A", "old"), ("B", "1")], &mut ledger, Deletions::None).await;
        let contents = view.read().await.unwrap();
        fake.host.faults().next_on("/secrets", 1, fakes::Fault::LoseAnswer);
        let said = view.write_after(&contents, &[("A", Some("new"))]).await.unwrap();
        assert!(matches!(said["A"], Err(Trouble::Down(_))), "{said:?}");
        view.push(&source, &mut ledger, Deletions::None).await;
        assert_eq!(fake.values("shop"), pairs(&source));
        assert!(view.push(&source, &mut ledger, Deletions::None).await.is_empty());
    }

    #[tokio::test]
    async fn throttled() {
        let (fake, view) = start().await;
        let wait = |for_| Trouble::Wait { platform: NAME, for_ };
        fake.throttle("POST", 1, 23);
        assert_eq!(view.write(&[("A", Some("1"))]).await.unwrap_err(), wait(Duration::from_secs(23)));
        fake.throttle("GET", 1, 0);
        assert_eq!(view.read().await.unwrap_err(), wait(FLY.pace));
        assert_eq!(fake.values("shop"), pairs(&[]));
    }
}
