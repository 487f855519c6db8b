//! Where an integration's sync stands.
//!
//! A sync is asked for (QUEUED), claimed by a worker (ONGOING), and ends (COMPLETED or FAILED). A worker holds a lease and
//! a fencing number. While it holds the lease the integration is due again when the lease ends, so one whose worker died
//! comes up by itself; whoever claims it next has a higher number, and the first worker's writes no longer count.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Integration;
use super::taxonomy::names;

names! {
    /// Where an integration's sync stands.
    Status {
        /// Asked for; a worker will take it.
        Queued = "QUEUED";
        /// A worker has it, or it waits for the provider's leave to go on.
        Ongoing = "ONGOING";
        /// The last sync ended well.
        Completed = "COMPLETED";
        /// The last sync ended badly; the message says why.
        Failed = "FAILED";
    }
}

names! {
    /// What a sync brings.
    Mode {
        /// What is new since the last one.
        Latest = "latest";
        /// The whole history, once more. What is stored already is not stored twice.
        FromStart = "from_start";
    }
}

/// What happens to a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its owner asks for one.
    Request,
    /// Its owner changed what it is asked with.
    Restart,
    /// A worker takes it.
    Claim,
    /// It came to the end of the history.
    Finish,
    /// It cannot go on.
    Fail,
}

impl Status {
    /// The status after a step, or `None` where the step cannot be. The only place where a status changes.
    #[must_use]
    pub fn after(self, step: Step) -> Option<Self> {
        match (self, step) {
            (_, Step::Restart) | (Self::Queued | Self::Completed | Self::Failed, Step::Request) => Some(Self::Queued),
            // The same run.
            (Self::Ongoing, Step::Request) => Some(Self::Ongoing),
            (_, Step::Claim) => Some(Self::Ongoing),
            (Self::Ongoing, Step::Finish) => Some(Self::Completed),
            (Self::Ongoing, Step::Fail) => Some(Self::Failed),
            (_, Step::Finish | Step::Fail) => None,
        }
    }
}

/// How an integration's syncs go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// What the present or the last one brings.
    pub mode: Mode,
    /// True once the present one has stored a page, so that its cursor is its own.
    pub started: bool,
    /// When a worker should look at it; never, for files and for what only its owner can put right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// Until when a worker holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leased_until: Option<Timestamp>,
    /// Counts the leases.
    pub fence: u64,
    /// How many records the present or the last sync was given.
    pub fetched: u64,
    /// How many it will be, where the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// How many times in a row no page could be had.
    pub setbacks: u32,
}

impl Sync {
    /// The first sync of an integration that is added now.
    #[must_use]
    pub fn queued(now: Timestamp) -> Self {
        Self { due_at: Some(now), ..Self::never() }
    }

    /// Of an integration that is not synced.
    #[must_use]
    pub fn never() -> Self {
        Self {
            mode: Mode::Latest,
            started: false,
            due_at: None,
            leased_until: None,
            fence: 0,
            fetched: 0,
            expected: None,
            setbacks: 0,
        }
    }

    /// What a sync that nobody asks for brings after this one: what is new, unless this one was to bring everything and has
    /// brought nothing.
    fn mode_to_come(&self) -> Mode {
        if self.started { Mode::Latest } else { self.mode }
    }

    fn begin(&mut self, mode: Mode) {
        *self = Self { due_at: self.due_at, leased_until: self.leased_until, fence: self.fence, ..Self::never() };
        self.mode = mode;
    }
}

/// For how long a worker holds an integration unless it renews.
pub const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// A lease with less than this left is renewed before the provider is asked, for an answer may take eight seconds.
const RENEWED_BELOW: SignedDuration = SignedDuration::from_secs(20);

/// True if a lease that lasts until then should be renewed before the provider is asked.
#[must_use]
pub fn ends_soon(leased_until: Option<Timestamp>, now: Timestamp) -> bool {
    leased_until.is_none_or(|until| until.duration_since(now) < RENEWED_BELOW)
}

/// What a worker does.
impl Integration {
    pub(super) fn step(&mut self, step: Step) -> bool {
        match self.status.after(step) {
            Some(status) => {
                self.status = status;
                true
            }
            None => false,
        }
    }

    /// Asks for a sync. One that is asked for or under way already stays as it is.
    pub fn request_sync(&mut self, mode: Mode, now: Timestamp) {
        if !matches!(self.status, Status::Queued | Status::Ongoing) && self.step(Step::Request) {
            self.sync.begin(mode);
            self.sync.due_at = Some(now);
            self.message = None;
        }
    }

    /// Asks for a sync with what is new in how it is asked; a worker that is at it has lost it.
    pub fn restart_sync(&mut self, now: Timestamp) {
        if self.step(Step::Restart) {
            let fence = self.sync.fence.saturating_add(1);
            self.sync.begin(self.sync.mode_to_come());
            self.sync = Sync { due_at: Some(now), leased_until: None, fence, ..self.sync.clone() };
            self.message = None;
        }
    }

    /// Takes a lease, if it is due and nobody holds it. Gives the lease's fencing number.
    pub fn claim_sync(&mut self, now: Timestamp) -> Option<u64> {
        let is_held = self.sync.leased_until.is_some_and(|until| now < until);
        // What was asked for on a machine whose clock is a little ahead is due all the same.
        let is_due = self.sync.due_at.is_some_and(|due| due <= now || self.status == Status::Queued);
        if is_held || !is_due {
            return None;
        }
        if !matches!(self.status, Status::Queued | Status::Ongoing) {
            self.sync.begin(self.sync.mode_to_come());
        }
        if !self.step(Step::Claim) {
            return None;
        }
        self.sync.fence = self.sync.fence.saturating_add(1);
        self.hold(now);
        Some(self.sync.fence)
    }

    pub(super) fn hold(&mut self, now: Timestamp) {
        self.sync.leased_until = now.checked_add(LEASE).ok();
        self.sync.due_at = self.sync.leased_until;
    }

    pub(super) fn let_go(&mut self, due_at: Option<Timestamp>) {
        self.sync.leased_until = None;
        self.sync.due_at = due_at;
    }

    /// True if this fencing number is the latest.
    #[must_use]
    pub fn is_held_by(&self, fence: u64) -> bool {
        self.sync.fence == fence && self.status == Status::Ongoing
    }

    /// Holds on for another lease. False if it was taken over.
    pub fn renew_sync(&mut self, fence: u64, now: Timestamp) -> bool {
        let held = self.is_held_by(fence);
        if held {
            self.hold(now);
        }
        held
    }

    /// Counts `stored` new records. False if it was taken over.
    pub fn count_stored(&mut self, fence: u64, stored: u64, now: Timestamp) -> bool {
        let held = self.renew_sync(fence, now);
        if held {
            self.total_transactions = self.total_transactions.saturating_add(stored);
        }
        held
    }

    /// Adds a warning for its owner. False if it was taken over.
    pub fn warn(&mut self, fence: u64, warning: &str) -> bool {
        let held = self.is_held_by(fence);
        if held && !self.warnings.iter().any(|known| known == warning) {
            self.warnings.push(warning.to_owned());
        }
        held
    }

    /// Notes that a page of `fetched` records is stored to its end. False if it was taken over.
    pub fn end_page(&mut self, fence: u64, fetched: u64, expected: Option<u64>, now: Timestamp) -> bool {
        let held = self.renew_sync(fence, now);
        if held {
            self.sync.started = true;
            self.sync.setbacks = 0;
            self.sync.fetched = self.sync.fetched.saturating_add(fetched);
            self.sync.expected = expected.or(self.sync.expected);
            self.message = None;
        }
        held
    }

    /// Ends the sync well; it is due again `later`. False if it was taken over.
    pub fn finish_sync(&mut self, fence: u64, now: Timestamp, later: Timestamp) -> bool {
        let held = self.is_held_by(fence) && self.step(Step::Finish);
        if held {
            self.last_synced_at = Some(now);
            self.message = None;
            self.let_go(Some(later));
        }
        held
    }

    /// Ends the sync badly; it is due again `later`, or only when its owner has put it right. False if it was taken over.
    pub fn fail_sync(&mut self, fence: u64, message: String, later: Option<Timestamp>) -> bool {
        let held = self.is_held_by(fence) && self.step(Step::Fail);
        if held {
            self.message = Some(message);
            self.let_go(later);
        }
        held
    }

    /// Leaves the sync where it is until `later`. A setback is counted and its message kept. False if it was taken over.
    pub fn put_sync_off(&mut self, fence: u64, setback: Option<String>, later: Timestamp) -> bool {
        let held = self.is_held_by(fence);
        if held {
            if let Some(message) = setback {
                self.sync.setbacks = self.sync.setbacks.saturating_add(1);
                self.message = Some(message);
            }
            self.let_go(Some(later));
        }
        held
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use shared::clock::Ids;

    use super::*;
    use crate::model::{Category, Origin, WalletId};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    pub(in crate::model) fn integration() -> Integration {
        Integration {
            wallet_id: WalletId::of(&Ids::default().reserve()),
            provider: "bitcoin".into(),
            public_name: "Bitcoin".into(),
            category: Category::Blockchain,
            origin: Origin::Api,
            source: Some("bitcoin".into()),
            alias: None,
            account_name: None,
            address: None,
            chains: Vec::new(),
            settings: BTreeMap::new(),
            secret: None,
            identities: Vec::new(),
            account_identity: None,
            is_contract: false,
            warnings: Vec::new(),
            added_on: at(0),
            status: Status::Queued,
            total_transactions: 0,
            last_synced_at: None,
            message: None,
            sync: Sync::queued(at(0)),
            importing: None,
        }
    }

    #[test]
    fn every_pair_of_status_and_step() {
        use Status::{Completed, Failed, Ongoing, Queued};
        use Step::{Claim, Fail, Finish, Request, Restart};
        for (status, step, after) in [
            (Queued, Request, Some(Queued)),
            (Queued, Restart, Some(Queued)),
            (Queued, Claim, Some(Ongoing)),
            (Queued, Finish, None),
            (Queued, Fail, None),
            (Ongoing, Request, Some(Ongoing)),
            (Ongoing, Restart, Some(Queued)),
            (Ongoing, Claim, Some(Ongoing)),
            (Ongoing, Finish, Some(Completed)),
            (Ongoing, Fail, Some(Failed)),
            (Completed, Request, Some(Queued)),
            (Completed, Restart, Some(Queued)),
            (Completed, Claim, Some(Ongoing)),
            (Completed, Finish, None),
            (Completed, Fail, None),
            (Failed, Request, Some(Queued)),
            (Failed, Restart, Some(Queued)),
            (Failed, Claim, Some(Ongoing)),
            (Failed, Finish, None),
            (Failed, Fail, None),
        ] {
            assert_eq!(status.after(step), after, "{status:?} {step:?}");
        }
    }

    #[test]
    fn a_claim_is_one_workers_until_its_lease_ends() {
        let mut one = integration();
        assert_eq!(one.claim_sync(at(-1)), Some(1), "whatever is asked for is due");
        let mut one = integration();
        assert_eq!(one.claim_sync(at(0)), Some(1));
        assert_eq!((one.status, one.claim_sync(at(29))), (Status::Ongoing, None), "held");
        let leased = one.sync.leased_until;
        assert!(!ends_soon(leased, at(10)) && ends_soon(leased, at(11)));
        assert!(one.renew_sync(1, at(20)));
        assert_eq!(one.claim_sync(at(49)), None, "renewed");
        assert_eq!(one.claim_sync(at(50)), Some(2), "the lease has ended");
        assert!(!one.renew_sync(1, at(51)), "taken over");
        assert!(!one.count_stored(1, 5, at(51)) && !one.end_page(1, 5, None, at(51)));
        assert!(!one.finish_sync(1, at(51), at(99)) && !one.fail_sync(1, "no".into(), None));
        assert!(!one.put_sync_off(1, None, at(99)));
        assert_eq!((one.total_transactions, one.sync.fetched), (0, 0));
        assert!(one.finish_sync(2, at(52), at(3_652)));
        assert_eq!((one.status, one.last_synced_at), (Status::Completed, Some(at(52))));
        assert_eq!(one.claim_sync(at(3_651)), None);
        assert_eq!(one.claim_sync(at(3_652)), Some(3), "due again");
        assert_eq!((one.status, one.sync.started), (Status::Ongoing, false));
    }

    #[test]
    fn a_request_while_one_is_under_way_is_the_same_run() {
        let mut one = integration();
        let before = one.clone();
        one.request_sync(Mode::FromStart, at(5));
        assert_eq!(one, before);
        let fence = one.claim_sync(at(0)).unwrap();
        assert!(one.end_page(fence, 7, Some(9), at(1)));
        let before = one.clone();
        one.request_sync(Mode::FromStart, at(5));
        assert_eq!(one, before);
        assert!(one.fail_sync(fence, "revoked".into(), None));
        assert_eq!(one.claim_sync(at(1_000_000)), None, "only its owner can put it right");
        one.request_sync(Mode::FromStart, at(6));
        assert_eq!(
            (one.status, one.sync.mode, one.sync.fetched, &one.message),
            (Status::Queued, Mode::FromStart, 0, &None)
        );
        assert!(one.claim_sync(at(6)).is_some());
    }

    #[test]
    fn a_whole_reading_that_brought_nothing_is_still_wanted() {
        for interrupt in [
            (|one, fence| assert!(one.fail_sync(fence, "down".into(), Some(at(60))))) as fn(&mut Integration, u64),
            |one, _| one.restart_sync(at(60)),
        ] {
            let mut one = integration();
            let fence = one.claim_sync(at(0)).unwrap();
            assert!(one.end_page(fence, 7, None, at(1)) && one.finish_sync(fence, at(2), at(3_600)));
            one.request_sync(Mode::FromStart, at(10));
            let fence = one.claim_sync(at(10)).unwrap();
            interrupt(&mut one, fence);
            let fence = one.claim_sync(at(60)).unwrap();
            assert_eq!(one.sync.mode, Mode::FromStart);
            assert!(one.end_page(fence, 7, None, at(61)));
            interrupt(&mut one, fence);
            assert!(one.claim_sync(at(62)).is_some());
            assert_eq!(one.sync.mode, Mode::Latest, "it has its place by now");
        }
    }

    #[test]
    fn new_credentials_evict_a_worker() {
        let mut one = integration();
        let fence = one.claim_sync(at(0)).unwrap();
        one.restart_sync(at(3));
        assert!(!one.renew_sync(fence, at(4)));
        assert!(one.claim_sync(at(4)).is_some_and(|later| later > fence));
    }

    #[test]
    fn what_is_put_off_keeps_its_place() {
        let mut one = integration();
        let fence = one.claim_sync(at(0)).unwrap();
        assert!(one.end_page(fence, 7, None, at(1)));
        assert!(one.put_sync_off(fence, Some("down".into()), at(60)));
        assert_eq!((one.status, one.sync.setbacks, one.sync.started), (Status::Ongoing, 1, true));
        assert_eq!(one.claim_sync(at(59)), None);
        let fence = one.claim_sync(at(60)).unwrap();
        assert_eq!((one.sync.fetched, one.sync.started), (7, true));
        assert!(one.end_page(fence, 1, None, at(61)));
        assert_eq!((one.sync.setbacks, &one.message), (0, &None));
    }
}
