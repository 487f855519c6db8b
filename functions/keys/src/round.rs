//! How a job of the pool goes through the keys that are due, one queue of the table's due index after the other.
//!
//! The index is the cursor: what was worked on is behind the run's cutoff, so a round that stops near its deadline is gone
//! on with by the next one, and a second delivery of an event finds nothing to do.

use std::collections::HashSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use shared::auth::Tenant;
use shared::job::{JobError, Run, ScheduledEvent};
use shared::table::TableError;
use shared::{Platform, deadline};

use crate::model::KeyId;
use crate::store::QUEUES;

/// Providers are asked this many at a time.
const AT_ONCE: usize = 8;
/// So many keys are taken from a queue at once.
pub(crate) const BATCH: usize = 50;
/// A new batch is begun only with this much time left.
const ENOUGH: Duration = Duration::from_secs(20);

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
pub(crate) async fn go<R: Round>(
    round: &R,
    platform: &Platform,
    event: &ScheduledEvent,
    mut count: impl FnMut(R::Outcome) + Send,
) -> Result<bool, JobError> {
    let Some(run) = Run::join(&platform.table, &platform.ids, R::FUNCTION, event).await? else { return Ok(true) };
    let mut finished = true;
    for queue in 0..QUEUES {
        finished &= empty(round, queue, &run, &mut count).await?;
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
) -> Result<bool, JobError> {
    let mut seen = HashSet::new();
    loop {
        if deadline::left().is_some_and(|left| left < ENOUGH) {
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
        let outcomes: Vec<Option<R::Outcome>> = stream::iter(fresh)
            .map(|(tenant, id)| async move { round.work(&tenant, id, run).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        outcomes.into_iter().flatten().for_each(&mut *count);
    }
}
