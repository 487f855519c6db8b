//! Links, what their syncs wrote (*ledgers*), their runs, and the lease that keeps one sync at a time on a target.
//!
//! A ledger may hold thousands of names, more than an item has room for, so it is kept in parts. A name stays in the part
//! that it is in; new ones go to the first part with room. Each part is written over the version that was read, so a run
//! that lost its lease to another cannot write over what that one remembers.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::Platform;
use shared::auth::Tenant;
use shared::clock::Ids;
use shared::http::ApiError;
use shared::table::{Index, Key, Page, Record, Stored, Table, TableError, Uncommitted, keys};
use tokio::time::Instant;
use uuid::Uuid;

use crate::GROUP;
use crate::model::link::hashed;
use crate::model::plan::{Entry, Ledger};
use crate::model::{Direction, Link, Run, Target, VaultName};

/// So many names in one part of a ledger: with the longest names, half of what an item has room for.
const NAMES_IN_PART: usize = 500;
/// A history is kept for so long.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24 * 365);
/// So many failed names of a run are kept.
const FAILURES_KEPT: usize = 200;
/// A run that is not heard of for so long is taken for dead.
const LEASE: SignedDuration = SignedDuration::from_secs(120);
/// So much of a lease may be over when a batch begins.
const SPENT: SignedDuration = SignedDuration::from_secs(15);
/// Another run is waited for so long.
const WAITS_FOR: Duration = Duration::from_secs(5);
const LOOKS_AGAIN: Duration = Duration::from_millis(100);

/// The links of a connection with one project, by vault: what `isFirstSync` asks for.
fn order(target: &Target) -> String {
    format!("{}{}", order_prefix(&target.vault, target.connection_id, &target.project_id), target.link_id())
}

fn order_prefix(vault: &VaultName, connection: Uuid, project: &str) -> String {
    format!("link#{connection}#{}#", hashed(&[vault.as_str(), project]))
}

impl Record for Link {
    fn index(&self) -> Index {
        Index { kind_order: Some(order(&self.target())), ..Index::default() }
    }
}

impl Record for Run {
    fn index(&self) -> Index {
        Index { expires_at: self.at.saturating_add(KEPT_FOR).ok(), ..Index::default() }
    }
}

/// A part of a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    entries: Ledger,
}

impl Record for Part {}

/// Who syncs with a target just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    holder: Uuid,
    until: Timestamp,
}

impl Record for Lease {
    fn index(&self) -> Index {
        Index { expires_at: self.until.saturating_add(SignedDuration::from_hours(24)).ok(), ..Index::default() }
    }
}

/// A target that is held.
#[derive(Debug)]
pub struct Held {
    key: Key,
    lease: Stored<Lease>,
}

impl Held {
    /// How long it is held for certain.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.lease.record.until.duration_since(now)).unwrap_or_default()
    }
}

/// A run that is noted and goes on.
#[derive(Debug)]
pub struct Begun {
    key: Key,
    stored: Stored<Run>,
}

/// What a link's syncs wrote, as it is being carried on.
#[derive(Debug)]
pub struct Book {
    tenant: Tenant,
    link: String,
    direction: Direction,
    parts: Vec<(Part, Option<u64>)>,
}

impl Book {
    /// All of it.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.parts.iter().flat_map(|(part, _)| part.entries.clone()).collect()
    }

    /// Changes entries in memory: nothing forgets a name. The numbers of the parts that have changed.
    fn change(&mut self, changes: BTreeMap<String, Option<Entry>>) -> Vec<usize> {
        let mut changed = Vec::new();
        for (name, entry) in changes {
            let home = self.parts.iter().position(|(part, _)| part.entries.contains_key(&name));
            let number = match (home, &entry) {
                (Some(number), _) => number,
                (None, None) => continue,
                (None, Some(_)) => {
                    let roomy = self.parts.iter().position(|(part, _)| part.entries.len() < NAMES_IN_PART);
                    roomy.unwrap_or_else(|| {
                        self.parts.push((Part::default(), None));
                        self.parts.len() - 1
                    })
                }
            };
            let Some((part, _)) = self.parts.get_mut(number) else { continue };
            let before = match &entry {
                Some(entry) => part.entries.insert(name, entry.clone()),
                None => part.entries.remove(&name),
            };
            if before != entry {
                changed.push(number);
            }
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}

/// The group's links. Every method takes the tenant.
#[derive(Debug, Clone)]
pub struct Links {
    table: Table,
    ids: Ids,
}

impl Links {
    /// The links on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { table: platform.table.clone(), ids: platform.ids.clone() }
    }

    fn key(tenant: &Tenant, target: &Target) -> Key {
        keys::vaults::link(tenant, &target.environment_id(), &target.link_id())
    }

    /// The link between these two, if there is one.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn find(&self, tenant: &Tenant, target: &Target) -> Result<Option<Link>, TableError> {
        match self.table.get::<Link>(&Self::key(tenant, target)).await {
            Ok(stored) => Ok(Some(stored.record)),
            Err(TableError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether any environment of the vault is linked with the project.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn any(&self, tenant: &Tenant, target: &Target) -> Result<bool, TableError> {
        let prefix = order_prefix(&target.vault, target.connection_id, &target.project_id);
        let page = self.table.page_by_kind::<Link>(&keys::integrations(tenant, GROUP), &prefix, None, 1).await?;
        Ok(!page.records.is_empty())
    }

    /// The links of an environment.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn of_environment(&self, tenant: &Tenant, id: &str) -> Result<Vec<Link>, TableError> {
        let partition = keys::integrations(tenant, GROUP);
        let all = self.table.all(&partition, &keys::vaults::links_prefix(id)).await?;
        Ok(all.into_iter().map(|stored| stored.record).collect())
    }

    /// The link between these two, which is made if it is not there, as `change` leaves it.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn upsert(
        &self,
        tenant: &Tenant,
        target: &Target,
        by: &str,
        change: impl Fn(&mut Link),
    ) -> Result<Link, TableError> {
        let key = Self::key(tenant, target);
        let change = |link: &mut Link| -> Result<(), TableError> {
            change(link);
            Ok(())
        };
        loop {
            match self.table.update(&key, change).await {
                Err(TableError::Missing) => {}
                outcome => return outcome.map(|(stored, ())| stored.record),
            }
            let mut link = Link::new(target, by, self.ids.now());
            change(&mut link)?;
            match self.table.create(&key, link, self.ids.uuid()).await {
                Err(TableError::Exists) => {}
                outcome => return outcome.map(|stored| stored.record),
            }
        }
    }

    /// Changes a link; one that is gone stays so.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn change(&self, tenant: &Tenant, target: &Target, change: impl Fn(&mut Link)) -> Result<(), TableError> {
        let change = |link: &mut Link| -> Result<(), TableError> {
            change(link);
            Ok(())
        };
        match self.table.update(&Self::key(tenant, target), change).await {
            Err(TableError::Missing) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Removes the links of a connection, and what their syncs wrote from memory. Gives the targets.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer; some may be gone.
    pub async fn remove_of(&self, tenant: &Tenant, connection: Uuid) -> Result<Vec<Target>, TableError> {
        let (partition, prefix) = (keys::integrations(tenant, GROUP), format!("link#{connection}#"));
        let mut removed = Vec::new();
        loop {
            let page = self.table.page_by_kind::<Link>(&partition, &prefix, None, 100).await?;
            for link in &page.records {
                self.remove(tenant, &link.target()).await?;
                removed.push(link.target());
            }
            if page.records.is_empty() {
                return Ok(removed);
            }
        }
    }

    /// Removes a link, and what its syncs wrote from memory.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn remove(&self, tenant: &Tenant, target: &Target) -> Result<(), TableError> {
        for direction in [Direction::Push, Direction::Pull] {
            let of_one = keys::vaults::ledger_prefix(&target.link_id(), direction.name());
            let count = self.table.all::<Part>(&keys::integrations(tenant, GROUP), &of_one).await?.len();
            let parts =
                (0..count).map(|number| keys::vaults::ledger(tenant, &target.link_id(), direction.name(), number));
            self.table.delete_several(&parts.collect::<Vec<_>>()).await?;
        }
        self.table.delete(&Self::key(tenant, target)).await
    }

    /// What the syncs of a link wrote in one direction.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn book(&self, tenant: &Tenant, target: &Target, direction: Direction) -> Result<Book, TableError> {
        let link = target.link_id();
        let prefix = keys::vaults::ledger_prefix(&link, direction.name());
        let parts = self.table.all::<Part>(&keys::integrations(tenant, GROUP), &prefix).await?;
        let parts = parts.into_iter().map(|stored| (stored.record, Some(stored.version))).collect();
        Ok(Book { tenant: tenant.clone(), link, direction, parts })
    }

    /// Remembers what was written: nothing forgets a name.
    ///
    /// # Errors
    /// [`TableError::Contended`] if another run has written since, or [`TableError`] if the table does not answer.
    pub async fn remember(&self, book: &mut Book, changes: BTreeMap<String, Option<Entry>>) -> Result<(), TableError> {
        let changed = book.change(changes);
        if changed.is_empty() {
            return Ok(());
        }
        let mut transaction = self.table.transaction();
        for number in &changed {
            let Some((part, read)) = book.parts.get(*number) else { continue };
            let key = keys::vaults::ledger(&book.tenant, &book.link, book.direction.name(), *number);
            match read {
                Some(read) => transaction.replace(&key, part, *read)?,
                None => transaction.create(&key, part)?,
            }
        }
        match self.table.commit(transaction).await {
            Ok(()) => {
                for number in changed {
                    if let Some((_, read)) = book.parts.get_mut(number) {
                        *read = Some(read.map_or(1, |read| read + 1));
                    }
                }
                Ok(())
            }
            Err(Uncommitted::Conditions(_)) => Err(TableError::Contended),
            Err(Uncommitted::Table(error)) => Err(error),
        }
    }

    /// Holds a target: a platform's project and environment, whatever vault and connection it is synced with. Another run is waited for a
    /// few seconds.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] with when to try again if another run goes on.
    pub async fn hold(&self, tenant: &Tenant, place: &[&str]) -> Result<Held, ApiError> {
        let key = keys::vaults::lease(tenant, &hashed(place));
        let (holder, waiting_since) = (self.ids.uuid(), Instant::now());
        loop {
            let now = self.ids.now();
            let mine = Lease { holder, until: now.saturating_add(LEASE).unwrap_or(now) };
            let taken = match self.table.create(&key, mine.clone(), holder).await {
                Err(TableError::Exists) => match self.table.get::<Lease>(&key).await {
                    Ok(stored) if stored.record.until <= now => self.table.replace(&key, mine, stored.version).await,
                    Ok(_) => Err(TableError::Contended),
                    Err(TableError::Missing) => continue,
                    Err(error) => Err(error),
                },
                outcome => outcome,
            };
            match taken {
                Ok(lease) => return Ok(Held { key, lease }),
                Err(TableError::Contended) if waiting_since.elapsed() < WAITS_FOR => {
                    tokio::time::sleep(LOOKS_AGAIN).await;
                }
                Err(TableError::Contended) => {
                    return Err(ApiError::busy(
                        "Another sync with this project's environment is under way. Try again when it is done.",
                        Duration::from_secs(5),
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Holds on to a target, if more than a little of the lease is over: what is begun now has nearly all of it.
    ///
    /// # Errors
    /// [`TableError::Contended`] if another run has it.
    pub async fn hold_on(&self, held: &mut Held) -> Result<(), TableError> {
        let now = self.ids.now();
        if held.lease.record.until.duration_since(now) > LEASE - SPENT {
            return Ok(());
        }
        let mine = Lease { until: now.saturating_add(LEASE).unwrap_or(now), ..held.lease.record.clone() };
        held.lease = self.table.replace(&held.key, mine, held.lease.version).await?;
        Ok(())
    }

    /// Lets go of a target. What fails ends by itself.
    pub async fn let_go(&self, held: Held) {
        let mut transaction = self.table.transaction();
        if transaction.delete(&held.key, Some(held.lease.version)).is_ok()
            && let Err(error) = self.table.commit(transaction).await
        {
            tracing::info!(%error, "a lease is left to end by itself");
        }
    }

    /// Notes that a run begins, so that one which dies leaves a trace.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn begin(&self, tenant: &Tenant, vault: &VaultName, run: Run) -> Result<Begun, TableError> {
        let key = Key::new(keys::vaults::history(tenant, vault.as_str()), sort_of(&run));
        let id = run.id;
        Ok(Begun { stored: self.table.create(&key, run, id).await?, key })
    }

    /// Notes what a run came to.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn end(&self, begun: Begun, mut run: Run) -> Result<(), TableError> {
        run.failed.truncate(FAILURES_KEPT);
        self.table.replace(&begun.key, run, begun.stored.version).await.map(drop)
    }

    /// Up to `limit` runs of a vault, the newest first, after the one with this sort key.
    ///
    /// # Errors
    /// [`TableError`] if the table does not answer.
    pub async fn runs(
        &self,
        tenant: &Tenant,
        vault: &VaultName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Run>, TableError> {
        self.table.page(&keys::vaults::history(tenant, vault.as_str()), "", after, limit).await
    }
}

/// Where a run stands in its vault's history: the newest first.
#[must_use]
pub fn sort_of(run: &Run) -> String {
    const END: i64 = 9_999_999_999_999;
    format!("{:013}#{}", END.saturating_sub(run.at.as_millisecond()).max(0), run.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fingerprint::Fingerprints;

    #[test]
    fn a_name_stays_in_its_part_and_parts_have_room_for_so_many() {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"a key of a test");
        let entry = |value: &str| {
            let fingerprint = Fingerprints::new(&key, &[]).of("A", &value.to_owned().into());
            Some(Entry { fingerprint, marker: None })
        };
        let tenant = Tenant::parse("acme").unwrap();
        let mut book = Book { tenant, link: "l".into(), direction: Direction::Push, parts: Vec::new() };
        let all = (0..1_200).map(|number| (format!("N{number:04}"), entry("1")));
        assert_eq!(book.change(all.collect()), [0, 1, 2]);
        assert_eq!(book.parts.iter().map(|(part, _)| part.entries.len()).collect::<Vec<_>>(), [500, 500, 200]);
        assert_eq!(book.change([("N0700".into(), entry("2"))].into()), [1]);
        assert_eq!(book.change([("N0700".into(), entry("2"))].into()), [0_usize; 0], "nothing has changed");
        assert_eq!(book.change([("N0001".into(), None), ("NEW".into(), entry("1"))].into()), [0]);
        assert_eq!(book.change([("UNKNOWN".into(), None)].into()), [0_usize; 0]);
        assert_eq!(book.ledger().len(), 1_200);
    }
}
