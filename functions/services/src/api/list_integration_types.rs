//! `GET /api/integration-types`: what a form needs to know of each type, the config as JSON Schema.

use axum::Json;
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::auth::{Caller, needs};
use utoipa::ToSchema;

use crate::model::Kind;
use crate::providers::Field;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IntegrationTypes)]
pub(super) struct Types {
    data: Vec<Type>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = IntegrationType)]
struct Type {
    #[serde(rename = "type")]
    #[schema(value_type = Kind)]
    kind: &'static str,
    label: &'static str,
    description: &'static str,
    can_send: bool,
    #[schema(value_type = Object)]
    config_schema: Value,
}

/// Describes each type: what a form needs to know.
#[utoipa::path(
    get,
    path = "/api/integration-types",
    tag = "types",
    security(("bearer" = ["services:read"])),
    responses(
        (status = 200, description = "Every type, its config as JSON Schema.", body = Types),
    ),
)]
pub(super) async fn list_integration_types(_caller: Caller<needs::ServicesRead>) -> Json<Types> {
    Json(Types { data: Kind::ALL.iter().copied().map(describe).collect() })
}

fn describe(kind: Kind) -> Type {
    let provider = kind.provider();
    let fields = provider.fields();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), Value::Object(property(field)))).collect();
    Type {
        kind: kind.name(),
        label: provider.label(),
        description: provider.description(),
        can_send: provider.is_channel(),
        config_schema: json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        }),
    }
}

/// `writeOnly` marks a secret, as JSON Schema has it: it is sent, and shown only to who may see secrets.
fn property(field: &Field) -> Map<String, Value> {
    let mut property = field.shape.schema();
    property.insert("title".into(), field.label.into());
    property.insert("description".into(), field.help.into());
    if field.secret {
        property.insert("writeOnly".into(), true.into());
    }
    property
}
