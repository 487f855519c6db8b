//! A running emulator with a clock that the tests turn, and what their requests and refusals are made of.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, Tag};
use http_body_util::BodyExt;
use jiff::Timestamp;
use local::secrets_manager::{Options, SecretsManager, serve_with_shutdown};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// 14 November 2023, 22:13:20 UTC.
pub(crate) const START: i64 = 1_700_000_000;
pub(crate) const DAY: i64 = 24 * 60 * 60;

pub(crate) const REMOVED: &str = "You can't perform this operation on the secret because it was marked for deletion.";

/// A running emulator and a client for it.
pub(crate) struct Emulator {
    pub(crate) client: Client,
    pub(crate) secrets: SecretsManager,
    pub(crate) seconds: Arc<AtomicI64>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Emulator {
    pub(crate) async fn start() -> Self {
        let seconds = Arc::new(AtomicI64::new(START));
        Self::serve(SecretsManager::memory(options(&seconds)).unwrap(), seconds).await
    }

    pub(crate) async fn on(path: &Path) -> Self {
        let seconds = Arc::new(AtomicI64::new(START));
        Self::serve(SecretsManager::open(path, options(&seconds)).unwrap(), seconds).await
    }

    pub(crate) async fn serve(secrets: SecretsManager, seconds: Arc<AtomicI64>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve_with_shutdown(listener, secrets.clone(), async {
            let _ = stopped.await;
        }));
        Self { client: client(&url), secrets, seconds, stop, server }
    }

    /// Ends the server, and with it the last use of its file.
    pub(crate) async fn stop(self) {
        let Self { client, secrets, stop, server, .. } = self;
        drop((client, secrets));
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> i64 {
        self.seconds.load(Ordering::SeqCst)
    }

    pub(crate) async fn create(&self, name: &str, value: &str) -> String {
        let created = self.client.create_secret().name(name).secret_string(value).send().await.unwrap();
        created.version_id.unwrap()
    }

    pub(crate) async fn put(&self, name: &str, value: &str, stages: &[&str]) -> String {
        let mut put = self.client.put_secret_value().secret_id(name).secret_string(value);
        for stage in stages {
            put = put.version_stages(*stage);
        }
        put.send().await.unwrap().version_id.unwrap()
    }

    pub(crate) async fn get(&self, id: &str) -> GetSecretValueOutput {
        self.client.get_secret_value().secret_id(id).send().await.unwrap()
    }

    pub(crate) async fn get_stage(&self, name: &str, stage: &str) -> Option<String> {
        let got = self.client.get_secret_value().secret_id(name).version_stage(stage).send().await;
        got.ok().and_then(|got| got.secret_string)
    }

    /// Every labelled version of a secret with its labels.
    pub(crate) async fn labels(&self, name: &str) -> BTreeMap<String, Vec<String>> {
        let described = self.client.describe_secret().secret_id(name).send().await.unwrap();
        described.version_ids_to_stages.unwrap_or_default().into_iter().collect()
    }

    pub(crate) async fn arn(&self, name: &str) -> String {
        self.client.describe_secret().secret_id(name).send().await.unwrap().arn.unwrap()
    }

    pub(crate) async fn names(&self, filter: Option<(FilterNameStringType, &[&str])>) -> Vec<String> {
        let mut list = self.client.list_secrets();
        if let Some((key, values)) = filter {
            list = list.filters(where_(key, values));
        }
        let listed = list.send().await.unwrap();
        listed.secret_list.unwrap().into_iter().map(|secret| secret.name.unwrap()).collect()
    }

    /// A request without the SDK: what it would not send, and the bytes it would hide.
    pub(crate) async fn raw(&self, target: &str, body: &str) -> (u16, Value) {
        let request = http::Request::post("/").header("x-amz-target", target).body(body.to_owned()).unwrap();
        let response = self.secrets.router().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.1");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

pub(crate) fn options(seconds: &Arc<AtomicI64>) -> Options {
    let seconds = Arc::clone(seconds);
    let now = move || Timestamp::from_second(seconds.load(Ordering::SeqCst)).unwrap();
    Options { region: "eu-west-1".to_owned(), now: Arc::new(now) }
}

pub(crate) fn client(url: &str) -> Client {
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

pub(crate) fn where_(key: FilterNameStringType, values: &[&str]) -> Filter {
    Filter::builder().key(key).set_values(Some(values.iter().map(|value| (*value).to_owned()).collect())).build()
}

pub(crate) fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// A `ClientRequestToken` of 32 characters.
pub(crate) fn token(number: usize) -> String {
    format!("{number:032}")
}

#[track_caller]
pub(crate) fn assert_refused<T: Debug, E: ProvideErrorMetadata + Debug, R: Debug>(
    result: Result<T, SdkError<E, R>>,
    code: &str,
    message: &str,
) {
    let error = result.unwrap_err();
    assert_eq!((error.code(), error.message()), (Some(code), Some(message)));
}

#[track_caller]
pub(crate) fn assert_code<T: Debug, E: ProvideErrorMetadata + Debug, R: Debug>(
    result: Result<T, SdkError<E, R>>,
    code: &str,
) {
    assert_eq!(result.unwrap_err().code(), Some(code));
}
