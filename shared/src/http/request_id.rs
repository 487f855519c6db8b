//! Every request has an id: the client's own, if it sent a usable one.

use http::HeaderMap;

use crate::clock::Ids;

/// 1 to 128 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The header, in requests and in answers.
    pub const HEADER: &'static str = "x-request-id";

    /// The request's own id, or a new one.
    #[must_use]
    pub fn of(headers: &HeaderMap, ids: &Ids) -> Self {
        let own = headers.get(Self::HEADER).and_then(|value| value.to_str().ok()).map(str::trim);
        let usable =
            own.filter(|own| (1..=128).contains(&own.len()) && own.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        Self(usable.map_or_else(|| ids.uuid().to_string(), str::to_owned))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
