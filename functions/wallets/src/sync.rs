//! `wallets-sync`: brings integrations' histories in.
//!
//! # Theory of operation
//! An integration that wants a worker is due: it stands in a queue of the table's index with the time since which it is.
//! Two events start workers. The table's stream tells of each integration that turns QUEUED; such a run is short, for a
//! stream's next batch waits for it. A schedule fires every minute and takes whatever is due: what the stream missed, what
//! ran out of time, what waited for a provider, what was synced an hour ago, and what a worker died over. The last it even
//! waits for: a lease that ends before the schedule fires again may be a dead worker's, so a killed sync goes on within a
//! minute.
//!
//! A worker claims an integration by a conditional write, which gives it a lease and a fencing number, asks its source for
//! a page, and stores the page and the place after it. Records are created in transactions together with the integration's
//! item, on condition that they are new and that the item is as it was read: so the total counts each record once, whatever
//! is delivered twice, and a worker whose lease was taken over, or whose integration was deleted, changes nothing. The
//! place moves on with the page's last records.
//!
//! While a page is being stored the next one is fetched already, so a sync takes as long as the provider does. One page
//! ahead and no more: what is stored says nothing of it, so a worker that dies costs at most the page that it was storing
//! and the one that it was fetching. A store that fails drops the fetch; what goes wrong with a fetch is dealt with when
//! the page before is stored.
//!
//! What only the owner can put right ends a sync at once, and leaves the history; a credential that is good but lacks
//! something is tried again hours later, a wrong one never. Anything else puts a sync off, longer each time; after a few
//! setbacks in a row it ends too, keeps its place, and is tried again hours later.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use shared::Platform;
use shared::auth::Tenant;
use shared::credentials::CredentialError;
use shared::deadline;
use shared::job::{BatchItemFailure, Job, JobError, ScheduledEvent, StreamEvent};
use shared::table::{Key, Stored, TableError, keys};
use shared::telemetry::metrics;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::model::{INTERRUPTED, Integration, Mode, Origin, Record, Tempo, WalletId, ends_soon};
use crate::providers::{self, Account, Cursor, Fetched, Lease, Next, Outside, Source, Trouble};
use crate::store::{Integrations, NotStored, QUEUES, SyncState, queue, sort_of, source_of};
use crate::{GROUP, Wallets};

/// The function's name.
pub const FUNCTION: &str = "wallets-sync";
/// Integrations are worked on so many at a time.
const AT_ONCE: usize = 8;
const BATCH: usize = 50;
/// A page is begun only with this much time left.
const ENOUGH: Duration = Duration::from_secs(20);
/// A run that the stream started goes on for so long; the schedule takes over.
const SHORT: Duration = Duration::from_secs(45);
/// The schedule fires this often.
const TICK: SignedDuration = SignedDuration::from_mins(1);
/// How long is waited before leases that are still held are looked at again: until the first one ends, within these.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// A provider that asks for no more is waited for with the lease in hand, so many times in a row.
const WAITED_FOR: Duration = Duration::from_secs(5);
const MOST_WAITS: u32 = 5;
/// A provider that asks for more is asked again after this all the same: the longest ban that there is, Binance's.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(72);
/// An integration is synced again so long after it was.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// One that failed through no fault of its owner is tried again after this.
const LATER: SignedDuration = SignedDuration::from_hours(6);
const FIRST_SETBACK: SignedDuration = SignedDuration::from_secs(30);
/// After so many setbacks in a row a sync ends; they take about an hour.
const MOST_SETBACKS: u32 = 8;

/// The job.
#[derive(Debug)]
pub struct SyncJob {
    wallets: Wallets,
}

/// How a worker left an integration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// At the end of its history.
    Completed,
    /// With a message for its owner.
    Failed,
    /// For later.
    Unfinished,
    /// To another worker, or to nobody: it is not due, or gone.
    Alone,
}

/// What a run did.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tally {
    completed: usize,
    failed: usize,
    /// Those that go on later.
    unfinished: usize,
    /// Deleted integrations of which nothing is left.
    removed: usize,
    /// What a stream asks for: the records of those that the table failed over.
    batch_item_failures: Vec<BatchItemFailure>,
}

impl Tally {
    fn count(&mut self, left: Left) {
        match left {
            Left::Completed => self.completed += 1,
            Left::Failed => self.failed += 1,
            Left::Unfinished => self.unfinished += 1,
            Left::Alone => {}
        }
    }
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Due {
    Sync(Tenant, WalletId),
    Removal(Tenant, WalletId),
}

/// What could not be worked on.
#[derive(Debug)]
struct Undone {
    due: HashSet<Due>,
    error: JobError,
}

impl From<Undone> for JobError {
    fn from(undone: Undone) -> Self {
        undone.error
    }
}

impl Due {
    fn of(key: &Key) -> Option<Self> {
        let sync = keys::integration_of(key).and_then(|(tenant, id)| Some(Self::Sync(tenant, WalletId::parse(id)?)));
        let removal =
            || keys::removal_of(key).and_then(|(tenant, id)| Some(Self::Removal(tenant, WalletId::parse(id)?)));
        sync.or_else(removal)
    }
}

impl SyncJob {
    /// The job on `platform`.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { wallets: Wallets::new(platform) }
    }

    fn platform(&self) -> &Platform {
        &self.wallets.platform
    }

    /// Everything in the queues that was or becomes due by `until`.
    async fn due(&self, until: Timestamp) -> Result<Vec<Due>, JobError> {
        let mut due = Vec::new();
        for number in 0..QUEUES {
            let keys = self.platform().table.due(&queue(number), until, BATCH).await?;
            due.extend(keys.iter().filter_map(Due::of));
        }
        Ok(due)
    }

    /// When the first of the leases ends that end by `horizon`.
    async fn first_lease(&self, horizon: Timestamp) -> Result<Option<Timestamp>, JobError> {
        let due = self.due(horizon).await?;
        let keys: Vec<Key> = due
            .iter()
            .filter_map(|due| match due {
                Due::Sync(tenant, id) => Some(Integrations::key(tenant, id)),
                Due::Removal(..) => None,
            })
            .collect();
        let integrations = self.platform().table.get_several::<Integration>(&keys).await?;
        Ok(integrations.iter().filter_map(|one| one.sync.leased_until).min())
    }

    /// Works on these, several at a time; gives those that failed, and why the last of them did.
    async fn work(&self, due: Vec<Due>, until: Option<Instant>, tally: &mut Tally) -> Result<(), Undone> {
        let mut working = stream::iter(due)
            .map(|due| async move { (self.work_on(&due, until).await, due) })
            .buffer_unordered(AT_ONCE);
        let mut undone: Option<Undone> = None;
        while let Some((done, due)) = working.next().await {
            match done {
                Ok((left, removed)) => {
                    tally.count(left);
                    tally.removed += usize::from(removed);
                }
                // The others go on.
                Err(error) => {
                    tracing::error!(group = GROUP, ?due, ?error, "what is due was not worked on");
                    let mut all = undone.map(|undone| undone.due).unwrap_or_default();
                    all.insert(due);
                    undone = Some(Undone { due: all, error });
                }
            }
        }
        undone.map_or(Ok(()), Err)
    }

    /// How it was left, and whether it was the rest of a deleted integration that is removed now.
    async fn work_on(&self, due: &Due, until: Option<Instant>) -> Result<(Left, bool), JobError> {
        match due {
            Due::Sync(tenant, id) => Ok((self.sync(tenant, id, until).await?, false)),
            Due::Removal(tenant, id) => Ok((Left::Alone, self.wallets.integrations.remove_rest(tenant, id).await?)),
        }
    }

    /// Syncs one integration for as long as there is time.
    async fn sync(&self, tenant: &Tenant, id: &WalletId, until: Option<Instant>) -> Result<Left, JobError> {
        let Some(worker) = Worker::claim(&self.wallets, tenant, id).await? else { return Ok(Left::Alone) };
        let left = worker.run(until).await?;
        match left {
            Left::Completed => metrics::sync_ended(GROUP, true),
            Left::Failed => metrics::sync_ended(GROUP, false),
            Left::Unfinished | Left::Alone => {}
        }
        tracing::info!(group = GROUP, tenant = tenant.as_str(), wallet = id.as_str(), ?left, "synced");
        Ok(left)
    }

    /// Waits for leases that end before the schedule fires again, and takes over those whose workers do not renew them.
    async fn outlive(&self, tally: &mut Tally) -> Result<(), JobError> {
        let now = self.platform().ids.now();
        let Ok(horizon) = now.checked_add(TICK) else { return Ok(()) };
        let give_up = Instant::now() + TICK.unsigned_abs();
        loop {
            let may_wait = Instant::now() < give_up && deadline::left().is_none_or(|left| left > ENOUGH);
            if !may_wait {
                return Ok(());
            }
            let Some(lease_ends) = self.first_lease(horizon).await? else { return Ok(()) };
            let now = self.platform().ids.now();
            let due = self.due(now).await?;
            if due.is_empty() {
                let left = Duration::try_from(lease_ends.duration_since(now)).unwrap_or_default();
                tokio::time::sleep(left.clamp(SHORTEST_LOOK, LONGEST_LOOK)).await;
            } else {
                self.work(due, None, tally).await?;
            }
        }
    }
}

#[async_trait::async_trait]
impl Job for SyncJob {
    async fn run(&self, _event: ScheduledEvent) -> Result<serde_json::Value, JobError> {
        let mut tally = Tally::default();
        let mut seen = HashSet::new();
        loop {
            let due = self.due(self.platform().ids.now()).await?;
            // The index lags, and another worker may hold some: what comes back a second time is left to a later run.
            let fresh: Vec<Due> = due.into_iter().filter(|one| seen.insert(one.clone())).collect();
            if fresh.is_empty() || deadline::left().is_some_and(|left| left < ENOUGH) {
                break;
            }
            self.work(fresh, None, &mut tally).await?;
        }
        self.outlive(&mut tally).await?;
        serde_json::to_value(tally).map_err(JobError::Result)
    }

    async fn run_stream(&self, event: StreamEvent) -> Result<serde_json::Value, JobError> {
        let mut tally = Tally::default();
        let told: HashSet<Due> = event.keys().iter().filter_map(Due::of).collect();
        let until = Some(Instant::now() + SHORT);
        match self.work(told.iter().cloned().collect(), until, &mut tally).await {
            Ok(()) => {}
            // All of it is delivered again.
            Err(undone) if undone.due.len() == told.len() => return Err(undone.error),
            Err(undone) => {
                let failed = |key: &Key| Due::of(key).is_some_and(|due| undone.due.contains(&due));
                tally.batch_item_failures = event.failures(failed);
            }
        }
        serde_json::to_value(tally).map_err(JobError::Result)
    }
}

/// True if no further page is to be begun.
fn is_late(until: Option<Instant>) -> bool {
    until.is_some_and(|until| until < Instant::now()) || deadline::left().is_some_and(|left| left < ENOUGH)
}

/// One claimed integration, and what is being done with it.
struct Worker<'a> {
    wallets: &'a Wallets,
    tenant: &'a Tenant,
    fence: u64,
    /// The item as it was last written, with its version. Whoever writes it holds it meanwhile.
    held: Mutex<Stored<Integration>>,
    /// When the lease in it ends, for whoever does not want to wait for it.
    lease_ends: watch::Sender<Option<Timestamp>>,
}

impl<'a> Worker<'a> {
    async fn claim(wallets: &'a Wallets, tenant: &'a Tenant, id: &WalletId) -> Result<Option<Self>, JobError> {
        let now = wallets.platform.ids.now();
        let claim = |one: &mut Integration| -> Result<_, TableError> { Ok(one.claim_sync(now)) };
        match wallets.integrations.table.update(&Integrations::key(tenant, id), claim).await {
            Ok((stored, Some(fence))) => {
                let lease_ends = watch::Sender::new(stored.record.sync.leased_until);
                Ok(Some(Self { wallets, tenant, fence, held: Mutex::new(stored), lease_ends }))
            }
            // Not due, held, changed by many at once, or deleted.
            Ok((_, None)) | Err(TableError::Missing | TableError::Contended) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn now(&self) -> Timestamp {
        self.wallets.platform.ids.now()
    }

    fn after(&self, pause: SignedDuration) -> Timestamp {
        let now = self.now();
        now.saturating_add(pause).unwrap_or(now)
    }

    async fn integration(&self) -> Integration {
        self.held.lock().await.record.clone()
    }

    async fn run(&self, until: Option<Instant>) -> Result<Left, JobError> {
        match self.walk(until).await {
            Ok(left) => Ok(left),
            Err(NotStored::Stopped) => Ok(Left::Alone),
            Err(NotStored::Table(error)) => Err(error.into()),
        }
    }

    async fn walk(&self, until: Option<Instant>) -> Result<Left, NotStored> {
        let integration = self.integration().await;
        if integration.origin == Origin::Csv {
            // Its request died, or ran out of time and was not sent again.
            self.change(None, |one| one.fail_sync(self.fence, INTERRUPTED.to_owned(), None)).await?;
            return Ok(Left::Failed);
        }
        let (source, account) = match self.open(&integration).await {
            Ok(opened) => opened,
            Err(trouble) => return self.troubled(&trouble, None).await,
        };
        let mut state = self.state(&integration).await?;
        if !integration.is_judged()
            && let Err(trouble) = self.judge(source, &account, &mut state).await?
        {
            return self.troubled(&trouble, Some(&state)).await;
        }
        // Fetched, and not stored yet.
        let mut page: Option<Fetched> = None;
        let mut waits = 0;
        loop {
            let has_ended = page.as_ref().is_some_and(|page| matches!(page.next, Next::End(_)));
            let is_over = has_ended || is_late(until);
            if let Some(page) = &page {
                state.cursor = page.next.cursor().map(|cursor| cursor.as_str().to_owned());
            }
            // The pipeline: a page is stored while the one after it is fetched.
            let storing = self.store(page.take(), &state);
            let fetching = async { Ok(if is_over { None } else { Some(self.fetch(source, &account, &state).await) }) };
            let ((), fetched) = tokio::try_join!(storing, fetching)?;
            if has_ended {
                return Ok(Left::Completed);
            }
            let Some((fetched, tempo, warnings)) = fetched else {
                return self.put_off(None, self.now(), &state).await;
            };
            state.tempo = tempo;
            for warning in warnings {
                self.change(None, |one| one.warn(self.fence, warning)).await?;
            }
            match fetched {
                Ok(fetched) => (page, waits) = (Some(fetched), 0),
                Err(Trouble::Wait { for_, .. }) if for_ <= WAITED_FOR && waits < MOST_WAITS => {
                    waits += 1;
                    tokio::time::sleep(for_).await;
                }
                Err(trouble) => return self.troubled(&trouble, Some(&state)).await,
            }
        }
    }

    /// Tests a credential that could not be tested when it was given. Trouble that says nothing of it leaves it so.
    async fn judge(
        &self,
        source: &dyn Source,
        account: &Account,
        state: &mut SyncState,
    ) -> Result<Result<(), Trouble>, NotStored> {
        let outside = Outside::new(&self.wallets.platform, state.tempo.clone()).holding(self);
        let checked = providers::check(source, account, &outside).await;
        state.tempo = outside.tempo();
        let checked = match checked {
            Ok(checked) => checked,
            Err(trouble) if trouble.is_final() || trouble == Trouble::Interrupted => return Ok(Err(trouble)),
            Err(_) => return Ok(Ok(())),
        };
        let mut held = self.held.lock().await;
        let renew = |one: &mut Integration| one.renew_sync(self.fence, self.now());
        let is_same = self.wallets.integrations.learn(self.tenant, &mut held, &checked, renew).await?;
        self.lease_ends.send_replace(held.record.sync.leased_until);
        let another = "The credentials that were given last are of another account, whose history must not be mixed with this \
            one's. Give those of this account, and connect the other as an integration of its own.";
        Ok(if is_same { Ok(()) } else { Err(Trouble::InvalidCredentials(another.into())) })
    }

    /// Asks for the page after `state`; gives it with how time is kept with the provider from then on, and what the owner
    /// is to be told.
    async fn fetch(
        &self,
        source: &dyn Source,
        account: &Account,
        state: &SyncState,
    ) -> (Result<Fetched, Trouble>, Tempo, Vec<&'static str>) {
        let outside = Outside::new(&self.wallets.platform, state.tempo.clone()).holding(self);
        let cursor = state.cursor.as_deref().map(Cursor::stored);
        let fetched = providers::page(source, account, cursor.as_ref(), &outside).await;
        (fetched, outside.tempo(), outside.warnings())
    }

    /// Whom to ask, and as whom.
    async fn open(&self, integration: &Integration) -> Result<(&'static dyn Source, Account), Trouble> {
        let source = source_of(integration)
            .ok_or_else(|| Trouble::Unexpected("This provider is no longer known here.".into()))?;
        match self.wallets.integrations.account(self.tenant, integration).await {
            Ok(account) => Ok((source, account)),
            // If it was changed since it was claimed, this worker has lost it anyway.
            Err(CredentialError::Missing) => {
                Err(Trouble::Unexpected("The stored credential is missing. Enter it again.".into()))
            }
            Err(error) => {
                tracing::error!(wallet = integration.wallet_id.as_str(), %error, "a credential could not be read");
                Err(Trouble::ProviderDown("The stored credential could not be read just now.".into()))
            }
        }
    }

    /// Where the history goes on.
    async fn state(&self, integration: &Integration) -> Result<SyncState, NotStored> {
        let stored = self.wallets.integrations.state(self.tenant, &integration.wallet_id).await?;
        let anew = integration.sync.mode == Mode::FromStart && !integration.sync.started;
        Ok(if anew { SyncState { cursor: None, ..stored } } else { stored })
    }

    /// Stores a page, if there is one: its records, each once, and with the last of them where the history goes on `after`
    /// it.
    async fn store(&self, page: Option<Fetched>, after: &SyncState) -> Result<(), NotStored> {
        let Some(fetched) = page else { return Ok(()) };
        let given = u64::try_from(fetched.records.len()).unwrap_or(u64::MAX);
        let ended = matches!(fetched.next, Next::End(_));
        // A record that a page holds twice is one.
        let records: BTreeMap<String, Record> =
            fetched.records.into_iter().map(|record| (sort_of(&record), record)).collect();
        let mut records: Vec<(String, Record)> = records.into_iter().collect();
        while records.len() > Integrations::AT_ONCE {
            let mut some = records.split_off(records.len() - Integrations::AT_ONCE);
            self.write(&mut some, None, |one, stored| one.count_stored(self.fence, stored, self.now())).await?;
        }
        let end = |one: &mut Integration, stored: u64| {
            let now = self.now();
            one.count_stored(self.fence, stored, now)
                && one.end_page(self.fence, given, fetched.expected, now)
                && (!ended || one.finish_sync(self.fence, now, self.after(AGAIN)))
        };
        self.write(&mut records, Some(after), end).await
    }

    /// Writes the integration, with records and state if there are any, unless the lease was taken over.
    async fn write(
        &self,
        records: &mut Vec<(String, Record)>,
        state: Option<&SyncState>,
        change: impl Fn(&mut Integration, u64) -> bool,
    ) -> Result<(), NotStored> {
        let mut held = self.held.lock().await;
        self.write_held(&mut held, records, state, change).await
    }

    async fn write_held(
        &self,
        held: &mut Stored<Integration>,
        records: &mut Vec<(String, Record)>,
        state: Option<&SyncState>,
        change: impl Fn(&mut Integration, u64) -> bool,
    ) -> Result<(), NotStored> {
        self.wallets.integrations.store(self.tenant, held, records, state, change).await?;
        self.lease_ends.send_replace(held.record.sync.leased_until);
        metrics::stored(GROUP, records.len());
        Ok(())
    }

    /// Changes the integration, and its state if there is one, unless the lease was taken over.
    async fn change(
        &self,
        state: Option<&SyncState>,
        change: impl Fn(&mut Integration) -> bool,
    ) -> Result<(), NotStored> {
        self.write(&mut Vec::new(), state, |one, _| change(one)).await
    }

    async fn put_off(&self, setback: Option<String>, later: Timestamp, state: &SyncState) -> Result<Left, NotStored> {
        self.change(Some(state), |one| one.put_sync_off(self.fence, setback.clone(), later)).await?;
        Ok(Left::Unfinished)
    }

    /// Ends the sync or puts it off, as the trouble asks for. Without a state, nothing of it has changed.
    async fn troubled(&self, trouble: &Trouble, state: Option<&SyncState>) -> Result<Left, NotStored> {
        let setbacks = self.integration().await.sync.setbacks;
        let message = trouble.to_string();
        tracing::info!(group = GROUP, tenant = self.tenant.as_str(), setbacks, trouble = message, "a sync met trouble");
        if trouble.is_final() {
            // What a good credential lacks, its owner may add at the provider, and nobody tells us.
            let later = (!trouble.is_invalid()).then(|| self.after(LATER));
            self.change(state, |one| one.fail_sync(self.fence, message.clone(), later)).await?;
            return Ok(Left::Failed);
        }
        let later = match trouble {
            Trouble::Interrupted => {
                self.change(state, |one| one.put_sync_off(self.fence, None, self.now())).await?;
                return Ok(Left::Unfinished);
            }
            // Waiting is no failure, however often.
            Trouble::Wait { for_, .. } => {
                let pause = SignedDuration::try_from(*for_).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
                let later = self.after(pause);
                self.change(state, |one| one.put_sync_off(self.fence, None, later)).await?;
                return Ok(Left::Unfinished);
            }
            _ if setbacks + 1 >= MOST_SETBACKS => {
                let later = self.after(LATER);
                self.change(state, |one| one.fail_sync(self.fence, message.clone(), Some(later))).await?;
                return Ok(Left::Failed);
            }
            _ => self.after(FIRST_SETBACK * 2_i32.pow(setbacks)),
        };
        self.change(state, |one| one.put_sync_off(self.fence, Some(message.clone()), later)).await?;
        Ok(Left::Unfinished)
    }
}

#[async_trait::async_trait]
impl Lease for Worker<'_> {
    async fn renew(&self) -> Result<(), Trouble> {
        // While a page is being stored, `held` may be taken for long. A lease that has time is not worth waiting for it.
        if !ends_soon(*self.lease_ends.borrow(), self.now()) {
            return Ok(());
        }
        let mut held = self.held.lock().await;
        // What was waited for renewed it too.
        if !ends_soon(held.record.sync.leased_until, self.now()) {
            return Ok(());
        }
        let renew = |one: &mut Integration, _| one.renew_sync(self.fence, self.now());
        match self.write_held(&mut held, &mut Vec::new(), None, renew).await {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::info!(%error, "a lease could not be renewed");
                Err(Trouble::Interrupted)
            }
        }
    }
}

/// The job as a function.
#[must_use]
pub fn job(platform: &Platform) -> Arc<dyn Job> {
    Arc::new(SyncJob::new(platform))
}
