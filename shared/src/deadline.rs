//! The moment by which the present invocation must have answered.
//!
//! The runtime sets it around each invocation; [`egress`](crate::egress) and jobs ask how much is left. It is a
//! monotonic instant of the invocation's task, so a fixed [`Clock`](crate::clock::Clock) does not bend it.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// What is kept back for writing the answer once outside work has stopped.
const MARGIN: Duration = Duration::from_millis(500);

/// Runs `work` with `left` to go.
pub async fn within<F: Future>(left: Duration, work: F) -> F::Output {
    DEADLINE.scope(Instant::now() + left, work).await
}

/// How long outside work may still take, a margin for the answer already taken off. `None` outside of an invocation.
#[must_use]
pub fn left() -> Option<Duration> {
    DEADLINE.try_with(|at| at.saturating_duration_since(Instant::now()).saturating_sub(MARGIN)).ok()
}

/// `most`, or less where the deadline is nearer.
#[must_use]
pub fn at_most(most: Duration) -> Duration {
    left().map_or(most, |left| left.min(most))
}
