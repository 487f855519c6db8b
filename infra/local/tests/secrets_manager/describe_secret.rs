//! `DescribeSecret`.

use serde_json::json;

use crate::emulator::{Emulator, assert_code, tag};

#[tokio::test]
async fn an_unknown_secret_is_not_found() {
    let emulator = Emulator::start().await;
    assert_code(emulator.client.describe_secret().secret_id("a").send().await, "ResourceNotFoundException");
}

#[tokio::test]
async fn shows_everything_but_the_value() {
    let emulator = Emulator::start().await;
    let create = emulator.client.create_secret().name("a").secret_string("hunter2").description("mine");
    let version = create.tags(tag("team", "x")).send().await.unwrap().version_id.unwrap();
    let (_, body) = emulator.raw("secretsmanager.DescribeSecret", r#"{"SecretId": "a"}"#).await;
    let expected = json!({
        "ARN": body["ARN"],
        "Name": "a",
        "Description": "mine",
        "Tags": [{ "Key": "team", "Value": "x" }],
        "CreatedDate": 1_700_000_000.0,
        "LastChangedDate": 1_700_000_000.0,
        "VersionIdsToStages": { version: ["AWSCURRENT"] },
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn hides_versions_without_labels() {
    let emulator = Emulator::start().await;
    let first = emulator.create("a", "1").await;
    emulator.put("a", "2", &[]).await;
    emulator.put("a", "3", &[]).await;
    let labels = emulator.labels("a").await;
    assert!(labels.len() == 2 && !labels.contains_key(&first), "{labels:?}");
}
