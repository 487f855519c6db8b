//! `vaults-sync`: pushes a vault's changes over its automatic links, and looks once a day for drift.
//!
//! # Theory of operation
//! An environment that has automatic links stands in a queue of the table's index: at once when it is changed, a day later
//! when its links have followed, a few minutes later, and longer each time, when one could not. The table's stream tells of
//! each that was changed; a schedule takes whatever is due. A worker pushes over every automatic link and then writes down
//! that the version it had seen is followed; a version that was made meanwhile stays due. There is no lease on the
//! environment: a push that has nothing to do changes nothing, and the lease of each target keeps two from working at once.
//!
//! Several environments are worked on at once, but one at a time of those that are linked with the same project: a platform
//! may keep a variable of several of a project's environments as one. A run that the stream started begins nothing once its
//! time is over, for a stream's next batch waits for it. What a run leaves, whyever, stays due, and the schedule takes it.
//!
//! Such a push deletes only names that a sync of this vault wrote, and only where the link allows it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use shared::Platform;
use shared::auth::Tenant;
use shared::deadline;
use shared::http::ApiError;
use shared::job::{BatchItemFailure, Job, JobError, ScheduledEvent, StreamEvent};
use shared::table::{Key, keys};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::Ask;
use crate::Vaults;
use crate::model::{DeleteScope, Direction, Environment, Link, Outcome};
use crate::store::{QUEUES, queue_named};

/// The function's name.
pub const FUNCTION: &str = "vaults-sync";
const BATCH: usize = 50;
/// Environments are worked on so many at a time.
const AT_ONCE: usize = 8;
/// A run that the stream started begins pushes for so long; the schedule takes over.
const SHORT: Duration = Duration::from_secs(45);
/// A push is begun only with this much time left.
const ENOUGH: Duration = Duration::from_secs(40);
/// Links that have followed are looked at again after this.
const AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// The job.
#[derive(Debug)]
pub struct SyncJob {
    vaults: Vaults,
    stream_for: Duration,
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

impl Tally {
    fn add(&mut self, other: &Self) {
        self.pushed += other.pushed;
        self.failed += other.failed;
        self.busy += other.busy;
        self.removed += other.removed;
    }
}

/// What is due: an environment's id.
type Due = (Tenant, String);

/// A connection's project.
type Project = (Tenant, Uuid, String);

/// What the environments that one run works on have in common.
#[derive(Debug, Default)]
struct Turn {
    /// Nothing is begun from then on.
    until: Option<Instant>,
    /// Whoever pushes to a project holds its lock.
    projects: Mutex<HashMap<Project, Arc<Mutex<()>>>>,
}

impl Turn {
    fn is_over(&self) -> bool {
        let is_late = self.until.is_some_and(|until| until <= Instant::now());
        is_late || deadline::left().is_some_and(|left| left < ENOUGH)
    }

    async fn project(&self, tenant: &Tenant, link: &Link) -> Arc<Mutex<()>> {
        let project = (tenant.clone(), link.connection_id, link.project_id.clone());
        Arc::clone(self.projects.lock().await.entry(project).or_default())
    }
}

fn environment_of(key: &Key) -> Option<Due> {
    let (tenant, id) = keys::integration_of(key)?;
    id.starts_with("env_").then(|| (tenant, id.to_owned()))
}

impl SyncJob {
    /// The job on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { vaults: Vaults::new(platform), stream_for: SHORT }
    }

    /// The same with another time for the runs that the stream starts.
    #[must_use]
    pub fn stream_for(self, stream_for: Duration) -> Self {
        Self { stream_for, ..self }
    }

    fn platform(&self) -> &Platform {
        &self.vaults.platform
    }

    /// What is due by `until`, of every queue.
    async fn due(&self, until: Timestamp) -> Result<Vec<Due>, JobError> {
        let mut due = Vec::new();
        for number in 0..QUEUES {
            let keys = self.platform().table.due(&queue_named(FUNCTION, number), until, BATCH).await?;
            due.extend(keys.iter().filter_map(environment_of));
        }
        Ok(due)
    }

    /// Works on these, several at a time; gives those that failed. What there is no time for stays due.
    async fn work(&self, due: Vec<Due>, turn: &Turn, tally: &mut Tally) -> HashSet<Due> {
        let mut working = stream::iter(due)
            .map(|(tenant, id)| async move { (self.follow(&tenant, &id, turn).await, (tenant, id)) })
            .buffer_unordered(AT_ONCE);
        let mut failed = HashSet::new();
        while let Some((followed, due)) = working.next().await {
            match followed {
                Ok(one) => tally.add(&one),
                // The others go on.
                Err(error) => {
                    tracing::error!(tenant = due.0.as_str(), environment = due.1, ?error, "links were not followed");
                    failed.insert(due);
                }
            }
        }
        failed
    }

    /// Pushes over the automatic links of one environment, if they are due and there is time.
    async fn follow(&self, tenant: &Tenant, id: &str, turn: &Turn) -> Result<Tally, ApiError> {
        let mut tally = Tally::default();
        if turn.is_over() {
            return Ok(tally);
        }
        let Some(environment) = self.vaults.environments.by_id(tenant, id).await? else { return Ok(tally) };
        let now = self.platform().ids.now();
        if environment.look_at.is_none_or(|at| now < at) {
            return Ok(tally);
        }
        let links = self.vaults.links.of_environment(tenant, id).await?;
        let links: Vec<Link> = links.into_iter().filter(|link| link.auto).collect();
        if links.is_empty() {
            self.vaults.environments.change(tenant, id, Environment::follow_no_more).await?;
            return Ok(tally);
        }
        for link in links {
            let project = turn.project(tenant, &link).await;
            let _held = project.lock().await;
            if turn.is_over() {
                // It stays due.
                return Ok(tally);
            }
            self.push(tenant, &link, &mut tally).await?;
        }
        let (number, now) = (environment.number(), self.platform().ids.now());
        let again = now.saturating_add(AGAIN).unwrap_or(now);
        let change = |one: &mut Environment| match (tally.failed, tally.busy) {
            (0, 0) => one.settle(number, again),
            // It stays due.
            (0, _) => {}
            _ => one.put_off(number, now),
        };
        self.vaults.environments.change(tenant, id, change).await?;
        Ok(tally)
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
        let (mut tally, turn) = (Tally::default(), Turn::default());
        let now = self.platform().ids.now();
        let (mut seen, mut failed) = (HashSet::new(), false);
        loop {
            // The index lags, and a target may be busy: what comes back a second time is left to a later run.
            let fresh: Vec<Due> = self.due(now).await?.into_iter().filter(|one| seen.insert(one.clone())).collect();
            if fresh.is_empty() || turn.is_over() {
                break;
            }
            failed |= !self.work(fresh, &turn, &mut tally).await.is_empty();
        }
        if failed {
            return Err(not_followed());
        }
        serde_json::to_value(tally).map_err(JobError::Result)
    }

    async fn run_stream(&self, event: StreamEvent) -> Result<serde_json::Value, JobError> {
        let mut tally = Tally::default();
        let turn = Turn { until: Some(Instant::now() + self.stream_for), ..Turn::default() };
        let told: HashSet<Due> = event.keys().iter().filter_map(environment_of).collect();
        let failed = self.work(told.iter().cloned().collect(), &turn, &mut tally).await;
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

/// The job as a function.
#[must_use]
pub fn job(platform: &Platform) -> Arc<dyn Job> {
    Arc::new(SyncJob::new(platform))
}
