//! The OpenAPI documents say what the code does: every route, every answer, and who may call what.

mod answers;
mod authorization;
mod documents;
mod named;
mod operations;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use kit::Answer;
use serde_json::{Value, json};

/// A group's document as it is made from the code now.
fn document(group: &str) -> Value {
    static DOCUMENTS: LazyLock<Vec<(&'static str, Value)>> = LazyLock::new(|| local::openapi::documents().unwrap());
    DOCUMENTS.iter().find(|(name, _)| *name == group).unwrap().1.clone()
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
        item.as_object().unwrap().iter().map(|(method, value)| described(path, method, value))
    });
    operations.collect()
}

fn described(path: &str, method: &str, value: &Value) -> Described {
    Described {
        id: value["operationId"].as_str().unwrap().to_owned(),
        method: method.to_uppercase(),
        path: path.to_owned(),
        value: value.clone(),
    }
}

fn operation(document: &Value, id: &str) -> Described {
    let paths = document["paths"].as_object().unwrap().iter();
    let mut operations = paths
        .flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(method, value)| (path, method, value)));
    let found = operations.find(|(_, _, value)| value["operationId"] == id);
    found.map(|(path, method, value)| described(path, method, value)).unwrap_or_else(|| panic!("no operation {id}"))
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

/// Everything that is wrong with a value. A schema of a group's document is prepared once.
fn objections(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    static VALIDATORS: Mutex<BTreeMap<String, Arc<Validator>>> = Mutex::new(BTreeMap::new());
    let key = format!("{} {schema}", document["info"]["title"]);
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = validators.entry(key).or_insert_with(|| Arc::new(validator(document, schema))).clone();
    drop(validators);
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
