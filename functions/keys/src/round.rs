//! How a job of the pool goes through the keys that are due, one queue of the table's due index after the other.
//!
//! The index is the cursor: what was worked on is behind the run's cutoff, so a round that stops near its deadline is gone
//! on with by the next one, and a second delivery of an event finds nothing to do. Keys are worked on a few at a time, none
//! that there is no time for, and none in the others' way: a key that fails keeps no other one waiting, and the round fails
//! in the end.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use shared::auth::Tenant;
use shared::job::{JobError, Run, ScheduledEvent};
use shared::table::TableError;
use shared::{Platform, deadline};

use crate::GROUP;
use crate::model::KeyId;
use crate::store::QUEUES;

/// So many keys are looked up at a time.
pub(crate) const BATCH: usize = 50;
/// Providers are asked this many at a time.
pub(crate) const AT_ONCE: usize = 8;
/// A key is begun with only where this much time is left: longer than a provider that is asked twice may take.
const ENOUGH: Duration = Duration::from_secs(20);
/// After so many keys that could not be worked on it is not the keys' fault.
const MOST_FAILURES: usize = 10;

/// What a job does with each key that is due.
#[async_trait::async_trait]
pub(crate) trait Round: Sync {
    /// The function's name.
    const FUNCTION: &'static str;

    /// What became of one key.
    type Outcome: Send;

    /// The first [`BATCH`] keys of a queue that were due by the cutoff.
    async fn due(&self, queue: u8, cutoff: Timestamp) -> Result<Vec<(Tenant, KeyId)>, TableError>;

    /// Works on one key. `None` if another worker holds it, or there was nothing to do.
    async fn work(&self, tenant: &Tenant, id: KeyId, run: &Run) -> Result<Option<Self::Outcome>, JobError>;
}

/// Works on everything that belongs to the event's run, and hands over what became of it. False if time ran out or another
/// worker holds some of it: the next round goes on.
///
/// # Errors
/// The first key's that failed, once the others are done.
pub(crate) async fn go<R: Round>(
    round: &R,
    platform: &Platform,
    event: &ScheduledEvent,
    mut count: impl FnMut(R::Outcome) + Send,
) -> Result<bool, JobError> {
    let Some(run) = Run::join(&platform.table, &platform.ids, R::FUNCTION, event).await? else { return Ok(true) };
    let (mut finished, mut failures) = (true, Vec::new());
    for queue in 0..QUEUES {
        finished &= empty(round, queue, &run, &mut count, &mut failures).await?;
    }
    if let Some(failure) = failures.into_iter().next() {
        return Err(failure);
    }
    if finished {
        run.finish(&platform.table, R::FUNCTION).await?;
    }
    Ok(finished)
}

async fn empty<R: Round>(
    round: &R,
    queue: u8,
    run: &Run,
    count: &mut (impl FnMut(R::Outcome) + Send),
    failures: &mut Vec<JobError>,
) -> Result<bool, JobError> {
    let mut seen = HashSet::new();
    loop {
        if is_near_the_end() {
            return Ok(false);
        }
        let due = round.due(queue, run.cutoff).await?;
        if due.is_empty() {
            return Ok(true);
        }
        // The index lags, and another worker may hold some: what comes back a second time is left to a later round.
        let fresh: Vec<_> = due.into_iter().filter(|one| seen.insert(one.clone())).collect();
        if fresh.is_empty() {
            return Ok(false);
        }
        let work = |tenant: Tenant, id| async move { round.work(&tenant, id, run).await };
        each(fresh, failures, is_near_the_end, work).await?.into_iter().for_each(&mut *count);
    }
}

/// True where there is no time to begin with another key.
fn is_near_the_end() -> bool {
    deadline::left().is_some_and(|left| left < ENOUGH)
}

/// Does `work` for each key until `is_over`, and gives what came of it. What failed is added to `failures` and keeps no
/// other key waiting, unless there is too much of it.
///
/// # Errors
/// The first of the failures, where there is too much of them.
async fn each<T, F>(
    due: Vec<(Tenant, KeyId)>,
    failures: &mut Vec<JobError>,
    is_over: impl Fn() -> bool + Sync,
    work: impl Fn(Tenant, KeyId) -> F + Sync,
) -> Result<Vec<T>, JobError>
where
    F: Future<Output = Result<Option<T>, JobError>>,
{
    let (is_over, work) = (&is_over, &work);
    let outcomes: Vec<Result<Option<T>, JobError>> = stream::iter(due)
        .map(|(tenant, id)| async move {
            if is_over() {
                return Ok(None);
            }
            let of = tenant.clone();
            work(tenant, id).await.inspect_err(|error| {
                let (tenant, integration) = (of.as_str(), id.number());
                tracing::error!(group = GROUP, tenant, integration, %error, "left to a later run");
            })
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut done = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(one) => done.extend(one),
            Err(error) => failures.push(error),
        }
    }
    if failures.len() >= MOST_FAILURES { Err(failures.swap_remove(0)) } else { Ok(done) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn due(many: u64) -> Vec<(Tenant, KeyId)> {
        let tenant = Tenant::parse("acme").unwrap();
        (1..=many).map(|number| (tenant.clone(), KeyId::new(number).unwrap())).collect()
    }

    #[tokio::test]
    async fn nothing_is_begun_once_time_is_up() {
        let (begun, mut failures) = (AtomicUsize::new(0), Vec::new());
        let work = |_, id: KeyId| {
            begun.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::task::yield_now().await;
                Ok(Some(id.number()))
            }
        };
        let is_over = || begun.load(Ordering::Relaxed) >= 10;
        let mut done = each(due(50), &mut failures, is_over, work).await.unwrap();
        done.sort_unstable();
        assert_eq!((done, failures.len()), ((1..=10).collect(), 0));
    }

    #[tokio::test]
    async fn a_few_failures_keep_nobody_waiting_and_many_end_it() {
        let failing = |most: u64| {
            move |_: Tenant, id: KeyId| {
                let failed = || JobError::Failed(id.to_string());
                std::future::ready(if id.number() <= most { Err(failed()) } else { Ok(Some(id.number())) })
            }
        };
        let mut failures = Vec::new();
        let done = each(due(50), &mut failures, || false, failing(9)).await.unwrap();
        assert_eq!((done.len(), failures.len()), (41, 9));
        assert!(each(due(1), &mut failures, || false, failing(1)).await.is_err(), "those of earlier batches count");
    }
}
