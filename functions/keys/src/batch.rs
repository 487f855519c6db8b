//! What both jobs do with a batch of keys: a few at a time, none that there is no time for, and none in the others' way.

use std::future::Future;
use std::time::Duration;

use futures::{StreamExt, stream};
use shared::auth::Tenant;
use shared::deadline;
use shared::job::JobError;

use crate::GROUP;
use crate::model::KeyId;

/// So many keys are looked up at a time.
pub(crate) const BATCH: usize = 50;
/// Providers are asked this many at a time.
pub(crate) const AT_ONCE: usize = 8;
/// A key is begun with only where this much time is left: longer than a provider that is asked twice may take.
const ENOUGH: Duration = Duration::from_secs(20);
/// After so many keys that could not be worked on it is not the keys' fault.
const MOST_FAILURES: usize = 10;

/// True where there is no time to begin with another key.
pub(crate) fn is_near_the_end() -> bool {
    deadline::left().is_some_and(|left| left < ENOUGH)
}

/// Does `work` for each key until `is_over`, and gives what came of it. What failed is added to `failures` and keeps no
/// other key waiting, unless there is too much of it.
///
/// # Errors
/// The first of the failures, where there is too much of them.
pub(crate) async fn each<T, F>(
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
