//! `PutSecretValue`.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::primitives::Blob;

use crate::emulator::{Emulator, assert_code, assert_refused, token};

#[tokio::test]
async fn refuses_an_unknown_secret() {
    let emulator = Emulator::start().await;
    let put = emulator.client.put_secret_value().secret_id("a").secret_string("v");
    assert_code(put.send().await, "ResourceNotFoundException");
}

#[tokio::test]
async fn refuses_to_put_nothing_or_two_values() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let put = emulator.client.put_secret_value().secret_id("a");
    let message = "You must provide either SecretString or SecretBinary.";
    assert_refused(put.clone().send().await, "InvalidRequestException", message);
    assert_refused(put.clone().secret_string("").send().await, "InvalidRequestException", message);
    let both = put.secret_string("v").secret_binary(Blob::new(*b"v"));
    assert_code(both.send().await, "InvalidParameterException");
}

#[tokio::test]
async fn refuses_the_same_token_with_another_value() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let put = emulator.client.put_secret_value().secret_id("a").client_request_token(token(1));
    put.clone().secret_string("w").send().await.unwrap();
    let message = format!(
        "You can't use ClientRequestToken {} because that value is already in use for a version of secret {}.",
        token(1),
        emulator.arn("a").await,
    );
    assert_refused(put.clone().secret_string("x").send().await, "ResourceExistsException", &message);
    assert_code(put.secret_binary(Blob::new(*b"w")).send().await, "ResourceExistsException");
    assert_eq!(emulator.get("a").await.secret_string.as_deref(), Some("w"));
}

#[tokio::test]
async fn refuses_an_empty_list_of_labels_and_an_empty_label() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let put = emulator.client.put_secret_value().secret_id("a").secret_string("w");
    assert_code(put.clone().set_version_stages(Some(Vec::new())).send().await, "ValidationException");
    assert_code(put.clone().version_stages("").send().await, "ValidationException");
    assert_code(put.version_stages("l".repeat(257)).send().await, "ValidationException");
}

#[tokio::test]
async fn refuses_a_twenty_first_label() {
    let emulator = Emulator::start().await;
    let first = emulator.create("a", "v").await;
    let labels = |count: usize| Some((0..count).map(|number| format!("label-{number}")).collect::<Vec<_>>());
    let put = emulator.client.put_secret_value().secret_id("a").secret_string("w");
    // With AWSCURRENT on the first version these are twenty-one.
    let refused = put.clone().set_version_stages(labels(20)).send().await;
    assert_code(refused, "LimitExceededException");
    assert_eq!(emulator.labels("a").await.len(), 1, "a refused version is not kept");
    put.set_version_stages(labels(19)).send().await.unwrap();
    let one_more = emulator.client.update_secret_version_stage().secret_id("a").version_stage("one-more");
    assert_code(one_more.move_to_version_id(first).send().await, "LimitExceededException");
}

#[tokio::test]
async fn does_nothing_for_the_same_token_and_value() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let put = emulator.client.put_secret_value().secret_id("a").secret_string("w").client_request_token(token(1));
    put.clone().send().await.unwrap();
    let third = emulator.put("a", "x", &[]).await;
    // Repeated late, it does not take AWSCURRENT back.
    let repeated = put.send().await.unwrap();
    assert_eq!(repeated.version_id, Some(token(1)));
    assert_eq!(repeated.version_stages(), ["AWSPREVIOUS"]);
    assert_eq!(emulator.get("a").await.version_id, Some(third));
}

#[tokio::test]
async fn moves_previous_to_the_old_current_version_and_off_all_others() {
    let emulator = Emulator::start().await;
    emulator.create("a", "1").await;
    let second = emulator.put("a", "2", &[]).await;
    let third = emulator.put("a", "3", &["AWSCURRENT"]).await;
    let expected = BTreeMap::from([(second, vec!["AWSPREVIOUS".to_owned()]), (third, vec!["AWSCURRENT".to_owned()])]);
    assert_eq!(emulator.labels("a").await, expected);
    assert_eq!(emulator.get_stage("a", "AWSPREVIOUS").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn pending_leaves_current_alone() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let put = emulator.client.put_secret_value().secret_id("a").secret_string("w").version_stages("AWSPENDING");
    assert_eq!(put.send().await.unwrap().version_stages(), ["AWSPENDING"]);
    assert_eq!(emulator.get("a").await.secret_string.as_deref(), Some("v"));
    assert_eq!(emulator.get_stage("a", "AWSPENDING").await.as_deref(), Some("w"));
    assert_eq!(emulator.get_stage("a", "AWSPREVIOUS").await, None);
}

#[tokio::test]
async fn custom_labels_leave_current_alone_and_stay() {
    let emulator = Emulator::start().await;
    emulator.create("a", "1").await;
    emulator.put("a", "2", &["keep-abc"]).await;
    assert_eq!(emulator.get("a").await.secret_string.as_deref(), Some("1"));
    emulator.put("a", "3", &[]).await;
    emulator.put("a", "4", &[]).await;
    assert_eq!(emulator.get_stage("a", "keep-abc").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_label_sits_on_one_version() {
    let emulator = Emulator::start().await;
    emulator.create("a", "1").await;
    let second = emulator.put("a", "2", &["one", "two"]).await;
    let third = emulator.put("a", "3", &["two", "three"]).await;
    let labels = emulator.labels("a").await;
    assert_eq!(labels[&second], ["one"]);
    assert_eq!(labels[&third], ["three", "two"]);
}

#[tokio::test]
async fn the_first_version_is_current_whatever_its_labels() {
    let emulator = Emulator::start().await;
    emulator.client.create_secret().name("a").send().await.unwrap();
    let version = emulator.put("a", "v", &["keep-abc"]).await;
    assert_eq!(emulator.labels("a").await[&version], ["AWSCURRENT", "keep-abc"]);
}

#[tokio::test]
async fn a_version_without_labels_stays_readable_by_its_id() {
    let emulator = Emulator::start().await;
    let first = emulator.create("a", "1").await;
    emulator.put("a", "2", &[]).await;
    emulator.put("a", "3", &[]).await;
    let got = emulator.client.get_secret_value().secret_id("a").version_id(&first).send().await.unwrap();
    assert_eq!(got.secret_string.as_deref(), Some("1"));
    assert!(got.version_stages().is_empty());
}

#[tokio::test]
async fn a_secret_has_a_hundred_versions_and_none_goes_within_a_day() {
    let emulator = Emulator::start().await;
    emulator.create("a", "0").await;
    emulator.put("a", "kept", &["keep-abc"]).await;
    let put = |number: usize| {
        let put = emulator.client.put_secret_value().secret_id("a").secret_string(number.to_string());
        put.client_request_token(token(number)).send()
    };
    for number in 3..=100 {
        let _ = put(number).await.unwrap();
    }
    assert_code(put(101).await, "LimitExceededException");
    // What was sent twice is no new version.
    let _ = put(100).await.unwrap();
    emulator.pass(DAY - 1);
    assert_code(put(101).await, "LimitExceededException");
    emulator.pass(1);
    let _ = put(101).await.unwrap();
    let _ = put(102).await.unwrap();
    // The first went, and what has a label stays.
    let get = |number| emulator.client.get_secret_value().secret_id("a").version_id(token(number)).send();
    assert_code(get(3).await, "ResourceNotFoundException");
    assert_eq!(get(4).await.unwrap().secret_string.as_deref(), Some("4"));
    assert_eq!(emulator.get_stage("a", "keep-abc").await.as_deref(), Some("kept"));
}
