//! `RestoreSecret`.

use crate::emulator::{DAY, Emulator, assert_code};

#[tokio::test]
async fn an_unknown_secret_is_not_found() {
    let emulator = Emulator::start().await;
    assert_code(emulator.client.restore_secret().secret_id("a").send().await, "ResourceNotFoundException");
}

#[tokio::test]
async fn clears_the_deletion() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    emulator.client.delete_secret().secret_id("a").send().await.unwrap();
    let restored = emulator.client.restore_secret().secret_id("a").send().await.unwrap();
    assert_eq!(restored.name.as_deref(), Some("a"));
    let described = emulator.client.describe_secret().secret_id("a").send().await.unwrap();
    assert_eq!(described.deleted_date, None);
    emulator.pass(31 * DAY);
    assert_eq!(emulator.get("a").await.secret_string.as_deref(), Some("v"));
}

#[tokio::test]
async fn leaves_a_secret_that_is_not_deleted_as_it_is() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    emulator.client.restore_secret().secret_id("a").send().await.unwrap();
    assert_eq!(emulator.get("a").await.secret_string.as_deref(), Some("v"));
}
