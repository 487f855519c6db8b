//! `keys-monitor`: every five minutes what is unhealthy or cooling down is tested again.
//!
//! # Theory of operation
//! A key waits in one of a few queues of the table's due index from the moment when it becomes unhealthy or cools down. A
//! worker claims it by a conditional write with a lease and a fencing number, probes it, and in one write takes in the
//! verdict and either takes the key out of the queue (it is well) or moves it behind the run's cutoff. So the index is the
//! cursor, a run that stops near its deadline is gone on with by the next one, and a second delivery of an event finds
//! nothing to do. A key that cannot be claimed or written keeps no other one waiting: the run goes on, and fails in the
//! end. A probe that was inconclusive changes nothing; a cooldown also ends by its time.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use shared::Platform;
use shared::auth::Tenant;
use shared::http::ApiError;
use shared::job::{Job, JobError, Run, ScheduledEvent};
use shared::table::TableError;
use shared::telemetry::metrics;

use crate::model::{Key, KeyId, Probe, Verdict};
use crate::round::{self, BATCH, Round};
use crate::{GROUP, Group, event_of};

/// The function's name.
pub const FUNCTION: &str = "keys-monitor";
/// Longer than the longest probe.
const LEASE: SignedDuration = SignedDuration::from_secs(40);

/// The monitor.
#[derive(Debug)]
pub struct Monitor {
    group: Group,
}

/// What a run did.
#[derive(Debug, Default, Serialize)]
struct Tally {
    valid: usize,
    limited: usize,
    invalid: usize,
    inconclusive: usize,
    /// False if time ran out first; the next run goes on.
    finished: bool,
}

impl Monitor {
    /// The monitor on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { group: Group::new(platform) }
    }
}

#[async_trait::async_trait]
impl Round for Monitor {
    const FUNCTION: &'static str = FUNCTION;

    type Outcome = Verdict;

    async fn due(&self, queue: u8, cutoff: Timestamp) -> Result<Vec<(Tenant, KeyId)>, TableError> {
        self.group.keys.due_for_monitor(queue, cutoff, BATCH).await
    }

    async fn work(&self, tenant: &Tenant, id: KeyId, run: &Run) -> Result<Option<Verdict>, JobError> {
        let keys = &self.group.keys;
        let began = self.group.platform.ids.now();
        let claim =
            |key: &mut Key| Ok(if key.needs_monitor() { key.monitor.claim(run.cutoff, began, LEASE) } else { None });
        let (key, fence) = match keys.change(tenant, id, claim).await {
            Ok((key, Some(fence))) => (key, fence),
            Ok((_, None)) | Err(ApiError::NotFound { .. } | ApiError::Conflict { .. }) => return Ok(None),
            Err(error) => return Err(gave_up(error)),
        };
        let probe = match keys.secrets(tenant, &key).await {
            Ok(secrets) => self.group.probe(&key, &secrets).await,
            Err(error) => {
                tracing::error!(tenant = tenant.as_str(), integration = id.number(), %error, "a credential could not be read");
                let probe = Probe::inconclusive("The stored credential could not be read");
                metrics::judged(GROUP, probe.verdict.name());
                probe
            }
        };
        let now = self.group.platform.ids.now();
        let release = |present: &mut Key| {
            let held = present.monitor.release(fence, run.cutoff);
            if held && present.revision == key.revision {
                if let Some(event) = event_of(&probe) {
                    present.health.judge(event, began, now);
                }
                if present.health.cooling(now).is_none() {
                    present.health.cooling_until = None;
                }
            }
            Ok(held)
        };
        let recorded = match keys.change(tenant, id, release).await {
            Ok((_, recorded)) => recorded,
            Err(ApiError::NotFound { .. } | ApiError::Conflict { .. }) => false,
            Err(error) => return Err(gave_up(error)),
        };
        tracing::info!(
            group = GROUP,
            tenant = tenant.as_str(),
            integration = id.number(),
            provider = key.provider,
            verdict = ?probe.verdict,
            recorded,
            "tested"
        );
        Ok(recorded.then_some(probe.verdict))
    }
}

/// What keeps a job from going on, as a job tells it.
fn gave_up(error: ApiError) -> JobError {
    match error {
        ApiError::Internal(source) => JobError::Table(TableError::Unavailable(source)),
        other => JobError::Table(TableError::Unavailable(Box::new(other))),
    }
}

#[async_trait::async_trait]
impl Job for Monitor {
    async fn run(&self, event: ScheduledEvent) -> Result<serde_json::Value, JobError> {
        let mut tally = Tally::default();
        let count = |verdict| match verdict {
            Verdict::Valid => tally.valid += 1,
            Verdict::Limited => tally.limited += 1,
            Verdict::Invalid => tally.invalid += 1,
            Verdict::Inconclusive => tally.inconclusive += 1,
        };
        tally.finished = round::go(self, &self.group.platform, &event, count).await?;
        serde_json::to_value(tally).map_err(JobError::Result)
    }
}
