//! The file that holds the secrets: what opens, what does not, and what outlives a restart.

use std::collections::HashMap;
use std::path::Path;

use local::secrets_manager::{Options, SecretsManager};

use crate::emulator::{Emulator, REMOVED, assert_refused, tag};

/// Opens a database that must not open.
#[track_caller]
fn refusal(path: &Path) -> String {
    let message = SecretsManager::open(path, Options::default()).unwrap_err().to_string();
    assert!(message.contains(&path.display().to_string()) && !message.contains('\n'), "{message}");
    message
}

#[test]
fn a_file_that_is_no_database_is_called_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets.db");
    std::fs::write(&path, "not a database, but long enough to have the header of one".repeat(10)).unwrap();
    assert!(refusal(&path).contains("is damaged"));
}

#[tokio::test]
async fn a_file_with_a_broken_page_is_called_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets.db");
    let emulator = Emulator::on(&path).await;
    emulator.create("a", "v").await;
    emulator.stop().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let second_page = bytes.chunks_mut(4_096).nth(1).unwrap();
    second_page.fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    assert!(refusal(&path).contains("is damaged"));
}

#[tokio::test]
async fn a_file_cut_short_is_called_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets.db");
    let emulator = Emulator::on(&path).await;
    emulator.create("a", &"v".repeat(60_000)).await;
    emulator.stop().await;
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refusal(&path).contains("is damaged"));
}

#[test]
fn another_programs_database_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(refusal(&path).contains("is not a secrets database"));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let directory = tempfile::tempdir().unwrap();
    assert!(refusal(&directory.path().join("missing/secrets.db")).contains("cannot be opened"));
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets.db");
    let emulator = Emulator::on(&path).await;
    let create = emulator.client.create_secret().name("a").secret_string("1").description("d");
    let arn = create.tags(tag("k", "v")).send().await.unwrap().arn.unwrap();
    let second = emulator.put("a", "2", &[]).await;
    emulator.put("a", "3", &["keep-abc"]).await;
    emulator.create("deleted", "v").await;
    emulator.client.delete_secret().secret_id("deleted").send().await.unwrap();
    let describe = |emulator: &Emulator| emulator.client.describe_secret().secret_id("a").send();
    let before = describe(&emulator).await.unwrap();
    emulator.stop().await;

    let emulator = Emulator::on(&path).await;
    let after = describe(&emulator).await.unwrap();
    assert_eq!(after.version_ids_to_stages, before.version_ids_to_stages);
    assert_eq!((after.description, after.tags), (before.description, before.tags));
    let got = emulator.get(&arn).await;
    assert_eq!((got.secret_string.as_deref(), got.version_id), (Some("2"), Some(second)));
    assert_eq!(emulator.get_stage("a", "AWSPREVIOUS").await.as_deref(), Some("1"));
    assert_eq!(emulator.get_stage("a", "keep-abc").await.as_deref(), Some("3"));
    assert_refused(
        emulator.client.get_secret_value().secret_id("deleted").send().await,
        "InvalidRequestException",
        REMOVED,
    );
}

/// What is on disk after an answer is all a killed process leaves behind.
#[tokio::test]
async fn what_was_answered_is_in_the_file_before_any_shutdown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets.db");
    let emulator = Emulator::on(&path).await;
    for number in 0..20 {
        emulator.create(&format!("secret-{number}"), "v").await;
    }
    let copy = directory.path().join("copy.db");
    for suffix in ["", "-wal"] {
        let from = directory.path().join(format!("secrets.db{suffix}"));
        std::fs::copy(from, directory.path().join(format!("copy.db{suffix}"))).unwrap();
    }
    let copied = Emulator::on(&copy).await;
    assert_eq!(copied.names(None).await.len(), 20);
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets.db");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let emulator = Emulator::on(&path).await;
    emulator.create("a", "v").await;
    let mut modes = HashMap::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        modes.insert(entry.file_name(), entry.metadata().unwrap().permissions().mode() & 0o777);
    }
    assert!(modes.len() >= 2 && modes.values().all(|mode| *mode == 0o600), "{modes:?}");
}
