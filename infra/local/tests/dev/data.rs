//! What is kept, and what `--fresh` forgets.

use serde_json::json;

use crate::process::{Stack, causeway, sandbox};

#[tokio::test]
async fn data_and_tokens_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = Stack::start(folder.path()).await;
    let id = first.services().create_slack("kept", "https://hooks.slack.com/services/T1/B1/kept").await;
    let tenants = first.file["tenants"].clone();
    first.stop().await;

    let second = Stack::start(folder.path()).await;
    assert_eq!(second.file["tenants"], tenants);
    let read = second.services().expect(200, "GET", &format!("/{id}"), None).await;
    assert_eq!(read["name"], "kept");
    assert_eq!(read["config"]["webhookUrl"], "https://hooks.slack.com/services/T1/B1/kept");
}

#[tokio::test]
async fn a_list_that_was_begun_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = Stack::start(folder.path()).await;
    for name in ["one", "two"] {
        first.services().create_slack(name, "https://hooks.slack.com/services/T1/B1/x").await;
    }
    let page = first.services().expect(200, "GET", "?limit=1", None).await;
    let cursor = page["nextCursor"].as_str().unwrap().to_owned();
    first.stop().await;

    let second = Stack::start(folder.path()).await;
    let page = second.services().expect(200, "GET", &format!("?limit=1&cursor={cursor}"), None).await;
    assert_eq!(page["data"][0]["name"], "two");
}

#[tokio::test]
async fn fresh_empties_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = Stack::start(folder.path()).await;
    first.services().create_slack("forgotten", "https://hooks.slack.com/services/T1/B1/forgotten").await;
    let old = first.token("acme", "admin");
    first.stop().await;
    // Whatever else is in the folder is not ours to remove.
    std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();

    let mut command = causeway(&sandbox(folder.path()));
    command.arg("--fresh");
    let second = Stack::run(command, folder.path()).await;
    assert_eq!(second.services().expect(200, "GET", "", None).await, json!({ "data": [] }));
    second.services_as(&old).expect(401, "GET", "", None).await;
    assert_eq!(std::fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "mine");
    second.stop().await;
    for file in ["table.db", "secrets.db"] {
        let bytes = std::fs::read(folder.path().join(file)).unwrap();
        let found = bytes.windows(9).any(|window| window == b"forgotten");
        assert!(!found, "{file} still holds what was there");
    }
}
