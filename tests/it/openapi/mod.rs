//! The OpenAPI documents say what the code does: every route, every answer, and who may call what.

mod answers;
mod authorization;
mod documents;
mod named;
mod operations;

use jsonschema::Validator;
use kit::Answer;
use serde_json::{Value, json};

/// A group's document as it is made from the code now.
fn document(group: &str) -> Value {
    let documents = local::openapi::documents().unwrap();
    documents.into_iter().find(|(name, _)| *name == group).unwrap().1
}

/// An operation of a document, with where it is.
struct Described {
    id: String,
    method: String,
    path: String,
    value: Value,
}

fn operations_of(document: &Value) -> Vec<Described> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, value)| Described {
            id: value["operationId"].as_str().unwrap().to_owned(),
            method: method.to_uppercase(),
            path: path.clone(),
            value: value.clone(),
        })
    });
    operations.collect()
}

fn operation(document: &Value, id: &str) -> Described {
    operations_of(document).into_iter().find(|one| one.id == id).unwrap_or_else(|| panic!("no operation {id}"))
}

/// What a reference of the document stands for.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// What decides whether a value is what a schema of the document says.
fn validator(document: &Value, schema: &Value) -> Validator {
    let whole = json!({ "components": document["components"], "allOf": [schema] });
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .build(&whole)
        .unwrap_or_else(|error| panic!("{error} in {schema}"))
}

/// Everything that is wrong with a value.
fn objections(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let validator = validator(document, schema);
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Compares an answer with what the document says of the operation: its status, headers, media type and body.
#[track_caller]
fn conforms(document: &Value, id: &str, answer: &Answer) {
    let operation = operation(document, id);
    let status = answer.status.as_u16().to_string();
    let response = &operation.value["responses"][&status];
    assert!(!response.is_null(), "{id}: {status} is not described: {}", answer.text);
    let response = resolved(document, response);
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let required = resolved(document, header)["required"] == true;
        assert!(!required || answer.header(name).is_some(), "{id}: {status} without {name}");
    }
    let Some(content) = response["content"].as_object() else {
        assert_eq!(answer.text, "", "{id}: {status} has no body");
        return;
    };
    let media_type = answer.header("content-type").unwrap_or_default().split(';').next().unwrap().trim().to_owned();
    let described = content.get(&media_type).unwrap_or_else(|| panic!("{id}: {status} as {media_type}"));
    if media_type.ends_with("json") {
        let objections = objections(document, &described["schema"], &answer.json());
        assert!(objections.is_empty(), "{id}: {status}: {objections:#?} in {}", answer.text);
    }
}
