//! `CreateSecret`.

use std::collections::BTreeSet;

use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use aws_sdk_secretsmanager::primitives::Blob;

use crate::emulator::{Emulator, assert_code, assert_refused, token};

#[tokio::test]
async fn refuses_a_name_with_other_characters() {
    let emulator = Emulator::start().await;
    for name in ["a b", "a*", "ä", "a:b"] {
        assert_refused(
            emulator.client.create_secret().name(name).send().await,
            "ValidationException",
            "1 validation error detected: Invalid name. Must be a valid name containing alphanumeric characters, \
             or any of the following: -/_+=.@!",
        );
    }
    emulator.client.create_secret().name("aZ09-/_+=.@!").send().await.unwrap();
}

#[tokio::test]
async fn refuses_a_name_longer_than_512_characters() {
    let emulator = Emulator::start().await;
    assert_code(emulator.client.create_secret().name("a".repeat(513)).send().await, "ValidationException");
    emulator.client.create_secret().name("a".repeat(512)).send().await.unwrap();
}

#[tokio::test]
async fn refuses_a_name_that_is_taken() {
    let emulator = Emulator::start().await;
    emulator.create("a", "v").await;
    let again = emulator.client.create_secret().name("a").secret_string("v").send().await;
    let error = again.unwrap_err();
    assert!(error.as_service_error().is_some_and(|error| error.is_resource_exists_exception()));
    assert_eq!(error.message(), Some("The operation failed because the secret a already exists."));
}

#[tokio::test]
async fn refuses_a_string_and_a_binary_together() {
    let emulator = Emulator::start().await;
    let create = emulator.client.create_secret().name("a").secret_string("v").secret_binary(Blob::new(*b"v"));
    assert_refused(
        create.send().await,
        "InvalidParameterException",
        "You can't specify both a binary secret value and a string secret value in the same secret.",
    );
}

#[tokio::test]
async fn refuses_a_value_above_65536_bytes() {
    let emulator = Emulator::start().await;
    let create = |name: &str| emulator.client.create_secret().name(name);
    assert_refused(
        create("a").secret_string("a".repeat(65_537)).send().await,
        "ValidationException",
        "1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have \
         length less than or equal to 65536",
    );
    // Bytes count, not characters.
    assert_code(create("a").secret_string("ä".repeat(32_769)).send().await, "ValidationException");
    assert_code(create("a").secret_binary(Blob::new(vec![0; 65_537])).send().await, "ValidationException");
    create("string").secret_string("a".repeat(65_536)).send().await.unwrap();
    create("binary").secret_binary(Blob::new(vec![0; 65_536])).send().await.unwrap();
}

#[tokio::test]
async fn refuses_an_empty_value() {
    let emulator = Emulator::start().await;
    let message = "You must provide either SecretString or SecretBinary.";
    let create = emulator.client.create_secret().name("a");
    assert_refused(create.clone().secret_string("").send().await, "InvalidRequestException", message);
    assert_refused(create.secret_binary(Blob::new(*b"")).send().await, "InvalidRequestException", message);
}

#[tokio::test]
async fn refuses_a_token_outside_32_to_64_characters() {
    let emulator = Emulator::start().await;
    let create = emulator.client.create_secret().name("a").secret_string("v");
    for length in [31, 65] {
        let create = create.clone().client_request_token("t".repeat(length));
        assert_code(create.send().await, "ValidationException");
    }
    for length in [32, 64] {
        let create = create.clone().name(format!("a{length}")).client_request_token("t".repeat(length));
        assert_eq!(create.send().await.unwrap().version_id, Some("t".repeat(length)));
    }
}

#[tokio::test]
async fn refuses_what_one_region_cannot_do() {
    let emulator = Emulator::start().await;
    let region = aws_sdk_secretsmanager::types::ReplicaRegionType::builder().region("eu-west-2").build();
    let create = emulator.client.create_secret().name("a").add_replica_regions(region);
    assert_code(create.send().await, "InvalidParameterException");
}

#[tokio::test]
async fn refuses_the_same_token_with_another_value() {
    let emulator = Emulator::start().await;
    let create = emulator.client.create_secret().name("a").client_request_token(token(1));
    create.clone().secret_string("v").send().await.unwrap();
    let message = format!(
        "You can't use ClientRequestToken {} because that value is already in use for a version of secret {}.",
        token(1),
        emulator.arn("a").await,
    );
    assert_refused(create.clone().secret_string("w").send().await, "ResourceExistsException", &message);
    assert_code(create.clone().secret_binary(Blob::new(*b"v")).send().await, "ResourceExistsException");
    assert_code(create.send().await, "ResourceExistsException");
}

#[tokio::test]
async fn repeats_its_answer_to_the_same_token_and_value() {
    let emulator = Emulator::start().await;
    let create = emulator.client.create_secret().name("a").client_request_token(token(1)).secret_string("v");
    let first = create.clone().send().await.unwrap();
    let second = create.send().await.unwrap();
    assert_eq!((&first.arn, &first.version_id), (&second.arn, &second.version_id));
    assert_eq!(emulator.labels("a").await.len(), 1);
}

#[tokio::test]
async fn makes_an_arn_with_six_random_characters() {
    let emulator = Emulator::start().await;
    let mut suffixes = BTreeSet::new();
    for name in ["team/a", "b"] {
        let created = emulator.client.create_secret().name(name).send().await.unwrap();
        let arn = created.arn.unwrap();
        let start = format!("arn:aws:secretsmanager:eu-west-1:000000000000:secret:{name}-");
        let suffix = arn.strip_prefix(&start).unwrap();
        assert!(suffix.len() == 6 && suffix.chars().all(|c| c.is_ascii_alphanumeric()), "{arn}");
        suffixes.insert(suffix.to_owned());
    }
    assert_eq!(suffixes.len(), 2);
}

#[tokio::test]
async fn may_leave_the_value_for_later() {
    let emulator = Emulator::start().await;
    let created = emulator.client.create_secret().name("a").send().await.unwrap();
    assert_eq!(created.version_id, None);
    assert_refused(
        emulator.client.get_secret_value().secret_id("a").send().await,
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
    );
    let described = emulator.client.describe_secret().secret_id("a").send().await.unwrap();
    assert_eq!(described.version_ids_to_stages, None);
    assert_eq!(described.tags, None);
    emulator.put("a", "v", &[]).await;
    assert_eq!(emulator.get("a").await.secret_string.as_deref(), Some("v"));
}

#[tokio::test]
async fn the_client_token_is_the_version() {
    let emulator = Emulator::start().await;
    let create = emulator.client.create_secret().name("a").secret_string("v").client_request_token(token(7));
    assert_eq!(create.send().await.unwrap().version_id, Some(token(7)));
    assert_eq!(emulator.get("a").await.version_id, Some(token(7)));
}
