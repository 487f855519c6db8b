//! Query parameters, each parsed by name. Unknown ones are ignored: links carry things that are not ours.

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::{ApiError, FieldProblem};

/// A request's query parameters, percent-decoded. The first of a repeated name counts.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
    problems: Vec<FieldProblem>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let pairs = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        Ok(Self { pairs: pairs.into_owned().collect(), problems: Vec::new() })
    }
}

impl Query {
    /// A parameter as it was sent.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that `parse` understands; `accepted` says what that is.
    pub fn parsed<T>(&mut self, name: &str, accepted: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?.to_owned();
        let parsed = parse(&text);
        if parsed.is_none() {
            let problem = FieldProblem::new(name, "value", format!("is not {accepted}"));
            self.problems.push(problem.in_query(text).expecting(accepted));
        }
        parsed
    }

    /// A whole number between `least` and `most`.
    pub fn whole(&mut self, name: &str, least: usize, most: usize) -> Option<usize> {
        let accepted = format!("a whole number from {least} to {most}");
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        self.parsed(name, &accepted, |text| {
            text.parse().ok().filter(|number| digits(text) && (least..=most).contains(number))
        })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every parameter that could not be parsed.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ApiError::InvalidInput(self.problems)) }
    }
}
