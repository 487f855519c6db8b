//! Where the import of a file stands.
//!
//! The request that imports a file holds the integration as a worker does: with a lease and a fencing number. What it has
//! stored is counted in the integration's own item, with the records and in one transaction. So a request that dies and is
//! sent again, under the same idempotency key or with the same file, goes on where it stopped and counts nothing twice. One
//! that is never sent again leaves an import that stopped in the middle; the job finds it by its lease and says so.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sync::{LEASE, Step};
use super::{Integration, Status};

/// What an import that nobody goes on with is left with.
pub const INTERRUPTED: &str = "The import stopped before the end of the file. Import the file once more, with this \
    integration's walletId: it goes on, and nothing is counted twice.";

/// The last import of a file into an integration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Importing {
    /// The request, by its idempotency key.
    pub run: Uuid,
    /// The file, by its hash.
    pub file: String,
    /// How many of its records are done with.
    pub done: u64,
    /// How many of them were new.
    pub imported: u64,
    /// How many of them were there already.
    pub duplicates: u64,
    /// True once all are.
    pub is_over: bool,
}

impl Importing {
    /// Of a file of which nothing is done.
    #[must_use]
    pub fn new(run: Uuid, file: impl Into<String>) -> Self {
        Self { run, file: file.into(), done: 0, imported: 0, duplicates: 0, is_over: false }
    }
}

/// What became of the wish to import a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The request holds the integration, under this fencing number.
    Held(u64),
    /// This very request has done it already.
    Over,
    /// Another file is being imported.
    Busy,
}

/// What a request that imports a file does.
impl Integration {
    /// Takes the integration for an import, if nobody else has it; goes on with one that stopped.
    pub fn claim_import(&mut self, wanted: &Importing, now: Timestamp) -> Claimed {
        let before = self.importing.clone().filter(|before| before.file == wanted.file);
        let is_same_run = before.as_ref().is_some_and(|before| before.run == wanted.run);
        if is_same_run && before.as_ref().is_some_and(|before| before.is_over) {
            return Claimed::Over;
        }
        let is_held = self.sync.leased_until.is_some_and(|until| now < until);
        if (is_held && !is_same_run) || !self.step(Step::Claim) {
            return Claimed::Busy;
        }
        let stopped = before.filter(|before| !before.is_over);
        self.importing = Some(Importing { run: wanted.run, ..stopped.unwrap_or_else(|| wanted.clone()) });
        self.message = None;
        self.sync.fetched = self.importing.as_ref().map_or(0, |importing| importing.done);
        self.sync.fence = self.sync.fence.saturating_add(1);
        self.hold(now);
        Claimed::Held(self.sync.fence)
    }

    /// Counts `given` records, of which `created` are new. With the last of the file the import is over. False if it was
    /// taken over.
    pub fn count_imported(&mut self, fence: u64, given: u64, created: u64, is_last: bool, now: Timestamp) -> bool {
        let held = self.count_stored(fence, created, now);
        let Some(importing) = self.importing.as_mut().filter(|_| held) else { return false };
        importing.done = importing.done.saturating_add(given);
        importing.imported = importing.imported.saturating_add(created);
        importing.duplicates = importing.duplicates.saturating_add(given.saturating_sub(created));
        importing.is_over = is_last;
        self.sync.fetched = importing.done;
        if is_last {
            // It is held, so it is under way and can finish.
            let _ = self.step(Step::Finish);
            self.last_synced_at = Some(now);
            self.let_go(None);
        }
        true
    }

    /// Lets another request go on with the import; if none does within a lease, the job says that it stopped. False if it
    /// was taken over.
    pub fn interrupt_import(&mut self, fence: u64, now: Timestamp) -> bool {
        let held = self.is_held_by(fence);
        if held {
            self.let_go(now.checked_add(LEASE).ok());
        }
        held
    }

    /// True while an import holds the integration.
    #[must_use]
    pub fn is_importing(&self) -> bool {
        self.status == Status::Ongoing && self.importing.as_ref().is_some_and(|importing| !importing.is_over)
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::Ids;

    use super::super::sync::tests::integration;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    fn run(file: &str) -> Importing {
        Importing::new(Ids::default().uuid(), file)
    }

    #[test]
    fn a_request_that_is_repeated_goes_on_and_then_only_tells() {
        let (mut one, mine) = (integration(), run("a"));
        let Claimed::Held(first) = one.claim_import(&mine, at(0)) else { panic!() };
        assert!(one.is_importing());
        assert!(one.count_imported(first, 98, 90, false, at(1)));
        let Claimed::Held(second) = one.claim_import(&mine, at(2)) else { panic!("its own lease is no obstacle") };
        assert!(!one.count_imported(first, 98, 98, false, at(3)), "taken over");
        assert!(one.count_imported(second, 2, 2, true, at(3)));
        assert_eq!((one.status, one.total_transactions, one.sync.due_at), (Status::Completed, 92, None));
        let done = one.importing.clone().unwrap();
        assert_eq!((done.done, done.imported, done.duplicates), (100, 92, 8));
        assert_eq!(one.claim_import(&mine, at(4)), Claimed::Over);
        assert_eq!(one.last_synced_at, Some(at(3)));
        let Claimed::Held(third) = one.claim_import(&run("a"), at(5)) else { panic!() };
        assert_eq!(one.importing.as_ref().unwrap().done, 0, "another request begins anew");
        assert!(one.count_imported(third, 100, 0, true, at(6)));
        assert_eq!(one.total_transactions, 92);
    }

    #[test]
    fn another_file_waits_for_the_lease() {
        let mut one = integration();
        assert!(matches!(one.claim_import(&run("a"), at(0)), Claimed::Held(_)));
        assert_eq!(one.claim_import(&run("b"), at(29)), Claimed::Busy);
        assert_eq!(one.claim_import(&run("a"), at(29)), Claimed::Busy, "the same file in another request, too");
        assert!(matches!(one.claim_import(&run("b"), at(30)), Claimed::Held(_)));
    }

    #[test]
    fn what_is_let_go_is_gone_on_with_by_whoever_has_the_file() {
        let mut one = integration();
        let Claimed::Held(first) = one.claim_import(&run("a"), at(0)) else { panic!() };
        assert!(one.count_imported(first, 98, 98, false, at(1)));
        assert!(one.interrupt_import(first, at(2)));
        assert!(matches!(one.claim_import(&run("a"), at(3)), Claimed::Held(_)));
        assert_eq!(one.importing.as_ref().unwrap().done, 98);
    }
}
