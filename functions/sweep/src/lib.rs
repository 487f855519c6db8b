//! The orphan sweep: puts right what an interrupted change left between the table and Secrets Manager.
//!
//! # Theory of operation
//! The item is the commit point, so the table is right by definition and the sweep makes Secrets Manager follow. It walks
//! the stack's secrets and looks at the item that each belongs to:
//!
//! | the secret | the item | what is done |
//! |---|---|---|
//! | live, unchanged for an hour | missing, or names no secret | its deletion is scheduled, to be had back for seven days |
//! | scheduled for deletion | names it | it is restored |
//! | has versions of interrupted changes, unchanged for an hour | names another version | their labels come off |
//! | AWSCURRENT elsewhere | names a version | AWSCURRENT follows |
//!
//! An item with several secrets, or with versions that it keeps for later, names them by part: then each of them stands, and
//! AWSCURRENT follows the first.
//!
//! An hour is far longer than any request, so nothing that is under way is touched. "An hour" and "now" are counted at
//! the event's `time`. Every step may be repeated, so a second delivery changes nothing. A secret that cannot be put right
//! does not keep the others waiting: the sweep goes on, and fails in the end, so that somebody looks.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::credentials::{Credentials, SecretEntry, SecretOwner, SecretVersion};
use shared::job::{Job, JobError, ScheduledEvent};
use shared::table::{Record, Table, TableError, keys};
use shared::{Platform, deadline};

/// The function's name.
pub const FUNCTION: &str = "sweep";
/// How long a secret must have been left alone.
const SETTLED: SignedDuration = SignedDuration::from_hours(1);
/// A page is begun only with this much time left.
const ENOUGH: Duration = Duration::from_secs(20);

/// After so many secrets that could not be put right it is not the secrets' fault.
const MOST_FAILURES: usize = 10;

/// What an item of any group says of its secret.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    #[serde(default)]
    secret: Option<Named>,
    /// The versions of each part, the one in use first.
    #[serde(default)]
    parts: BTreeMap<String, Vec<SecretVersion>>,
}

impl Owner {
    /// The versions of a secret that are named, the one in use first.
    fn named(mut self, part: Option<&str>) -> Vec<SecretVersion> {
        match part {
            Some(part) => self.parts.remove(part).unwrap_or_default(),
            None => self.secret.into_iter().map(|secret| secret.version).collect(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Named {
    version: SecretVersion,
}

impl Record for Owner {}

/// Where a sweep stopped for want of time, so that the next one goes on there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Record for Position {}

/// The sweep.
#[derive(Debug)]
pub struct Sweep {
    platform: Platform,
}

/// What a sweep did.
#[derive(Debug, Default, Serialize)]
struct Tally {
    seen: usize,
    removed: usize,
    restored: usize,
    labels_taken_off: usize,
    moved_current: usize,
    /// False if time ran out first; the next sweep goes on there.
    finished: bool,
}

impl Sweep {
    /// The sweep of `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { platform: platform.clone() }
    }

    fn credentials(&self) -> &Credentials {
        &self.platform.credentials
    }

    fn table(&self) -> &Table {
        &self.platform.table
    }

    async fn settle(&self, entry: &SecretEntry, at: Timestamp, tally: &mut Tally) -> Result<(), JobError> {
        let Some(owner) = &entry.owner else { return Ok(()) };
        tally.seen += 1;
        let settled = at.duration_since(entry.changed_at) >= SETTLED;
        let named = self.named_versions(owner).await?;
        let Some(version) = named.first().copied() else {
            if settled && !entry.deleted {
                self.credentials().delete(owner).await?;
                tally.removed += 1;
                tracing::info!(tenant = owner.tenant.as_str(), group = owner.group, id = owner.id, "removed an orphan");
            }
            return Ok(());
        };
        if entry.deleted {
            self.credentials().restore(owner).await?;
            tally.restored += 1;
        }
        if !settled {
            return Ok(());
        }
        if entry.current.is_some_and(|current| current != version) {
            self.credentials().follow(owner, version, entry.current).await;
            tally.moved_current += 1;
        }
        for kept in entry.kept.iter().filter(|kept| !named.contains(kept)) {
            self.credentials().let_go(owner, *kept).await;
            tally.labels_taken_off += 1;
        }
        Ok(())
    }

    /// The versions that the secret's item names, the one in use first; none if there is no item or it names none.
    async fn named_versions(&self, owner: &SecretOwner) -> Result<Vec<SecretVersion>, JobError> {
        let key = keys::integration(&owner.tenant, &owner.group, &owner.id);
        match self.table().get::<Owner>(&key).await {
            Ok(stored) => Ok(stored.record.named(owner.part.as_deref())),
            Err(TableError::Missing) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    async fn position(&self) -> Result<Option<String>, TableError> {
        match self.table().get::<Position>(&keys::job_run(FUNCTION)).await {
            Ok(stored) => Ok(stored.record.next),
            Err(TableError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn remember(&self, next: Option<String>) -> Result<(), TableError> {
        let key = keys::job_run(FUNCTION);
        let position = Position { next };
        let set = |present: &mut Position| -> Result<(), TableError> {
            *present = position.clone();
            Ok(())
        };
        match self.table().update(&key, set).await {
            Err(TableError::Missing) => {
                self.table().create(&key, position.clone(), self.platform.ids.uuid()).await.map(drop)
            }
            outcome => outcome.map(drop),
        }
    }
}

#[async_trait::async_trait]
impl Job for Sweep {
    async fn run(&self, event: ScheduledEvent) -> Result<serde_json::Value, JobError> {
        let mut tally = Tally::default();
        let mut failures = Vec::new();
        let started_at = self.position().await?;
        let mut next = started_at.clone();
        loop {
            let page = match self.credentials().list(next.clone()).await {
                Ok(page) => page,
                // A position that Secrets Manager no longer knows: from the beginning.
                Err(_) if next.is_some() && next == started_at => {
                    next = None;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            for entry in &page.entries {
                if let Err(error) = self.settle(entry, event.time, &mut tally).await {
                    tracing::error!(secret = entry.owner.as_ref().map(tracing::field::display), %error, "not put right");
                    failures.push(error);
                    if failures.len() >= MOST_FAILURES {
                        return Err(failures.swap_remove(0));
                    }
                }
            }
            next = page.next;
            if next.is_none() || deadline::left().is_some_and(|left| left < ENOUGH) {
                break;
            }
        }
        tally.finished = next.is_none();
        if next != started_at {
            self.remember(next).await?;
        }
        if let Some(failure) = failures.into_iter().next() {
            return Err(failure);
        }
        serde_json::to_value(tally).map_err(JobError::Result)
    }
}

/// The function by name, as it is deployed.
#[must_use]
pub fn functions(platform: &Platform) -> Vec<(&'static str, shared::function::Function)> {
    use shared::function::Function;
    vec![(FUNCTION, Function::job(platform, FUNCTION, std::sync::Arc::new(Sweep::new(platform))))]
}
