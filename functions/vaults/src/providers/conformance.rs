//! What every platform promises alike, shown on each of the nine. What is special to one is in its own file's tests.

use std::time::Duration;

use fakes::{Answer, Fault, Host};

use super::testing::View;
use super::{Change, Trouble, cloudflare, fly, github, heroku, netlify, railway, render, supabase, vercel};
use crate::model::plan::{Deletions, Ledger};

/// A token of the row's account that may not write.
pub(super) const READER: &str = "reads";

/// Sets a name to a value.
type Setting = Box<dyn Fn(&str, &str)>;

/// One platform: its fake, with a connection to one environment of a project that is empty.
pub(super) struct Row {
    /// The connection's view of the environment.
    pub(super) view: View,
    /// Where it is asked.
    pub(super) host: Host,
    /// Sets a variable as somebody else does.
    pub(super) set: Setting,
    /// What is there, its values included.
    pub(super) values: Box<dyn Fn() -> Vec<(String, String)>>,
    /// Takes the connection's token away.
    pub(super) revoke: Box<dyn Fn()>,
    /// Projects that are not there.
    pub(super) unknown_projects: &'static [&'static str],
    /// Environments that are not there, and what the answer names instead.
    pub(super) unknown_environments: (&'static [&'static str], &'static [&'static str]),
    /// Of the names that the platform reserves, if it does, one that may be there and one that a vault may have.
    pub(super) reserved: (Option<&'static str>, Option<&'static str>),
    /// A name that looks like the platform's own and is an ordinary one.
    pub(super) ordinary: &'static str,
}

async fn rows() -> Vec<Row> {
    vec![
        vercel::row().await,
        railway::row().await,
        netlify::row().await,
        fly::row().await,
        cloudflare::row().await,
        github::row().await,
        render::row().await,
        heroku::row().await,
        supabase::row().await,
    ]
}

impl Row {
    fn name(&self) -> &'static str {
        self.view.provider.entry().name
    }
}

#[tokio::test]
async fn every_platform_has_a_row() {
    let rows: Vec<&str> = rows().await.iter().map(Row::name).collect();
    let all: Vec<&str> = super::all().iter().map(|provider| provider.entry().name).collect();
    assert_eq!(rows, all);
}

#[tokio::test]
async fn what_is_gone_already_is_deleted() {
    for row in rows().await {
        for name in ["A", "B", "C"] {
            (row.set)(name, "1");
        }
        let contents = row.view.read().await.unwrap();
        row.view.wrote(&[("B", None)]).await;
        for name in ["A", "B", "C"] {
            let said = row.view.write_after(&contents, &[(name, None)]).await.unwrap();
            assert!(said[name].is_ok(), "{}: {said:?}", row.name());
        }
        assert_eq!((row.values)(), [], "{}", row.name());
    }
}

#[tokio::test]
async fn a_token_that_was_taken_away_is_told() {
    for row in rows().await {
        (row.revoke)();
        let (name, session) = (row.name(), row.view.session());
        let provider = row.view.provider;
        assert!(matches!(row.view.read().await.unwrap_err(), Trouble::Unauthorized(_)), "{name}");
        assert!(matches!(provider.accounts(&session).await.unwrap_err(), Trouble::Unauthorized(_)), "{name}");
        assert!(matches!(provider.projects(&session).await.unwrap_err(), Trouble::Unauthorized(_)), "{name}");
    }
}

#[tokio::test]
async fn a_token_that_may_not_write_is_told() {
    for row in rows().await {
        let said = row.view.with_token(READER).write(&[("A", Some("1"))]).await.unwrap();
        assert!(matches!(said["A"], Err(Trouble::Forbidden(_))), "{}: {said:?}", row.name());
        assert_eq!((row.values)(), [], "{}", row.name());
    }
}

#[tokio::test]
async fn a_platform_that_asks_to_wait_is_heard() {
    for row in rows().await {
        let name = row.name();
        let told = |trouble: &Trouble| matches!(trouble, Trouble::Wait { for_, .. } if *for_ == Duration::from_secs(7));
        let wait = || Fault::Answer(Answer::status(429).header("retry-after", "7"));
        row.host.faults().next(1, wait());
        let trouble = row.view.read().await.unwrap_err();
        assert!(told(&trouble), "{name}: {trouble}");
        let contents = row.view.read().await.unwrap();
        row.host.faults().next(1, wait());
        let trouble = row.view.write_after(&contents, &[("A", Some("1"))]).await.unwrap_err();
        assert!(told(&trouble), "{name}: {trouble}");
        assert_eq!((row.values)(), [], "{name}");
        row.view.wrote(&[("A", Some("1"))]).await;
        assert_eq!((row.values)(), [("A".to_owned(), "1".to_owned())], "{name}");
    }
}

#[tokio::test]
async fn a_project_or_an_environment_that_is_not_there_is_told() {
    for row in rows().await {
        for project in row.unknown_projects {
            let trouble = row.view.in_project(project).read().await.unwrap_err();
            assert!(matches!(trouble, Trouble::NotFound(_)), "{}, {project}: {trouble}", row.name());
        }
        let (environments, known) = row.unknown_environments;
        for environment in environments {
            let trouble = row.view.of(environment).read().await.unwrap_err();
            let Trouble::NotFound(message) = &trouble else { panic!("{}, {environment}: {trouble}", row.name()) };
            let are_named = known.iter().all(|known| message.contains(known));
            assert!(are_named, "{}, {environment}: {message}", row.name());
        }
    }
}

#[tokio::test]
async fn reserved_names_are_left_alone() {
    for row in rows().await {
        let (theirs, ours) = row.reserved;
        (row.set)("OLD", "1");
        if let Some(theirs) = theirs {
            (row.set)(theirs, "x");
        }
        let source: Vec<_> = ours.into_iter().chain(["B"]).map(|name| (name, "2")).collect();
        let plan = row.view.push(&source, &mut Ledger::new(), Deletions::All).await;
        // Left alone, but not passed over in silence.
        assert_eq!(plan.to_skip.first().map(String::as_str), ours, "{}", row.name());
        let mut expected = vec![("B".to_owned(), "2".to_owned())];
        expected.extend(theirs.map(|theirs| (theirs.to_owned(), "x".to_owned())));
        assert_eq!((row.values)(), expected, "{}", row.name());
    }
}

#[tokio::test]
async fn what_only_looks_reserved_is_written_and_deleted() {
    for row in rows().await {
        let mut ledger = Ledger::new();
        row.view.push(&[(row.ordinary, "1")], &mut ledger, Deletions::All).await;
        assert_eq!((row.values)(), [(row.ordinary.to_owned(), "1".to_owned())], "{}", row.name());
        row.view.push(&[], &mut ledger, Deletions::All).await;
        assert_eq!((row.values)(), [], "{}", row.name());
    }
}

#[tokio::test]
async fn nothing_is_written_when_the_time_for_it_is_over() {
    for row in rows().await {
        let change = Change { name: "A".into(), value: Some("1".into()), before: None };
        let provider = row.view.provider;
        let session = row.view.session().lasting(Duration::from_secs(9));
        let said = provider.write(&session, &row.view.place, &[change]).await;
        let refused = match &said {
            Ok(outcomes) => outcomes.iter().all(|one| matches!(one.result, Err(Trouble::TimedOut(_)))),
            Err(trouble) => matches!(trouble, Trouble::TimedOut(_)),
        };
        assert!(refused, "{}: {said:?}", row.name());
        assert_eq!((row.values)(), [], "{}", row.name());
    }
}
