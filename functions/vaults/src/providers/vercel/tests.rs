//! Against the fake: records of several environments, hidden names and values that are not given back.

use std::time::Duration;

use fakes::platforms::OAuthClient;
use fakes::platforms::vercel::{Vercel as Fake, VercelList, VercelRecord as Fixed, VercelToken};

use super::*;
use crate::model::plan::{Deletions, Ledger};
use crate::providers::conformance::{READER, Row};
use crate::providers::testing::{NOW, View, follow, pairs, parameter, shown, writes};

/// A team's project with a value of each kind, and a connection to its production.
async fn start() -> (Fake, View) {
    let fake = Fake::start().await.unwrap();
    fake.set_clock(NOW);
    fake.add_team("team_a", "Acme");
    let reach = VercelToken { user: "user_1".into(), teams: vec!["team_a".into()], ..VercelToken::default() };
    fake.add_token("token", reach);
    fake.add_project("prj_1", "shop", "team_a");
    fake.add_environment("prj_1", "custom_1", "staging");
    let endpoints = [("VERCEL", fake.host.origin()), ("VERCEL_WEB", fake.web.origin())];
    let view = View::new(&Vercel, &endpoints, "token", ("team_a", Some("team_a")), "prj_1", "production");
    (fake, view)
}

/// What the platform promises as every other does.
pub(in crate::providers) async fn row() -> Row {
    let (fake, view) = start().await;
    let reach = VercelToken { user: "user_1".into(), teams: vec!["team_a".into()], ..VercelToken::default() };
    let reads = VercelToken { read_only: true, ..reach };
    fake.add_token(READER, reads);
    let (host, [sets, there, revokes]) = (fake.host.clone(), [(); 3].map(|()| fake.clone()));
    Row {
        view,
        host,
        set: Box::new(move |name, value| drop(sets.add_record("prj_1", Fixed::of(name, value, &["production"])))),
        values: Box::new(move || there.values("prj_1", "production")),
        revoke: Box::new(move || revokes.revoke("token")),
        unknown_projects: &["prj_9", "../v2/user", "..", ""],
        unknown_environments: (&["qa"], &["production, preview, development, staging"]),
        reserved: (Some("VERCEL_URL"), Some("VERCEL_ENV")),
        ordinary: "VERCELLI",
    }
}

#[tokio::test]
async fn a_token_is_of_its_accounts() {
    let (fake, view) = start().await;
    fake.add_team("team_b", "Beta");
    let reach = VercelToken { user: "user_1".into(), ..VercelToken::default() };
    fake.add_token("wide", VercelToken { teams: vec!["team_a".into(), "team_b".into()], ..reach.clone() });
    fake.add_token("narrow", VercelToken { teams: vec!["team_a".into()], project: Some("prj_1".into()), ..reach });
    let all = View { team: None, ..view.with_token("wide") };
    let accounts = Vercel.accounts(&all.session()).await.unwrap();
    let ids: Vec<(&str, Option<&str>)> =
        accounts.iter().map(|account| (account.id.as_str(), account.team_id.as_deref())).collect();
    assert_eq!(ids, [("user_1", None), ("team_a", Some("team_a")), ("team_b", Some("team_b"))]);
    let chosen = Vercel.accounts(&view.session()).await.unwrap();
    assert_eq!((chosen.len(), chosen[0].id.as_str(), chosen[0].name.as_str()), (1, "team_a", "Acme"));
    let narrow = View { team: None, ..view.with_token("narrow") };
    let accounts = Vercel.accounts(&narrow.session()).await.unwrap();
    assert_eq!((accounts.len(), accounts[0].team_id.as_deref()), (1, Some("team_a")));
}

#[tokio::test]
async fn every_page_of_projects_is_read() {
    let (fake, view) = start().await;
    for number in 0..45 {
        fake.add_project(&format!("prj_x{number}"), &format!("x{number:02}"), "team_a");
    }
    fake.add_project("prj_other", "other", "user_1");
    let link = json!({ "type": "github", "org": "acme", "repo": "shop", "repoId": 1 });
    fake.describe_project("prj_1", Some("nextjs"), Some(link));
    let projects = Vercel.projects(&view.session()).await.unwrap();
    assert_eq!(projects.len(), 46);
    let shop = projects.iter().find(|project| project.id == "prj_1").unwrap();
    assert_eq!((shop.linked_repo.as_deref(), shop.framework.as_deref()), (Some("acme/shop"), Some("nextjs")));
    assert_eq!(shop.environments.as_deref().unwrap(), ["production", "preview", "development", "staging"]);
}

#[tokio::test]
async fn what_is_there_is_read() {
    let (fake, view) = start().await;
    fake.add_record("prj_1", Fixed::of("A", "1", &["production", "preview"]));
    fake.add_record("prj_1", Fixed { kind: "plain".into(), ..Fixed::of("B", "2", &["production"]) });
    fake.add_record("prj_1", Fixed::of("C", "3", &["development"]));
    fake.add_record("prj_1", Fixed { custom: vec!["custom_1".into()], ..Fixed::of("D", "4", &[]) });
    fake.add_record("prj_1", Fixed { git_branch: Some("topic".into()), ..Fixed::of("A", "branch", &["preview"]) });
    assert_eq!(view.values().await, shown(&[("A", "1"), ("B", "2")]));
    assert_eq!(view.of("preview").values().await, shown(&[("A", "1")]));
    assert_eq!(view.of("development").values().await, shown(&[("C", "3")]));
    assert_eq!(view.of("staging").values().await, shown(&[("D", "4")]));
    fake.never_decrypt_lists();
    assert_eq!(view.values().await, shown(&[("A", "1"), ("B", "2")]));
    for request in fake.host.requests() {
        assert!(request.query.unwrap_or_default().contains("teamId=team_a"), "{}", request.path);
    }
}

#[tokio::test]
async fn every_page_of_variables_is_read() {
    let (fake, view) = start().await;
    for number in 0..25 {
        fake.add_record("prj_1", Fixed::of(&format!("A{number}"), "1", &["production"]));
    }
    for form in [VercelList::Bare, VercelList::Naked, VercelList::Paged(10), VercelList::Hiding(0)] {
        fake.list_as(form);
        let contents = view.read().await.unwrap();
        assert_eq!((contents.variables.len(), contents.hides_names), (25, false), "{form:?}");
    }
}

#[tokio::test]
async fn nothing_is_deleted_where_names_are_hidden() {
    let (fake, view) = start().await;
    fake.add_record("prj_1", Fixed::of("OLD", "1", &["production"]));
    fake.list_as(VercelList::Hiding(3));
    assert!(view.read().await.unwrap().hides_names);
    view.push(&[("NEW", "2")], &mut Ledger::new(), Deletions::All).await;
    assert_eq!(fake.values("prj_1", "production"), pairs(&[("NEW", "2"), ("OLD", "1")]));
}

#[tokio::test]
async fn one_environment_is_written_and_no_other() {
    let (fake, view) = start().await;
    let everywhere = ["production", "preview", "development"];
    for name in ["CHANGED", "DELETED", "KEPT"] {
        fake.add_record("prj_1", Fixed::of(name, "old", &everywhere));
    }
    let both = Fixed { custom: vec!["custom_1".into()], ..Fixed::of("CUSTOM", "old", &["production"]) };
    fake.add_record("prj_1", both);
    fake.add_record("prj_1", Fixed { comment: Some("why".into()), ..Fixed::of("ALONE", "old", &["production"]) });
    fake.add_record("prj_1", Fixed::of("GONE", "old", &["production"]));
    view.wrote(&[
        ("CHANGED", Some("new")),
        ("CUSTOM", Some("new")),
        ("ALONE", Some("new")),
        ("FRESH", Some("new")),
        ("DELETED", None),
        ("GONE", None),
    ])
    .await;
    let production = [("ALONE", "new"), ("CHANGED", "new"), ("CUSTOM", "new"), ("FRESH", "new"), ("KEPT", "old")];
    assert_eq!(fake.values("prj_1", "production"), pairs(&production));
    for other in ["preview", "development"] {
        let expected = pairs(&[("CHANGED", "old"), ("DELETED", "old"), ("KEPT", "old")]);
        assert_eq!(fake.values("prj_1", other), expected, "{other}");
    }
    assert_eq!(fake.values("prj_1", "custom_1"), pairs(&[("CUSTOM", "old")]));
    let records = fake.records("prj_1");
    let alone = records.iter().find(|record| record.key == "ALONE").unwrap();
    assert_eq!(alone.comment.as_deref(), Some("why"));
    view.of("staging").wrote(&[("CUSTOM", Some("newer")), ("STAGED", Some("1"))]).await;
    assert_eq!(fake.values("prj_1", "custom_1"), pairs(&[("CUSTOM", "newer"), ("STAGED", "1")]));
    assert_eq!(fake.values("prj_1", "production"), pairs(&production));
}

#[tokio::test]
async fn a_custom_environment_is_parted_from_the_targets_that_it_shares_a_record_with() {
    let (fake, view) = start().await;
    for name in ["CHANGED", "DELETED"] {
        let both = Fixed { custom: vec!["custom_1".into()], ..Fixed::of(name, "old", &["production"]) };
        fake.add_record("prj_1", both);
    }
    view.of("staging").wrote(&[("CHANGED", Some("new")), ("DELETED", None)]).await;
    assert_eq!(fake.values("prj_1", "custom_1"), pairs(&[("CHANGED", "new")]));
    assert_eq!(fake.values("prj_1", "production"), pairs(&[("CHANGED", "old"), ("DELETED", "old")]));
}

#[tokio::test]
async fn a_refused_successor_leaves_the_shared_record_as_it_was() {
    let (fake, view) = start().await;
    fake.add_record("prj_1", Fixed::of("A", "old", &["production", "preview"]));
    fake.refuse_name("A", "SOME_CODE");
    let before: Vec<_> = fake.records("prj_1").into_iter().map(|one| (one.value, one.target.len())).collect();
    let said = view.write(&[("A", Some("new-value")), ("B", Some("2"))]).await.unwrap();
    let Err(Trouble::Refused(message)) = &said["A"] else { panic!("{said:?}") };
    assert!(message.contains("SOME_CODE") && !message.contains("new-value"), "{message}");
    assert!(said["B"].is_ok());
    let after: Vec<_> = fake.records("prj_1").into_iter().map(|one| (one.value, one.target.len())).take(1).collect();
    assert_eq!(after, before);
    fake.throttle("POST", 1, 7, false);
    let trouble = view.write(&[("A", Some("new-value"))]).await.unwrap_err();
    assert_eq!(trouble, Trouble::Wait { platform: NAME, for_: Duration::from_secs(7) });
    assert_eq!(fake.values("prj_1", "production"), pairs(&[("A", "old"), ("B", "2")]));
}

#[tokio::test]
async fn a_lost_answer_is_made_good_by_the_next_run() {
    let (fake, view) = start().await;
    let source = [("A", "new"), ("B", "1")];
    // First that the shared record was taken off, then that the new ones were made.
    for lost in ["/v9/projects/", "/v10/projects/"] {
        fake.add_record("prj_1", Fixed::of("A", "old", &["production", "preview"]));
        let contents = view.read().await.unwrap();
        fake.host.faults().next_on(lost, 1, fakes::Fault::LoseAnswer);
        let changes = [("A", Some("new")), ("B", Some("1"))];
        let said = view.write_after(&contents, &changes).await.unwrap();
        assert!(matches!(said["A"], Err(Trouble::Down(_))), "{said:?}");
        view.push(&source, &mut Ledger::new(), Deletions::None).await;
        assert_eq!(fake.values("prj_1", "production"), pairs(&source));
        assert_eq!(fake.values("prj_1", "preview"), pairs(&[("A", "old")]));
        view.push(&[], &mut Ledger::new(), Deletions::All).await;
        view.of("preview").push(&[], &mut Ledger::new(), Deletions::All).await;
        assert_eq!(fake.records("prj_1").len(), 0);
    }
}

#[tokio::test]
async fn records_of_a_branch_are_left_alone() {
    let (fake, view) = start().await;
    fake.add_record("prj_1", Fixed { git_branch: Some("topic".into()), ..Fixed::of("A", "branch", &["preview"]) });
    let preview = view.of("preview");
    preview.push(&[("A", "1")], &mut Ledger::new(), Deletions::All).await;
    preview.push(&[], &mut Ledger::new(), Deletions::All).await;
    let records = fake.records("prj_1");
    assert_eq!((records.len(), records[0].value.as_str()), (1, "branch"));
}

#[tokio::test]
async fn a_sync_takes_few_calls_and_none_when_nothing_has_changed() {
    let (fake, view) = start().await;
    let names: Vec<String> = (0..100).map(|number| format!("KEY_{number}")).collect();
    let source: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
    let mut ledger = Ledger::new();
    view.push(&source, &mut ledger, Deletions::All).await;
    assert_eq!(fake.values("prj_1", "production").len(), 100);
    assert!(writes(&fake.host) <= 5, "{}", writes(&fake.host));
    fake.host.forget_requests();
    assert!(view.push(&source, &mut ledger, Deletions::All).await.is_empty());
    assert_eq!(writes(&fake.host), 0);
    let changed: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "other")).collect();
    view.push(&changed, &mut ledger, Deletions::All).await;
    assert!(writes(&fake.host) <= 5, "{}", writes(&fake.host));
    fake.host.forget_requests();
    view.push(&[], &mut ledger, Deletions::All).await;
    assert_eq!(fake.records("prj_1").len(), 0);
    assert!(writes(&fake.host) <= 5, "{}", writes(&fake.host));
}

#[tokio::test]
async fn write_only_values_have_markers() {
    let (fake, view) = start().await;
    fake.add_record("prj_1", Fixed::sensitive("ALONE", "old", &["production"]));
    fake.add_record("prj_1", Fixed::sensitive("SHARED", "old", &["production", "preview"]));
    let newer = Fixed { visibility: Some("secret".into()), ..Fixed::of("NEWER", "old", &["production"]) };
    let id = fake.add_record("prj_1", newer);
    let hidden: Vec<Option<String>> = view.values().await.into_values().collect();
    assert_eq!(hidden, [None, None, None]);
    let source = [("ALONE", "new"), ("SHARED", "new"), ("NEWER", "new")];
    let mut ledger = Ledger::new();
    view.push(&source, &mut ledger, Deletions::All).await;
    for record in fake.records("prj_1") {
        let expected = if record.target == ["preview"] { "old" } else { "new" };
        assert_eq!(record.value, expected, "{record:?}");
        assert_eq!(record.kind == "sensitive", record.key != "NEWER", "{record:?}");
    }
    fake.host.forget_requests();
    assert!(view.push(&source, &mut ledger, Deletions::All).await.is_empty());
    assert_eq!(writes(&fake.host), 0);
    assert_eq!(view.marker("NEWER").await, ledger["NEWER"].marker);
    fake.edit("prj_1", &id, "theirs");
    assert_eq!(view.push(&source, &mut ledger, Deletions::All).await.to_update, ["NEWER"]);
}

#[tokio::test]
async fn a_bad_name_does_not_stop_the_others() {
    let (fake, view) = start().await;
    fake.refuse_name("TOLD", "ENV_CONFLICT");
    fake.add_record("prj_1", Fixed::of("TAKEN", "theirs", &["production", "preview"]));
    let before = view.read().await.unwrap();
    let mut stale = before;
    stale.variables.clear();
    let changes =
        [("A", Some("1")), ("not-a-name", Some("2")), ("TOLD", Some("3")), ("TAKEN", Some("4")), ("Z", Some("5"))];
    let said = view.write_after(&stale, &changes).await.unwrap();
    for (name, result) in &said {
        let expected = ["A", "Z"].contains(&name.as_str());
        assert_eq!(result.is_ok(), expected, "{name}: {result:?}");
        assert!(!format!("{result:?}").contains("theirs"));
    }
    assert_eq!(fake.values("prj_1", "production"), pairs(&[("A", "1"), ("TAKEN", "theirs"), ("Z", "5")]));
    assert_eq!(fake.values("prj_1", "preview"), pairs(&[("TAKEN", "theirs")]));
}

#[tokio::test]
async fn throttled() {
    let (fake, view) = start().await;
    let wait = |seconds| Trouble::Wait { platform: NAME, for_: Duration::from_secs(seconds) };
    fake.throttle("POST", 1, 42, true);
    assert_eq!(view.write(&[("A", Some("1"))]).await.unwrap_err(), wait(42));
    fake.throttle("POST", 1, 17, false);
    assert_eq!(view.write(&[("A", Some("1"))]).await.unwrap_err(), wait(17));
    fake.throttle("POST", 1, -30, false);
    assert_eq!(view.write(&[("A", Some("1"))]).await.unwrap_err(), wait(1));
    fake.add_record("prj_1", Fixed::of("OLD", "1", &["production"]));
    fake.throttle("POST", 1, 5, true);
    let said = view.write(&[("A", Some("1")), ("OLD", None)]).await.unwrap();
    assert_eq!((&said["A"], &said["OLD"]), (&Err(wait(5)), &Ok(None)));
    view.wrote(&[("A", Some("1"))]).await;
}

#[tokio::test]
async fn a_token_that_does_not_reach_the_team_is_told() {
    let (fake, view) = start().await;
    fake.add_token("elsewhere", VercelToken { user: "user_1".into(), ..VercelToken::default() });
    assert!(matches!(view.with_token("elsewhere").read().await.unwrap_err(), Trouble::Forbidden(_)));
}

#[tokio::test]
async fn what_the_system_sets_is_left_alone() {
    let (fake, view) = start().await;
    fake.add_record("prj_1", Fixed::of("VERCEL_URL", "x", &["production"]));
    fake.add_record("prj_1", Fixed { kind: "system".into(), ..Fixed::of("SYSTEM", "x", &["production"]) });
    assert!(Vercel.reserves("VERCEL_ENV") && Vercel.reserves("vercel") && !Vercel.reserves("VERCELLI"));
    view.push(&[("VERCEL_ENV", "1")], &mut Ledger::new(), Deletions::All).await;
    assert_eq!(fake.values("prj_1", "production"), pairs(&[("SYSTEM", "x"), ("VERCEL_URL", "x")]));
}

#[tokio::test]
async fn an_account_is_connected_by_its_owners_consent() {
    let (fake, view) = start().await;
    let redirect = "http://127.0.0.1:9/callback";
    fake.add_client(OAuthClient { slug: "causeway".into(), ..OAuthClient::new("client", "secret", redirect) });
    fake.consent_as("user_1", Some("team_a"));
    let client = Client { id: "client".into(), secret: "secret".into(), slug: Some("causeway".into()) };
    let authorization = Authorization { state: "state-1", challenge: "unused", redirect_uri: redirect };
    let page = Vercel.authorize_url(&client, &authorization, &view.egress).unwrap();
    let back = follow(&page, &fake.web.origin(), "allow").await;
    assert_eq!(parameter(&back, "state").as_deref(), Some("state-1"));
    let code = SecretString::from(parameter(&back, "code").unwrap());
    let exchange = |client: &Client, code: &SecretString| {
        let (client, code, egress) = (client.clone(), code.clone(), view.egress.clone());
        async move { Vercel.exchange(&client, &code, &"unused".into(), redirect, &egress).await }
    };
    let wrong = Client { secret: "wrong".into(), ..client.clone() };
    assert_eq!(exchange(&wrong, &code).await.unwrap_err(), OAuthError::InvalidClient);
    let tokens = exchange(&client, &code).await.unwrap();
    assert_eq!((tokens.team_id.as_deref(), tokens.user_id.as_deref()), (Some("team_a"), Some("user_1")));
    assert!(tokens.refresh.is_none() && tokens.lives.is_none());
    assert_eq!(exchange(&client, &code).await.unwrap_err(), OAuthError::InvalidGrant);
    let connected = view.with_token(disclose(&tokens.access));
    assert_eq!(Vercel.accounts(&connected.session()).await.unwrap()[0].id, "team_a");
    connected.wrote(&[("A", Some("1"))]).await;
    // Vercel would delete what was pushed with the installation, so it is not asked to.
    let asked = fake.host.requests().len();
    assert!(!Vercel.revoke(&client, &tokens, &view.egress).await.unwrap());
    assert_eq!((fake.host.requests().len(), fake.installations().len()), (asked, 1));
    assert_eq!(fake.values("prj_1", "production"), pairs(&[("A", "1")]));
    fake.uninstall(&fake.installations()[0]);
    assert_eq!((fake.knows(disclose(&tokens.access)), fake.values("prj_1", "production")), (false, pairs(&[])));
    let nameless = Client { slug: None, ..client };
    assert!(Vercel.authorize_url(&nameless, &authorization, &view.egress).is_err());
}
