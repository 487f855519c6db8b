//! The awsJson1.1 protocol: one route, the operation in a header, errors as JSON with a `__type`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::SecretsManager;
use super::error::Error;
use super::operations::{self, Answer};
use super::store::{Session, Store};

const TARGET: &str = "x-amz-target";
const TARGET_PREFIX: &str = "secretsmanager.";

pub(super) fn router(secrets: SecretsManager) -> Router {
    Router::new().route("/", post(handle)).with_state(secrets)
}

async fn handle(
    State(secrets): State<SecretsManager>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let target = headers.get(TARGET).and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.strip_prefix(TARGET_PREFIX).unwrap_or_default().to_owned();
    let answer = match body {
        Ok(body) => perform(secrets, operation.clone(), body).await,
        Err(_) => Err(Error::Serialization("The request body could not be read.".to_owned())),
    };
    present(&operation, answer)
}

/// Runs the operation where it may block. It ends by itself even if the client does not wait for it.
async fn perform(secrets: SecretsManager, operation: String, body: Bytes) -> Answer {
    let outcome = tokio::task::spawn_blocking(move || dispatch(&secrets.store, &operation, &body)).await;
    outcome.unwrap_or_else(|panic| Err(Error::Internal(Box::new(panic))))
}

fn dispatch(store: &Store, operation: &str, body: &[u8]) -> Answer {
    match operation {
        "BatchGetSecretValue" => call(store, body, operations::batch_get_secret_value),
        "CreateSecret" => call(store, body, operations::create_secret),
        "DeleteSecret" => call(store, body, operations::delete_secret),
        "DescribeSecret" => call(store, body, operations::describe_secret),
        "GetRandomPassword" => call(store, body, operations::get_random_password),
        "GetSecretValue" => call(store, body, operations::get_secret_value),
        "ListSecretVersionIds" => call(store, body, operations::list_secret_version_ids),
        "ListSecrets" => call(store, body, operations::list_secrets),
        "PutSecretValue" => call(store, body, operations::put_secret_value),
        "RestoreSecret" => call(store, body, operations::restore_secret),
        "TagResource" => call(store, body, operations::tag_resource),
        "UntagResource" => call(store, body, operations::untag_resource),
        "UpdateSecret" => call(store, body, operations::update_secret),
        "UpdateSecretVersionStage" => call(store, body, operations::update_secret_version_stage),
        _ => Err(Error::UnknownOperation(format!(
            "The header X-Amz-Target must name an operation of this Secrets Manager, such as \
             {TARGET_PREFIX}GetSecretValue."
        ))),
    }
}

fn call<R: DeserializeOwned>(store: &Store, body: &[u8], operation: impl FnOnce(&Session<'_>, R) -> Answer) -> Answer {
    // The parser's own message may quote the body, and with it a secret: only the place is told.
    let request = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Error::Serialization(format!(
            "The request body is not JSON of this operation's shape (line {line}, column {column})."
        ))
    })?;
    store.transact(|session| operation(session, request))
}

fn present(operation: &str, answer: Answer) -> Response {
    let request_id = Uuid::new_v4().to_string();
    let (status, body) = match answer {
        Ok(members) => (StatusCode::OK, Json::Object(members)),
        Err(error) => {
            if let Error::Internal(cause) = &error {
                let cause: &(dyn std::error::Error + 'static) = &**cause;
                tracing::error!(operation, request_id, cause, "the local Secrets Manager failed");
            }
            (error.status(), json!({ "__type": error.code(), "Message": error.to_string() }))
        }
    };
    tracing::debug!(operation, request_id, status = status.as_u16(), "local Secrets Manager");
    let headers = [(CONTENT_TYPE.as_str(), "application/x-amz-json-1.1".to_owned()), ("x-amzn-requestid", request_id)];
    (status, headers, body.to_string()).into_response()
}
