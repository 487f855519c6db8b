//! `services-check`: once a day every integration's credential is tested again.
//!
//! # Theory of operation
//! The schedule's event starts a [`Run`]: everything that was there when it began belongs to it. Integrations wait in a few
//! queues of the table's due index, ordered by the time since which they wait. A worker claims one by a conditional write
//! with a lease and a fencing number, asks the provider, and in one write records the verdict and moves the integration
//! behind the run's cutoff; so the index itself is the cursor, a run that stops near its deadline goes on where it stopped
//! (a second schedule sends `Resume`), and a second delivery of the event finds nothing to do. Only a confirmed invalid
//! marks an integration; a test that could not be judged is recorded as such and changes nothing else. An integration
//! that cannot be claimed or recorded does not keep the others waiting: the run goes on, and fails in the end.

use std::collections::HashSet;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::SignedDuration;
use serde::Serialize;
use shared::Platform;
use shared::auth::Tenant;
use shared::deadline;
use shared::job::{Job, JobError, Run, ScheduledEvent};
use shared::telemetry::metrics;

use crate::model::{IntegrationId, Report, Verdict};
use crate::store::CHECK_QUEUES;
use crate::{GROUP, Services};

/// The function's name.
pub const FUNCTION: &str = "services-check";
/// Providers are asked this many at a time.
const AT_ONCE: usize = 8;
const BATCH: usize = 50;
/// Longer than the longest check.
const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// A test is begun only with this much time left: longer than a provider that is asked twice may take.
const ENOUGH: Duration = Duration::from_secs(20);
/// After so many integrations that could not be claimed or recorded it is not the integrations' fault.
const MOST_FAILURES: usize = 10;

/// The daily job.
#[derive(Debug)]
pub struct Check {
    services: Services,
}

/// What a run did.
#[derive(Debug, Default, Serialize)]
struct Tally {
    valid: usize,
    limited: usize,
    invalid: usize,
    inconclusive: usize,
    /// False if time ran out first; the next `Resume` goes on.
    finished: bool,
}

impl Tally {
    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Valid => self.valid += 1,
            Verdict::Limited => self.limited += 1,
            Verdict::Invalid => self.invalid += 1,
            Verdict::Inconclusive => self.inconclusive += 1,
        }
    }
}

impl Check {
    /// The job on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { services: Services::new(platform) }
    }

    /// Tests everything in one queue that belongs to the run. False if time ran out or another worker holds some of it.
    async fn empty(
        &self,
        queue: u8,
        run: &Run,
        tally: &mut Tally,
        failures: &mut Vec<JobError>,
    ) -> Result<bool, JobError> {
        let mut seen = HashSet::new();
        loop {
            if is_near_the_end() {
                return Ok(false);
            }
            let due = self.services.integrations.due(queue, run.cutoff, BATCH).await?;
            if due.is_empty() {
                return Ok(true);
            }
            // The index lags, and another worker may hold some: what comes back a second time is left to a later run.
            let fresh: Vec<_> = due.into_iter().filter(|one| seen.insert(one.clone())).collect();
            if fresh.is_empty() {
                return Ok(false);
            }
            let outcomes: Vec<Result<Option<Verdict>, JobError>> = stream::iter(fresh)
                .map(|(tenant, id)| async move {
                    self.check(&tenant, &id, run).await.inspect_err(|error| {
                        tracing::error!(tenant = tenant.as_str(), integration = id.as_str(), %error, "not tested");
                    })
                })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            for outcome in outcomes {
                match outcome {
                    Ok(verdict) => verdict.into_iter().for_each(|verdict| tally.count(verdict)),
                    Err(error) => failures.push(error),
                }
            }
            if failures.len() >= MOST_FAILURES {
                return Err(failures.swap_remove(0));
            }
        }
    }

    async fn check(&self, tenant: &Tenant, id: &IntegrationId, run: &Run) -> Result<Option<Verdict>, JobError> {
        if is_near_the_end() {
            return Ok(None);
        }
        let integrations = &self.services.integrations;
        let Some((claimed, fence)) = integrations.claim(tenant, id, run.cutoff, LEASE).await? else { return Ok(None) };
        let report = match integrations.open(tenant, id).await {
            Ok((_, config)) => {
                let egress = self.services.platform.egress.hiding(config.confidential());
                claimed.kind.provider().check(&config, &egress).await
            }
            Err(error) => {
                tracing::error!(tenant = tenant.as_str(), integration = id.as_str(), %error, "a config could not be read");
                Report::inconclusive("The stored configuration could not be read")
            }
        };
        metrics::judged(GROUP, report.verdict.name());
        let recorded = integrations.release(tenant, &claimed, fence, run.cutoff, Some(&report)).await?;
        tracing::info!(
            group = GROUP,
            tenant = tenant.as_str(),
            integration = id.as_str(),
            kind = claimed.kind.name(),
            verdict = ?report.verdict,
            recorded,
            "tested"
        );
        Ok(recorded.then_some(report.verdict))
    }
}

fn is_near_the_end() -> bool {
    deadline::left().is_some_and(|left| left < ENOUGH)
}

#[async_trait::async_trait]
impl Job for Check {
    async fn run(&self, event: ScheduledEvent) -> Result<serde_json::Value, JobError> {
        let platform = &self.services.platform;
        let mut tally = Tally { finished: true, ..Tally::default() };
        let mut failures = Vec::new();
        if let Some(run) = Run::join(&platform.table, &platform.ids, FUNCTION, &event).await? {
            for queue in 0..CHECK_QUEUES {
                tally.finished &= self.empty(queue, &run, &mut tally, &mut failures).await?;
            }
            if let Some(failure) = failures.into_iter().next() {
                return Err(failure);
            }
            if tally.finished {
                run.finish(&platform.table, FUNCTION).await?;
            }
        }
        serde_json::to_value(tally).map_err(JobError::Result)
    }
}
