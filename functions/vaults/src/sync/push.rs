//! Carrying a plan out to a platform, in as few calls as it allows.
//!
//! # Theory of operation
//! Sets and deletions are cut into batches by the platform's [`Abilities`]. Deletions go last, so that nothing is missing
//! in between; first where the platform caps the number of names, for then there is no room before. The cap is checked
//! before the first write. After every batch the ledger remembers what was written. A platform that asks to wait for a
//! little while is waited for; otherwise what is left fails with a reason that says so.
//!
//! A value that the platform does not give back is known by what the ledger says of it. So where a write may or may not
//! have happened, the entry is unsettled: it names a marker that no platform gives, and the next run writes again. Where
//! the platform has no markers that is done before the write, for a run that dies in the middle could not do it afterwards.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use shared::auth::Tenant;
use shared::deadline;
use shared::http::ApiError;
use shared::table::TableError;

use super::{Survey, sentence};
use crate::model::plan::{Entry, Ledger, Plan};
use crate::model::{Direction, Tally};
use crate::providers::{Abilities, Change, Outcome, Trouble};
use crate::store::{Held, values};
use crate::{Obstacle, Vaults};

/// A batch is begun only with this much time left.
const ENOUGH: Duration = Duration::from_secs(11);
/// A platform that asks for no more is waited for, so many times in a run.
pub(super) const WAITED_FOR: Duration = Duration::from_secs(5);
const MOST_WAITS: u32 = 6;
/// After so many batches in a row to which no good answer came, the platform is left alone.
const MOST_SILENT: u32 = 2;
/// A marker that no platform gives.
const UNSETTLED: &str = "\u{0}unsettled";
const NO_TIME: &str = "There was no time left for it. Run the sync again.";
const TAKEN_OVER: &str = "Another sync took over. Run the sync again.";

/// Writes what the plan says to the platform.
pub(super) async fn carry_out(
    vaults: &Vaults,
    tenant: &Tenant,
    survey: &mut Survey,
    plan: &Plan,
    (held, tally): (&mut Held, &mut Tally),
) -> Result<(), ApiError> {
    let abilities = survey.open.provider.entry().abilities;
    let (sets, deletions) = changes(survey, plan, tally);
    let fresh = sets.iter().filter(|change| change.before.is_none()).count();
    let count = (survey.contents.variables.len() + fresh).saturating_sub(deletions.len());
    if let Some(most) = abilities.most_names.filter(|most| fresh > 0 && count > *most) {
        let platform = survey.open.provider.entry().display_name;
        let reason = format!("{platform} takes at most {most} names here, and there would be {count}.");
        tally.reason = Some(format!("{reason} Nothing was written."));
        return Ok(());
    }
    let ledger = survey.book.ledger();
    let mut push = Push { vaults, tenant, survey, plan, held, ledger, tally, waits: 0, silent: 0 };
    let forgotten = push.survey.forgotten(Direction::Push);
    if !push.remember(forgotten).await? {
        push.tally.reason = Some(TAKEN_OVER.into());
        return Ok(());
    }
    push.run(batches(&abilities, sets, deletions)).await?;
    push.apply().await
}

/// What has to change: sets, and deletions. What the platform is known not to take fails at once.
fn changes(survey: &Survey, plan: &Plan, tally: &mut Tally) -> (Vec<Change>, Vec<Change>) {
    let before = |name: &String| survey.contents.variables.get(name).cloned();
    let largest = survey.open.provider.entry().abilities.largest_value;
    let mut sets = Vec::new();
    for name in plan.to_create.iter().chain(&plan.to_update) {
        let Some(value) = survey.values.get(name) else { continue };
        let too_large = || {
            let large = values::size(value) > largest;
            large.then(|| format!("The value is larger than {largest} bytes, the most that the platform takes."))
        };
        match survey.open.provider.objection(name, value).or_else(too_large) {
            Some(objection) => tally.fail(name, values::without(&objection, value)),
            None => sets.push(Change { name: name.clone(), value: Some(value.clone()), before: before(name) }),
        }
    }
    let gone = |name: &String| Change { name: name.clone(), value: None, before: before(name) };
    (sets, plan.to_delete.iter().map(gone).collect())
}

/// Cuts changes into batches, in the order in which they go out.
fn batches(abilities: &Abilities, sets: Vec<Change>, deletions: Vec<Change>) -> VecDeque<Vec<Change>> {
    let cut = |changes: Vec<Change>, size: usize| -> Vec<Vec<Change>> {
        changes.chunks(size.max(1)).map(<[Change]>::to_vec).collect()
    };
    let (mut sets, mut deletions) = (cut(sets, abilities.sets_at_once), cut(deletions, abilities.deletes_at_once));
    if abilities.mixed {
        // What does not fill a call of its own goes along with another.
        if let (Some(last), 1) = (sets.last_mut(), deletions.len()) {
            last.extend(deletions.drain(..).flatten());
        }
    }
    if abilities.most_names.is_some() {
        std::mem::swap(&mut sets, &mut deletions);
    }
    sets.into_iter().chain(deletions).collect()
}

struct Push<'a> {
    vaults: &'a Vaults,
    tenant: &'a Tenant,
    survey: &'a mut Survey,
    plan: &'a Plan,
    held: &'a mut Held,
    /// As it was before the first batch.
    ledger: Ledger,
    tally: &'a mut Tally,
    waits: u32,
    silent: u32,
}

impl Push<'_> {
    async fn run(&mut self, mut batches: VecDeque<Vec<Change>>) -> Result<(), ApiError> {
        while let Some(batch) = batches.pop_front() {
            let (stop, left) = match self.batch(&batch).await? {
                Next::Done => continue,
                Next::Again(some) => {
                    batches.push_front(some);
                    continue;
                }
                Next::Stop(reason) => (reason, batch),
                Next::StopAfter(reason) => (reason, Vec::new()),
            };
            for change in left.iter().chain(batches.iter().flatten()) {
                self.fail(change, &stop);
            }
            return Ok(());
        }
        Ok(())
    }

    /// Lets what was written take effect.
    async fn apply(&mut self) -> Result<(), ApiError> {
        if self.tally.created + self.tally.updated == 0 {
            return Ok(());
        }
        loop {
            let answer = {
                let session = self.vaults.session(&self.survey.open);
                self.survey.open.provider.apply(&session, &self.survey.place).await
            };
            match self.vaults.heard(self.tenant, &mut self.survey.open, answer).await {
                Ok(None) => {}
                Ok(Some(())) => return Ok(()),
                Err(Obstacle::Api(error)) => return Err(error),
                Err(Obstacle::Trouble(trouble)) => {
                    self.tally.left(&trouble);
                    let reason = format!("The values are written but not yet in force: {}", sentence(&trouble));
                    self.tally.reason = Some(reason);
                    return Ok(());
                }
            }
        }
    }

    /// One call to the platform.
    async fn batch(&mut self, batch: &[Change]) -> Result<Next, ApiError> {
        if deadline::left().is_some_and(|left| left < ENOUGH) {
            return Ok(Next::Stop(NO_TIME.into()));
        }
        match self.vaults.links.hold_on(self.held).await {
            Ok(()) => {}
            Err(TableError::Contended) => return Ok(Next::Stop(TAKEN_OVER.into())),
            Err(error) => return Err(error.into()),
        }
        let blind = batch.iter().filter(|change| {
            let hidden = |before: &crate::providers::Variable| before.value.is_none() && before.marker.is_none();
            change.value.is_some() && change.before.as_ref().is_some_and(hidden)
        });
        let unsettled = self.unsettled(blind);
        if !self.remember(unsettled).await? {
            return Ok(Next::Stop(TAKEN_OVER.into()));
        }
        let answer = {
            // Once the lease has ended another run may write, and what is late would be written over it.
            let left = self.held.left(self.vaults.platform.ids.now());
            let session = self.vaults.session(&self.survey.open).lasting(left);
            self.survey.open.provider.write(&session, &self.survey.place, batch).await
        };
        match self.vaults.heard(self.tenant, &mut self.survey.open, answer).await {
            Ok(None) => Ok(Next::Again(batch.to_vec())),
            Ok(Some(outcomes)) => self.outcomes(batch, outcomes).await,
            Err(Obstacle::Api(error)) => Err(error),
            Err(Obstacle::Trouble(trouble)) => self.refused(batch, &trouble).await,
        }
    }

    /// The whole batch was refused.
    async fn refused(&mut self, batch: &[Change], trouble: &Trouble) -> Result<Next, ApiError> {
        match trouble {
            Trouble::Wait { for_, .. } => {
                if self.wait(*for_).await {
                    return Ok(Next::Again(batch.to_vec()));
                }
                self.tally.left(trouble);
                Ok(Next::Stop(sentence(trouble)))
            }
            Trouble::Unauthorized(_) => Ok(Next::Stop(sentence(trouble))),
            Trouble::Down(_) | Trouble::TimedOut(_) | Trouble::Unexpected(_) => {
                let unsettled = self.unsettled(batch.iter());
                let remembered = self.remember(unsettled).await?;
                self.silent += 1;
                if !remembered {
                    return Ok(Next::Stop(TAKEN_OVER.into()));
                }
                if self.silent >= MOST_SILENT {
                    return Ok(Next::Stop(sentence(trouble)));
                }
                batch.iter().for_each(|change| self.fail(change, &sentence(trouble)));
                Ok(Next::Done)
            }
            Trouble::Forbidden(_) | Trouble::NotFound(_) | Trouble::Refused(_) => {
                batch.iter().for_each(|change| self.fail(change, &sentence(trouble)));
                Ok(Next::Done)
            }
        }
    }

    /// The platform tells of each name.
    async fn outcomes(&mut self, batch: &[Change], outcomes: Vec<Outcome>) -> Result<Next, ApiError> {
        let said_nothing = |outcome: &Outcome| outcome.result.as_ref().is_err_and(Trouble::is_silent);
        self.silent = if outcomes.iter().all(said_nothing) { self.silent + 1 } else { 0 };
        let mut outcomes: BTreeMap<String, Result<Option<String>, Trouble>> =
            outcomes.into_iter().map(|outcome| (outcome.name, outcome.result)).collect();
        let (mut written, mut unknown, mut early) = (BTreeMap::new(), Vec::new(), Vec::new());
        let (mut longest, mut without_token) = (None, Vec::new());
        let (mut refused, mut last) = (None, None);
        for change in batch {
            let silent = || Err(Trouble::Unexpected("The platform did not say what became of it.".into()));
            match outcomes.remove(&change.name).unwrap_or_else(silent) {
                Ok(marker) => {
                    self.tally.done(self.plan, &change.name);
                    let entry = |value| Entry { fingerprint: self.survey.fingerprints.of(&change.name, value), marker };
                    written.insert(change.name.clone(), change.value.as_ref().map(entry));
                }
                Err(Trouble::Wait { platform, for_ }) => {
                    longest = longest.max(Some((for_, platform)));
                    early.push(change.clone());
                }
                Err(trouble @ Trouble::Unauthorized(_)) => {
                    without_token.push(change.clone());
                    refused = Some(trouble);
                }
                Err(trouble) => {
                    if trouble.is_silent() {
                        unknown.push(change);
                    }
                    self.fail(change, &sentence(&trouble));
                    last = Some(trouble);
                }
            }
        }
        written.extend(self.unsettled(unknown.into_iter()));
        if !self.remember(written).await? {
            return Ok(Next::Stop(TAKEN_OVER.into()));
        }
        if let Some(trouble) = refused {
            without_token.extend(early);
            return self.without_token(without_token, trouble).await;
        }
        if let Some(trouble) = last.filter(|_| self.silent >= MOST_SILENT) {
            return Ok(Next::StopAfter(sentence(&trouble)));
        }
        let Some((for_, platform)) = longest else { return Ok(Next::Done) };
        if self.wait(for_).await {
            return Ok(Next::Again(early));
        }
        let trouble = Trouble::Wait { platform, for_ };
        self.tally.left(&trouble);
        early.iter().for_each(|change| self.fail(change, &sentence(&trouble)));
        Ok(Next::StopAfter(sentence(&trouble)))
    }

    /// The platform does not accept the token any more: these are written with a new one, if there is one.
    async fn without_token(&mut self, left: Vec<Change>, trouble: Trouble) -> Result<Next, ApiError> {
        let answer: Result<(), Trouble> = Err(trouble);
        match self.vaults.heard(self.tenant, &mut self.survey.open, answer).await {
            Ok(_) => Ok(Next::Again(left)),
            Err(Obstacle::Api(error)) => Err(error),
            Err(Obstacle::Trouble(trouble)) => {
                left.iter().for_each(|change| self.fail(change, &sentence(&trouble)));
                Ok(Next::StopAfter(sentence(&trouble)))
            }
        }
    }

    /// Waits, if that is short and there is time. False if not.
    async fn wait(&mut self, for_: Duration) -> bool {
        let time = deadline::left().is_none_or(|left| left > for_ + ENOUGH);
        if for_ > WAITED_FOR || self.waits >= MOST_WAITS || !time {
            return false;
        }
        self.waits += 1;
        tokio::time::sleep(for_).await;
        true
    }

    /// Entries that will be written again: of those names that the ledger has. What was to be deleted is gone or as it was.
    fn unsettled<'b>(&self, changes: impl Iterator<Item = &'b Change>) -> BTreeMap<String, Option<Entry>> {
        let known = changes.filter(|change| change.value.is_some()).filter_map(|change| {
            let entry = self.ledger.get(&change.name)?;
            Some((change.name.clone(), Some(Entry { marker: Some(UNSETTLED.into()), ..entry.clone() })))
        });
        known.collect()
    }

    /// False if another run has written since.
    async fn remember(&mut self, changes: BTreeMap<String, Option<Entry>>) -> Result<bool, ApiError> {
        match self.vaults.links.remember(&mut self.survey.book, changes).await {
            Ok(()) => Ok(true),
            Err(TableError::Contended) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn fail(&mut self, change: &Change, reason: &str) {
        let reason = match &change.value {
            Some(value) => values::without(reason, value),
            None => reason.to_owned(),
        };
        self.tally.fail(&change.name, reason);
    }
}

/// What comes after a batch.
enum Next {
    /// The next one.
    Done,
    /// These once more.
    Again(Vec<Change>),
    /// Nothing: what is left, the batch included, fails for this reason.
    Stop(String),
    /// Nothing: what is left after the batch fails for this reason.
    StopAfter(String),
}
