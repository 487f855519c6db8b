//! `UpdateSecretVersionStage`: labels move between versions.

use std::collections::BTreeMap;

use crate::emulator::{Emulator, assert_code, assert_refused, token};

/// A secret with a previous, a current and a pending version.
async fn three_versions(emulator: &Emulator) -> [String; 3] {
    let first = emulator.create("a", "1").await;
    let second = emulator.put("a", "2", &[]).await;
    let third = emulator.put("a", "3", &["AWSPENDING"]).await;
    [first, second, third]
}

#[tokio::test]
async fn moving_current_needs_the_version_it_leaves() {
    let emulator = Emulator::start().await;
    let [first, second, third] = three_versions(&emulator).await;
    let update = emulator.client.update_secret_version_stage().secret_id("a").version_stage("AWSCURRENT");
    assert_refused(
        update.clone().move_to_version_id(&third).send().await,
        "InvalidParameterException",
        &format!(
            "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to \
             version {second}, so you must explicitly reference that version in RemoveFromVersionId."
        ),
    );
    let wrong = update.move_to_version_id(&third).remove_from_version_id(first).send().await;
    assert_code(wrong, "InvalidParameterException");
    assert_eq!(emulator.get("a").await.version_id, Some(second));
}

#[tokio::test]
async fn current_cannot_be_taken_off_altogether() {
    let emulator = Emulator::start().await;
    let [_, second, _] = three_versions(&emulator).await;
    let update = emulator.client.update_secret_version_stage().secret_id("a").version_stage("AWSCURRENT");
    assert_refused(
        update.remove_from_version_id(&second).send().await,
        "InvalidParameterException",
        "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.",
    );
    assert_eq!(emulator.get("a").await.version_id, Some(second));
}

#[tokio::test]
async fn moving_another_label_needs_the_version_it_leaves_too() {
    let emulator = Emulator::start().await;
    let [first, _, third] = three_versions(&emulator).await;
    let update = emulator.client.update_secret_version_stage().secret_id("a").version_stage("AWSPENDING");
    let update = update.move_to_version_id(&first);
    assert_code(update.clone().send().await, "InvalidParameterException");
    update.remove_from_version_id(third).send().await.unwrap();
    assert_eq!(emulator.get_stage("a", "AWSPENDING").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_label_cannot_leave_a_version_it_is_not_on() {
    let emulator = Emulator::start().await;
    let [first, ..] = three_versions(&emulator).await;
    let update = emulator.client.update_secret_version_stage().secret_id("a");
    for label in ["AWSPENDING", "nowhere"] {
        let remove = update.clone().version_stage(label).remove_from_version_id(&first);
        assert_code(remove.send().await, "InvalidParameterException");
    }
}

#[tokio::test]
async fn an_unknown_version_is_not_found() {
    let emulator = Emulator::start().await;
    let [_, second, _] = three_versions(&emulator).await;
    let update = emulator.client.update_secret_version_stage().secret_id("a").version_stage("AWSCURRENT");
    let to = update.clone().remove_from_version_id(second).move_to_version_id(token(9));
    assert_code(to.send().await, "ResourceNotFoundException");
    assert_code(update.remove_from_version_id(token(9)).send().await, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_version_must_be_named() {
    let emulator = Emulator::start().await;
    three_versions(&emulator).await;
    let update = emulator.client.update_secret_version_stage().secret_id("a").version_stage("AWSPENDING");
    assert_code(update.send().await, "InvalidParameterException");
}

#[tokio::test]
async fn moving_current_takes_previous_along() {
    let emulator = Emulator::start().await;
    let [_, second, third] = three_versions(&emulator).await;
    let update = emulator.client.update_secret_version_stage().secret_id("a").version_stage("AWSCURRENT");
    update.remove_from_version_id(&second).move_to_version_id(&third).send().await.unwrap();
    let expected = BTreeMap::from([
        (second, vec!["AWSPREVIOUS".to_owned()]),
        (third, vec!["AWSCURRENT".to_owned(), "AWSPENDING".to_owned()]),
    ]);
    assert_eq!(emulator.labels("a").await, expected);
}

#[tokio::test]
async fn moving_current_back_swaps_the_two() {
    let emulator = Emulator::start().await;
    let [first, second, _] = three_versions(&emulator).await;
    let update = emulator.client.update_secret_version_stage().secret_id("a").version_stage("AWSCURRENT");
    update.remove_from_version_id(second).move_to_version_id(first).send().await.unwrap();
    assert_eq!(emulator.get("a").await.secret_string.as_deref(), Some("1"));
    assert_eq!(emulator.get_stage("a", "AWSPREVIOUS").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn moving_current_to_where_it_is_changes_nothing() {
    let emulator = Emulator::start().await;
    let [_, second, _] = three_versions(&emulator).await;
    let before = emulator.labels("a").await;
    let update = emulator.client.update_secret_version_stage().secret_id("a").version_stage("AWSCURRENT");
    update.move_to_version_id(second).send().await.unwrap();
    assert_eq!(emulator.labels("a").await, before);
}

#[tokio::test]
async fn a_label_comes_and_goes() {
    let emulator = Emulator::start().await;
    let [first, ..] = three_versions(&emulator).await;
    let update = emulator.client.update_secret_version_stage().secret_id("a").version_stage("keep-abc");
    update.clone().move_to_version_id(&first).send().await.unwrap();
    assert_eq!(emulator.get_stage("a", "keep-abc").await.as_deref(), Some("1"));
    update.remove_from_version_id(first).send().await.unwrap();
    assert_eq!(emulator.get_stage("a", "keep-abc").await, None);
}
