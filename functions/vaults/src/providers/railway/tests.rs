//! Against the fake: services and shared variables, references between them, deploys, and grants that rotate.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fakes::platforms::OAuthClient;
use fakes::platforms::railway::{Railway as Fake, RailwayReach};

use super::*;
use crate::model::plan::{Deletions, Ledger};
use crate::providers::conformance::{READER, Row};
use crate::providers::testing::{NOW, View, follow, pairs, parameter, shown};

fn reach() -> RailwayReach {
    RailwayReach::User { id: "user-1".into(), workspaces: vec!["ws-1".into()] }
}

/// A project with a service, and a connection to the service's production.
async fn start() -> (Fake, View) {
    let fake = Fake::start().await.unwrap();
    fake.set_clock(NOW);
    fake.add_workspace("ws-1", "Acme");
    fake.add_project("p-1", "shop", "ws-1");
    fake.add_environment("p-1", "e-prod", "production", false);
    fake.add_environment("p-1", "e-stage", "staging", false);
    fake.add_environment("p-1", "e-pr", "shop-pr-7", true);
    fake.add_service("p-1", "s-web", "web", Some("acme/shop"));
    fake.add_service("p-1", "s-db", "db", None);
    fake.add_token("token", reach());
    let endpoints = [("RAILWAY", fake.host.origin()), ("RAILWAY_GRAPHQL", fake.host.origin())];
    let view = View::new(&Railway, &endpoints, "token", ("user-1", None), "p-1/s-web", "production");
    (fake, view)
}

/// What the platform promises as every other does.
pub(in crate::providers) async fn row() -> Row {
    let (fake, view) = start().await;
    let (workspaces, projects) = (Vec::new(), vec!["p-1".into()]);
    fake.add_token(READER, RailwayReach::Grant { user: "user-1".into(), workspaces, projects, writes: false });
    let (host, [sets, there, revokes]) = (fake.host.clone(), [(); 3].map(|()| fake.clone()));
    Row {
        view,
        host,
        set: Box::new(move |name, value| sets.set_variable("p-1", "e-prod", Some("s-web"), (name, value), false)),
        values: Box::new(move || there.values("p-1", "e-prod", Some("s-web"))),
        revoke: Box::new(move || revokes.revoke("token")),
        unknown_projects: &["p-9", "p-1/s-9", "", "/"],
        unknown_environments: (&["qa", "shop-pr-7"], &["production, staging."]),
        reserved: (Some("RAILWAY_RUN_UID"), Some("RAILWAY_URL")),
        ordinary: "RAILWAYS",
    }
}

fn mutations(fake: &Fake) -> usize {
    let is_mutation = |body: &[u8]| String::from_utf8_lossy(body).contains("mutation");
    fake.host.requests().iter().filter(|request| is_mutation(&request.body)).count()
}

#[tokio::test]
async fn a_token_is_of_its_accounts() {
    let (fake, view) = start().await;
    fake.add_token("secret-w", RailwayReach::Workspace("ws-1".into()));
    let narrow = RailwayReach::Project { project: "p-1".into(), environment: "e-prod".into() };
    fake.add_token("secret-p", narrow);
    for (token, id, team) in
        [("token", "user-1", None), ("secret-w", "ws-1", Some("ws-1")), ("secret-p", "project:p-1/e-prod", None)]
    {
        let accounts = Railway.accounts(&view.with_token(token).session()).await.unwrap();
        assert_eq!((accounts.len(), accounts[0].id.as_str(), accounts[0].team_id.as_deref()), (1, id, team));
    }
    let narrow = View { account: "project:p-1/e-prod".into(), ..view.with_token("secret-p") };
    narrow.wrote(&[("A", Some("1"))]).await;
    assert_eq!(narrow.values().await, shown(&[("A", "1")]));
    let projects = Railway.projects(&narrow.session()).await.unwrap();
    assert_eq!(projects.len(), 3);
    assert!(projects.iter().all(|project| project.environments.as_deref() == Some(&["production".to_owned()])));
    assert!(narrow.of("staging").read().await.is_err());
    let chosen = View { account: "ws-1".into(), team: Some("ws-1".into()), ..view.with_token("secret-w") };
    assert_eq!(chosen.values().await, shown(&[("A", "1")]));
    assert_eq!(Railway.projects(&chosen.session()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn every_page_of_projects_is_read() {
    let (fake, view) = start().await;
    fake.page_by(2);
    for number in 0..7 {
        let id = format!("p-x{number}");
        fake.add_project(&id, &format!("x{number}"), "ws-1");
        for name in ["a", "b", "c", "d", "e"] {
            fake.add_environment(&id, &format!("{id}-{name}"), name, false);
            fake.add_service(&id, &format!("{id}-s{name}"), name, None);
        }
    }
    let projects = Railway.projects(&view.session()).await.unwrap();
    assert_eq!(projects.len(), 3 + 7 * 6);
    let last = projects.iter().find(|project| project.id == "p-x6/p-x6-se").unwrap();
    assert_eq!(last.environments.as_deref().unwrap(), ["a", "b", "c", "d", "e"]);
    let ids: Vec<&str> = projects.iter().map(|project| project.id.as_str()).take(3).collect();
    assert_eq!(ids, ["p-1", "p-1/s-db", "p-1/s-web"]);
    let web = projects.iter().find(|project| project.id == "p-1/s-web").unwrap();
    assert_eq!((web.name.as_str(), web.linked_repo.as_deref()), ("shop / web", Some("acme/shop")));
    // Those of pull requests come and go.
    assert_eq!(web.environments.as_deref().unwrap(), ["production", "staging"]);
}

#[tokio::test]
async fn what_is_there_is_read() {
    let (fake, view) = start().await;
    fake.set_variable("p-1", "e-prod", None, ("HOST", "db.internal"), false);
    fake.set_variable("p-1", "e-prod", Some("s-web"), ("URL", "postgres://${{shared.HOST}}"), false);
    fake.set_variable("p-1", "e-stage", Some("s-web"), ("URL", "other"), false);
    fake.set_variable("p-1", "e-prod", Some("s-db"), ("PASSWORD", "x"), false);
    assert_eq!(view.values().await, shown(&[("URL", "postgres://${{shared.HOST}}")]));
    assert_eq!(view.in_project("p-1").values().await, shown(&[("HOST", "db.internal")]));
    assert_eq!(view.of("staging").values().await, shown(&[("URL", "other")]));
}

#[tokio::test]
async fn references_survive_a_sync() {
    let (fake, view) = start().await;
    fake.set_variable("p-1", "e-prod", None, ("HOST", "db.internal"), false);
    fake.set_variable("p-1", "e-prod", Some("s-web"), ("URL", "postgres://${{shared.HOST}}"), false);
    let read = view.values().await["URL"].clone().unwrap();
    let source = [("URL", read.as_str()), ("NEW", "1")];
    let plan = view.push(&source, &mut Ledger::new(), Deletions::All).await;
    assert_eq!((plan.to_create, plan.to_skip), (vec!["NEW".to_owned()], vec!["URL".to_owned()]));
    let expected = pairs(&[("NEW", "1"), ("URL", "postgres://${{shared.HOST}}")]);
    assert_eq!(fake.values("p-1", "e-prod", Some("s-web")), expected);
}

#[tokio::test]
async fn every_page_of_variables_is_read() {
    let (fake, view) = start().await;
    fake.page_by(10);
    for number in 0..25 {
        fake.set_variable("p-1", "e-prod", Some("s-web"), (&format!("A{number}"), "1"), number == 24);
    }
    let contents = view.read().await.unwrap();
    assert_eq!(contents.variables.len(), 25);
    assert!(contents.variables["A24"].value.is_none() && contents.variables["A24"].marker.is_some());
}

#[tokio::test]
async fn one_environment_is_written_and_no_other() {
    let (fake, view) = start().await;
    for (environment, service) in
        [("e-prod", Some("s-web")), ("e-stage", Some("s-web")), ("e-prod", Some("s-db")), ("e-prod", None)]
    {
        for name in ["CHANGED", "DELETED", "KEPT"] {
            fake.set_variable("p-1", environment, service, (name, "old"), false);
        }
        fake.set_variable("p-1", environment, service, ("SEALED", "old"), true);
    }
    view.wrote(&[("CHANGED", Some("new")), ("FRESH", Some("new")), ("DELETED", None)]).await;
    let expected = [("CHANGED", "new"), ("FRESH", "new"), ("KEPT", "old"), ("SEALED", "old")];
    assert_eq!(fake.values("p-1", "e-prod", Some("s-web")), pairs(&expected));
    let others = pairs(&[("CHANGED", "old"), ("DELETED", "old"), ("KEPT", "old"), ("SEALED", "old")]);
    for (environment, service) in [("e-stage", Some("s-web")), ("e-prod", Some("s-db")), ("e-prod", None)] {
        assert_eq!(fake.values("p-1", environment, service), others, "{environment} {service:?}");
    }
    view.in_project("p-1").wrote(&[("CHANGED", Some("newer")), ("KEPT", None)]).await;
    let expected = pairs(&[("CHANGED", "newer"), ("DELETED", "old"), ("SEALED", "old")]);
    assert_eq!(fake.values("p-1", "e-prod", None), expected);
}

#[tokio::test]
async fn a_run_deploys_once() {
    let (fake, view) = start().await;
    let names: Vec<String> = (0..150).map(|number| format!("KEY_{number}")).collect();
    let source: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
    view.push(&source, &mut Ledger::new(), Deletions::All).await;
    assert_eq!(fake.deploys(), [("e-prod".to_owned(), "s-web".to_owned())]);
    fake.never_deployed();
    view.push(&[("MORE", "1")], &mut Ledger::new(), Deletions::None).await;
    assert_eq!(fake.deploys().len(), 1);
    view.in_project("p-1").push(&[("SHARED", "1")], &mut Ledger::new(), Deletions::None).await;
    assert_eq!(fake.deploys().len(), 3);
}

#[tokio::test]
async fn a_sync_takes_few_calls_and_none_when_nothing_has_changed() {
    let (fake, view) = start().await;
    let names: Vec<String> = (0..100).map(|number| format!("KEY_{number}")).collect();
    let source: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
    let mut ledger = Ledger::new();
    view.push(&source, &mut ledger, Deletions::All).await;
    // The variables and the deploy.
    assert_eq!(mutations(&fake), 2);
    fake.host.forget_requests();
    assert!(view.push(&source, &mut ledger, Deletions::All).await.is_empty());
    assert_eq!(mutations(&fake), 0);
    view.push(&[], &mut ledger, Deletions::All).await;
    assert_eq!((fake.values("p-1", "e-prod", Some("s-web")).len(), mutations(&fake)), (0, 4));
}

#[tokio::test]
async fn write_only_values_have_markers() {
    let (fake, view) = start().await;
    fake.set_variable("p-1", "e-prod", Some("s-web"), ("KEY", "old"), true);
    assert_eq!(view.values().await["KEY"], None);
    let source = [("KEY", "new"), ("OPEN", "1")];
    let mut ledger = Ledger::new();
    view.push(&source, &mut ledger, Deletions::All).await;
    let stored = &fake.variables("p-1")[0];
    assert_eq!((stored.sealed, stored.value.as_str()), (true, "new"));
    fake.host.forget_requests();
    assert!(view.push(&source, &mut ledger, Deletions::All).await.is_empty());
    assert_eq!((mutations(&fake), view.marker("KEY").await), (0, ledger["KEY"].marker.clone()));
    fake.set_variable("p-1", "e-prod", Some("s-web"), ("KEY", "theirs"), true);
    assert_eq!(view.push(&source, &mut ledger, Deletions::All).await.to_update, ["KEY"]);
}

#[tokio::test]
async fn nothing_is_deleted_where_names_are_hidden() {
    let (fake, view) = start().await;
    fake.set_variable("p-1", "e-prod", Some("s-web"), ("OLD", "1"), false);
    fake.hide_marks();
    assert!(view.read().await.unwrap().hides_names);
    view.push(&[("NEW", "2")], &mut Ledger::new(), Deletions::All).await;
    assert_eq!(fake.values("p-1", "e-prod", Some("s-web")), pairs(&[("NEW", "2"), ("OLD", "1")]));
}

#[tokio::test]
async fn a_bad_name_does_not_stop_the_others() {
    let (fake, view) = start().await;
    fake.refuse_name("BAD");
    let said = view.write(&[("A", Some("1")), ("BAD", Some("hunter2")), ("Z", Some("3"))]).await.unwrap();
    assert!(said["A"].is_ok() && said["Z"].is_ok(), "{said:?}");
    let Err(Trouble::Refused(message)) = &said["BAD"] else { panic!("{said:?}") };
    assert!(!message.contains("hunter2"));
    assert_eq!(fake.values("p-1", "e-prod", Some("s-web")), pairs(&[("A", "1"), ("Z", "3")]));
}

#[tokio::test]
async fn throttled() {
    let (fake, view) = start().await;
    let wait = |seconds| Trouble::Wait { platform: NAME, for_: Duration::from_secs(seconds) };
    fake.throttle(1, 31.0, true);
    assert_eq!(view.read().await.unwrap_err(), wait(31));
    fake.throttle(1, 12.0, false);
    assert_eq!(view.read().await.unwrap_err(), wait(12));
    view.wrote(&[("A", Some("1"))]).await;
}

#[tokio::test]
async fn a_grant_for_reading_lists_projects_and_writes_nothing() {
    let (fake, view) = start().await;
    let grant = RailwayReach::Grant {
        user: "user-1".into(),
        workspaces: Vec::new(),
        projects: vec!["p-1".into()],
        writes: false,
    };
    fake.add_token("reads", grant);
    fake.set_variable("p-1", "e-prod", Some("s-web"), ("OLD", "1"), false);
    let reads = view.with_token("reads");
    assert_eq!(Railway.projects(&reads.session()).await.unwrap().len(), 3);
    let said = reads.write(&[("A", Some("1")), ("OLD", None)]).await.unwrap();
    assert!(said.values().all(|result| matches!(result, Err(Trouble::Forbidden(_)))), "{said:?}");
}

#[tokio::test]
async fn an_account_is_connected_by_its_owners_consent() {
    let (fake, view) = start().await;
    let redirect = "http://127.0.0.1:9/callback";
    fake.add_client(OAuthClient::new("client", "secret", redirect));
    fake.consent_as(RailwayReach::Grant {
        user: "user-1".into(),
        workspaces: vec!["ws-1".into()],
        projects: vec!["p-1".into()],
        writes: true,
    });
    let client = Client { id: "client".into(), secret: "secret".into(), slug: None };
    let verifier = SecretString::from("a-verifier-of-at-least-forty-three-characters");
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, disclose(&verifier).as_bytes()));
    let authorization = Authorization { state: "state-1", challenge: &challenge, redirect_uri: redirect };
    let page = Railway.authorize_url(&client, &authorization, &view.egress).unwrap();
    let denied = follow(&page, &fake.host.origin(), "deny").await;
    assert_eq!(parameter(&denied, "error").as_deref(), Some("access_denied"));
    let back = follow(&page, &fake.host.origin(), "allow").await;
    assert_eq!(parameter(&back, "state").as_deref(), Some("state-1"));
    assert_eq!(parameter(&back, "iss"), Railway.issuer(&view.egress));
    let code = |back: &Url| SecretString::from(parameter(back, "code").unwrap());
    let wrong = Railway.exchange(&client, &code(&back), &"another".into(), redirect, &view.egress).await;
    assert_eq!(wrong.unwrap_err(), OAuthError::InvalidGrant);
    let back = follow(&page, &fake.host.origin(), "allow").await;
    let tokens = Railway.exchange(&client, &code(&back), &verifier, redirect, &view.egress).await.unwrap();
    assert_eq!(tokens.lives, Some(jiff::SignedDuration::from_secs(3600)));
    let connected = view.with_token(disclose(&tokens.access));
    assert_eq!(Railway.accounts(&connected.session()).await.unwrap()[0].id, "user-1");
    assert_eq!(Railway.projects(&connected.session()).await.unwrap().len(), 3);
    connected.wrote(&[("A", Some("1"))]).await;
}

#[tokio::test]
async fn refresh_tokens_rotate_and_an_old_one_kills_the_grant() {
    let (fake, view) = start().await;
    let redirect = "http://127.0.0.1:9/callback";
    fake.add_client(OAuthClient::new("client", "secret", redirect));
    fake.consent_as(reach());
    let client = Client { id: "client".into(), secret: "secret".into(), slug: None };
    let verifier = SecretString::from("verifier");
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, b"verifier"));
    let authorization = Authorization { state: "state-1", challenge: &challenge, redirect_uri: redirect };
    let page = Railway.authorize_url(&client, &authorization, &view.egress).unwrap();
    let back = follow(&page, &fake.host.origin(), "allow").await;
    let code = SecretString::from(parameter(&back, "code").unwrap());
    let tokens = Railway.exchange(&client, &code, &verifier, redirect, &view.egress).await.unwrap();
    fake.revoke(disclose(&tokens.access));
    let first = tokens.refresh.unwrap();
    let fresh = Railway.refresh(&client, &first, &view.egress).await.unwrap();
    let second = fresh.refresh.unwrap();
    assert_ne!(disclose(&first), disclose(&second));
    let connected = view.with_token(disclose(&fresh.access));
    connected.read().await.unwrap();
    // A lost answer is not asked for again: that would be a second use.
    fake.host.faults().next_on("token", 1, fakes::Fault::LoseAnswer);
    fake.host.forget_requests();
    assert!(matches!(Railway.refresh(&client, &second, &view.egress).await, Err(OAuthError::Trouble(_))));
    assert_eq!((fake.host.calls("/oauth/token"), fake.grants()), (1, 1));
    assert_eq!(Railway.refresh(&client, &first, &view.egress).await.unwrap_err(), OAuthError::InvalidGrant);
    assert_eq!(fake.grants(), 0);
    assert!(matches!(connected.read().await.unwrap_err(), Trouble::Unauthorized(_)));
}
