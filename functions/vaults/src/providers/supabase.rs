//! Supabase: the secrets of a project's functions.
//!
//! # Theory of operation
//! A project has one set of secrets, so it has the one environment `production`. A batch's deletions are one call and come
//! first; its sets are another, which creates and overwrites alike.
//!
//! A project has at most a hundred secrets, and a list that would pass that is refused whole. So what is there is counted
//! before anything is created: if the new names do not fit, none of them is sent, and overwriting goes on. What counts
//! against the hundred are all names but the platform's own.
//!
//! Values are never given back. In their place Supabase gives the bare SHA-256 of each, which whoever holds it can guess
//! at; it is not kept. The marker is the moment of the last change.
//!
//! Access tokens of OAuth live a day; refresh tokens rotate, so nothing is sent twice. PKCE is sent.
//!
//! The facts are from Supabase's OpenAPI document; the words of its errors and that its 429 tells the seconds to go are
//! from reports.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use futures::FutureExt as _;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use shared::credentials::disclose;
use shared::egress::{Answer, Egress, Outgoing, Upstream};
use url::Url;

use super::halves::{Called, by_halves};
use super::oauth::TokenEndpoint;
use super::{
    Abilities, Account, Authorization, Change, Client, Contents, Entry, OAuth, OAuthError, Outcome, Place, Project,
    Provider, Session, Tokens, Trouble, Variable, has_prefix, only_environment, segment, settle,
};

const NAME: &str = "Supabase";
/// The most secrets of a project.
const MOST: usize = 100;

static ENTRY: Entry = Entry {
    name: "supabase",
    display_name: NAME,
    token_help: Some(
        "On supabase.com open Account, Access Tokens, and generate a new token. It reaches every organisation that you are \
         in; the value is shown once.",
    ),
    abilities: Abilities {
        readable: false,
        environments: &["production"],
        sets_at_once: MOST,
        deletes_at_once: MOST,
        mixed: false,
        most_names: Some(MOST),
        largest_value: 24 * 1024,
    },
};

/// Supabase.
pub(super) struct Supabase;

#[async_trait::async_trait]
impl Provider for Supabase {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn oauth(&self) -> Option<&'static dyn OAuth> {
        Some(&Supabase)
    }

    fn reserves(&self, name: &str) -> bool {
        has_prefix(name, "SUPABASE")
    }

    async fn accounts(&self, session: &Session<'_>) -> Result<Vec<Account>, Trouble> {
        let request = session.bearer(Method::GET, Upstream::Supabase, "/v1/organizations");
        let organisations: Vec<Organisation> = read_json(&accepted(session, request).await?)?;
        let meant = |one: &Organisation| session.team_id.is_none_or(|team| team == one.id);
        let account = |one: Organisation| Account { id: one.id, name: one.name, user_id: None, team_id: None };
        Ok(organisations.into_iter().filter(meant).map(account).collect())
    }

    async fn projects(&self, session: &Session<'_>) -> Result<Vec<Project>, Trouble> {
        let request = session.bearer(Method::GET, Upstream::Supabase, "/v1/projects");
        let listed: Vec<SupabaseProject> = read_json(&accepted(session, request).await?)?;
        let own = listed.into_iter().filter(|project| project.organization_id == session.account_id);
        let project = |one: SupabaseProject| Project {
            id: one.reference.unwrap_or(one.id),
            name: one.name,
            linked_repo: None,
            framework: None,
            environments: None,
        };
        let mut projects: Vec<Project> = own.map(project).collect();
        projects.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(projects)
    }

    async fn read(&self, session: &Session<'_>, place: &Place) -> Result<Contents, Trouble> {
        only_environment(&ENTRY, place)?;
        let variable = |marker| Variable { value: None, marker, handle: Json::Null };
        let listed = list(session, place).await?.into_iter();
        Ok(Contents {
            variables: listed.map(|(name, marker)| (name, variable(marker))).collect(),
            hides_names: false,
            ..Contents::default()
        })
    }

    async fn write(&self, session: &Session<'_>, place: &Place, batch: &[Change]) -> Result<Vec<Outcome>, Trouble> {
        only_environment(&ENTRY, place)?;
        let (mut sets, mut deletes) = (Vec::new(), Vec::new());
        for change in batch {
            match &change.value {
                Some(value) => sets.push((change, value)),
                None => deletes.push(change),
            }
        }
        let said = by_halves(&deletes, |part| delete(session, place, part).boxed()).await;
        let outcome = |(change, result): (&Change, _)| Outcome { name: change.name.clone(), result };
        let mut outcomes: Vec<Outcome> = deletes.into_iter().zip(said).map(outcome).collect();
        match crowded_out(session, place, &sets).await {
            Err(trouble) => {
                outcomes.extend(sets.iter().map(|(change, _)| Outcome::failed(change, trouble.clone())));
                return settle(outcomes);
            }
            Ok(crowded) => {
                sets.retain(|(change, _)| !crowded.contains(change.name.as_str()));
                let refused = batch.iter().filter(|change| crowded.contains(change.name.as_str()));
                outcomes.extend(refused.map(|change| Outcome::failed(change, full())));
            }
        }
        let said = by_halves(&sets, |part| set(session, place, part).boxed()).await;
        // Without its marker a value is written again by the next run.
        let markers = if said.iter().any(Result::is_ok) {
            list(session, place).await.unwrap_or_default()
        } else {
            BTreeMap::new()
        };
        for ((change, _), result) in sets.into_iter().zip(said) {
            let marker = markers.get(&change.name).cloned().flatten();
            outcomes.push(Outcome { name: change.name.clone(), result: result.map(|()| marker) });
        }
        settle(outcomes)
    }
}

/// The new names, if they do not fit beside what is there.
async fn crowded_out<'a>(
    session: &Session<'_>,
    place: &Place,
    sets: &[(&'a Change, &SecretString)],
) -> Result<BTreeSet<&'a str>, Trouble> {
    if sets.iter().all(|(change, _)| change.before.is_some()) {
        return Ok(BTreeSet::new());
    }
    let there = list(session, place).await?;
    let names = sets.iter().map(|(change, _)| change.name.as_str());
    let fresh: BTreeSet<&str> = names.filter(|name| !there.contains_key(*name)).collect();
    Ok(if there.len() + fresh.len() > MOST { fresh } else { BTreeSet::new() })
}

fn full() -> Trouble {
    Trouble::Refused(format!(
        "A project of Supabase has at most {MOST} secrets, and the new ones do not fit. None of them was written."
    ))
}

/// The names, and when each was last changed.
async fn list(session: &Session<'_>, place: &Place) -> Result<BTreeMap<String, Option<String>>, Trouble> {
    let listed: Vec<Secret> = read_json(&accepted(session, secrets(session, place, Method::GET)).await?)?;
    let own = listed.into_iter().filter(|secret| !Supabase.reserves(&secret.name));
    Ok(own.map(|secret| (secret.name, secret.updated_at)).collect())
}

async fn set(session: &Session<'_>, place: &Place, part: &[(&Change, &SecretString)]) -> Called<()> {
    let items: Vec<Json> =
        part.iter().map(|(change, value)| json!({ "name": change.name, "value": disclose(value) })).collect();
    accepted(session, secrets(session, place, Method::POST).json(&items)).await?;
    Ok(vec![Ok(()); part.len()])
}

async fn delete(session: &Session<'_>, place: &Place, part: &[&Change]) -> Called<Option<String>> {
    let names: Vec<&str> = part.iter().map(|change| change.name.as_str()).collect();
    accepted(session, secrets(session, place, Method::DELETE).json(&names)).await?;
    Ok(vec![Ok(None); part.len()])
}

fn secrets(session: &Session<'_>, place: &Place, method: Method) -> Outgoing {
    session.bearer(method, Upstream::Supabase, &format!("/v1/projects/{}/secrets", segment(&place.project_id)))
}

async fn accepted(session: &Session<'_>, request: Outgoing) -> Result<Answer, Trouble> {
    let answer = session.send(NAME, request).await?;
    if answer.is_success() { Ok(answer) } else { Err(trouble(&answer)) }
}

fn read_json<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, Trouble> {
    answer.json().ok_or_else(|| Trouble::unreadable(NAME))
}

/// Supabase's own words may repeat what was sent, so they are not passed on.
fn trouble(answer: &Answer) -> Trouble {
    match answer.status {
        429 => {
            let to_go = answer.header("x-ratelimit-reset").and_then(|seconds| seconds.trim().parse().ok());
            Trouble::wait_until(NAME, answer, to_go, Timestamp::UNIX_EPOCH)
        }
        400 | 413 | 422 => Trouble::Refused("Supabase does not accept this name or value.".into()),
        _ => Trouble::of_answer(NAME, answer),
    }
}

#[derive(Deserialize)]
struct Organisation {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct SupabaseProject {
    id: String,
    #[serde(rename = "ref")]
    reference: Option<String>,
    name: String,
    organization_id: String,
}

/// What Supabase gives as the value is a hash of it, and is not read.
#[derive(Deserialize)]
struct Secret {
    name: String,
    updated_at: Option<String>,
}

const TOKENS: TokenEndpoint = TokenEndpoint { platform: NAME, upstream: Upstream::Supabase, path: "/v1/oauth/token" };

/// The code grant. The user chooses an organisation on the consent page; the tokens reach that one.
#[async_trait::async_trait]
impl OAuth for Supabase {
    fn authorize_url(
        &self,
        client: &Client,
        authorization: &Authorization<'_>,
        egress: &Egress,
    ) -> Result<Url, &'static str> {
        let url = format!("{}/v1/oauth/authorize", egress.base(Upstream::Supabase));
        let mut url = Url::parse(&url).map_err(|_| "the address of Supabase's pages cannot be used")?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &client.id)
            .append_pair("redirect_uri", authorization.redirect_uri)
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
mod tests {
    use std::time::Duration;

    use aws_lc_rs::digest::{SHA256, digest};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use fakes::platforms::supabase::Supabase as Fake;
    use fakes::platforms::{OAuthClient, Reach};

    use super::*;
    use crate::model::plan::{Deletions, Ledger};
    use crate::providers::conformance::{READER, Row};
    use crate::providers::testing::{View, follow, hidden, pairs, parameter, writes};

    /// An organisation's project, and a connection to it.
    async fn start() -> (Fake, View) {
        let fake = Fake::start().await.unwrap();
        fake.add_organisation("acme", "Acme");
        fake.add_token("token", Reach::of("user-1", &["acme"]));
        fake.add_project("shop", "Shop", "acme");
        let endpoints = [("SUPABASE", fake.host.origin())];
        let view = View::new(&Supabase, &endpoints, "token", ("acme", None), "shop", "production");
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
            revoke: Box::new(move || revokes.revoke("token")),
            unknown_projects: &["nothing", "../projects", ""],
            unknown_environments: (&["staging"], &["production"]),
            reserved: (None, Some("SUPABASE_URL")),
            ordinary: "MY_SUPABASE_URL",
        }
    }

    fn numbered(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{prefix}_{number:03}")).collect()
    }

    fn valued(names: &[String]) -> Vec<(&str, &str)> {
        names.iter().map(|name| (name.as_str(), "value")).collect()
    }

    #[tokio::test]
    async fn a_token_is_of_its_accounts() {
        let (fake, view) = start().await;
        fake.add_organisation("beta", "Beta");
        fake.add_organisation("gamma", "Gamma");
        fake.add_token("wide", Reach::of("user-1", &["acme", "beta"]));
        let accounts = Supabase.accounts(&view.with_token("wide").session()).await.unwrap();
        let ids: Vec<(&str, &str)> = accounts.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect();
        assert_eq!(ids, [("acme", "Acme"), ("beta", "Beta")]);
        let chosen = View { team: Some("beta".into()), ..view.with_token("wide") };
        let accounts = Supabase.accounts(&chosen.session()).await.unwrap();
        assert_eq!((accounts.len(), accounts[0].id.as_str()), (1, "beta"));
    }

    #[tokio::test]
    async fn every_project_is_listed() {
        let (fake, view) = start().await;
        fake.add_organisation("beta", "Beta");
        fake.add_token("token", Reach::of("user-1", &["acme", "beta"]));
        for number in 0..45 {
            fake.add_project(&format!("x{number}"), &format!("x{number:02}"), "acme");
            fake.add_project(&format!("y{number}"), &format!("y{number:02}"), "beta");
        }
        let projects = Supabase.projects(&view.session()).await.unwrap();
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
        fake.add_project("staging", "Staging", "acme");
        for project in ["shop", "staging"] {
            for name in ["CHANGED", "DELETED", "KEPT"] {
                fake.set(project, name, "old");
            }
        }
        view.wrote(&[("CHANGED", Some("new")), ("FRESH", Some("new")), ("DELETED", None)]).await;
        assert_eq!(fake.values("shop"), pairs(&[("CHANGED", "new"), ("FRESH", "new"), ("KEPT", "old")]));
        assert_eq!(fake.values("staging"), pairs(&[("CHANGED", "old"), ("DELETED", "old"), ("KEPT", "old")]));
        assert_eq!(writes(&fake.host), 2);
    }

    #[tokio::test]
    async fn the_cap_is_seen_before_anything_is_created() {
        let (fake, view) = start().await;
        for name in numbered("OLD", 98) {
            fake.set("shop", &name, "old");
        }
        let said = view.write(&[("A", Some("1")), ("B", Some("2")), ("C", Some("3")), ("OLD_000", Some("new"))]).await;
        let said = said.unwrap();
        for name in ["A", "B", "C"] {
            let Err(Trouble::Refused(message)) = &said[name] else { panic!("{said:?}") };
            assert!(message.contains("at most 100"), "{message}");
        }
        assert!(said["OLD_000"].is_ok());
        let values = fake.values("shop");
        assert_eq!((values.len(), values[0].1.as_str()), (98, "new"));
        view.wrote(&[("A", Some("1")), ("B", Some("2"))]).await;
        assert_eq!(fake.values("shop").len(), 100);
    }

    #[tokio::test]
    async fn a_full_project_is_emptied_before_it_is_filled() {
        let (fake, view) = start().await;
        for name in numbered("OLD", 100) {
            fake.set("shop", &name, "old");
        }
        let names = numbered("NEW", 100);
        view.push(&valued(&names), &mut Ledger::new(), Deletions::All).await;
        assert_eq!(fake.values("shop"), pairs(&valued(&names)));
        let changes = [("NEW_000", None), ("OTHER", Some("value"))];
        view.wrote(&changes).await;
        assert_eq!(fake.values("shop").len(), 100);
    }

    #[tokio::test]
    async fn a_sync_takes_few_calls_and_none_when_nothing_has_changed() {
        let (fake, view) = start().await;
        let names = numbered("KEY", 100);
        let mut ledger = Ledger::new();
        view.push(&valued(&names), &mut ledger, Deletions::All).await;
        assert_eq!((fake.values("shop").len(), writes(&fake.host)), (100, 1));
        fake.host.forget_requests();
        assert!(view.push(&valued(&names), &mut ledger, Deletions::All).await.is_empty());
        assert_eq!(writes(&fake.host), 0);
        view.push(&[("KEY_000", "other")], &mut ledger, Deletions::Managed).await;
        assert_eq!(fake.values("shop"), pairs(&[("KEY_000", "other")]));
    }

    #[tokio::test]
    async fn write_only_values_have_markers() {
        let (fake, view) = start().await;
        let source = [("KEY", "new")];
        let mut ledger = Ledger::new();
        view.push(&source, &mut ledger, Deletions::All).await;
        let marker = ledger["KEY"].marker.clone().unwrap();
        assert!(marker.parse::<Timestamp>().is_ok(), "a hash of the value may have been kept: {marker}");
        assert_eq!(view.marker("KEY").await.unwrap(), marker);
        fake.set("shop", "KEY", "theirs");
        assert_eq!(view.push(&source, &mut ledger, Deletions::All).await.to_update, ["KEY"]);
        assert_eq!(fake.values("shop"), pairs(&source));
    }

    #[tokio::test]
    async fn a_bad_name_does_not_stop_the_others() {
        let (fake, view) = start().await;
        fake.set("shop", "OLD", "x");
        let changes = [("A", Some("1")), ("B=D", Some("secret-value")), ("OLD", None), ("Z", Some("3"))];
        let said = view.write(&changes).await.unwrap();
        assert!(["A", "OLD", "Z"].iter().all(|name| said[*name].is_ok()), "{said:?}");
        let Err(Trouble::Refused(message)) = &said["B=D"] else { panic!("{said:?}") };
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
        let wait = |seconds| Trouble::Wait { platform: NAME, for_: Duration::from_secs(seconds) };
        fake.throttle("POST", 1, 23);
        assert_eq!(view.write(&[("A", Some("1"))]).await.unwrap_err(), wait(23));
        fake.throttle("GET", 1, 5);
        assert_eq!(view.read().await.unwrap_err(), wait(5));
        assert_eq!(fake.values("shop"), pairs(&[]));
    }

    #[tokio::test]
    async fn an_account_is_connected_by_its_owners_consent() {
        let (fake, view) = start().await;
        let redirect = "http://127.0.0.1:9/callback";
        fake.add_client(OAuthClient::new("client", "secret", redirect));
        fake.consent_as(Reach::of("user-1", &["acme"]));
        let client = Client { id: "client".into(), secret: "secret".into(), slug: None };
        let verifier = SecretString::from("v".repeat(43));
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, disclose(&verifier).as_bytes()));
        let authorization = Authorization { state: "state-1", challenge: &challenge, redirect_uri: redirect };
        let page = Supabase.authorize_url(&client, &authorization, &view.egress).unwrap();
        let denied = follow(&page, &fake.host.origin(), "deny").await;
        assert_eq!(parameter(&denied, "error").as_deref(), Some("access_denied"));
        let back = follow(&page, &fake.host.origin(), "allow").await;
        assert_eq!(parameter(&back, "state").as_deref(), Some("state-1"));
        let code = |url: &Url| SecretString::from(parameter(url, "code").unwrap());
        let exchange = async |code: SecretString, verifier: &SecretString| {
            Supabase.exchange(&client, &code, verifier, redirect, &view.egress).await
        };
        let stolen = exchange(code(&back), &"w".repeat(43).into()).await;
        assert_eq!(stolen.unwrap_err(), OAuthError::InvalidGrant);
        let again = follow(&page, &fake.host.origin(), "allow").await;
        let tokens = exchange(code(&again), &verifier).await.unwrap();
        assert_eq!(exchange(code(&again), &verifier).await.unwrap_err(), OAuthError::InvalidGrant);
        assert!(tokens.lives.is_some());
        let connected = view.with_token(disclose(&tokens.access));
        assert_eq!(Supabase.accounts(&connected.session()).await.unwrap()[0].id, "acme");
        let refresh = tokens.refresh.unwrap();
        let fresh = Supabase.refresh(&client, &refresh, &view.egress).await.unwrap();
        view.with_token(disclose(&fresh.access)).wrote(&[("A", Some("1"))]).await;
        let reused = Supabase.refresh(&client, &refresh, &view.egress).await;
        assert_eq!(reused.unwrap_err(), OAuthError::InvalidGrant);
        let wrong = Client { secret: "wrong".into(), ..client.clone() };
        let refused = Supabase.refresh(&wrong, &fresh.refresh.unwrap(), &view.egress).await;
        assert_eq!(refused.unwrap_err(), OAuthError::InvalidClient);
    }
}
