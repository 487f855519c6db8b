//! Every request has an id that the answer repeats: the client's own if it sent a usable one, or else API Gateway's, so
//! that whoever has either finds the request's lines in the log. Outside of API Gateway it is made up.

use axum::extract::Request;
use http::HeaderMap;
use lambda_http::RequestExt as _;
use lambda_http::request::RequestContext;

use crate::clock::Ids;

/// 1 to 128 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The header, in requests and in answers.
    pub const HEADER: &'static str = "x-request-id";

    /// The request's own id, or API Gateway's, or a new one.
    #[must_use]
    pub fn of(request: &Request, ids: &Ids) -> Self {
        let id = own(request.headers()).or_else(|| gateway(request));
        Self(id.map_or_else(|| ids.uuid().to_string(), str::to_owned))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id that the client gave.
fn own(headers: &HeaderMap) -> Option<&str> {
    headers.get(RequestId::HEADER).and_then(|value| value.to_str().ok()).map(str::trim).filter(|id| is_usable(id))
}

/// API Gateway's id, as its access log has it.
pub(super) fn gateway(request: &Request) -> Option<&str> {
    let RequestContext::ApiGatewayV2(context) = request.request_context_ref()? else { return None };
    context.request_id.as_deref().filter(|id| is_usable(id))
}

/// The invocation's id, as Lambda's own lines of the log have it.
pub(super) fn lambda(request: &Request) -> Option<&str> {
    request.lambda_context_ref().map(|context| context.request_id.as_str()).filter(|id| !id.is_empty())
}

fn is_usable(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
