//! A JSON body, read field by field: every problem is found, named and reported at once.

use std::collections::BTreeSet;

use axum::body::Body as AxumBody;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};

use super::error::Received;
use super::{ApiError, FieldProblem};

/// The largest body that is taken, unless a route says otherwise. Secrets Manager keeps 64 KiB, so nothing larger can be
/// meant.
const LIMIT: usize = 256 * 1024;

/// How many bytes a body may have on routes that take more than the usual 256 KiB: an extension of their requests, which
/// must stand around whatever else reads the body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit(pub usize);

impl BodyLimit {
    pub(super) fn of(extensions: &http::Extensions) -> usize {
        extensions.get::<Self>().map_or(LIMIT, |limit| limit.0)
    }
}

/// A body as it was sent, up to the route's [`BodyLimit`].
#[derive(Debug)]
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let limit = BodyLimit::of(request.extensions());
        read(request.into_body(), limit).await.map(Self)
    }
}

/// A JSON object that must be there.
#[derive(Debug)]
pub struct Body(pub Fields);

/// A JSON object that may be left out altogether.
#[derive(Debug)]
pub struct OptionalBody(pub Fields);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let content_type = media_type(&request);
        let limit = BodyLimit::of(request.extensions());
        let bytes = read(request.into_body(), limit).await?;
        require_json(content_type.as_deref())?;
        Ok(Self(Fields::parse(&bytes)?))
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let content_type = media_type(&request);
        let limit = BodyLimit::of(request.extensions());
        let bytes = read(request.into_body(), limit).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Fields::of(Map::new())));
        }
        require_json(content_type.as_deref())?;
        Ok(Self(Fields::parse(&bytes)?))
    }
}

fn media_type(request: &Request) -> Option<String> {
    let value = request.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn require_json(media_type: Option<&str>) -> Result<(), ApiError> {
    match media_type {
        Some(media_type) if media_type == "application/json" || media_type.ends_with("+json") => Ok(()),
        _ => Err(ApiError::UnsupportedMediaType { accepted: "application/json" }),
    }
}

/// Reads a body up to `limit`.
pub(super) async fn read(body: AxumBody, limit: usize) -> Result<Bytes, ApiError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::PayloadTooLarge { what: "The body", limit }),
        Err(_) => Err(ApiError::field("body", "value", "could not be read to its end")),
    }
}

/// The fields of one JSON object.
pub struct Fields {
    path: String,
    values: Map<String, Value>,
    known: BTreeSet<&'static str>,
    problems: Vec<FieldProblem>,
}

/// What is in the fields may be secret, so only their names are printed.
impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fields").field("names", &self.values.keys()).finish_non_exhaustive()
    }
}

impl Fields {
    /// The fields of `values`, at the body's root.
    #[must_use]
    pub fn of(values: Map<String, Value>) -> Self {
        Self { path: String::new(), values, known: BTreeSet::new(), problems: Vec::new() }
    }

    fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(values)) => Ok(Self::of(values)),
            Ok(_) => Err(ApiError::field("body", "type", "must be a JSON object")),
            Err(error) => {
                let place = format!("is not JSON: line {}, column {}", error.line(), error.column());
                Err(ApiError::field("body", "value", place))
            }
        }
    }

    fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Notes a problem of the field `name`.
    pub fn problem(&mut self, name: &str, code: &'static str, message: impl Into<String>) {
        let field = self.at(name);
        self.problems.push(FieldProblem::new(field, code, message));
    }

    /// Notes problems found elsewhere.
    pub fn problems(&mut self, problems: impl IntoIterator<Item = FieldProblem>) {
        self.problems.extend(problems);
    }

    /// Takes a field as it is.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.insert(name);
        self.values.remove(name)
    }

    /// Takes a field that `parse` understands; `accepted` says what that is. A null counts as a wrong value.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        accepted: &str,
        parse: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(name)?;
        let kind = Received::of(&value);
        let parsed = parse(value);
        if parsed.is_none() {
            let problem = FieldProblem::new(self.at(name), "value", format!("must be {accepted}"));
            self.problems.push(problem.expecting(accepted).receiving(kind));
        }
        parsed
    }

    /// The same for a field that must be there.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        accepted: &str,
        parse: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        if !self.values.contains_key(name) {
            self.known.insert(name);
            let problem = FieldProblem::new(self.at(name), "required", format!("is missing: {accepted}"));
            self.problems.push(problem.expecting(accepted).receiving(Received::Nothing));
            return None;
        }
        self.optional(name, accepted, parse)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every problem noted, and every field that nobody asked for.
    pub fn finish(mut self) -> Result<(), ApiError> {
        let unknown: Vec<String> = self.values.keys().cloned().collect();
        let known: Vec<&str> = self.known.iter().copied().collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        for name in unknown {
            self.problem(&name, "unknown", format!("is not a field here; the fields are {known}"));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(ApiError::InvalidInput(self.problems)) }
    }
}

/// Text of 1 to `most` characters once trimmed, none of them a control character.
#[must_use]
pub fn line(value: Value, most: usize) -> Option<String> {
    let Value::String(text) = value else { return None };
    let text = text.trim();
    let fits = (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}
