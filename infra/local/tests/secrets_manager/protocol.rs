//! What every operation has in common on the wire: names of operations, shapes of bodies, errors.

use serde_json::json;

use crate::emulator::Emulator;

#[tokio::test]
async fn an_unknown_operation_is_named_so() {
    let emulator = Emulator::start().await;
    for target in ["secretsmanager.RotateSecret", "secretsmanager.", "DynamoDB_20120810.GetItem", ""] {
        let (status, body) = emulator.raw(target, "{}").await;
        assert_eq!((status, &body["__type"]), (400, &json!("UnknownOperationException")), "{target}");
    }
}

#[tokio::test]
async fn a_body_of_another_shape_is_refused_without_quoting_it() {
    let emulator = Emulator::start().await;
    let bodies = [
        "",
        r#"{"Name": "a", "SecretString": "hunter2""#,
        r#"{"Name": "a", "SecretString": ["hunter2"]}"#,
        r#"{"Name": "a", "SecretBinary": "hunter2!"}"#,
        r#"{"Name": "a", "Tags": "hunter2"}"#,
    ];
    for body in bodies {
        let (status, answer) = emulator.raw("secretsmanager.CreateSecret", body).await;
        assert_eq!((status, &answer["__type"]), (400, &json!("SerializationException")), "{body}");
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    }
}

#[tokio::test]
async fn a_missing_secret_id_is_a_validation_error() {
    let emulator = Emulator::start().await;
    for operation in ["GetSecretValue", "DescribeSecret", "DeleteSecret", "PutSecretValue", "TagResource"] {
        let (status, body) = emulator.raw(&format!("secretsmanager.{operation}"), "{}").await;
        assert_eq!((status, &body["__type"]), (400, &json!("ValidationException")), "{operation}");
    }
}

#[tokio::test]
async fn a_value_needs_a_client_request_token() {
    let emulator = Emulator::start().await;
    emulator.create("taken", "v").await;
    let requests = [
        ("CreateSecret", json!({ "Name": "a", "SecretString": "v" })),
        ("PutSecretValue", json!({ "SecretId": "taken", "SecretString": "v" })),
        ("UpdateSecret", json!({ "SecretId": "taken", "SecretString": "v" })),
    ];
    for (operation, body) in requests {
        let (status, answer) = emulator.raw(&format!("secretsmanager.{operation}"), &body.to_string()).await;
        assert_eq!(status, 400);
        let expected = json!({
            "__type": "InvalidRequestException",
            "Message": "You must provide a ClientRequestToken value. We recommend a UUID-type value.",
        });
        assert_eq!(answer, expected, "{operation}");
    }
}

#[tokio::test]
async fn a_failing_database_is_an_internal_error_without_detail() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets.db");
    let emulator = Emulator::on(&path).await;
    emulator.create("a", "v").await;
    rusqlite::Connection::open(&path).unwrap().execute_batch("DROP TABLE label").unwrap();
    let (status, body) = emulator.raw("secretsmanager.GetSecretValue", r#"{"SecretId": "a"}"#).await;
    assert_eq!(status, 500);
    let expected = json!({ "__type": "InternalServiceError", "Message": "An error occurred on the server side." });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn an_unknown_member_is_ignored_and_a_null_one_is_absent() {
    let emulator = Emulator::start().await;
    let body = r#"{"Name": "a", "SecretString": null, "Colour": "red"}"#;
    let (status, answer) = emulator.raw("secretsmanager.CreateSecret", body).await;
    assert_eq!((status, &answer["Name"]), (200, &json!("a")));
}

#[tokio::test]
async fn times_are_seconds_as_a_float_and_members_in_pascal_case() {
    let emulator = Emulator::start().await;
    let version = emulator.create("a", "v").await;
    let (_, answer) = emulator.raw("secretsmanager.GetSecretValue", r#"{"SecretId": "a"}"#).await;
    let expected = json!({
        "ARN": emulator.arn("a").await,
        "Name": "a",
        "VersionId": version,
        "VersionStages": ["AWSCURRENT"],
        "CreatedDate": 1_700_000_000.0,
        "SecretString": "v",
    });
    assert_eq!(answer, expected);
}
