//! The frame around a group's routes.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, OriginalUri, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::FutureExt;
use http::{HeaderValue, StatusCode, header};
use lambda_http::RequestExt as _;
use tokio::time::Instant;
use tracing::{Instrument, field};

use super::audited::audited;
use super::operations::documented_path;
use super::rate_limit::Slot;
use super::{ApiError, Described, Operations, Problem, RequestId, Routes, request_id};
use crate::auth::caller::AsksForClient;
use crate::telemetry::{self, metrics, trace};
use crate::{Platform, deadline};

/// Writes an error in a group's envelope: status, headers and body. `x-request-id` and `Retry-After` are added by the
/// frame.
pub type Present = fn(Problem<'_>) -> Response;

/// What the frame knows of the group it stands around.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The group's name, as in keys and secrets.
    pub name: &'static str,
    /// The function that answers its requests.
    pub function: &'static str,
    /// How it writes errors.
    pub present: Present,
    /// What it says of itself.
    pub described: Described,
}

/// Puts the frame around a group's routes.
#[derive(Debug)]
pub struct Api;

#[derive(Debug, Clone)]
struct Frame {
    platform: Platform,
    group: Group,
    operations: Operations,
    asks_for_client: bool,
}

/// API Gateway gives up after 30 s, so a request outside of Lambda has no longer either.
const LONGEST: Duration = Duration::from_secs(29);
/// A request that is still at work so long before its deadline is given up, as Lambda would, but with an answer. Outside
/// work has stopped by then; what can take longer is AWS.
const LAST_MOMENT: Duration = Duration::from_millis(200);

impl Api {
    /// The group's operations, framed: unknown paths and methods answer in its envelope too.
    pub fn frame<S>(platform: &Platform, group: Group, routes: Routes<S>, state: S) -> Router
    where
        S: Clone + Send + Sync + 'static,
    {
        Frame::of(platform, group, &routes).around(routes, state)
    }

    /// The same, and a token counts only with `X-Client-Id` and `X-Client-Secret` of the client that it was issued to.
    pub fn frame_for_clients<S>(platform: &Platform, group: Group, routes: Routes<S>, state: S) -> Router
    where
        S: Clone + Send + Sync + 'static,
    {
        Frame { asks_for_client: true, ..Frame::of(platform, group, &routes) }.around(routes, state)
    }
}

impl Frame {
    fn of<S: Clone + Send + Sync + 'static>(platform: &Platform, group: Group, routes: &Routes<S>) -> Self {
        Self { platform: platform.clone(), group, operations: routes.operations(), asks_for_client: false }
    }

    fn around<S: Clone + Send + Sync + 'static>(self, routes: Routes<S>, state: S) -> Router {
        let described = self.group.described;
        let [document, page] = Operations::DESCRIBED_AT;
        routes
            .into_router()
            .with_state(state)
            .route(document, get(async move |uri: OriginalUri| described.answer_document(&uri)))
            .route(page, get(async move || described.answer_page()))
            .route_layer(middleware::from_fn_with_state(self.operations.clone(), audited))
            .fallback(|| async { ApiError::NotFound { what: "Path" } })
            .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
            .layer(middleware::from_fn_with_state(self, frame))
    }
}

async fn frame(State(frame): State<Frame>, mut request: Request, next: Next) -> Response {
    let Frame { platform, group, operations, asks_for_client } = frame;
    let started = Instant::now();
    let request_id = RequestId::of(&request, &platform.ids);
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let operation = operations.named(&method, documented_path(&request));
    let left = time_left(&request);
    let ear = platform.metrics.clone();
    let cold = ear.is_cold(group.function);
    let span = tracing::info_span!(
        "request",
        request_id = request_id.as_str(),
        gateway_request_id = request_id::gateway(&request),
        lambda_request_id = request_id::lambda(&request),
        trace_id = trace_id(&request),
        group = group.name,
        operation,
        method = method.as_str(),
        route = route.as_deref().unwrap_or("none"),
        tenant = field::Empty,
        user = field::Empty,
        token = field::Empty,
    );
    request.extensions_mut().insert(platform);
    request.extensions_mut().insert(group);
    if asks_for_client {
        request.extensions_mut().insert(AsksForClient);
    }
    request.extensions_mut().insert(request_id.clone());
    let counted = Slot::default();
    request.extensions_mut().insert(counted.clone());
    let answered = async {
        let work = tokio::time::timeout(left.saturating_sub(LAST_MOMENT), catch(next.run(request)));
        let late = |_| ApiError::internal("the deadline came before the answer").into_response();
        let response = deadline::within(left, work).await.unwrap_or_else(late);
        let mut response = present(group, &request_id, &path, response);
        if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
            response.headers_mut().insert(RequestId::HEADER, value);
        }
        counted.tell(response.headers_mut());
        let (status, latency) = (response.status(), started.elapsed());
        metrics::answered(group.name, operation, status.as_u16(), latency);
        if cold {
            metrics::cold_start(group.function);
        }
        let latency_ms = telemetry::milliseconds(latency);
        tracing::info!(status = status.as_u16(), outcome = outcome(status), latency_ms, cold, "answered");
        response
    };
    ear.during(answered).instrument(span).await
}

/// What came of a request, in a word.
fn outcome(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..400 => "ok",
        400..500 => "client_error",
        500.. => "server_error",
    }
}

fn trace_id(request: &Request) -> Option<String> {
    let header = request.lambda_context_ref()?.xray_trace_id.as_deref()?;
    trace::root(header).map(str::to_owned)
}

fn time_left(request: &Request) -> Duration {
    let deadline = request.lambda_context_ref().map(|context| context.deadline());
    let left = deadline.and_then(|deadline| deadline.duration_since(std::time::SystemTime::now()).ok());
    left.map_or(LONGEST, |left| left.min(LONGEST))
}

/// A panic is one request's failure, not the process's.
pub(super) async fn catch(answer: impl Future<Output = Response>) -> Response {
    let caught: Result<Response, _> = AssertUnwindSafe(answer).catch_unwind().await;
    caught.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        ApiError::internal(format!("a handler panicked: {message}")).into_response()
    })
}

/// Writes the error that a response carries, if it carries one, in the group's envelope.
pub(super) fn present(group: Group, request_id: &RequestId, path: &str, mut response: Response) -> Response {
    let Some(error) = response.extensions_mut().remove::<Arc<ApiError>>() else { return response };
    if let ApiError::Internal(source) = error.as_ref() {
        tracing::error!(error = telemetry::chain(source.as_ref()), "internal error");
    }
    let mut presented = (group.present)(Problem { error: &error, request_id: request_id.as_str(), path });
    // A method's fallback names the methods that are allowed.
    if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
        presented.headers_mut().insert(header::ALLOW, allow);
    }
    if let Some(after) = error.retry_after() {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        presented.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).into());
    }
    if matches!(*error, ApiError::Unauthorized { .. }) {
        presented.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    presented
}
