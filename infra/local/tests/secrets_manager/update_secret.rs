//! `UpdateSecret`.

use aws_sdk_secretsmanager::primitives::Blob;

use crate::emulator::{Emulator, START, assert_code};

#[tokio::test]
async fn refuses_an_unknown_secret_and_two_values() {
    let emulator = Emulator::start().await;
    let update = emulator.client.update_secret();
    assert_code(update.clone().secret_id("a").send().await, "ResourceNotFoundException");
    emulator.create("a", "v").await;
    let both = update.secret_id("a").secret_string("v").secret_binary(Blob::new(*b"v"));
    assert_code(both.send().await, "InvalidParameterException");
}

#[tokio::test]
async fn refuses_the_same_token_with_another_value_and_changes_nothing() {
    let emulator = Emulator::start().await;
    let first = emulator.create("a", "v").await;
    let update = emulator.client.update_secret().secret_id("a").client_request_token(first);
    let refused = update.secret_string("w").description("new").send().await;
    assert_code(refused, "ResourceExistsException");
    let described = emulator.client.describe_secret().secret_id("a").send().await.unwrap();
    assert_eq!(described.description, None);
}

#[tokio::test]
async fn a_new_value_becomes_current() {
    let emulator = Emulator::start().await;
    let first = emulator.create("a", "v").await;
    let update = emulator.client.update_secret().secret_id("a").secret_string("w");
    let second = update.send().await.unwrap().version_id.unwrap();
    let labels = emulator.labels("a").await;
    assert_eq!((&labels[&first][..], &labels[&second][..]), (&["AWSPREVIOUS".into()][..], &["AWSCURRENT".into()][..]));
    assert_eq!(emulator.get("a").await.secret_string.as_deref(), Some("w"));
}

#[tokio::test]
async fn a_new_description_makes_no_version() {
    let emulator = Emulator::start().await;
    let first = emulator.create("a", "v").await;
    emulator.pass(5);
    let updated = emulator.client.update_secret().secret_id("a").description("new").send().await.unwrap();
    assert_eq!(updated.version_id, None);
    let described = emulator.client.describe_secret().secret_id("a").send().await.unwrap();
    assert_eq!(described.description.as_deref(), Some("new"));
    assert_eq!(described.last_changed_date.unwrap().secs(), START + 5);
    assert_eq!(emulator.get("a").await.version_id, Some(first));
}

#[tokio::test]
async fn an_empty_key_stands_for_the_services_own() {
    let emulator = Emulator::start().await;
    let create = emulator.client.create_secret().name("a").secret_string("v").kms_key_id("alias/mine");
    create.send().await.unwrap();
    let describe = emulator.client.describe_secret().secret_id("a");
    assert_eq!(describe.clone().send().await.unwrap().kms_key_id.as_deref(), Some("alias/mine"));
    emulator.client.update_secret().secret_id("a").kms_key_id("").send().await.unwrap();
    assert_eq!(describe.send().await.unwrap().kms_key_id, None);
}
