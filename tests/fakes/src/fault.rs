//! The fault switch that every fake shares: what goes wrong with the next requests, whatever the provider.
//!
//! A fault stands in front of the provider's own behaviour. It is planned for the next N requests or for all of them,
//! optionally only for those whose path contains a given text, and plans are tried in the order they were made. What a
//! provider itself would refuse (a wrong key, a rate limit with its own body) is arranged on its fake instead; the
//! switch is for what happens to any server: an error page, silence, a cut connection, an answer that is lost on its
//! way after the work was done.
//!
//! A hanging request waits without a timer, so a test decides when it goes on: [`Faults::hanging`] tells when it has
//! arrived, [`Faults::release`] lets it continue as if nothing had been wrong.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use crate::wire::lock;

/// An answer written by the test rather than by the fake.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Answer {
    /// An empty answer with this status. A number that is no HTTP status becomes 500.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// Adds a header. One that HTTP does not allow is left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.push((name, value));
        }
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// The status that will be answered.
    #[must_use]
    pub fn code(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers this and does nothing.
    Answer(Answer),
    /// Waits until released, then goes on as usual. If the caller hangs up first, nothing is ever done.
    Hang,
    /// Takes so long, then goes on as usual: the way to a provider, for benchmarks.
    Delay(Duration),
    /// Closes the connection without an answer and does nothing.
    Close,
    /// Does the work, then closes the connection without an answer.
    LoseAnswer,
}

/// The switch of one fake's socket. Clones share it.
#[derive(Clone, Debug)]
pub struct Faults {
    plans: Arc<Mutex<Vec<Plan>>>,
    releases: Arc<watch::Sender<u64>>,
    hanging: Arc<watch::Sender<usize>>,
}

#[derive(Debug)]
struct Plan {
    /// Requests that still pass.
    passing: usize,
    /// Requests still to be hit; `None` is all of them.
    left: Option<usize>,
    path_part: Option<String>,
    fault: Fault,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            plans: Arc::default(),
            releases: Arc::new(watch::Sender::new(0)),
            hanging: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Faults {
    /// Hits the next `count` requests.
    pub fn next(&self, count: usize, fault: Fault) {
        self.plan(Some(count), None, fault);
    }

    /// Hits the next `count` requests whose path contains `path_part`; others pass.
    pub fn next_on(&self, path_part: &str, count: usize, fault: Fault) {
        self.plan(Some(count), Some(path_part.to_owned()), fault);
    }

    /// Lets `passing` requests through, then hits the next `count`, or every one until [`Faults::clear`].
    pub fn after(&self, passing: usize, count: Option<usize>, fault: Fault) {
        lock(&self.plans).push(Plan { passing, left: count, path_part: None, fault });
    }

    /// Hits every request until [`Faults::clear`].
    pub fn all(&self, fault: Fault) {
        self.plan(None, None, fault);
    }

    /// Forgets every plan and releases what hangs.
    pub fn clear(&self) {
        lock(&self.plans).clear();
        self.release();
    }

    /// Lets every hanging request go on.
    pub fn release(&self) {
        self.releases.send_modify(|count| *count += 1);
    }

    /// Resolves once at least `count` requests hang at the same time.
    pub async fn hanging(&self, count: usize) {
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = self.hanging.subscribe().wait_for(|hanging| *hanging >= count).await;
    }

    /// Resolves once nothing hangs: all was released, or its callers have gone and were noticed to.
    pub async fn none_hanging(&self) {
        let _ = self.hanging.subscribe().wait_for(|hanging| *hanging == 0).await;
    }

    fn plan(&self, left: Option<usize>, path_part: Option<String>, fault: Fault) {
        if left != Some(0) {
            lock(&self.plans).push(Plan { passing: 0, left, path_part, fault });
        }
    }

    /// The fault for a request to `path`, used up by one.
    pub(crate) fn take(&self, path: &str) -> Option<Fault> {
        let mut plans = lock(&self.plans);
        let hits = |plan: &mut Plan| {
            let aimed_at = plan.path_part.as_ref().is_none_or(|part| path.contains(part));
            let passes = aimed_at && plan.passing > 0;
            plan.passing -= usize::from(passes);
            aimed_at && !passes
        };
        let position = plans.iter_mut().position(hits)?;
        let plan = plans.get_mut(position)?;
        let fault = plan.fault.clone();
        if let Some(left) = &mut plan.left {
            *left -= 1;
            if *left == 0 {
                plans.remove(position);
            }
        }
        Some(fault)
    }

    /// Waits for the next release.
    pub(crate) async fn hang(&self) {
        let mut releases = self.releases.subscribe();
        let before = *releases.borrow_and_update();
        let _counted = Hanging::count(Arc::clone(&self.hanging));
        let _ = releases.wait_for(|count| *count > before).await;
    }
}

/// Counts a hanging request for as long as it hangs, also when its caller goes away.
struct Hanging(Arc<watch::Sender<usize>>);

impl Hanging {
    fn count(hanging: Arc<watch::Sender<usize>>) -> Self {
        hanging.send_modify(|count| *count += 1);
        Self(hanging)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
