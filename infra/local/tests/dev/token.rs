//! `causeway token create`, `list` and `revoke`, against a running stack.

use std::path::Path;

use crate::process::{Ended, Stack, causeway, run};

/// `causeway token …` on the stack of `folder`.
async fn token(folder: &Path, arguments: &[&str]) -> Ended {
    let target = ["--data-dir", folder.to_str().unwrap()];
    run(causeway(&[&["token"], arguments, &target].concat())).await
}

/// What `create` shows under a label.
#[track_caller]
fn shown<'a>(created: &'a Ended, label: &str) -> &'a str {
    let line = created.printed().lines().find_map(|line| line.strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label} in {created:?}")).trim()
}

/// The line of `list` that begins with this id.
async fn listed(folder: &Path, id: &str) -> String {
    let list = token(folder, &["list"]).await;
    let row = list.printed().lines().find(|row| row.starts_with(id));
    row.unwrap_or_else(|| panic!("no {id} in {list:?}")).to_owned()
}

#[tokio::test]
async fn wrong_arguments_are_one_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let _stack = Stack::start(folder.path()).await;
    let tenant = "1 to 63 lower-case letters, digits, - and _";
    for (arguments, named) in [
        (&["create", "--tenant", "Acme Inc"][..], &["\"Acme Inc\" names no tenant", tenant][..]),
        (&["create", "--tenant", "operator"], &["\"operator\" names no tenant", "operator and oauth are taken"]),
        (&["create", "--tenant", "a#b"], &["\"a#b\" names no tenant", tenant]),
        (&["list", "--tenant", "A"], &["\"A\" names no tenant", tenant]),
        (&["revoke", "tok_1", "--tenant", "A"], &["\"A\" names no tenant", tenant]),
        (&["revoke", "tok_1", "--tenant", "acme"], &["acme has no token tok_1", "`causeway token list` shows them"]),
        (
            &["create", "--tenant", "acme", "--permissions", "services:read,service:write"],
            &["\"service:write\" is no permission", "all, none, read-only, integrations:read", "services:write"],
        ),
    ] {
        let ended = token(folder.path(), arguments).await;
        let line = ended.refusal();
        named.iter().for_each(|words| assert!(line.contains(words), "{arguments:?}: {line}"));
    }
    for days in ["0", "-1", "soon", "4294967295"] {
        let ended = token(folder.path(), &["create", "--tenant", "acme", &format!("--expires-in={days}")]).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{days}: {ended:?}");
        assert!(
            ended.err.starts_with(&format!("error: invalid value '{days}' for '--expires-in <DAYS>'")),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn without_a_running_stack_it_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let commands = [&["create", "--tenant", "acme"][..], &["list"], &["revoke", "tok_1", "--tenant", "acme"]];
    for arguments in commands {
        let ended = token(folder.path(), arguments).await;
        let line = ended.refusal();
        assert!(line.starts_with(&format!("no stack runs in {} (", folder.path().display())), "{line}");
        assert!(line.ends_with("Start one with `causeway dev`, or name a deployed one with --stack"), "{line}");
    }
    // One that has stopped has left its `dev.json`.
    Stack::start(folder.path()).await.stop().await;
    for arguments in commands {
        let ended = token(folder.path(), arguments).await;
        let line = ended.refusal();
        assert!(line.starts_with(&format!("the stack of {} does not answer", folder.path().display())), "{line}");
        assert!(line.ends_with("Start it with `causeway dev`, or name a deployed one with --stack"), "{line}");
    }
}

#[tokio::test]
async fn a_minted_token_works_and_one_that_was_revoked_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let arguments = ["create", "--tenant", "initech", "--user", "peter", "--name", "reports"];
    let created = token(folder.path(), &arguments).await;
    assert!(created.printed().ends_with("This is the only time that it is shown.\n"), "{created:?}");
    let (id, secret) = (shown(&created, "id "), shown(&created, "token "));
    let client = stack.services_as(secret);
    let integration = client.create_slack("Initech's", "https://hooks.slack.com/services/T1/B1/x").await;
    stack.services().expect(404, "GET", &format!("/{integration}"), None).await;
    let row = listed(folder.path(), id).await;
    assert!(row.starts_with(&format!("{id}  initech  peter  reports  active  integrations:read,")), "{row}");
    assert!(!row.contains(secret), "{row}");

    // One that the stack has never seen cannot be remembered anywhere: it is refused at once.
    let unused = token(folder.path(), &["create", "--tenant", "initech"]).await;
    let (unused_id, unused) = (shown(&unused, "id "), shown(&unused, "token "));
    let revoked = token(folder.path(), &["revoke", unused_id, "--tenant", "initech"]).await;
    assert!(
        revoked.printed().starts_with(&format!("{unused_id}  initech  operator  unnamed  revoked 2")),
        "{revoked:?}"
    );
    assert_eq!(listed(folder.path(), unused_id).await, revoked.printed().trim_end());
    stack.services_as(unused).expect(401, "GET", "", None).await;
    client.expect(200, "GET", "", None).await;

    // Another tenant cannot take it away, and revoking twice is as good as once.
    let foreign = token(folder.path(), &["revoke", id, "--tenant", "acme"]).await;
    assert!(foreign.refusal().starts_with(&format!("acme has no token {id}")), "{foreign:?}");
    let again = token(folder.path(), &["revoke", unused_id, "--tenant", "initech"]).await;
    assert_eq!(again.printed(), revoked.printed());
}

#[tokio::test]
async fn a_token_does_no_more_than_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let arguments =
        ["create", "--tenant", "acme", "--permissions", "services:read,services:read", "--expires-in", "30"];
    let created = token(folder.path(), &arguments).await;
    let client = stack.services_as(shown(&created, "token "));
    client.expect(200, "GET", "", None).await;
    let refused = client.expect(403, "DELETE", "/int_000000000000000000000", None).await;
    assert_eq!(refused["required_scope"], "services:write");
    let row = listed(folder.path(), shown(&created, "id ")).await;
    assert!(row.contains("  until 2") && row.ends_with("  services:read"), "{row}");
}

#[tokio::test]
async fn read_only_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let _stack = Stack::start(folder.path()).await;
    let created = token(folder.path(), &["create", "--tenant", "acme", "--permissions", "read-only"]).await;
    let row = listed(folder.path(), shown(&created, "id ")).await;
    assert!(row.ends_with("  integrations:read,services:read,keys:read,vaults:read"), "{row}");
}

#[tokio::test]
async fn a_client_gets_a_secret_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let _stack = Stack::start(folder.path()).await;
    let created = token(folder.path(), &["create", "--tenant", "acme", "--client-id", "client_reports"]).await;
    assert_eq!(shown(&created, "client id "), "client_reports");
    assert!(shown(&created, "client secret ").starts_with("cws_"), "{created:?}");
}

#[tokio::test]
async fn the_list_can_be_one_tenants() {
    let folder = tempfile::tempdir().unwrap();
    let _stack = Stack::start(folder.path()).await;
    let all = token(folder.path(), &["list"]).await;
    assert_eq!(all.printed().lines().count(), 6, "{all:?}");
    let one = token(folder.path(), &["list", "--tenant", "globex"]).await;
    assert_eq!(one.printed().lines().count(), 3, "{one:?}");
    assert!(one.printed().lines().all(|row| row.contains("  globex  ")), "{one:?}");
    let none = token(folder.path(), &["list", "--tenant", "nobody"]).await;
    assert_eq!(none.printed(), "");
}
