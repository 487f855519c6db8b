//! What keeps the stack from starting: each is one line on standard error that says what to do, the exit code is 1, and
//! nothing that was there is touched.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::process::{Ended, Stack, causeway, run, sandbox};

async fn start(folder: &Path) -> Ended {
    run(causeway(&sandbox(folder))).await
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let command = causeway(&["dev", "--sandbox", "--port", &port, "--data-dir", data.to_str().unwrap()]);
    let ended = run(command).await;
    let line = ended.refusal();
    assert!(line.starts_with(&format!("port {port} cannot be used: Address already in use")), "{line}");
    assert!(line.ends_with("Choose another with --port, or --port 0 for any free one"), "{line}");
    assert!(!data.exists(), "a folder was made for a stack that never ran");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    for data in [file.clone(), file.join("below")] {
        let ended = start(&data).await;
        let line = ended.refusal();
        assert!(line.starts_with(&format!("the data folder {} cannot be written: ", data.display())), "{line}");
        assert!(line.ends_with("Choose another with --data-dir"), "{line}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[tokio::test]
async fn a_folder_in_use_stays_with_the_stack_that_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let id = stack.services().create_slack("kept", "https://hooks.slack.com/services/T1/B1/x").await;
    for fresh in [false, true] {
        let mut command = causeway(&sandbox(folder.path()));
        command.args(fresh.then_some("--fresh"));
        let ended = run(command).await;
        let expected = format!(
            "the data folder {} is in use by another stack. Stop that one, or choose another with --data-dir",
            folder.path().display()
        );
        assert_eq!(ended.refusal(), expected);
        stack.services().expect(200, "GET", &format!("/{id}"), None).await;
    }
}

#[tokio::test]
async fn a_variable_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value, problem) in [
        ("CAUSEWAY_ENDPOINT_SLAK", "http://127.0.0.1:9", "names no upstream; `causeway upstreams` lists them"),
        ("CAUSEWAY_ENDPOINT_RESEND", "127.0.0.1:9", "is not an http or https URL"),
        ("CAUSEWAY_EGRESS_ALLOW", "localhost", "\"localhost\" is not host:port"),
    ] {
        let mut command = causeway(&sandbox(folder.path()));
        command.env(name, value);
        let ended = run(command).await;
        let expected = format!("the environment cannot be used: {name}: {problem};");
        assert_eq!(ended.refusal(), expected);
    }
}

/// What a run leaves behind: an integration, in both databases.
async fn used_folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let id = stack.services().create_slack("kept", "https://hooks.slack.com/services/T1/B1/x").await;
    stack.stop().await;
    (folder, id)
}

/// Every way in which a file may be damaged.
fn damage(file: &Path, how: &str) {
    let length = fs::metadata(file).unwrap().len();
    match how {
        "another file" => fs::write(file, "This is a letter, and no database at all. ".repeat(200)).unwrap(),
        "cut short" => fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length / 8192 * 4096).unwrap(),
        "its pages are gone" => {
            let file = fs::OpenOptions::new().write(true).open(file).unwrap();
            (1..length / 4096).for_each(|page| file.write_all_at(&[0; 4096], page * 4096).unwrap());
        }
        _ => {
            let file = fs::OpenOptions::new().write(true).open(file).unwrap();
            file.write_all_at(&[0xAA; 4096], length - 4096).unwrap();
        }
    }
}

#[tokio::test]
async fn a_damaged_database_is_named_and_left_as_it_is() {
    let (folder, id) = used_folder().await;
    for name in ["table.db", "secrets.db"] {
        let file = folder.path().join(name);
        let sound = fs::read(&file).unwrap();
        for how in ["another file", "cut short", "its pages are gone", "one page is gone"] {
            damage(&file, how);
            let before = [fs::read(&file).unwrap(), fs::read(folder.path().join("dev.json")).unwrap()];
            let ended = start(folder.path()).await;
            let line = ended.refusal();
            assert!(line.contains(&*file.to_string_lossy()), "{how}: {line}");
            assert!(line.contains(" damaged"), "{how}: {line}");
            assert!(line.ends_with(". Put a good copy there, or start with --fresh to begin anew"), "{how}: {line}");
            let after = [fs::read(&file).unwrap(), fs::read(folder.path().join("dev.json")).unwrap()];
            assert!(before == after, "{name}, {how}: it was changed");
            fs::write(&file, &sound).unwrap();
        }
    }
    // The good copies put back, everything is there.
    let stack = Stack::start(folder.path()).await;
    stack.services().expect(200, "GET", &format!("/{id}"), None).await;
}

#[tokio::test]
async fn fresh_begins_anew_over_damaged_databases() {
    let (folder, _) = used_folder().await;
    for name in ["table.db", "secrets.db"] {
        damage(&folder.path().join(name), "another file");
    }
    let mut command = causeway(&sandbox(folder.path()));
    command.arg("--fresh");
    let stack = Stack::run(command, folder.path()).await;
    stack.services().expect(200, "GET", "", None).await;
}

#[tokio::test]
async fn a_dev_json_that_cannot_be_read_costs_only_its_tokens() {
    let (folder, id) = used_folder().await;
    fs::write(folder.path().join("dev.json"), "{").unwrap();
    let stack = Stack::start(folder.path()).await;
    stack.services().expect(200, "GET", &format!("/{id}"), None).await;
}
