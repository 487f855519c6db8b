//! Stores what a file holds.
//!
//! Records are created nearly a hundred at a time, in transactions with the integration's item, which counts them: so a
//! request that dies leaves the item and the records in agreement, and the item says how far it came. How it goes on from
//! there is in the model.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::auth::Tenant;
use shared::clock::Reservation;
use shared::deadline;
use shared::http::ApiError;
use shared::table::{Stored, TableError};

use super::{Import, generic};
use crate::model::{Claimed, Importing, Integration, Origin, Record, Status, Sync, WalletId};
use crate::providers::Entry;
use crate::store::{AddError, Integrations, NotStored, not_found};

/// More records are written only with this much time left.
const ENOUGH: Duration = Duration::from_secs(4);
/// When a request that ran out of time is best sent again.
const AGAIN: Duration = Duration::from_secs(1);
/// When an import that is under way may be over.
const LATER: Duration = Duration::from_secs(5);

/// Where a file is imported to.
#[derive(Debug)]
pub enum Target {
    /// A new integration of this provider.
    New(&'static Entry),
    /// One that is there; and the provider that the request names, if it names one.
    Into(WalletId, Option<&'static Entry>),
}

/// What an import came to.
#[derive(Debug)]
pub struct Imported {
    /// The integration as it is afterwards.
    pub integration: Integration,
    /// How many records were new.
    pub imported: u64,
    /// How many were there already, or stand in the file more than once.
    pub duplicates: u64,
}

/// One import.
struct Run<'a> {
    tenant: &'a Tenant,
    id: WalletId,
    file: &'a Import,
    wanted: Importing,
}

impl Integrations {
    /// Imports a file. Sent again under the same reservation, or with the same file once it was interrupted, it goes on
    /// where it stopped.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the tenant has no such integration; [`ApiError::Conflict`] if the file does not belong into
    /// it, if another import is under way, or if time ran out, with the number of records that are in so far;
    /// [`ApiError::Internal`] if the table does not answer.
    pub async fn import(
        &self,
        tenant: &Tenant,
        reservation: &Reservation,
        target: Target,
        alias: Option<String>,
        file: &Import,
    ) -> Result<Imported, ApiError> {
        let wanted = Importing::new(reservation.uuid(), file.digest.clone());
        let (id, begun, named) = match target {
            Target::Into(id, named) => (id, None, named),
            Target::New(entry) => {
                let mut new = integration(reservation, entry, alias.clone());
                let claimed = new.claim_import(&wanted, self.ids.now());
                let begun = match (self.add(tenant, &new, None).await, claimed) {
                    (Ok(()), Claimed::Held(fence)) => Some((Stored { record: new.clone(), version: 1 }, fence)),
                    // A repetition of a request that came as far as this.
                    (Ok(()) | Err(AddError::Exists), _) => None,
                    (Err(error), _) => return Err(error.into()),
                };
                (new.wallet_id, begun, None)
            }
        };
        let run = Run { tenant, id, file, wanted };
        match begun {
            Some((held, fence)) => self.write(&run, held, fence).await,
            None => match self.claim(&run, named, alias).await? {
                (held, Claimed::Held(fence)) => self.write(&run, held, fence).await,
                (held, Claimed::Over) => Ok(run.over(held.record)),
                (_, Claimed::Busy) => Err(run.busy()),
            },
        }
    }

    /// Takes an integration that is there for an import.
    async fn claim(
        &self,
        run: &Run<'_>,
        named: Option<&Entry>,
        alias: Option<String>,
    ) -> Result<(Stored<Integration>, Claimed), ApiError> {
        let there = self.stored(run.tenant, &run.id).await?.record;
        run.belongs_into(&there, named)?;
        let now = self.ids.now();
        let claim = |one: &mut Integration| -> Result<Claimed, TableError> {
            let claimed = one.claim_import(&run.wanted, now);
            if matches!(claimed, Claimed::Held(_)) && alias.is_some() {
                one.alias.clone_from(&alias);
            }
            Ok(claimed)
        };
        self.table.update(&Self::key(run.tenant, &run.id), claim).await.map_err(not_found)
    }

    /// Writes what is not written yet.
    async fn write(&self, run: &Run<'_>, mut held: Stored<Integration>, fence: u64) -> Result<Imported, ApiError> {
        loop {
            let done = held.record.importing.as_ref().map_or(0, |importing| importing.done);
            let from = usize::try_from(done).unwrap_or(usize::MAX);
            let mut some: Vec<(String, Record)> =
                run.file.records.iter().skip(from).take(Self::AT_ONCE).cloned().collect();
            let given = some.len();
            let is_last = from.saturating_add(given) >= run.file.records.len();
            if deadline::left().is_some_and(|left| left < ENOUGH) {
                return Err(self.interrupt(run, held, fence).await);
            }
            let count = |one: &mut Integration, created: u64| {
                one.count_imported(fence, u64::try_from(given).unwrap_or_default(), created, is_last, self.ids.now())
            };
            match self.store(run.tenant, &mut held, &mut some, None, count).await {
                Ok(()) if is_last => return Ok(run.over(held.record)),
                // The table has too much to do just now; the deadline bounds how often it is asked again.
                Ok(()) | Err(NotStored::Table(TableError::Contended)) => {}
                Err(NotStored::Table(error)) => return Err(error.into()),
                Err(NotStored::Stopped) => {
                    self.read(run.tenant, &run.id).await?;
                    return Err(run.busy());
                }
            }
        }
    }

    /// Leaves the rest to a request that is sent again.
    async fn interrupt(&self, run: &Run<'_>, mut held: Stored<Integration>, fence: u64) -> ApiError {
        let let_go = |one: &mut Integration, _| one.interrupt_import(fence, self.ids.now());
        if let Err(error) = self.store(run.tenant, &mut held, &mut Vec::new(), None, let_go).await {
            tracing::warn!(%error, wallet = run.id.as_str(), "an import that ran out of time is held until its lease ends");
        }
        let done = held.record.importing.map_or(0, |importing| importing.done);
        ApiError::Conflict {
            detail: format!(
                "Time ran out: {done} of the file's {} records are in. Send the file again, with the same Idempotency-Key or \
                 with walletId={}, and it goes on from there.",
                run.file.records.len(),
                run.id
            ),
            retry_after: Some(AGAIN),
            existing: Some(run.id.to_string()),
        }
    }
}

impl Run<'_> {
    /// A history from a file is not mixed with one that is asked for, for their records have other names; nor with the
    /// files of another provider.
    fn belongs_into(&self, there: &Integration, named: Option<&Entry>) -> Result<(), ApiError> {
        if there.origin != Origin::Csv {
            let message = "This integration is synced with its provider, so its history must not be mixed with a file's. \
                           Import the file as an integration of its own: leave walletId out.";
            return Err(ApiError::conflict(message));
        }
        let other = named.map(|entry| entry.id).filter(|named| *named != there.provider);
        let own = [generic::ID, there.provider.as_str()].contains(&self.file.provider) || there.provider == generic::ID;
        match other.or((!own).then_some(self.file.provider)) {
            None => Ok(()),
            Some(other) => Err(ApiError::conflict(format!(
                "This integration holds the history of an account at {}, and the file is of {other}. Import it as an \
                 integration of its own: leave walletId out.",
                there.provider
            ))),
        }
    }

    fn busy(&self) -> ApiError {
        ApiError::Conflict {
            detail: "Another file is being imported into this integration. Try again when it is in.".into(),
            retry_after: Some(LATER),
            existing: Some(self.id.to_string()),
        }
    }

    fn over(&self, integration: Integration) -> Imported {
        let (imported, duplicates) =
            integration.importing.as_ref().map_or((0, 0), |importing| (importing.imported, importing.duplicates));
        Imported { integration, imported, duplicates: duplicates.saturating_add(self.file.repeated) }
    }
}

/// A new integration that is made of files.
fn integration(reservation: &Reservation, entry: &Entry, alias: Option<String>) -> Integration {
    Integration {
        wallet_id: WalletId::of(reservation),
        provider: entry.id.into(),
        public_name: entry.public_name.into(),
        category: entry.category,
        origin: Origin::Csv,
        source: None,
        alias,
        account_name: None,
        address: None,
        chains: Vec::new(),
        settings: BTreeMap::new(),
        secret: None,
        identities: Vec::new(),
        account_identity: None,
        is_contract: false,
        warnings: Vec::new(),
        added_on: reservation.at,
        status: Status::Queued,
        total_transactions: 0,
        last_synced_at: None,
        message: None,
        sync: Sync::never(),
        importing: None,
    }
}
