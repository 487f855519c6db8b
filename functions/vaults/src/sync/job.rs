//! `vaults-sync`: pushes a vault's changes over its automatic links, and looks once a day for drift.
//!
//! # Theory of operation
//! An environment that has automatic links stands in a queue of the table's index: at once when it is changed, a day later
//! when its links have followed, a few minutes later, and longer each time, when one could not. The table's stream tells of
//! each that was changed; a schedule takes whatever is due. A worker pushes over every automatic link and then writes down
//! that the version it had seen is followed; a version that was made meanwhile stays due. There is no lease on the
//! environment: a push that has nothing to do changes nothing, and the lease of each target keeps two from working at once.
//!
//! Such a push deletes only names that a sync of this vault wrote, and only where the link allows it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Serialize;
use shared::Platform;
use shared::auth::Tenant;
use shared::deadline;
use shared::http::ApiError;
use shared::job::{BatchItemFailure, Job, JobError, ScheduledEvent, StreamEvent};
use shared::table::{Key, keys};

use super::Ask;
use crate::Vaults;
use crate::model::{DeleteScope, Direction, Environment, Link, Outcome};
use crate::store::{QUEUES, queue_named};

/// The function's name.
pub const FUNCTION: &str = "vaults-sync";
const BATCH: usize = 50;
/// A push is begun only with this much time left.
const ENOUGH: Duration = Duration::from_secs(40);
/// Links that have followed are looked at again after this.
const AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// The job.
#[derive(Debug)]
pub struct SyncJob {
    vaults: Vaults,
}

/// What a run did.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tally {
    /// Pushes that did what was to be done.
    pushed: usize,
    /// Pushes that did not, or not all of it.
    failed: usize,
    /// Pushes that another sync stands in the way of.
    busy: usize,
    /// Links whose connection is gone.
    removed: usize,
    /// What a stream asks for: the records of the environments whose links could not be followed.
    batch_item_failures: Vec<BatchItemFailure>,
}

/// What is due: an environment's id.
type Due = (Tenant, String);

fn environment_of(key: &Key) -> Option<Due> {
    let (tenant, id) = keys::integration_of(key)?;
    id.starts_with("env_").then(|| (tenant, id.to_owned()))
}

impl SyncJob {
    fn platform(&self) -> &Platform {
        &self.vaults.platform
    }

    /// Works on these, one after the other; gives those that failed. What there is no time for stays due.
    async fn work(&self, due: impl IntoIterator<Item = Due>, tally: &mut Tally) -> HashSet<Due> {
        let mut failed = HashSet::new();
        for (tenant, id) in due {
            if is_near_the_end() {
                break;
            }
            if let Err(error) = self.follow(&tenant, &id, tally).await {
                // The others go on.
                tracing::error!(tenant = tenant.as_str(), environment = id, ?error, "links were not followed");
                failed.insert((tenant, id));
            }
        }
        failed
    }

    /// Pushes over the automatic links of one environment, if they are due.
    async fn follow(&self, tenant: &Tenant, id: &str, tally: &mut Tally) -> Result<(), ApiError> {
        let Some(environment) = self.vaults.environments.by_id(tenant, id).await? else { return Ok(()) };
        let now = self.platform().ids.now();
        if environment.look_at.is_none_or(|at| now < at) {
            return Ok(());
        }
        let links = self.vaults.links.of_environment(tenant, id).await?;
        let links: Vec<Link> = links.into_iter().filter(|link| link.auto).collect();
        if links.is_empty() {
            return Ok(self.vaults.environments.change(tenant, id, Environment::follow_no_more).await?);
        }
        let (number, before) = (environment.number(), (tally.failed, tally.busy));
        for link in links {
            self.push(tenant, &link, tally).await?;
        }
        let now = self.platform().ids.now();
        let again = now.saturating_add(AGAIN).unwrap_or(now);
        let change = |one: &mut Environment| match (tally.failed - before.0, tally.busy - before.1) {
            (0, 0) => one.settle(number, again),
            // It stays due.
            (0, _) => {}
            _ => one.put_off(number, now),
        };
        Ok(self.vaults.environments.change(tenant, id, change).await?)
    }

    async fn push(&self, tenant: &Tenant, link: &Link, tally: &mut Tally) -> Result<(), ApiError> {
        let ask = Ask {
            target: link.target(),
            direction: Direction::Push,
            delete: link.allow_delete.then_some(DeleteScope::Managed),
            by: link.created_by.clone(),
            automatic: true,
        };
        match self.vaults.sync(tenant, &ask).await {
            Ok(run) if run.status == Outcome::Success => tally.pushed += 1,
            Ok(_) => tally.failed += 1,
            Err(ApiError::Conflict { .. }) => tally.busy += 1,
            // The platform has asked to wait, and is not asked.
            Err(ApiError::RateLimited { .. }) => tally.failed += 1,
            Err(ApiError::NotFound { what: "Connection" }) => {
                self.vaults.links.remove(tenant, &link.target()).await?;
                tally.removed += 1;
            }
            // The other links are followed all the same, and this one is tried again later like any that failed.
            Err(error) => {
                tracing::error!(tenant = tenant.as_str(), link = link.id, ?error, "a link was not followed");
                tally.failed += 1;
            }
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Job for SyncJob {
    async fn run(&self, _event: ScheduledEvent) -> Result<serde_json::Value, JobError> {
        let mut tally = Tally::default();
        let now = self.platform().ids.now();
        let mut failed = false;
        for number in 0..QUEUES {
            let mut seen = HashSet::new();
            loop {
                let due = self.platform().table.due(&queue_named(FUNCTION, number), now, BATCH).await?;
                // The index lags, and a target may be busy: what comes back a second time is left to a later run.
                let fresh: Vec<Due> =
                    due.iter().filter_map(environment_of).filter(|one| seen.insert(one.clone())).collect();
                if fresh.is_empty() || is_near_the_end() {
                    break;
                }
                failed |= !self.work(fresh, &mut tally).await.is_empty();
            }
        }
        if failed {
            return Err(not_followed());
        }
        serde_json::to_value(tally).map_err(JobError::Result)
    }

    async fn run_stream(&self, event: StreamEvent) -> Result<serde_json::Value, JobError> {
        let mut tally = Tally::default();
        let told: HashSet<Due> = event.keys().iter().filter_map(environment_of).collect();
        let failed = self.work(told.clone(), &mut tally).await;
        if !failed.is_empty() && failed.len() == told.len() {
            // All of it is delivered again.
            return Err(not_followed());
        }
        tally.batch_item_failures = event.failures(|key| environment_of(key).is_some_and(|due| failed.contains(&due)));
        serde_json::to_value(tally).map_err(JobError::Result)
    }
}

fn not_followed() -> JobError {
    JobError::Failed("links of an environment could not be followed".into())
}

fn is_near_the_end() -> bool {
    deadline::left().is_some_and(|left| left < ENOUGH)
}

/// The job as a function.
#[must_use]
pub fn job(platform: &Platform) -> Arc<dyn Job> {
    Arc::new(SyncJob { vaults: Vaults::new(platform) })
}
