//! What a user of the local Secrets Manager may rely on, one rule a test, through the AWS SDK on a real socket.
//!
//! Time is a clock the tests turn. Refusals come first in each module.

#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, not in what they share")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, SortByType, SortOrderType, Tag};
use http_body_util::BodyExt;
use jiff::Timestamp;
use local::secrets_manager::{Options, SecretsManager, serve_with_shutdown};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// 14 November 2023, 22:13:20 UTC.
const START: i64 = 1_700_000_000;
const DAY: i64 = 24 * 60 * 60;

const REMOVED: &str = "You can't perform this operation on the secret because it was marked for deletion.";

/// A running emulator and a client for it.
struct Emulator {
    client: Client,
    secrets: SecretsManager,
    seconds: Arc<AtomicI64>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Emulator {
    async fn start() -> Self {
        let seconds = Arc::new(AtomicI64::new(START));
        Self::serve(SecretsManager::memory(options(&seconds)).unwrap(), seconds).await
    }

    async fn on(path: &Path) -> Self {
        let seconds = Arc::new(AtomicI64::new(START));
        Self::serve(SecretsManager::open(path, options(&seconds)).unwrap(), seconds).await
    }

    async fn serve(secrets: SecretsManager, seconds: Arc<AtomicI64>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve_with_shutdown(listener, secrets.clone(), async {
            let _ = stopped.await;
        }));
        Self { client: client(&url), secrets, seconds, stop, server }
    }

    /// Ends the server, and with it the last use of its file.
    async fn stop(self) {
        let Self { client, secrets, stop, server, .. } = self;
        drop((client, secrets));
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    }

    fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    fn now(&self) -> i64 {
        self.seconds.load(Ordering::SeqCst)
    }

    async fn create(&self, name: &str, value: &str) -> String {
        let created = self.client.create_secret().name(name).secret_string(value).send().await.unwrap();
        created.version_id.unwrap()
    }

    async fn put(&self, name: &str, value: &str, stages: &[&str]) -> String {
        let mut put = self.client.put_secret_value().secret_id(name).secret_string(value);
        for stage in stages {
            put = put.version_stages(*stage);
        }
        put.send().await.unwrap().version_id.unwrap()
    }

    async fn get(&self, id: &str) -> GetSecretValueOutput {
        self.client.get_secret_value().secret_id(id).send().await.unwrap()
    }

    async fn get_stage(&self, name: &str, stage: &str) -> Option<String> {
        let got = self.client.get_secret_value().secret_id(name).version_stage(stage).send().await;
        got.ok().and_then(|got| got.secret_string)
    }

    /// Every labelled version of a secret with its labels.
    async fn labels(&self, name: &str) -> BTreeMap<String, Vec<String>> {
        let described = self.client.describe_secret().secret_id(name).send().await.unwrap();
        described.version_ids_to_stages.unwrap_or_default().into_iter().collect()
    }

    async fn arn(&self, name: &str) -> String {
        self.client.describe_secret().secret_id(name).send().await.unwrap().arn.unwrap()
    }

    async fn names(&self, filter: Option<(FilterNameStringType, &[&str])>) -> Vec<String> {
        let mut list = self.client.list_secrets();
        if let Some((key, values)) = filter {
            list = list.filters(where_(key, values));
        }
        let listed = list.send().await.unwrap();
        listed.secret_list.unwrap().into_iter().map(|secret| secret.name.unwrap()).collect()
    }

    /// A request without the SDK: what it would not send, and the bytes it would hide.
    async fn raw(&self, target: &str, body: &str) -> (u16, Value) {
        let request = http::Request::post("/").header("x-amz-target", target).body(body.to_owned()).unwrap();
        let response = self.secrets.router().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.1");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

fn options(seconds: &Arc<AtomicI64>) -> Options {
    let seconds = Arc::clone(seconds);
    let now = move || Timestamp::from_second(seconds.load(Ordering::SeqCst)).unwrap();
    Options { region: "eu-west-1".to_owned(), now: Arc::new(now) }
}

fn client(url: &str) -> Client {
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .http_client(shared::egress::aws::client(None))
        .retry_config(RetryConfig::disabled())
        .endpoint_url(url)
        .build();
    Client::from_conf(config)
}

fn where_(key: FilterNameStringType, values: &[&str]) -> Filter {
    Filter::builder().key(key).set_values(Some(values.iter().map(|value| (*value).to_owned()).collect())).build()
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// A `ClientRequestToken` of 32 characters.
fn token(number: usize) -> String {
    format!("{number:032}")
}

#[track_caller]
fn assert_refused<T: Debug, E: ProvideErrorMetadata + Debug, R: Debug>(
    result: Result<T, SdkError<E, R>>,
    code: &str,
    message: &str,
) {
    let error = result.unwrap_err();
    assert_eq!((error.code(), error.message()), (Some(code), Some(message)));
}

#[track_caller]
fn assert_code<T: Debug, E: ProvideErrorMetadata + Debug, R: Debug>(result: Result<T, SdkError<E, R>>, code: &str) {
    assert_eq!(result.unwrap_err().code(), Some(code));
}

mod protocol {
    use super::*;

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
}

mod create_secret {
    use super::*;

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
}

mod get_secret_value {
    use super::*;

    #[tokio::test]
    async fn an_unknown_secret_is_not_found() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        let arn = emulator.arn("a").await;
        let other_suffix = format!("{}-000000", arn.rsplit_once('-').unwrap().0);
        let unknown = ["b", "A", "arn:aws:secretsmanager:eu-west-1:000000000000:secret:b", &other_suffix, &arn[..9]];
        for id in unknown {
            assert_refused(
                emulator.client.get_secret_value().secret_id(id).send().await,
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret.",
            );
        }
    }

    #[tokio::test]
    async fn an_unknown_version_or_label_is_not_found() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        let get = emulator.client.get_secret_value().secret_id("a");
        assert_refused(
            get.clone().version_id(token(9)).send().await,
            "ResourceNotFoundException",
            &format!("Secrets Manager can't find the specified secret value for VersionId: {}", token(9)),
        );
        assert_refused(
            get.version_stage("AWSPREVIOUS").send().await,
            "ResourceNotFoundException",
            "Secrets Manager can't find the specified secret value for staging label: AWSPREVIOUS",
        );
    }

    #[tokio::test]
    async fn a_version_and_a_label_must_agree() {
        let emulator = Emulator::start().await;
        let first = emulator.create("a", "v").await;
        emulator.put("a", "w", &[]).await;
        let get = emulator.client.get_secret_value().secret_id("a").version_id(first);
        assert_refused(
            get.clone().version_stage("AWSCURRENT").send().await,
            "InvalidRequestException",
            "You provided a VersionStage that is not associated to the provided VersionId.",
        );
        let got = get.version_stage("AWSPREVIOUS").send().await.unwrap();
        assert_eq!(got.secret_string.as_deref(), Some("v"));
    }

    #[tokio::test]
    async fn finds_a_secret_by_name_arn_and_partial_arn() {
        let emulator = Emulator::start().await;
        emulator.create("team/a", "v").await;
        emulator.create("team/a-abcdef", "w").await;
        let arn = emulator.arn("team/a").await;
        let (partial, _) = arn.rsplit_once('-').unwrap();
        for id in ["team/a", &arn, partial] {
            let got = emulator.get(id).await;
            assert_eq!((got.secret_string.as_deref(), got.name.as_deref()), (Some("v"), Some("team/a")), "{id}");
            assert_eq!(got.arn.as_ref(), Some(&arn));
        }
    }

    #[tokio::test]
    async fn returns_a_string_as_a_string_and_a_binary_as_a_binary() {
        let emulator = Emulator::start().await;
        emulator.create("string", "gr\u{fc}\u{df} \"\\\n\u{1f511}\0").await;
        let bytes: Vec<u8> = (0..=255).collect();
        let create = emulator.client.create_secret().name("binary").secret_binary(Blob::new(bytes.clone()));
        create.send().await.unwrap();
        let got = emulator.get("string").await;
        assert_eq!(got.secret_string.as_deref(), Some("gr\u{fc}\u{df} \"\\\n\u{1f511}\0"));
        assert_eq!(got.secret_binary, None);
        let got = emulator.get("binary").await;
        assert_eq!((got.secret_string, got.secret_binary), (None, Some(Blob::new(bytes))));
    }

    #[tokio::test]
    async fn a_version_keeps_its_own_date() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        emulator.pass(60);
        emulator.put("a", "w", &[]).await;
        assert_eq!(emulator.get("a").await.created_date.unwrap().secs(), START + 60);
        let previous = emulator.client.get_secret_value().secret_id("a").version_stage("AWSPREVIOUS");
        assert_eq!(previous.send().await.unwrap().created_date.unwrap().secs(), START);
    }

    #[tokio::test]
    async fn a_read_shows_as_the_day_of_last_access() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        let describe = emulator.client.describe_secret().secret_id("a");
        assert_eq!(describe.clone().send().await.unwrap().last_accessed_date, None);
        emulator.get("a").await;
        let midnight = START - START % DAY;
        let described = describe.clone().send().await.unwrap();
        assert_eq!(described.last_accessed_date.unwrap().secs(), midnight);
        // Reading is not changing.
        assert_eq!(described.last_changed_date.unwrap().secs(), START);
        emulator.pass(DAY);
        emulator.get("a").await;
        assert_eq!(describe.send().await.unwrap().last_accessed_date.unwrap().secs(), midnight + DAY);
        let versions = emulator.client.list_secret_version_ids().secret_id("a").send().await.unwrap();
        assert_eq!(versions.versions()[0].last_accessed_date.unwrap().secs(), midnight + DAY);
    }
}

mod put_secret_value {
    use super::*;

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
        let expected =
            BTreeMap::from([(second, vec!["AWSPREVIOUS".to_owned()]), (third, vec!["AWSCURRENT".to_owned()])]);
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
    async fn only_the_hundred_newest_versions_without_labels_are_kept() {
        let emulator = Emulator::start().await;
        emulator.create("a", "0").await;
        emulator.put("a", "kept", &["keep-abc"]).await;
        for number in 1..=103 {
            let put = emulator.client.put_secret_value().secret_id("a").secret_string(number.to_string());
            put.client_request_token(token(number)).send().await.unwrap();
        }
        // Current is 103, previous is 102; the hundred before are 2 to 101.
        let get = |number| emulator.client.get_secret_value().secret_id("a").version_id(token(number)).send();
        assert_code(get(1).await, "ResourceNotFoundException");
        assert_eq!(get(2).await.unwrap().secret_string.as_deref(), Some("2"));
        assert_eq!(emulator.get_stage("a", "keep-abc").await.as_deref(), Some("kept"));
    }
}

mod update_secret {
    use super::*;

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
        assert_eq!(
            (&labels[&first][..], &labels[&second][..]),
            (&["AWSPREVIOUS".into()][..], &["AWSCURRENT".into()][..])
        );
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
}

mod update_secret_version_stage {
    use super::*;

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
}

mod describe_secret {
    use super::*;

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
}

mod list_secret_version_ids {
    use super::*;

    async fn versions(emulator: &Emulator, include_deprecated: bool) -> Vec<(String, Vec<String>)> {
        let list = emulator.client.list_secret_version_ids().secret_id("a").include_deprecated(include_deprecated);
        let listed = list.send().await.unwrap().versions.unwrap();
        listed.into_iter().map(|v| (v.version_id.unwrap(), v.version_stages.unwrap_or_default())).collect()
    }

    #[tokio::test]
    async fn an_unknown_secret_is_not_found() {
        let emulator = Emulator::start().await;
        let list = emulator.client.list_secret_version_ids().secret_id("a");
        assert_code(list.send().await, "ResourceNotFoundException");
    }

    #[tokio::test]
    async fn refuses_a_page_of_no_or_more_than_100_entries_and_a_token_of_its_own_making() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        let list = emulator.client.list_secret_version_ids().secret_id("a");
        assert_code(list.clone().max_results(0).send().await, "ValidationException");
        assert_code(list.clone().max_results(101).send().await, "ValidationException");
        assert_code(list.next_token("nonsense").send().await, "InvalidNextTokenException");
    }

    #[tokio::test]
    async fn hides_versions_without_labels_unless_asked() {
        let emulator = Emulator::start().await;
        let first = emulator.create("a", "1").await;
        let second = emulator.put("a", "2", &[]).await;
        let third = emulator.put("a", "3", &[]).await;
        let labelled = [(second, vec!["AWSPREVIOUS".to_owned()]), (third, vec!["AWSCURRENT".to_owned()])];
        assert_eq!(versions(&emulator, false).await, labelled);
        let all: Vec<_> = [(first, Vec::new())].into_iter().chain(labelled).collect();
        assert_eq!(versions(&emulator, true).await, all);
    }

    #[tokio::test]
    async fn pages_follow_one_another() {
        let emulator = Emulator::start().await;
        let mut made = vec![emulator.create("a", "0").await];
        for number in 1..5 {
            made.push(emulator.put("a", &number.to_string(), &[]).await);
        }
        let list = emulator.client.list_secret_version_ids().secret_id("a").include_deprecated(true).max_results(2);
        let mut seen = Vec::new();
        let mut sizes = Vec::new();
        let mut next = None;
        loop {
            let page = list.clone().set_next_token(next).send().await.unwrap();
            sizes.push(page.versions().len());
            seen.extend(page.versions.unwrap().into_iter().filter_map(|version| version.version_id));
            next = page.next_token;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(sizes, [2, 2, 1]);
        assert_eq!(seen, made);
    }

    #[tokio::test]
    async fn names_the_key() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        let list = emulator.client.list_secret_version_ids().secret_id("a");
        let listed = list.clone().send().await.unwrap();
        assert_eq!(listed.versions()[0].kms_key_ids(), ["DefaultEncryptionKey"]);
        emulator.client.update_secret().secret_id("a").kms_key_id("alias/mine").send().await.unwrap();
        assert_eq!(list.send().await.unwrap().versions()[0].kms_key_ids(), ["alias/mine"]);
    }
}

mod delete_secret {
    use super::*;

    #[tokio::test]
    async fn an_unknown_secret_is_not_found() {
        let emulator = Emulator::start().await;
        assert_code(emulator.client.delete_secret().secret_id("a").send().await, "ResourceNotFoundException");
    }

    #[tokio::test]
    async fn refuses_a_window_outside_7_to_30_days() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        for days in [-1, 0, 6, 31] {
            assert_refused(
                emulator.client.delete_secret().secret_id("a").recovery_window_in_days(days).send().await,
                "InvalidParameterException",
                "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
            );
        }
        assert_eq!(emulator.get("a").await.secret_string.as_deref(), Some("v"));
    }

    #[tokio::test]
    async fn refuses_force_with_a_window() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        let delete = emulator.client.delete_secret().secret_id("a").recovery_window_in_days(7);
        assert_refused(
            delete.clone().force_delete_without_recovery(true).send().await,
            "InvalidParameterException",
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
        );
        delete.force_delete_without_recovery(false).send().await.unwrap();
    }

    #[tokio::test]
    async fn a_deleted_secret_refuses_everything_but_describe_restore_and_the_list_of_versions() {
        let emulator = Emulator::start().await;
        let version = emulator.create("a", "v").await;
        let client = &emulator.client;
        client.delete_secret().secret_id("a").send().await.unwrap();
        let code = "InvalidRequestException";
        assert_refused(client.get_secret_value().secret_id("a").send().await, code, REMOVED);
        assert_refused(client.put_secret_value().secret_id("a").secret_string("w").send().await, code, REMOVED);
        assert_refused(client.update_secret().secret_id("a").description("d").send().await, code, REMOVED);
        assert_refused(client.delete_secret().secret_id("a").send().await, code, REMOVED);
        assert_refused(client.tag_resource().secret_id("a").tags(tag("k", "v")).send().await, code, REMOVED);
        assert_refused(client.untag_resource().secret_id("a").tag_keys("k").send().await, code, REMOVED);
        let label = client.update_secret_version_stage().secret_id("a").version_stage("l").move_to_version_id(version);
        assert_refused(label.send().await, code, REMOVED);
        assert_refused(
            client.create_secret().name("a").secret_string("v").send().await,
            code,
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
        );
        client.describe_secret().secret_id("a").send().await.unwrap();
        client.list_secret_version_ids().secret_id("a").send().await.unwrap();
        client.restore_secret().secret_id("a").send().await.unwrap();
    }

    #[tokio::test]
    async fn the_deletion_date_is_now_plus_the_window_of_30_days_by_default() {
        let emulator = Emulator::start().await;
        for (name, window, days) in [("a", None, 30), ("b", Some(7), 7), ("c", Some(30), 30)] {
            emulator.create(name, "v").await;
            emulator.pass(1);
            let delete = emulator.client.delete_secret().secret_id(name).set_recovery_window_in_days(window);
            let deleted = delete.send().await.unwrap();
            assert_eq!(deleted.deletion_date.unwrap().secs(), emulator.now() + days * DAY);
            let described = emulator.client.describe_secret().secret_id(name).send().await.unwrap();
            assert_eq!(described.deleted_date, deleted.deletion_date);
        }
    }

    #[tokio::test]
    async fn a_secret_is_gone_when_its_date_has_passed() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        let arn = emulator.arn("a").await;
        emulator.client.delete_secret().secret_id("a").recovery_window_in_days(7).send().await.unwrap();
        emulator.pass(7 * DAY - 1);
        emulator.client.describe_secret().secret_id("a").send().await.unwrap();
        emulator.pass(1);
        assert_code(emulator.client.describe_secret().secret_id("a").send().await, "ResourceNotFoundException");
        assert_code(emulator.client.restore_secret().secret_id(&arn).send().await, "ResourceNotFoundException");
        emulator.create("a", "w").await;
        assert_ne!(emulator.arn("a").await, arn);
        assert_eq!(emulator.get("a").await.secret_string.as_deref(), Some("w"));
    }

    #[tokio::test]
    async fn force_deletes_at_once() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        let force = emulator.client.delete_secret().secret_id("a").force_delete_without_recovery(true);
        assert_eq!(force.send().await.unwrap().deletion_date.unwrap().secs(), START);
        assert_code(emulator.client.describe_secret().secret_id("a").send().await, "ResourceNotFoundException");
        emulator.create("a", "w").await;
        assert_eq!(emulator.labels("a").await.len(), 1);
    }

    #[tokio::test]
    async fn force_deletes_a_scheduled_secret_and_one_that_is_not_there() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        emulator.client.delete_secret().secret_id("a").send().await.unwrap();
        for _ in 0..2 {
            let force = emulator.client.delete_secret().secret_id("a").force_delete_without_recovery(true);
            assert_eq!(force.send().await.unwrap().name.as_deref(), Some("a"));
        }
        assert_code(emulator.client.describe_secret().secret_id("a").send().await, "ResourceNotFoundException");
    }
}

mod restore_secret {
    use super::*;

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
}

mod list_secrets {
    use super::*;

    #[tokio::test]
    async fn refuses_a_page_of_no_or_more_than_100_entries_and_a_foreign_token() {
        let emulator = Emulator::start().await;
        for name in ["a", "b"] {
            emulator.create(name, "v").await;
        }
        let list = emulator.client.list_secrets();
        assert_code(list.clone().max_results(0).send().await, "ValidationException");
        assert_code(list.clone().max_results(101).send().await, "ValidationException");
        assert_code(list.clone().next_token("nonsense").send().await, "InvalidNextTokenException");
        let by_name = list.clone().sort_by(SortByType::Name).max_results(1).send().await.unwrap().next_token;
        assert!(by_name.is_some());
        assert_code(list.set_next_token(by_name).send().await, "InvalidNextTokenException");
    }

    #[tokio::test]
    async fn refuses_an_unknown_filter_and_one_without_values() {
        let emulator = Emulator::start().await;
        let list = emulator.client.list_secrets();
        let unknown = where_(FilterNameStringType::from("colour"), &["red"]);
        assert_code(list.clone().filters(unknown).send().await, "ValidationException");
        let no_values = Filter::builder().key(FilterNameStringType::Name).build();
        assert_refused(
            list.clone().filters(no_values).send().await,
            "InvalidParameterException",
            "Invalid filter values for key: name",
        );
        let no_key = Filter::builder().values("a").build();
        assert_refused(list.filters(no_key).send().await, "InvalidParameterException", "Invalid filter key");
    }

    #[tokio::test]
    async fn hides_deleted_secrets_unless_asked() {
        let emulator = Emulator::start().await;
        for name in ["a", "b"] {
            emulator.create(name, "v").await;
        }
        emulator.client.delete_secret().secret_id("a").send().await.unwrap();
        assert_eq!(emulator.names(None).await, ["b"]);
        let list = emulator.client.list_secrets().include_planned_deletion(true).send().await.unwrap();
        let dates: Vec<_> = list.secret_list().iter().map(|secret| (secret.name(), secret.deleted_date)).collect();
        assert!(matches!(dates[..], [(Some("a"), Some(_)), (Some("b"), None)]), "{dates:?}");
    }

    #[tokio::test]
    async fn an_entry_shows_its_labelled_versions_and_no_value() {
        let emulator = Emulator::start().await;
        let first = emulator.create("a", "hunter2").await;
        let second = emulator.put("a", "hunter3", &[]).await;
        emulator.client.create_secret().name("empty").send().await.unwrap();
        let (_, body) = emulator.raw("secretsmanager.ListSecrets", "{}").await;
        let expected = json!({ first: ["AWSPREVIOUS"], second: ["AWSCURRENT"] });
        assert_eq!(body["SecretList"][0]["SecretVersionsToStages"], expected);
        assert_eq!(body["SecretList"][1].get("SecretVersionsToStages"), None);
        assert!(!body.to_string().contains("hunter"), "{body}");
    }

    #[tokio::test]
    async fn a_name_filter_is_a_prefix_and_minds_case() {
        let emulator = Emulator::start().await;
        for name in ["app/a", "app/b", "APP/a", "my-app/a"] {
            emulator.create(name, "v").await;
        }
        use FilterNameStringType::Name;
        assert_eq!(emulator.names(Some((Name, &["app/"]))).await, ["app/a", "app/b"]);
        assert_eq!(emulator.names(Some((Name, &["app/a", "my"]))).await, ["app/a", "my-app/a"]);
        // SQL's wildcards are characters like any other.
        assert!(emulator.names(Some((Name, &["app_"]))).await.is_empty());
    }

    #[tokio::test]
    async fn an_exclamation_mark_negates() {
        let emulator = Emulator::start().await;
        for name in ["app/a", "app/b", "other/a"] {
            emulator.create(name, "v").await;
        }
        use FilterNameStringType::Name;
        assert_eq!(emulator.names(Some((Name, &["!app/"]))).await, ["other/a"]);
        assert_eq!(emulator.names(Some((Name, &["app/", "!app/b"]))).await, ["app/a"]);
        assert!(emulator.names(Some((Name, &["!app/", "!other/"]))).await.is_empty());
    }

    #[tokio::test]
    async fn filters_on_description_tags_and_all() {
        let emulator = Emulator::start().await;
        let create = emulator.client.create_secret();
        create.clone().name("a").description("Billing key").tags(tag("Team", "Red")).send().await.unwrap();
        create.clone().name("b").description("the billing").tags(tag("team", "Blue")).send().await.unwrap();
        create.name("c").send().await.unwrap();
        use FilterNameStringType::{All, Description, OwningService, PrimaryRegion, TagKey, TagValue};
        let cases: [(FilterNameStringType, &[&str], &[&str]); 11] = [
            (Description, &["billing"], &["a"]),
            (Description, &["!billing"], &["b", "c"]),
            (TagKey, &["Te"], &["a"]),
            (TagKey, &["!team"], &["a", "c"]),
            (TagValue, &["Blue", "Red"], &["a", "b"]),
            (TagValue, &["blue"], &[]),
            (All, &["key BILL"], &["a"]),
            (All, &["blue"], &["b"]),
            (PrimaryRegion, &["eu"], &[]),
            (OwningService, &["rds"], &[]),
            (OwningService, &["!rds"], &["a", "b", "c"]),
        ];
        for (key, values, expected) in cases {
            assert_eq!(emulator.names(Some((key.clone(), values))).await, expected, "{key} {values:?}");
        }
    }

    #[tokio::test]
    async fn every_filter_must_take_a_secret() {
        let emulator = Emulator::start().await;
        let create = emulator.client.create_secret();
        create.clone().name("app/a").tags(tag("team", "red")).send().await.unwrap();
        create.clone().name("app/b").send().await.unwrap();
        create.name("other").tags(tag("team", "red")).send().await.unwrap();
        let list = emulator.client.list_secrets().filters(where_(FilterNameStringType::Name, &["app/"]));
        let list = list.filters(where_(FilterNameStringType::TagKey, &["team"])).send().await.unwrap();
        assert!(matches!(list.secret_list(), [secret] if secret.name() == Some("app/a")));
    }

    #[tokio::test]
    async fn pages_follow_one_another_while_secrets_come_and_go() {
        let emulator = Emulator::start().await;
        for number in 0..7 {
            emulator.create(&format!("app/{number}"), "v").await;
            emulator.create(&format!("other/{number}"), "v").await;
        }
        let list = emulator.client.list_secrets().max_results(3);
        let list = list.filters(where_(FilterNameStringType::Name, &["app/"]));
        let mut seen = Vec::new();
        let mut next = None;
        loop {
            let page = list.clone().set_next_token(next).send().await.unwrap();
            seen.push(page.secret_list().iter().map(|secret| secret.name().unwrap().to_owned()).collect::<Vec<_>>());
            next = page.next_token;
            if next.is_none() {
                break;
            }
            // The last entry sent goes: the next page still starts behind it.
            let last = seen.last().and_then(|page| page.last()).unwrap();
            let delete = emulator.client.delete_secret().secret_id(last).force_delete_without_recovery(true);
            delete.send().await.unwrap();
        }
        assert_eq!(seen, [vec!["app/0", "app/1", "app/2"], vec!["app/3", "app/4", "app/5"], vec!["app/6"]]);
    }

    #[tokio::test]
    async fn sorts_as_asked_and_pages_in_that_order() {
        let emulator = Emulator::start().await;
        for name in ["b", "a", "c"] {
            emulator.create(name, "v").await;
            emulator.pass(1);
        }
        emulator.client.update_secret().secret_id("b").description("d").send().await.unwrap();
        emulator.get("a").await;
        let cases = [
            (SortByType::CreatedDate, SortOrderType::Asc, ["b", "a", "c"]),
            (SortByType::CreatedDate, SortOrderType::Desc, ["c", "a", "b"]),
            (SortByType::Name, SortOrderType::Asc, ["a", "b", "c"]),
            (SortByType::Name, SortOrderType::Desc, ["c", "b", "a"]),
            (SortByType::LastChangedDate, SortOrderType::Asc, ["a", "c", "b"]),
            (SortByType::LastAccessedDate, SortOrderType::Desc, ["a", "c", "b"]),
        ];
        for (by, order, expected) in cases {
            let list = emulator.client.list_secrets().sort_by(by.clone()).sort_order(order.clone()).max_results(1);
            let pages = list.into_paginator().send().collect::<Result<Vec<_>, _>>().await.unwrap();
            let names: Vec<_> =
                pages.iter().flat_map(|page| page.secret_list()).filter_map(|secret| secret.name()).collect();
            assert_eq!(names, expected, "{by} {order}");
        }
    }
}

mod batch_get_secret_value {
    use super::*;

    #[tokio::test]
    async fn needs_either_ids_or_filters() {
        let emulator = Emulator::start().await;
        let batch = emulator.client.batch_get_secret_value();
        assert_code(batch.clone().send().await, "InvalidParameterException");
        let both = batch.secret_id_list("a").filters(where_(FilterNameStringType::Name, &["a"]));
        assert_code(both.send().await, "InvalidParameterException");
    }

    #[tokio::test]
    async fn takes_pages_only_with_filters_and_twenty_ids_at_most() {
        let emulator = Emulator::start().await;
        let batch = emulator.client.batch_get_secret_value();
        assert_code(batch.clone().secret_id_list("a").max_results(1).send().await, "InvalidParameterException");
        let filtered = batch.clone().filters(where_(FilterNameStringType::Name, &["a"]));
        assert_code(filtered.max_results(21).send().await, "ValidationException");
        let many = (0..21).map(|number| number.to_string()).collect();
        assert_code(batch.clone().set_secret_id_list(Some(many)).send().await, "ValidationException");
        assert_code(batch.set_secret_id_list(Some(Vec::new())).send().await, "ValidationException");
    }

    #[tokio::test]
    async fn reports_an_error_for_each_id_that_has_no_value() {
        let emulator = Emulator::start().await;
        emulator.create("a", "1").await;
        emulator.create("deleted", "2").await;
        emulator.client.create_secret().name("empty").send().await.unwrap();
        emulator.client.delete_secret().secret_id("deleted").send().await.unwrap();
        let ids = ["deleted", "empty", "missing", "not a name", "a"].map(str::to_owned).to_vec();
        let got = emulator.client.batch_get_secret_value().set_secret_id_list(Some(ids)).send().await.unwrap();
        let errors: Vec<_> =
            got.errors().iter().map(|error| (error.secret_id().unwrap(), error.error_code().unwrap())).collect();
        let expected = [
            ("deleted", "InvalidRequestException"),
            ("empty", "ResourceNotFoundException"),
            ("missing", "ResourceNotFoundException"),
            ("not a name", "ValidationException"),
        ];
        assert_eq!(errors, expected);
        assert_eq!(got.errors()[0].message(), Some(REMOVED));
        let values: Vec<_> = got.secret_values().iter().map(|value| value.secret_string().unwrap()).collect();
        assert_eq!(values, ["1"]);
    }

    #[tokio::test]
    async fn returns_the_current_values_of_ids_by_name_and_arn() {
        let emulator = Emulator::start().await;
        emulator.create("a", "1").await;
        emulator.put("a", "2", &[]).await;
        let create = emulator.client.create_secret().name("b").secret_binary(Blob::new(*b"bytes"));
        let arn = create.send().await.unwrap().arn.unwrap();
        let batch = emulator.client.batch_get_secret_value().secret_id_list("a").secret_id_list(&arn);
        let got = batch.send().await.unwrap();
        let values = got.secret_values();
        assert_eq!(values[0].secret_string(), Some("2"));
        assert_eq!(values[0].version_stages(), ["AWSCURRENT"]);
        assert_eq!((values[1].secret_binary(), values[1].arn()), (Some(&Blob::new(*b"bytes")), Some(arn.as_str())));
        assert!(got.errors().is_empty());
    }

    #[tokio::test]
    async fn pages_through_what_the_filters_take() {
        let emulator = Emulator::start().await;
        for number in 0..5 {
            emulator.create(&format!("app/{number}"), &number.to_string()).await;
        }
        emulator.create("other", "v").await;
        emulator.client.delete_secret().secret_id("app/4").send().await.unwrap();
        let batch = emulator.client.batch_get_secret_value().max_results(3);
        let batch = batch.filters(where_(FilterNameStringType::Name, &["app/"]));
        let first = batch.clone().send().await.unwrap();
        let second = batch.set_next_token(first.next_token.clone()).send().await.unwrap();
        let values = [first.secret_values(), second.secret_values()].concat();
        let values: Vec<_> = values.iter().map(|value| value.secret_string().unwrap()).collect();
        assert_eq!(values, ["0", "1", "2", "3"]);
        assert_eq!((second.next_token, second.errors.unwrap()), (None, Vec::new()));
    }
}

mod tags {
    use super::*;

    async fn tags(emulator: &Emulator) -> Option<Vec<(String, String)>> {
        let described = emulator.client.describe_secret().secret_id("a").send().await.unwrap();
        described.tags.map(|tags| tags.into_iter().map(|tag| (tag.key.unwrap(), tag.value.unwrap())).collect())
    }

    #[tokio::test]
    async fn an_unknown_secret_is_not_found() {
        let emulator = Emulator::start().await;
        let tagging = emulator.client.tag_resource().secret_id("a").tags(tag("k", "v"));
        assert_code(tagging.send().await, "ResourceNotFoundException");
        let untagging = emulator.client.untag_resource().secret_id("a").tag_keys("k");
        assert_code(untagging.send().await, "ResourceNotFoundException");
    }

    #[tokio::test]
    async fn refuses_what_is_no_tag_and_a_fifty_first() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        let tagging = emulator.client.tag_resource().secret_id("a");
        assert_code(tagging.clone().tags(tag("", "v")).send().await, "ValidationException");
        assert_code(tagging.clone().tags(tag(&"k".repeat(129), "v")).send().await, "ValidationException");
        assert_code(tagging.clone().tags(tag("k", &"v".repeat(257))).send().await, "ValidationException");
        assert_code(tagging.clone().tags(tag("aws:k", "v")).send().await, "InvalidParameterException");
        let many = (0..51).map(|number| tag(&number.to_string(), "v")).collect();
        assert_code(tagging.set_tags(Some(many)).send().await, "InvalidParameterException");
        assert_eq!(tags(&emulator).await, None);
    }

    #[tokio::test]
    async fn come_change_and_go() {
        let emulator = Emulator::start().await;
        emulator.create("a", "v").await;
        let tagging = emulator.client.tag_resource().secret_id("a");
        tagging.clone().tags(tag("one", "1")).tags(tag("two", "2")).send().await.unwrap();
        tagging.tags(tag("one", "changed")).tags(tag("One", "3")).send().await.unwrap();
        let pairs = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(tags(&emulator).await, pairs(&[("one", "changed"), ("two", "2"), ("One", "3")]));
        let untagging = emulator.client.untag_resource().secret_id("a");
        untagging.clone().tag_keys("two").tag_keys("never").send().await.unwrap();
        assert_eq!(tags(&emulator).await, pairs(&[("one", "changed"), ("One", "3")]));
        untagging.tag_keys("one").tag_keys("One").send().await.unwrap();
        assert_eq!(tags(&emulator).await, pairs(&[]));
    }
}

mod get_random_password {
    use super::*;

    #[tokio::test]
    async fn refuses_what_cannot_be_done() {
        let emulator = Emulator::start().await;
        let password = emulator.client.get_random_password();
        assert_code(password.clone().password_length(0).send().await, "ValidationException");
        assert_code(password.clone().password_length(4_097).send().await, "ValidationException");
        // Four types do not fit into three characters.
        assert_code(password.clone().password_length(3).send().await, "InvalidParameterException");
        let nothing = password.exclude_lowercase(true).exclude_uppercase(true).exclude_numbers(true);
        assert_code(nothing.exclude_punctuation(true).send().await, "InvalidParameterException");
    }

    #[tokio::test]
    async fn has_32_characters_of_every_type_by_default() {
        let emulator = Emulator::start().await;
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            let made = emulator.client.get_random_password().send().await.unwrap().random_password.unwrap();
            assert_eq!(made.len(), 32);
            assert!(made.chars().any(|c| c.is_ascii_lowercase()), "{made}");
            assert!(made.chars().any(|c| c.is_ascii_uppercase()), "{made}");
            assert!(made.chars().any(|c| c.is_ascii_digit()), "{made}");
            assert!(made.chars().any(|c| c.is_ascii_punctuation()), "{made}");
            seen.insert(made);
        }
        assert_eq!(seen.len(), 20);
    }

    #[tokio::test]
    async fn keeps_to_its_length_and_exclusions() {
        let emulator = Emulator::start().await;
        let password = emulator.client.get_random_password().password_length(4_096);
        let made = password.clone().exclude_punctuation(true).exclude_characters("aA0").include_space(true);
        let made = made.send().await.unwrap().random_password.unwrap();
        assert_eq!(made.len(), 4_096);
        let seen: BTreeSet<char> = made.chars().collect();
        assert_eq!(seen.len(), 26 + 26 + 10 - 3 + 1);
        assert!(seen.contains(&' ') && !seen.contains(&'a') && !seen.contains(&'A') && !seen.contains(&'0'));
        let digits = password.exclude_lowercase(true).exclude_uppercase(true).exclude_punctuation(true);
        let digits = digits.send().await.unwrap().random_password.unwrap();
        assert!(digits.chars().all(|c| c.is_ascii_digit()));
        let short = emulator.client.get_random_password().password_length(1).require_each_included_type(false);
        assert_eq!(short.send().await.unwrap().random_password.unwrap().len(), 1);
    }
}

mod file {
    use super::*;

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
}

mod secrecy {
    use super::*;

    #[tokio::test]
    async fn debug_output_shows_no_value() {
        let emulator = Emulator::start().await;
        emulator.create("a", "hunter2").await;
        assert!(!format!("{:?}", emulator.secrets).contains("hunter2"));
    }

    #[tokio::test]
    async fn the_log_shows_no_value() {
        #[derive(Clone, Default)]
        struct Log(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Log {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        // For the whole process: with one for this thread only, tests beside it could switch its log lines off.
        tracing::subscriber::set_global_default(subscriber).unwrap();
        let emulator = Emulator::start().await;
        let create = emulator.client.create_secret().name("a").secret_string("hunter2").client_request_token(token(1));
        create.clone().send().await.unwrap();
        assert_code(create.secret_string("hunter2!").send().await, "ResourceExistsException");
        emulator.get("a").await;
        emulator.raw("secretsmanager.CreateSecret", r#"{"SecretString": ["hunter2"]}"#).await;
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("GetSecretValue") && !log.contains("hunter2"), "{log}");
    }
}

mod concurrency {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn two_writers_leave_one_current_and_one_previous_version() {
        let directory = tempfile::tempdir().unwrap();
        let emulator = Emulator::on(&directory.path().join("secrets.db")).await;
        emulator.create("a", "0").await;
        let writers = [1_000, 2_000].map(|start| {
            let client = emulator.client.clone();
            tokio::spawn(async move {
                for number in start..start + 25 {
                    let put = client.put_secret_value().secret_id("a").secret_string(number.to_string());
                    let put = put.client_request_token(token(number)).send().await.unwrap();
                    assert_eq!(put.version_stages(), ["AWSCURRENT"]);
                    let described = client.describe_secret().secret_id("a").send().await.unwrap();
                    let mut labels: Vec<_> = described.version_ids_to_stages.unwrap().into_values().collect();
                    labels.sort();
                    assert_eq!(labels, [["AWSCURRENT"], ["AWSPREVIOUS"]]);
                }
            })
        });
        for writer in writers {
            writer.await.unwrap();
        }
        let list = emulator.client.list_secret_version_ids().secret_id("a").include_deprecated(true);
        let versions = list.send().await.unwrap().versions.unwrap();
        assert_eq!(versions.len(), 51);
        // The last two made hold the labels.
        let labels: Vec<_> = versions.iter().flat_map(|version| version.version_stages()).collect();
        assert_eq!(labels, ["AWSPREVIOUS", "AWSCURRENT"]);
        assert_eq!(versions[49].version_stages(), ["AWSPREVIOUS"]);
        assert_eq!(emulator.get("a").await.version_id, versions[50].version_id);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_of_two_creators_of_a_name_wins() {
        let emulator = Emulator::start().await;
        for round in 0..10 {
            let create =
                |value: &str| emulator.client.create_secret().name(format!("a{round}")).secret_string(value).send();
            let (one, other) = tokio::join!(create("1"), create("2"));
            assert!(one.is_ok() != other.is_ok());
            assert_code(if one.is_ok() { other } else { one }, "ResourceExistsException");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn two_emulators_on_one_file_take_turns() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets.db");
        let (one, other) = (Emulator::on(&path).await, Emulator::on(&path).await);
        one.create("a", "0").await;
        let write = async |emulator: &Emulator| {
            for number in 0..10 {
                emulator.put("a", &number.to_string(), &[]).await;
            }
        };
        tokio::join!(write(&one), write(&other));
        let list = one.client.list_secret_version_ids().secret_id("a").include_deprecated(true);
        assert_eq!(list.send().await.unwrap().versions().len(), 21);
    }
}
