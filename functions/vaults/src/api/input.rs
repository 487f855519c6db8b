//! What several operations read: names in paths, ids, what a sync is between, the text of a person.

use std::collections::BTreeMap;

use axum::body::Body as AxumBody;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use secrecy::SecretString;
use serde_json::{Map, Value};
use shared::http::{ApiError, FieldProblem, Fields, Query, Received, line};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::{DeleteScope, Direction, EnvironmentName, Target, VaultName};
use crate::providers::{self, Provider};
use crate::store::values::{objection_to_name, objection_to_value};

/// The longest id of a project, and word for an environment.
const LONGEST: usize = 300;
const TEXT_ACCEPTED: &str = "text of 1 to 300 characters";
const UUID_ACCEPTED: &str = "a UUID";
const BOOLEAN_ACCEPTED: &str = "true or false";

/// The largest body with values: many times what one environment holds is no request of a person.
const LARGEST_BODY: usize = 2 * 1024 * 1024;

async fn path_parameter<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, ApiError> {
    let parameters = RawPathParams::from_request_parts(parts, state).await;
    let parameters = parameters.map_err(|_| ApiError::NotFound { what: "Path" })?;
    let found = parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    found.ok_or_else(|| ApiError::internal("a route without its parameter"))
}

/// The provider that a path names.
pub(super) struct NamedProvider(pub(super) &'static dyn Provider);

impl<S: Send + Sync> FromRequestParts<S> for NamedProvider {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let name = path_parameter(parts, state, "provider").await?;
        providers::named(&name).map(Self).ok_or(ApiError::NotFound { what: "Provider" })
    }
}

/// The connection that a path names.
pub(super) struct NamedConnection(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for NamedConnection {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = path_parameter(parts, state, "id").await?;
        parse_uuid(&text).map(Self).ok_or_else(|| ApiError::field("id", "value", "is not a UUID"))
    }
}

/// The vault that a path names.
pub(super) struct NamedVault(pub(super) VaultName);

impl<S: Send + Sync> FromRequestParts<S> for NamedVault {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let (owner, repo) = (path_parameter(parts, state, "owner").await?, path_parameter(parts, state, "repo").await?);
        let wrong = |field: &str| FieldProblem::new(field, "value", format!("is not {}", VaultName::ACCEPTED));
        VaultName::parse(&owner, &repo).map(Self).ok_or_else(|| {
            let fields = [("owner", &owner), ("repo", &repo)].into_iter();
            let bad = fields.filter(|(_, text)| EnvironmentName::parse(text).is_none());
            ApiError::InvalidInput(bad.map(|(field, _)| wrong(field)).collect())
        })
    }
}

/// The environment of a vault that a path names.
pub(super) struct NamedEnvironment(pub(super) VaultName, pub(super) EnvironmentName);

impl<S: Send + Sync> FromRequestParts<S> for NamedEnvironment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let NamedVault(vault) = NamedVault::from_request_parts(parts, state).await?;
        let text = path_parameter(parts, state, "environment").await?;
        let wrong = || ApiError::field("environment", "value", format!("is not {}", EnvironmentName::ACCEPTED));
        EnvironmentName::parse(&text).map(|name| Self(vault, name)).ok_or_else(wrong)
    }
}

/// A UUID in its usual form.
fn parse_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

fn text(value: &str) -> Option<String> {
    line(Value::from(value), LONGEST)
}

fn required(query: &mut Query, name: &str, accepted: &str, problems: &mut Vec<FieldProblem>) {
    if query.text(name).is_none() {
        let problem = FieldProblem::new(name, "required", format!("is missing: {accepted}"));
        problems.push(problem.in_query("").expecting(accepted));
    }
}

/// What a query asks to compare.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) target: Target,
    pub(super) direction: Direction,
    pub(super) delete: Option<DeleteScope>,
}

impl Compared {
    /// Reads `connectionId` and `projectId`, the vault's environment under the name `environment`, and whatever else a
    /// preview takes.
    pub(super) fn parse(vault: VaultName, mut query: Query, environment: &str) -> Result<Self, ApiError> {
        let mut missing = Vec::new();
        required(&mut query, "connectionId", UUID_ACCEPTED, &mut missing);
        required(&mut query, "projectId", TEXT_ACCEPTED, &mut missing);
        let connection_id = query.parsed("connectionId", UUID_ACCEPTED, parse_uuid);
        let project_id = query.parsed("projectId", TEXT_ACCEPTED, text);
        let named = query.parsed(environment, EnvironmentName::ACCEPTED, EnvironmentName::parse);
        let provider_environment = query.parsed("providerEnvironment", TEXT_ACCEPTED, text);
        let direction = query.parsed("direction", Direction::ACCEPTED, Direction::named);
        let allowed = query.parsed("allowDelete", BOOLEAN_ACCEPTED, |text| text.parse().ok());
        let scope = query.parsed("deleteScope", DeleteScope::ACCEPTED, DeleteScope::named);
        let problems = match query.finish() {
            Err(ApiError::InvalidInput(problems)) => [missing, problems].concat(),
            Err(error) => return Err(error),
            Ok(()) => missing,
        };
        let (Some(connection_id), Some(project_id), true) = (connection_id, project_id, problems.is_empty()) else {
            return Err(ApiError::InvalidInput(problems));
        };
        let environment = named.unwrap_or_else(EnvironmentName::production);
        let provider_environment = provider_environment.unwrap_or_else(|| "production".into());
        let target = Target { vault, environment, connection_id, project_id, provider_environment };
        let delete = allowed.unwrap_or(false).then_some(scope.unwrap_or(DeleteScope::All));
        Ok(Self { target, direction: direction.unwrap_or(Direction::Push), delete })
    }
}

/// Describes a body that names a target: fields of its own, and those that [`target`] takes.
macro_rules! body_with_target {
    ($(#[$attribute:meta])* struct $name:ident { $($own:tt)* }) => {
        $(#[$attribute])*
        #[derive(utoipa::ToSchema)]
        #[schema(rename_all = "camelCase")]
        #[expect(dead_code, reason = "describes the body, which is read field by field")]
        struct $name {
            /// The connection.
            connection_id: uuid::Uuid,
            /// The platform's project.
            #[schema(min_length = 1, max_length = 300)]
            project_id: String,
            /// The vault's environment; `production` unless given.
            #[schema(nullable = false, min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9._-]+$")]
            keyway_environment: Option<String>,
            /// The platform's environment; `production` unless given.
            #[schema(nullable = false, min_length = 1, max_length = 300)]
            provider_environment: Option<String>,
            $($own)*
        }
    };
}
pub(super) use body_with_target;

/// Reads what a sync is between out of a body.
pub(super) fn target(fields: &mut Fields, vault: VaultName) -> Option<Target> {
    let connection_id = fields.required("connectionId", UUID_ACCEPTED, |value| parse_uuid(value.as_str()?));
    let project_id = fields.required("projectId", TEXT_ACCEPTED, |value| line(value, LONGEST));
    let environment = fields
        .optional("keywayEnvironment", EnvironmentName::ACCEPTED, |value| EnvironmentName::parse(value.as_str()?));
    let provider_environment = fields.optional("providerEnvironment", TEXT_ACCEPTED, |value| line(value, LONGEST));
    Some(Target {
        vault,
        environment: environment.unwrap_or_else(EnvironmentName::production),
        connection_id: connection_id?,
        project_id: project_id?,
        provider_environment: provider_environment.unwrap_or_else(|| "production".into()),
    })
}

/// A field that is `true` or `false`.
pub(super) fn boolean(fields: &mut Fields, name: &'static str) -> Option<bool> {
    fields.optional(name, BOOLEAN_ACCEPTED, |value| value.as_bool())
}

/// A field that is a UUID.
pub(super) fn uuid(fields: &mut Fields, name: &'static str) -> Option<Uuid> {
    fields.optional(name, UUID_ACCEPTED, |value| parse_uuid(value.as_str()?))
}

/// A parameter that is a UUID.
pub(super) fn uuid_parameter(query: &mut Query, name: &str) -> Option<Uuid> {
    query.parsed(name, UUID_ACCEPTED, parse_uuid)
}

/// A parameter that is a text.
pub(super) fn text_parameter(query: &mut Query, name: &str) -> Option<String> {
    query.parsed(name, TEXT_ACCEPTED, text)
}

/// A JSON map of names and values.
pub(super) struct SecretsMap(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for SecretsMap {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        let bytes = read(request.into_body()).await?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(ApiError::field("body", "type", "must be a JSON object of names and values")),
            Err(error) => {
                let place = format!("is not JSON: line {}, column {}", error.line(), error.column());
                Err(ApiError::field("body", "value", place))
            }
        }
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = media_type == "application/json" || media_type.ends_with("+json");
    is_json.then_some(()).ok_or(ApiError::UnsupportedMediaType { accepted: "application/json" })
}

async fn read(body: AxumBody) -> Result<Vec<u8>, ApiError> {
    match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes().to_vec()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::PayloadTooLarge { what: "The body", limit: LARGEST_BODY })
        }
        Err(_) => Err(ApiError::field("body", "value", "could not be read to its end")),
    }
}

impl SecretsMap {
    /// The values by name; null is for none. Every problem is named at once.
    pub(super) fn parse(self) -> Result<BTreeMap<String, Option<SecretString>>, ApiError> {
        let (mut values, mut problems) = (BTreeMap::new(), Vec::new());
        for (name, value) in self.0 {
            if let Some(objection) = objection_to_name(&name) {
                problems.push(FieldProblem::new(&name, "value", objection));
            }
            let kind = Received::of(&value);
            let value = match value {
                Value::String(text) => Some(SecretString::from(text)),
                Value::Null => None,
                _ => {
                    problems.push(FieldProblem::new(&name, "type", "must be text or null").receiving(kind));
                    continue;
                }
            };
            if let Some(objection) = value.as_ref().and_then(objection_to_value) {
                problems.push(FieldProblem::new(&name, "value", objection));
            }
            values.insert(name, value);
        }
        if problems.is_empty() { Ok(values) } else { Err(ApiError::InvalidInput(problems)) }
    }
}

/// Names and values; null for none.
#[derive(ToSchema)]
#[schema(value_type = BTreeMap<String, Option<String>>)]
#[expect(dead_code, reason = "describes the body, which is read name by name")]
pub(super) struct SecretsRequest(BTreeMap<String, Option<String>>);
