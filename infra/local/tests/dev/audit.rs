//! `causeway audit`, against a running stack.

use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Ended, Stack, causeway, run};

/// `causeway audit …` on the stack of `folder`.
async fn audit(folder: &Path, arguments: &[&str]) -> Ended {
    let target = ["--data-dir", folder.to_str().unwrap()];
    run(causeway(&[&["audit"], arguments, &target].concat())).await
}

#[tokio::test]
async fn it_tells_what_was_done_from_the_newest_on() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let services = stack.services();
    let kept = services.create_slack("kept", "https://hooks.slack.com/services/T1/B1/kept").await;
    let gone = services.create_slack("gone", "https://hooks.slack.com/services/T1/B1/gone").await;
    services.expect(200, "DELETE", &format!("/{gone}"), None).await;
    services.expect(200, "PUT", &format!("/{kept}"), Some(json!({ "name": "renamed" }))).await;

    let all = audit(folder.path(), &["--tenant", "acme"]).await;
    let lines: Vec<&str> = all.printed().lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].contains("  services  PUT /api/integrations/{integrationId}  "), "{lines:?}");
    assert!(lines[0].contains(&format!("  {kept}  200  fields name  ")), "{lines:?}");
    assert!(lines[3].contains("POST /api/integrations") && lines[3].contains("  201  fields config,name,type  "));
    assert!(!all.out.contains("hooks.slack.com") && !all.out.contains("renamed"), "{all:?}");

    let of_one = audit(folder.path(), &["--tenant", "acme", "--integration", &gone, "--json"]).await;
    let of_one: Vec<Value> = of_one.printed().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = of_one.iter().map(|done| (&done["operation"], &done["status"], &done["tenant"])).collect();
    let acme = &json!("acme");
    assert_eq!(
        told,
        [
            (&json!("DELETE /api/integrations/{integrationId}"), &json!(200), acme),
            (&json!("POST /api/integrations"), &json!(201), acme),
        ]
    );
    let every = audit(folder.path(), &[]).await;
    assert_eq!(every.printed().lines().count(), 4, "{every:?}");
    let later = audit(folder.path(), &["--since", "2999-01-01", "--until", "2999-02-01"]).await;
    assert_eq!(later.printed(), "");
}

#[tokio::test]
async fn wrong_arguments_say_what_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let ended = audit(folder.path(), &["--since", "yesterday"]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("expected a day (2026-11-21) or a moment"), "{ended:?}");
    let ended = audit(folder.path(), &["--tenant", "acme"]).await;
    assert!(ended.refusal().starts_with("no stack runs in"), "{ended:?}");
    let _stack = Stack::start(folder.path()).await;
    let ended = audit(folder.path(), &["--tenant", "A"]).await;
    assert!(ended.refusal().contains("\"A\" names no tenant"), "{ended:?}");
    let ended = audit(folder.path(), &["--since", "2026-11-22", "--until", "2026-11-21"]).await;
    assert_eq!(ended.refusal(), "--since 2026-11-22T00:00:00Z is after --until 2026-11-21T00:00:00Z");
}
