//! What the fakes share in reading requests and writing answers.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

/// Locks the state of a fake. A panic in one request must not take the fake away from the others.
pub(crate) fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// A plain answer with the given content type.
pub(crate) fn plain(status: StatusCode, content_type: &'static str, body: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, content_type)], body.into()).into_response()
}

/// A refusal on its way out, for functions that fail with one. Boxed, because an answer is large.
pub(crate) struct Refused(Box<Response>);

impl From<Response> for Refused {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Adds headers to an answer; one that HTTP does not allow is left out.
pub(crate) fn with_headers<const N: usize>(mut response: Response, headers: [(&'static str, String); N]) -> Response {
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A header as text.
pub(crate) fn header<'headers>(headers: &'headers HeaderMap, name: &str) -> Option<&'headers str> {
    headers.get(name)?.to_str().ok()
}

/// The token of `Authorization: Bearer …`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = header(headers, "authorization")?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whether the caller says who it is.
pub(crate) fn has_user_agent(headers: &HeaderMap) -> bool {
    header(headers, "user-agent").is_some_and(|agent| !agent.trim().is_empty())
}

/// How a body is encoded, by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// Anything else, or not said.
    Other,
}

/// The encoding that the content type promises.
pub(crate) fn encoding(headers: &HeaderMap) -> Encoding {
    let content_type = header(headers, "content-type").unwrap_or_default();
    match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Encoding::Json,
        "application/x-www-form-urlencoded" => Encoding::Form,
        _ => Encoding::Other,
    }
}

/// Decodes `name=value&…`, of a query or a form. Every value is text.
pub(crate) fn form(encoded: &[u8]) -> Map<String, Value> {
    url::form_urlencoded::parse(encoded).map(|(name, value)| (name.into_owned(), Value::from(value))).collect()
}

/// A text field of a JSON object; empty when it is absent or not text.
pub(crate) fn text<'object>(object: &'object Map<String, Value>, name: &str) -> &'object str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A list field of a JSON object; empty when it is absent or not a list.
pub(crate) fn list<'object>(object: &'object Map<String, Value>, name: &str) -> &'object [Value] {
    object.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A truthy field, be it JSON's `true` or a form's `true` or `1`.
pub(crate) fn flag(object: &Map<String, Value>, name: &str) -> bool {
    match object.get(name) {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(value)) => matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes"),
        _ => false,
    }
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A provider's own rate limit: refuses the next few requests in the provider's words.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    left: usize,
    seconds: f64,
}

impl Throttle {
    /// Refuses the next `count` requests and asks to wait `seconds`.
    pub(crate) fn set(&mut self, count: usize, seconds: f64) {
        *self = Self { left: count, seconds };
    }

    /// The wait to ask for, if this request is refused.
    pub(crate) fn take(&mut self) -> Option<f64> {
        self.left = self.left.checked_sub(1)?;
        Some(self.seconds)
    }
}

/// Seconds as a header says them: whole, rounded up.
pub(crate) fn whole_seconds(seconds: f64) -> String {
    format!("{:.0}", seconds.ceil())
}
