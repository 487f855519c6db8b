//! Against the fake: values by context, of which a write touches one.

use std::time::Duration;

use fakes::platforms::OAuthClient;
use fakes::platforms::netlify::{Netlify as Fake, NetlifyToken, NetlifyVariable as Fixed};

use super::*;
use crate::model::plan::{Deletions, Ledger};
use crate::providers::conformance::{READER, Row};
use crate::providers::testing::{NOW, View, follow, pairs, parameter, shown, writes};

fn reach() -> NetlifyToken {
    NetlifyToken { user: "user-1".into(), accounts: vec!["acc-1".into()], read_only: false }
}

/// An account's site, and a connection to its production.
async fn start() -> (Fake, View) {
    let fake = Fake::start().await.unwrap();
    fake.set_clock(NOW);
    fake.add_account("acc-1", "Acme", false);
    fake.add_token("token", reach());
    fake.add_site("site-1", "shop", "acc-1", Some("acme/shop"));
    let endpoints = [("NETLIFY", fake.host.origin()), ("NETLIFY_WEB", fake.web.origin())];
    let view = View::new(&Netlify, &endpoints, "token", ("acc-1", None), "site-1", "production");
    (fake, view)
}

/// What the platform promises as every other does.
pub(in crate::providers) async fn row() -> Row {
    let (fake, view) = start().await;
    fake.add_token(READER, NetlifyToken { read_only: true, ..reach() });
    let (host, [sets, there, revokes]) = (fake.host.clone(), [(); 3].map(|()| fake.clone()));
    Row {
        view,
        host,
        set: Box::new(move |name, value| sets.add_variable("site-1", Fixed::of(name, &[("production", value)]))),
        values: Box::new(move || there.values("site-1", "production")),
        revoke: Box::new(move || revokes.revoke("token")),
        unknown_projects: &["site-9", "../sites", ""],
        unknown_environments: (&["staging", "all", "branch:", "branch"], &["production, deploy-preview"]),
        reserved: (Some("NETLIFY_TOKEN"), Some("NETLIFY")),
        ordinary: "NETLIFYING",
    }
}

#[tokio::test]
async fn a_token_is_of_its_accounts() {
    let (fake, view) = start().await;
    fake.add_account("acc-2", "Beta", true);
    fake.add_account("acc-3", "Gamma", true);
    fake.add_token("wide", NetlifyToken { accounts: vec!["acc-1".into(), "acc-2".into()], ..reach() });
    let accounts = Netlify.accounts(&view.with_token("wide").session()).await.unwrap();
    let ids: Vec<(&str, &str)> = accounts.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect();
    assert_eq!(ids, [("acc-1", "Acme"), ("acc-2", "Beta")]);
    let chosen = View { team: Some("acc-2".into()), ..view.with_token("wide") };
    let accounts = Netlify.accounts(&chosen.session()).await.unwrap();
    assert_eq!((accounts.len(), accounts[0].id.as_str()), (1, "acc-2"));
}

#[tokio::test]
async fn every_page_of_projects_is_read() {
    let (fake, view) = start().await;
    fake.page_by(20);
    fake.add_account("acc-2", "Beta", true);
    fake.add_token("token", NetlifyToken { accounts: vec!["acc-1".into(), "acc-2".into()], ..reach() });
    for number in 0..45 {
        fake.add_site(&format!("site-x{number}"), &format!("x{number:02}"), "acc-1", None);
        fake.add_site(&format!("site-y{number}"), &format!("y{number:02}"), "acc-2", None);
    }
    let projects = Netlify.projects(&view.session()).await.unwrap();
    assert_eq!(projects.len(), 46);
    let shop = projects.iter().find(|project| project.id == "site-1").unwrap();
    assert_eq!(shop.linked_repo.as_deref(), Some("acme/shop"));
}

#[tokio::test]
async fn what_is_there_is_read() {
    let (fake, view) = start().await;
    fake.add_variable("site-1", Fixed::of("ALL", &[("all", "1")]));
    fake.add_variable("site-1", Fixed::of("EACH", &[("production", "2"), ("dev", "3"), ("branch:topic", "4")]));
    fake.add_variable("site-1", Fixed::of("OTHER", &[("deploy-preview", "5")]));
    assert_eq!(view.values().await, shown(&[("ALL", "1"), ("EACH", "2")]));
    assert_eq!(view.of("dev").values().await, shown(&[("ALL", "1"), ("EACH", "3")]));
    assert_eq!(view.of("branch:topic").values().await, shown(&[("ALL", "1"), ("EACH", "4")]));
    assert_eq!(view.of("branch:other").values().await, shown(&[("ALL", "1")]));
    assert_eq!(Netlify.environment("preview"), "deploy-preview");
    assert_eq!(Netlify.environment("development"), "dev");
    assert_eq!(view.of("preview").values().await, shown(&[("ALL", "1"), ("OTHER", "5")]));
}

#[tokio::test]
async fn one_environment_is_written_and_no_other() {
    let (fake, view) = start().await;
    let each = [("production", "old"), ("deploy-preview", "old"), ("dev", "old"), ("branch:topic", "old")];
    for name in ["CHANGED", "DELETED", "KEPT"] {
        fake.add_variable("site-1", Fixed::of(name, &each));
    }
    fake.add_variable("site-1", Fixed::of("ELSEWHERE", &[("dev", "old")]));
    fake.add_variable("site-1", Fixed::of("ALONE", &[("production", "old")]));
    view.wrote(&[
        ("CHANGED", Some("new")),
        ("ELSEWHERE", Some("new")),
        ("FRESH", Some("new")),
        ("ALONE", None),
        ("DELETED", None),
    ])
    .await;
    let production = [("CHANGED", "new"), ("ELSEWHERE", "new"), ("FRESH", "new"), ("KEPT", "old")];
    assert_eq!(fake.values("site-1", "production"), pairs(&production));
    let others = [("CHANGED", "old"), ("DELETED", "old"), ("KEPT", "old")];
    assert_eq!(fake.values("site-1", "deploy-preview"), pairs(&others));
    assert_eq!(fake.values("site-1", "branch:topic"), pairs(&others));
    let dev = [("CHANGED", "old"), ("DELETED", "old"), ("ELSEWHERE", "old"), ("KEPT", "old")];
    assert_eq!(fake.values("site-1", "dev"), pairs(&dev));
    assert_eq!(fake.values("site-1", "branch-deploy"), pairs(&[]));
    assert!(fake.variables("site-1").iter().all(|variable| variable.key != "ALONE"));
    assert!(fake.host.requests().iter().all(|request| request.method != "PUT"));
    view.of("branch:topic").wrote(&[("FRESH", Some("branch")), ("KEPT", None)]).await;
    assert_eq!(
        fake.values("site-1", "branch:topic"),
        pairs(&[("CHANGED", "old"), ("DELETED", "old"), ("FRESH", "branch")])
    );
    assert_eq!(fake.values("site-1", "production"), pairs(&production));
}

#[tokio::test]
async fn a_value_for_all_contexts_is_split_and_never_widened() {
    let (fake, view) = start().await;
    for name in ["CHANGED", "DELETED", "SAME"] {
        fake.add_variable("site-1", Fixed::of(name, &[("all", "old")]));
    }
    let narrow = Fixed { scopes: vec!["builds".into()], ..Fixed::of("SCOPED", &[("all", "old")]) };
    fake.add_account("acc-2", "Beta", true);
    fake.add_token("token", NetlifyToken { accounts: vec!["acc-1".into(), "acc-2".into()], ..reach() });
    fake.add_site("site-2", "pro", "acc-2", None);
    fake.add_variable("site-2", narrow);
    view.wrote(&[("CHANGED", Some("new")), ("DELETED", None)]).await;
    assert_eq!(fake.values("site-1", "production"), pairs(&[("CHANGED", "new"), ("SAME", "old")]));
    for other in ["deploy-preview", "branch-deploy", "dev", "dev-server"] {
        let expected = pairs(&[("CHANGED", "old"), ("DELETED", "old"), ("SAME", "old")]);
        assert_eq!(fake.values("site-1", other), expected, "{other}");
    }
    let pro = View { account: "acc-2".into(), ..view.in_project("site-2") };
    pro.wrote(&[("SCOPED", Some("new"))]).await;
    assert_eq!(fake.variables("site-2")[0].scopes, ["builds"]);
    assert_eq!(fake.values("site-2", "dev"), pairs(&[("SCOPED", "old")]));
}

#[tokio::test]
async fn what_would_touch_another_context_is_refused() {
    let (fake, view) = start().await;
    fake.add_variable("site-1", Fixed::secret("SECRET", &[("all", "old")]));
    fake.add_variable("site-1", Fixed::of("BOTH", &[("all", "old"), ("production", "hidden")]));
    let before = fake.variables("site-1");
    for value in [Some("new"), None] {
        let said = view.write(&[("SECRET", value), ("BOTH", value)]).await.unwrap();
        assert!(said.values().all(|result| matches!(result, Err(Trouble::Refused(_)))), "{said:?}");
    }
    assert_eq!((fake.variables("site-1"), writes(&fake.host)), (before, 0));
}

#[tokio::test]
async fn a_sync_takes_few_calls_and_none_when_nothing_has_changed() {
    let (fake, view) = start().await;
    let names: Vec<String> = (0..100).map(|number| format!("KEY_{number}")).collect();
    let source: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
    let mut ledger = Ledger::new();
    view.push(&source, &mut ledger, Deletions::All).await;
    assert_eq!((fake.values("site-1", "production").len(), writes(&fake.host)), (100, 1));
    fake.host.forget_requests();
    assert!(view.push(&source, &mut ledger, Deletions::All).await.is_empty());
    assert_eq!(writes(&fake.host), 0);
    view.push(&[("KEY_0", "other")], &mut ledger, Deletions::Managed).await;
    assert_eq!(fake.values("site-1", "production"), pairs(&[("KEY_0", "other")]));
}

#[tokio::test]
async fn write_only_values_have_markers() {
    let (fake, view) = start().await;
    fake.add_variable("site-1", Fixed::secret("KEY", &[("production", "old"), ("dev", "open")]));
    assert_eq!(view.values().await["KEY"], None);
    assert_eq!(view.of("dev").values().await, shown(&[("KEY", "open")]));
    let source = [("KEY", "new")];
    let mut ledger = Ledger::new();
    view.push(&source, &mut ledger, Deletions::All).await;
    let stored = &fake.variables("site-1")[0];
    assert_eq!(
        (stored.is_secret, stored.values[0].value.as_str(), stored.values[1].value.as_str()),
        (true, "new", "open")
    );
    fake.host.forget_requests();
    assert!(view.push(&source, &mut ledger, Deletions::All).await.is_empty());
    assert_eq!(writes(&fake.host), 0);
    assert_eq!(view.marker("KEY").await, ledger["KEY"].marker);
    view.of("dev").wrote(&[("KEY", Some("theirs"))]).await;
    assert_eq!(view.push(&source, &mut ledger, Deletions::All).await.to_update, ["KEY"]);
}

#[tokio::test]
async fn a_bad_name_does_not_stop_the_others() {
    let (fake, view) = start().await;
    let said = view.write(&[("A", Some("1")), ("_BAD", Some("secret-value")), ("Z", Some("3"))]).await.unwrap();
    assert!(said["A"].is_ok() && said["Z"].is_ok(), "{said:?}");
    let Err(Trouble::Refused(message)) = &said["_BAD"] else { panic!("{said:?}") };
    assert!(!message.contains("secret-value"));
    assert_eq!(fake.values("site-1", "production"), pairs(&[("A", "1"), ("Z", "3")]));
    assert!(Netlify.objection("DEPLOY_URL", &"x".into()).is_some() && Netlify.objection("A", &"x".into()).is_none());
}

#[tokio::test]
async fn throttled() {
    let (fake, view) = start().await;
    let wait = |seconds| Trouble::Wait { platform: NAME, for_: Duration::from_secs(seconds) };
    fake.throttle("POST", 1, 23);
    assert_eq!(view.write(&[("A", Some("1"))]).await.unwrap_err(), wait(23));
    fake.throttle("GET", 1, -5);
    assert_eq!(view.read().await.unwrap_err(), wait(1));
    let names = ["B", "C", "D", "E", "F", "G"];
    for name in names {
        fake.add_variable("site-1", Fixed::of(name, &[("production", "1")]));
    }
    fake.throttle("PATCH", 9, 5);
    let changes: Vec<(&str, Option<&str>)> = ["A"].iter().chain(&names).map(|name| (*name, Some("2"))).collect();
    let said = view.write(&changes).await.unwrap();
    assert!(said["A"].is_ok() && names.iter().all(|name| said[*name] == Err(wait(5))), "{said:?}");
    // Those that were under way, and no more.
    assert_eq!(fake.host.requests().iter().filter(|request| request.method == "PATCH").count(), AT_ONCE);
}

#[tokio::test]
async fn an_account_is_connected_by_its_owners_consent() {
    let (fake, view) = start().await;
    let redirect = "http://127.0.0.1:9/callback";
    fake.add_client(OAuthClient::new("client", "secret", redirect));
    fake.consent_as(reach());
    let client = Client { id: "client".into(), secret: "secret".into(), slug: None };
    let authorization = Authorization { state: "state-1", challenge: "unused", redirect_uri: redirect };
    let page = Netlify.authorize_url(&client, &authorization, &view.egress).unwrap();
    let denied = follow(&page, &fake.web.origin(), "deny").await;
    assert_eq!(parameter(&denied, "error").as_deref(), Some("access_denied"));
    let back = follow(&page, &fake.web.origin(), "allow").await;
    assert_eq!(parameter(&back, "state").as_deref(), Some("state-1"));
    let code = SecretString::from(parameter(&back, "code").unwrap());
    let exchange = || Netlify.exchange(&client, &code, &client.secret, redirect, &view.egress);
    let tokens = exchange().await.unwrap();
    assert_eq!(exchange().await.unwrap_err(), OAuthError::InvalidGrant);
    assert!(tokens.lives.is_none() && tokens.team_id.is_none());
    let connected = view.with_token(disclose(&tokens.access));
    assert_eq!(Netlify.accounts(&connected.session()).await.unwrap()[0].id, "acc-1");
    let refresh = tokens.refresh.unwrap();
    let fresh = Netlify.refresh(&client, &refresh, &view.egress).await.unwrap();
    view.with_token(disclose(&fresh.access)).wrote(&[("A", Some("1"))]).await;
    let unknown = Netlify.refresh(&client, &"unknown".into(), &view.egress).await;
    assert_eq!(unknown.unwrap_err(), OAuthError::InvalidGrant);
    let wrong = Client { secret: "wrong".into(), ..client.clone() };
    let refused = Netlify.refresh(&wrong, &refresh, &view.egress).await;
    assert_eq!(refused.unwrap_err(), OAuthError::InvalidClient);
}
