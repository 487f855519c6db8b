//! What the OpenAPI documents of all groups have in common.
//!
//! # Theory of operation
//! A handler says in `#[utoipa::path]` what is its own: its parameters, its body, its answers, the permission that it needs
//! and the errors that no other operation has. [`finished`] adds what follows from that for every operation alike: the
//! errors of a request with a token, with a body, with an id in its path; their envelope; the headers that the frame reads
//! and writes; the permission as an extension; the examples. So nothing is written twice, and no operation can forget it.
//!
//! None of this runs in a function: the documents are made by `causeway openapi` and committed.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

/// What is particular to a group.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// The document's title.
    pub title: &'static str,
    /// What the group is for, in Markdown.
    pub description: &'static str,
    /// The status of bad input.
    pub invalid: u16,
    /// The media type of errors.
    pub errors: &'static str,
    /// True if a token counts only with its client.
    pub asks_for_client: bool,
    /// The operations that take an `Idempotency-Key`.
    pub idempotent: &'static [&'static str],
    /// Examples: by operation `request` and, by status, `responses`.
    pub examples: &'static str,
}

/// The document of a group with all that its operations have in common. Its component `Error` is the group's envelope.
///
/// # Errors
/// What cannot be read: a defect of the code, which the tests find.
pub fn finished(document: &OpenApi, group: &Described) -> Result<Value, serde_json::Error> {
    let mut document = serde_json::to_value(document)?;
    let examples: Value = serde_json::from_str(group.examples)?;
    let title = json!({
        "title": group.title,
        "description": group.description,
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    put(&mut document, "info", title);
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, operations) in paths.into_iter().flatten() {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            let Some(operation) = operation.as_object_mut() else { continue };
            Operation { group, path, method, operation }.finish(&examples);
        }
    }
    let mut components = document.get("components").cloned().unwrap_or_else(|| json!({}));
    close_requests(&mut components);
    put(&mut components, "securitySchemes", security_schemes(group));
    put(&mut components, "parameters", parameters());
    put(&mut components, "headers", headers());
    let responses = COMMON.iter().map(|common| (common.name.to_owned(), common.response(group)));
    put(&mut components, "responses", Value::Object(responses.collect()));
    // In the order in which a person reads them.
    let mut ordered = Map::new();
    put_in(&mut ordered, "openapi", "3.1.0".into());
    put_in(&mut ordered, "info", document.get("info").cloned().unwrap_or_default());
    put_in(&mut ordered, "servers", json!([{ "url": "/", "description": "Where this document is served." }]));
    put_in(&mut ordered, "tags", document.get("tags").cloned().unwrap_or_else(|| json!([])));
    put_in(&mut ordered, "paths", document.get("paths").cloned().unwrap_or_default());
    put_in(&mut ordered, "components", components);
    Ok(Value::Object(ordered))
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        put_in(object, name, value);
    }
}

fn put_in(object: &mut Map<String, Value>, name: &str, value: Value) {
    object.insert(name.to_owned(), value);
}

/// Bodies of requests take no fields but those that are described.
fn close_requests(components: &mut Value) {
    let schemas = components.get_mut("schemas").and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        let open = schema.get("additionalProperties").is_some();
        if name.ends_with("Request") && schema.get("properties").is_some() && !open {
            put(schema, "additionalProperties", false.into());
        }
    }
}

fn security_schemes(group: &Described) -> Value {
    let mut schemes = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of the operator, or of the operator's identity provider. Each operation names the permission that the token needs.",
        },
    });
    if group.asks_for_client {
        let header = |name: &str, description: &str| json!({ "type": "apiKey", "in": "header", "name": name, "description": description });
        put(&mut schemes, "clientId", header("X-Client-Id", "The client that the token was issued to."));
        put(&mut schemes, "clientSecret", header("X-Client-Secret", "That client's secret."));
    }
    schemes
}

fn parameters() -> Value {
    let header = |name: &str, schema: Value, description: &str| json!({ "name": name, "in": "header", "required": false, "description": description, "schema": schema });
    let key = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$" });
    json!({
        "RequestId": header(
            "x-request-id",
            json!({ "type": "string" }),
            "The request's id, which the answer repeats: 1 to 128 printable ASCII characters. Anything else is replaced by a new one.",
        ),
        "IdempotencyKey": header(
            "Idempotency-Key",
            key,
            "The same key with the same request gets the first answer again, for 24 hours. With another request it is a conflict.",
        ),
    })
}

fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "The request's id.",
            "required": true,
            "schema": { "type": "string", "minLength": 1, "maxLength": 128 },
        },
        "RetryAfter": {
            "description": "In how many seconds it may be worth trying again, where that is known.",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "RateLimitLimit": {
            "description": "How many requests the token may send in a minute. Missing where tokens are not limited, and where none was recognised.",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "RateLimitRemaining": {
            "description": "How many of them are left, as far as this process knows.",
            "schema": { "type": "integer", "minimum": 0 },
        },
        "RateLimitReset": {
            "description": "When the next minute begins, in seconds since 1970.",
            "schema": { "type": "integer", "minimum": 0 },
        },
        "Authenticate": {
            "description": "How to authenticate.",
            "required": true,
            "schema": { "type": "string" },
        },
        "Replayed": {
            "description": "There, and `true`, if the answer is that of an earlier request with the same Idempotency-Key.",
            "schema": { "type": "string", "enum": ["true"] },
        },
    })
}

/// An error that many operations have.
struct Common {
    name: &'static str,
    /// Its status; of bad input, the group's own.
    status: Option<u16>,
    description: &'static str,
}

const COMMON: &[Common] = &[
    Common {
        name: "InvalidInput",
        status: None,
        description: "Something in the request cannot be used. All problems are named at once.",
    },
    Common {
        name: "Unauthorized",
        status: Some(401),
        description: "The proof of who asks is missing, wrong, expired or revoked.",
    },
    Common { name: "Forbidden", status: Some(403), description: "The token lacks the permission." },
    Common {
        name: "NotFound",
        status: Some(404),
        description: "There is no such thing for this tenant. Another tenant's answers exactly so.",
    },
    Common {
        name: "Conflict",
        status: Some(409),
        description: "The present state does not allow it, or something else changes it just now.",
    },
    Common { name: "PayloadTooLarge", status: Some(413), description: "The request is too large." },
    Common {
        name: "UnsupportedMediaType",
        status: Some(415),
        description: "The body is not sent as a media type that is taken.",
    },
    Common { name: "TooManyRequests", status: Some(429), description: "Too much was asked; try again later." },
    Common {
        name: "InternalError",
        status: Some(500),
        description: "Our fault. Nothing of the cause is shown; it is in the log under the request's id.",
    },
];

impl Common {
    fn response(&self, group: &Described) -> Value {
        let mut response = json!({ "description": self.description });
        dress(&mut response, self.status.unwrap_or(group.invalid), group);
        response
    }
}

/// Gives an error its envelope and its headers.
fn dress(response: &mut Value, status: u16, group: &Described) {
    if response.get("content").is_none() {
        let envelope = json!({ "schema": { "$ref": "#/components/schemas/Error" } });
        let mut content = Map::new();
        put_in(&mut content, group.errors, envelope);
        put(response, "content", Value::Object(content));
    }
    let mut headers = response.get("headers").cloned().unwrap_or_else(|| json!({}));
    put(&mut headers, "x-request-id", reference("headers", "RequestId"));
    if status != 401 {
        tell_limit(&mut headers);
    }
    match status {
        401 => put(&mut headers, "www-authenticate", reference("headers", "Authenticate")),
        409 | 429 | 502 => put(&mut headers, "retry-after", reference("headers", "RetryAfter")),
        _ => {}
    }
    put(response, "headers", headers);
}

/// Where a token stands is told by every answer to one that is known.
fn tell_limit(headers: &mut Value) {
    put(headers, "x-ratelimit-limit", reference("headers", "RateLimitLimit"));
    put(headers, "x-ratelimit-remaining", reference("headers", "RateLimitRemaining"));
    put(headers, "x-ratelimit-reset", reference("headers", "RateLimitReset"));
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

struct Operation<'a> {
    group: &'a Described,
    path: &'a str,
    method: &'a str,
    operation: &'a mut Map<String, Value>,
}

impl Operation<'_> {
    fn finish(&mut self, examples: &Value) {
        let id = self.text("operationId");
        let example = examples.get(&id).cloned().unwrap_or_default();
        let permission = self.secure();
        let idempotent = self.group.idempotent.contains(&id.as_str());
        self.take_headers(idempotent);
        let statuses = self.errors(permission.is_some(), idempotent);
        self.answer(&statuses, idempotent, &example);
        if let Some(body) = self.operation.get_mut("requestBody") {
            require_object(body);
            if let Some(request) = example.get("request") {
                exemplify(body, request);
            }
        }
        put_in(self.operation, "x-required-permission", permission.map_or(Value::Null, Value::String));
    }

    fn text(&self, name: &str) -> String {
        self.operation.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The permission that the operation needs; `None` if it is for everybody. What the group asks for beside the token
    /// is added.
    fn secure(&mut self) -> Option<String> {
        let requirement = self.operation.get_mut("security")?.as_array_mut()?.first_mut()?.as_object_mut()?;
        let permission = requirement.get("bearer")?.as_array()?.first()?.as_str()?.to_owned();
        if self.group.asks_for_client {
            put_in(requirement, "clientId", json!([]));
            put_in(requirement, "clientSecret", json!([]));
        }
        Some(permission)
    }

    fn take_headers(&mut self, idempotent: bool) {
        let mut parameters = self.operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
        if idempotent {
            parameters.push(reference("parameters", "IdempotencyKey"));
        }
        parameters.push(reference("parameters", "RequestId"));
        put_in(self.operation, "parameters", Value::Array(parameters));
    }

    /// The names of the errors that follow from what the operation takes.
    fn errors(&self, secured: bool, idempotent: bool) -> Vec<&'static str> {
        let parameters = self.operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
        let has = |place: &str| parameters.iter().any(|parameter| parameter.get("in") == Some(&place.into()));
        let body = self.operation.contains_key("requestBody");
        let mut names = vec!["InternalError", "TooManyRequests"];
        if has("query") || body || idempotent {
            names.push("InvalidInput");
        }
        if secured {
            names.extend(["Unauthorized", "Forbidden"]);
        }
        if self.path.contains('{') {
            names.push("NotFound");
        }
        if self.method != "get" {
            names.push("Conflict");
        }
        if body {
            names.extend(["PayloadTooLarge", "UnsupportedMediaType"]);
        } else if idempotent {
            names.push("PayloadTooLarge");
        }
        names
    }

    fn answer(&mut self, names: &[&str], idempotent: bool, example: &Value) {
        let mut responses = self.operation.get("responses").and_then(Value::as_object).cloned().unwrap_or_default();
        for (status, response) in &mut responses {
            match status.parse::<u16>() {
                Ok(status) if status >= 400 => dress(response, status, self.group),
                _ => {
                    let mut headers = response.get("headers").cloned().unwrap_or_else(|| json!({}));
                    put(&mut headers, "x-request-id", reference("headers", "RequestId"));
                    if names.contains(&"Unauthorized") {
                        tell_limit(&mut headers);
                    }
                    if idempotent {
                        put(&mut headers, "idempotent-replayed", reference("headers", "Replayed"));
                    }
                    put(response, "headers", headers);
                    if let Some(example) = example.get("responses").and_then(|responses| responses.get(&*status)) {
                        exemplify(response, example);
                    }
                }
            }
        }
        for common in COMMON.iter().filter(|common| names.contains(&common.name)) {
            let status = common.status.unwrap_or(self.group.invalid).to_string();
            responses.entry(status).or_insert_with(|| reference("responses", common.name));
        }
        let mut ordered: Vec<_> = responses.into_iter().collect();
        ordered.sort_by(|(one, _), (other, _)| one.cmp(other));
        put_in(self.operation, "responses", Value::Object(ordered.into_iter().collect()));
    }
}

/// A body that may be left out is left out: null is none.
fn require_object(body: &mut Value) {
    let content = body.get_mut("content").and_then(Value::as_object_mut);
    for (_, content) in content.into_iter().flatten() {
        let parts = content.pointer("/schema/oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut parts = parts.into_iter().filter(|part| part.get("type") != Some(&"null".into()));
        if let (Some(only), None) = (parts.next(), parts.next()) {
            put(content, "schema", only);
        }
    }
}

/// Puts an example to the first media type of a body.
fn exemplify(body: &mut Value, example: &Value) {
    let content = body.get_mut("content").and_then(Value::as_object_mut);
    if let Some((_, content)) = content.and_then(|content| content.iter_mut().next()) {
        put(content, "example", example.clone());
    }
}
